"""The index: spelling, spacing, meaning, its cache, and what it does with odd queries."""

import time
from pathlib import Path

import pytest

from mundap.retrieve.lexical import Lexical, _snippet
from mundap.types import Section


def section(topic: str, *names: str, text: str = "설명", terms: tuple[str, ...] = ()) -> Section:
    return Section(f"{topic}/summary/ko", topic, "summary", "ko", topic, topic, text, names, terms, "출처")


SECTIONS = [
    section("headache", "두통", "머리가 아파요", "편두통 같아요", text="머리가 욱신거리면 쉬세요. " * 30),
    section("stool", "설사", "물설사를 해요", "배탈이 났어요", text="물을 조금씩 자주 드세요."),
    section("nausea", "메스꺼움", "속이 메슥거려요", "토할 것 같아요", text="천천히 숨을 쉬세요."),
    section("drug", "젤로마딘", text="젤로마딘은 예로 지어낸 약입니다.", terms=("젤로마딘",)),
    section("cold", "감기", "콧물이 나요", "runny nose", text="푹 쉬세요."),
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Lexical:
    return Lexical(SECTIONS, tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize(
    ("query", "topic"),
    [
        ("머리 아파", "headache"),
        ("머리가너무아파요", "headache"),
        ("물설싸", "stool"),
        ("젤로마딘 먹어도 돼요?", "drug"),
        ("runny noses", "cold"),
        ("runy nose", "cold"),
    ],
)
def test_spelling_and_spacing(index: Lexical, query: str, topic: str) -> None:
    assert index.ranked(query)[0].topic == topic


def test_a_word_near_in_meaning_stands_in(index: Lexical) -> None:
    assert [term.text for term in index.terms("울렁거려")] != []
    assert all(term.factor < 1 for term in index.terms("울렁거려"))
    assert index.ranked("울렁거려")[0].topic == "nausea"


def test_a_stand_in_never_outranks_the_word_itself(index: Lexical) -> None:
    assert all(term.factor < 1 or term.text in index.tokens("울렁거려 두통") for term in index.terms("울렁거려 두통"))
    assert index.ranked("울렁거려 두통")[0].topic == "headache"


@pytest.mark.parametrize("query", ["", " ", "ㅋㅋㅋ", "\ud800", "?!", "a" * 100_000, "가" * 100_000, '"(AND', "\x00"])
def test_odd_queries_find_nothing_and_break_nothing(index: Lexical, query: str) -> None:
    started = time.monotonic()
    assert index.search(query) == []
    assert time.monotonic() - started < 5


def test_an_unknown_word_is_known_to_be_unknown(index: Lexical) -> None:
    assert index.knows("젤로마딘") and index.knows("과정") and index.knows("감기약")
    assert not index.knows("플라지볼론정")


def test_the_cache_is_used_again_and_mended(tmp_path: Path) -> None:
    Lexical(SECTIONS, tmp_path)
    folder = next(tmp_path.glob("index-*"))
    made = folder.stat().st_mtime_ns
    Lexical(SECTIONS, tmp_path)
    assert next(tmp_path.glob("index-*")).stat().st_mtime_ns == made
    for file in folder.iterdir():
        file.write_bytes(b"damaged")
    assert Lexical(SECTIONS, tmp_path).ranked("두통")[0].topic == "headache"
    assert list(tmp_path.glob(".index-*")) == []


def test_changed_content_is_a_new_index(tmp_path: Path) -> None:
    Lexical(SECTIONS, tmp_path)
    assert Lexical([*SECTIONS, section("eye", "눈이 아파요")], tmp_path).ranked("눈이 아파")[0].topic == "eye"
    assert len(list(tmp_path.glob("index-*"))) == 2


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert Lexical(SECTIONS, blocked).ranked("두통")[0].topic == "headache"


def test_snippets_are_short_whole_words_around_the_find() -> None:
    text = "앞말 " * 60 + "두통이 심하면 쉬세요 " + "뒷말 " * 60
    cut = _snippet(text, ["두통"])
    assert "두통이" in cut and len(cut) <= 125 and cut.startswith("…") and cut.endswith("…")
