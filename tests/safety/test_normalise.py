"""Cleaning, folding, clause ends and numbers."""

from __future__ import annotations

import pytest

from mundap.safety.normalise import LIMIT, clean, flatten
from mundap.safety.quantities import amounts, number


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("못쉬겟어요", "못 쉬겠어요"),
        ("졋어여", "졌어요"),
        ("안되요", "안돼요"),
        ("아퍼요", "아파요"),
        ("괜찬아요", "괜찮아요"),
        ("숨\u200b을 못\u2060 쉬어요", "숨을 못 쉬어요"),
        ("의식이 업어요", "의식이 없어요"),
        ("아프당께는디", "아프당께는데"),
        ("ｃｈｅｓｔ", "chest"),
        ("can't", "cannot"),
    ],
)
def test_two_spellings_read_the_same(one: str, other: str) -> None:
    assert flatten(one).text == flatten(other).text


def test_jamo_slang_needs_its_context() -> None:
    assert "자해" in clean("ㅈㅎ 흉터가 늘었어요")
    assert "자살" in clean("ㅈㅅ 하고싶다")
    assert "자살" not in clean("늦어서 ㅈㅅ")


def test_idioms_are_taken_out() -> None:
    for text in ("졸려 죽겠다", "배고파 죽겠어요", "사업이 죽을 쒔어요", "교통이 마비됐다"):
        assert "죽" not in clean(text)
        assert "마비" not in clean(text)


def test_spaces_stay_only_between_ascii_words() -> None:
    assert flatten("BP 220 인데 chest pain 있어요").text == "bp 220인데chest pain잇어요"


def test_clause_ends() -> None:
    flat = flatten("열은 없는데 목이 아파요. 기침도 나고 힘들어요")
    assert [flat.text[:end][-2:] for end in flat.strong] == ["는데", "파요", "어요"]
    assert len(flat.sentences) == 1


def test_long_text_keeps_both_ends() -> None:
    flat = flatten("처음" + "가나" * LIMIT + "마지막")
    assert flat.text.startswith("처음")
    assert flat.text.endswith("마지막")


@pytest.mark.parametrize(
    ("word", "value"),
    [("38.5", 38.5), ("삼십팔", 38), ("삼십팔점오", 38.5), ("스무", 20), ("스물다섯", 25), ("열", 10), ("이백십", 210)],
)
def test_numerals(word: str, value: float) -> None:
    assert number(word) == value


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("temp", "열이 38.1도예요", 38.1),
        ("temp", "삼십팔도 오분", 38.5),
        ("temp", "38도5부", 38.5),
        ("temp", "temp of 100.4F", 38.0),
        ("months", "생후 2개월 아기", 2),
        ("months", "백일 안 된 아기", 2.5),
        ("months", "6-week-old baby", 1.38),
        ("spo2", "산소포화도가 86까지 떨어졌어요", 86),
        ("sbp", "혈압이 210/120이에요", 210),
        ("dbp", "혈압이 210/120이에요", 120),
        ("pulse", "맥이 200찍고 안 내려와요", 200),
        ("glucose", "혈당 38", 38),
        ("weeks", "임신 33주인데", 33),
        ("tablets", "감기약 스무 알 먹었어요", 20),
        ("minutes", "오 분 넘게", 5),
        ("minutes", "한 시간째", 60),
    ],
)
def test_quantities(name: str, text: str, value: float) -> None:
    found = [one.value for one in amounts(name, flatten(text).text)]
    assert any(abs(one - value) < 0.06 for one in found), found


@pytest.mark.parametrize("text", [None, "", "\ud800\udfff", "\U000e0041"])
def test_nothing_left(text: str | None) -> None:
    assert flatten(text).text == ""
