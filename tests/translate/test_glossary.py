from __future__ import annotations

import re
from collections import Counter
from importlib.resources import files
from pathlib import Path
from time import perf_counter

import pytest
import yaml

from mundap.errors import ConfigError
from mundap.translate import glossary
from mundap.translate.glossary import Glossary

FILE = files("mundap.translate") / "glossary.yaml"


@pytest.fixture(scope="module")
def terms() -> Glossary:
    return glossary.load()


def found(terms: Glossary, text: str, lang: str) -> list[str]:
    return [text[hit.start : hit.end] for hit in terms.terms_in(text, lang)]


def test_there_are_enough_terms_of_every_kind(terms: Glossary) -> None:
    kinds = Counter(term.kind for term in terms.terms)
    assert sum(kinds.values()) >= 800
    assert {kind: count for kind, count in kinds.items() if count < 25} == {}
    assert kinds.keys() >= {"departments", "symptoms", "body", "tests", "diseases", "medicines"}


def test_no_line_is_there_twice() -> None:
    kinds = yaml.compose(FILE.read_text("utf-8")).value
    keys = [form.lower() for _, rows in kinds for key, _ in rows.value for form in key.value.split("|")]
    names = [key for key in keys if not key.endswith("-")]
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_both_sides_are_whole(terms: Glossary) -> None:
    for term in terms.terms:
        assert term.en and term.ko
        assert all(re.fullmatch(r"[A-Za-z0-9'’ -]+", name) for name in (*term.en, *term.also)), term
        assert any(re.search("[가-힣]", name) for name in term.ko), term
        assert len({*term.ko, *term.stems}) == len(term.ko) + len(term.stems), term


def test_every_preferred_name_is_found_again(terms: Glossary) -> None:
    for term in terms.terms:
        for name in term.en:
            [hit] = terms.terms_in(f"with {name} today", "en")
            assert hit.term == term, name
        assert terms.missing(f"with {term.en[0]} today", f"오늘 {term.ko[0]}", "en", "ko") == []
        assert term not in terms.missing(f"오늘 {term.ko[0]}", f"with {term.en[0]} today", "ko", "en")


def test_the_longest_term_wins_whatever_case_and_number(terms: Glossary) -> None:
    text = "Kidney stones, chest pain; the patient's LIVER and Alzheimer’s disease"
    assert found(terms, text, "en") == ["Kidney stones", "chest pain", "patient's", "LIVER", "Alzheimer’s disease"]
    assert found(terms, "pains in the chest. Pain", "en") == ["pains", "chest", "Pain"]
    assert found(terms, "painting a heartless chestnut", "en") == []


def test_an_abbreviation_is_no_small_word(terms: Glossary) -> None:
    assert found(terms, "hearing aids", "en") == ["hearing aids"]
    assert found(terms, "with AIDS, then aids", "en") == ["AIDS"]


def test_korean_terms_with_particles_and_without_spaces(terms: Glossary) -> None:
    text = "편두통이 있고 고혈압으로 이부프로펜을 먹는데 신장 결석이래요"
    assert found(terms, text, "ko") == ["편두통", "고혈압", "이부프로펜", "신장 결석"]
    assert found(terms, "신장결석은 소변검사로", "ko") == ["신장결석", "소변검사"]
    assert found(terms, "시간이 없어 위험한 배송", "ko") == []


def test_what_an_engine_is_told(terms: Glossary) -> None:
    assert terms.pairs("A migraine, migraine and hives", "en", "ko") == [("migraine", "편두통"), ("hives", "두드러기")]
    assert terms.pairs("편두통이 있어요", "ko", "en") == [("편두통", "migraine")]


def test_drug_names_for_the_shield(terms: Glossary) -> None:
    names = terms.medicines("Ibuprofen or paracetamol", "en", "ko")
    assert [(name.start, name.end, name.other) for name in names] == [(0, 9, "이부프로펜"), (13, 24, "아세트아미노펜")]
    assert [name.other for name in terms.medicines("아지스로마이신을", "ko", "en")] == ["azithromycin"]


@pytest.mark.parametrize(
    ("text", "translation", "lost"),
    [
        ("A migraine with vomiting", "구토를 동반한 편두통", []),
        ("A migraine with vomiting", "토하고 머리가 아픈 병", ["migraine"]),
        ("Shortness of breath", "숨이 차요", []),
        ("Lower back pain", "요통", []),
        ("Lower back pain", "두통", ["low back pain"]),
    ],
)
def test_what_is_missing(terms: Glossary, text: str, translation: str, lost: list[str]) -> None:
    assert [term.en[0] for term in terms.missing(text, translation, "en", "ko")] == lost


def test_a_korean_word_of_several_terms_takes_any_of_their_names(terms: Glossary) -> None:
    assert terms.missing("방광염이래요", "It is cystitis.", "ko", "en") == []
    assert terms.missing("방광염이래요", "It is a bladder infection.", "ko", "en") == []
    assert [term.en[0] for term in terms.missing("방광염이래요", "It is a cold.", "ko", "en")] == ["cystitis"]


def test_looking_up_is_quick(terms: Glossary) -> None:
    text = "Chest pain may be a symptom of something else entirely in your body, doctors say. " * 100
    terms.terms_in(text, "en")
    began = perf_counter()
    assert len(terms.terms_in(text, "en")) == 300
    assert perf_counter() - began < 0.5


def test_a_glossary_of_ones_own_and_what_is_wrong_with_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("body: {head|noggin: [머리, 두상-]}", "utf-8")
    mine = glossary.load(path)
    assert [(term.en, term.ko, term.stems) for term in mine.terms] == [(("head", "noggin"), ("머리",), ("두상",))]
    assert mine.version != glossary.load().version
    path.write_text("body: {head: [], ear: 귀, '': 눈}", "utf-8")
    with pytest.raises(ConfigError, match="2 problems"):
        glossary.load(path)
    path.write_text("- head", "utf-8")
    with pytest.raises(ConfigError, match="English: Korean"):
        glossary.load(path)
