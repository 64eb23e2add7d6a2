"""Overlap with evaluation sets: what is equal or alike is found, what is not is left alone."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from dataset_made import records
from hypothesis import given, settings
from hypothesis import strategies as st

from mundap.dataset import tables
from mundap.errors import UserError
from mundap.overlap import NEAR, Hit, Questions, letters

LONG = "What are the early symptoms of diabetes in adults, and when should one see a doctor about them?"


def index(*texts: str, name: str = "set") -> Questions:
    made = Questions()
    for place, text in enumerate(texts, 1):
        made.add(name, str(place), text)
    return made.seal()


def test_equal_in_letters_is_exact() -> None:
    assert index(LONG).match([[LONG.upper().replace(" ", "  ") + "!!"]]) == [[Hit("set", "1", "exact", 1.0)]]


def test_a_word_changed_is_near() -> None:
    [[hit]] = index("딴 질문입니다만 무릎이 아픕니다", LONG).match([[LONG.replace("early ", "")]])
    assert (hit.item, hit.kind) == ("2", "near")
    assert NEAR <= hit.similarity < 1


@pytest.mark.parametrize("other", ["What causes diabetes?", "머리가 아파요", "", "?", LONG[:50]])
def test_others_are_not(other: str) -> None:
    assert index(LONG).match([[other]]) == [[]]


def test_the_best_of_each_set_and_of_each_text() -> None:
    made = Questions()
    made.add("one", "a", LONG.replace("early ", ""))
    made.add("one", "b", LONG)
    made.add("two", "c", LONG.replace("adults", "adult"))
    made.add("two", "d", "넷")
    assert len(made) == 3
    [found, none] = made.seal().match([["무릎이 아픕니다", LONG], []])
    assert [(hit.set, hit.item, hit.kind) for hit in found] == [("one", "b", "exact"), ("two", "c", "near")]
    assert none == []


def test_no_set_at_all() -> None:
    assert Questions().seal().match([[LONG], ["가"]]) == [[], []]


def grams(text: str) -> set[str]:
    plain = letters(text)
    return {plain[place : place + 5] for place in range(max(1, len(plain) - 4))}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_as_a_comparison_of_all_pairs_finds(seed: int) -> None:
    dice = random.Random(seed)
    known = [row.question for row in records(30)]
    texts = []
    for text in dice.choices(known, k=30):
        cut = dice.randrange(len(text))
        texts.append(text[:cut] + dice.choice(["", "가", "정말 그런가요", "x"]) + text[cut + dice.randrange(6) :])
    for text, found in zip(texts, index(*known).match([[text] for text in texts]), strict=True):
        shares = [len(grams(text) & grams(each)) / len(grams(text) | grams(each)) for each in known]
        assert bool(found) == (max(shares) >= NEAR)
        assert not found or found[0].similarity == pytest.approx(max(shares), abs=0.001)


FILES = {
    "a.jsonl": '{"id": "x", "question": "머리가 아파요"}\n\n{"instruction": "요약", "input": "긴 글", "output": "짧은 글"}\n',
    "b.json": '[{"instruction": "옮기세요", "instances": [{"input": "good morning", "output": "안녕"}]}, {"prompt": "시를 쓰세요"}]',
    "c.csv": "id,질문,답\n1,열이 나요,쉬세요\n",
    "d.csv": '"Which, of these?",one,two,three,four,A\nWhat is it?,one,two,three,four,B\n',
    "e.tsv": "Q\tA\n배가 아파요\t쉬세요\n",
    "f.yaml": "- {id: y, turns: [{user: 어지러워요}, {assistant: 언제부터요?}, {user: 어제부터요}]}\n",
    "g.jsonl": '{"turns": [{"role": "user", "content": "기침이 나요"}, {"role": "assistant", "content": "네"}]}\n',
}
ASKED = {
    "a.jsonl": [["머리가 아파요"], ["긴 글", "요약 긴 글"]],
    "b.json": [["good morning", "옮기세요 good morning"], ["시를 쓰세요"]],
    "c.csv": [["열이 나요"]],
    "d.csv": [["Which, of these?"], ["What is it?"]],
    "e.tsv": [["배가 아파요"]],
    "f.yaml": [["어지러워요", "어제부터요"]],
    "g.jsonl": [["기침이 나요"]],
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("packed", [False, True])
def test_questions_of_every_kind_of_file(name: str, packed: bool, tmp_path: Path) -> None:
    import gzip

    path = tmp_path / (f"{name}.gz" if packed else name)
    data = FILES[name].encode("utf-8-sig")
    path.write_bytes(gzip.compress(data) if packed else data)
    assert [tables.questions(row) for row in tables.rows(path)] == ASKED[name]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.jsonl", b'{"a": 1}\n{', "a.jsonl, line 2: not JSON"),
        ("a.json", b'{"a": 1}', "expected a list of rows, found dict"),
        ("a.json", b"[1]", "row 1: expected an object, found int"),
        ("a.json", b"[", "not what its name says"),
        ("a.yaml", b"- {", "not what its name says"),
        ("a.csv", b'question\n"a\n', "not what its name says"),
        ("a.csv", "질문\n열".encode("cp949"), "not UTF-8"),
        ("a.json.gz", b"no archive", "cannot read"),
    ],
)
def test_a_broken_file_is_one_clear_message(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=message):
        list(tables.rows(tmp_path / name))


def test_a_folder_is_its_files(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.csv", "notes.txt"):
        (tmp_path / name).write_text("")
    assert [path.name for path in tables.files_of(str(tmp_path))] == ["a.csv", "b.jsonl"]
    for wrong, why in (("notes.txt", "cannot be read"), ("nothing", "is not there")):
        with pytest.raises(UserError, match=why):
            tables.files_of(str(tmp_path / wrong))
