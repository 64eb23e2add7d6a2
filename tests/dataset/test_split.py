"""Splits that cannot leak: what shares a group, a question or an answer is never in two of them."""

from __future__ import annotations

import random
from collections import Counter, defaultdict

import pytest
from dataset_made import record, records
from hypothesis import given, settings
from hypothesis import strategies as st

from mundap.config import Build
from mundap.dataset.rows import Rules, source_name
from mundap.dataset.split import LEFT_OUT, SPLITS, Rows, number, split
from mundap.overlap import letters
from mundap.types import QA, Example

NAMES = (*SPLITS, "left out")


def examples(rows: list[QA]) -> list[Example]:
    found = [Rules(Build()).example(row) for row in rows]
    assert all(isinstance(row, Example) for row in found)
    return [row for row in found if isinstance(row, Example)]


def assigned(rows: list[QA], val: float = 0.1, test: float = 0.1, seed: int = 42) -> dict[str, str]:
    noted = Rows()
    for row in (made := examples(rows)):
        noted.add(row, source_name(row))
    return {row.id: NAMES[place] for row, place in zip(made, split(noted, val, test, seed).of.tolist(), strict=True)}


QUESTIONS = (
    "머리가 아파요",
    "머리가  아파요!",
    "배가 아파요",
    "열이 나요",
    "기침이 나요",
    "잠이 안 와요",
    "어지러워요",
)
ANSWERS = ("쉬세요.", "쉬세요", "물을 드세요.", "병원에 가세요.", "약국에 물어보세요.", "지켜보세요.")
ROW = st.fixed_dictionaries(
    {
        "question": st.sampled_from(QUESTIONS),
        "answer": st.sampled_from(ANSWERS) | st.uuids().map(str),
        "group": st.sampled_from(["", "", "", "a", "b", "c"]),
        "question_origin": st.sampled_from(["asked", "asked", "title", "generated", "translated"]),
        "specialty": st.sampled_from(["", "내과", "외과"]),
        "lang": st.sampled_from(["ko", "en"]),
    }
)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(ROW, min_size=1, max_size=60),
    shares=st.tuples(st.sampled_from([0, 0.1, 0.3, 0.49]), st.sampled_from([0, 0.1, 0.3, 0.49])),
    seed=st.integers(0, 5),
    order=st.randoms(use_true_random=False),
)
def test_nothing_straddles_and_order_does_not_matter(
    rows: list[dict[str, str]], shares: tuple[float, float], seed: int, order: random.Random
) -> None:
    made = [QA(id=str(place), **row) for place, row in enumerate(rows)]  # type: ignore[arg-type]
    found = assigned(made, *shares, seed)
    places = defaultdict(set)
    for row in made:
        for tie in (("group", row.group), ("question", letters(row.question)), ("answer", letters(row.answer))):
            if tie[1] and found[row.id] != "left out":
                places[tie].add(found[row.id])
    assert all(len(where) == 1 for where in places.values())
    assert "train" in found.values()
    assert not any(found[row.id] in ("val", "test") for row in made if row.question_origin == "generated")
    order.shuffle(made)
    assert assigned(made, *shares, seed) == found


def test_shares_are_shares_of_groups() -> None:
    found = Counter(assigned(records(1000)).values())
    assert (found["val"], found["test"], found["train"]) == (100, 100, 800)


def test_departments_and_sources_are_held_out_in_proportion() -> None:
    rows = records(1200)
    found = assigned(rows, 0.1, 0.1)
    all_of, held = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for row in rows:
        stratum = (row.specialty, row.trail[0])
        all_of[stratum] += 1
        held[stratum] += found[row.id] != "train"
    assert len(all_of) == 6
    assert all(abs(held[stratum] - 0.2 * size) <= 2 for stratum, size in all_of.items())


def test_another_seed_holds_out_others_but_as_many() -> None:
    one, other = assigned(records(300), seed=1), assigned(records(300), seed=2)
    assert one != other
    assert Counter(one.values()) == Counter(other.values())
    assert one == assigned(records(300), seed=1)


def test_a_huge_group_neither_swallows_a_split_nor_is_split() -> None:
    rows = [record(number, group="stock" if number < 600 else "") for number in range(1000)]
    for seed in range(20):
        found = assigned(rows, 0.05, 0.05, seed)
        assert {found[row.id] for row in rows[:600]} == {"train"}
        assert Counter(found.values())["test"] == 20


def test_a_chain_of_ties_is_one_group() -> None:
    rows = [
        record(1, question="가나다라"), record(2, question="가나다라", answer="쉬세요."),
        record(3, answer="쉬세요", group="g"), record(4, group="g"),
    ]  # fmt: skip
    for seed in range(30):
        found = assigned([*rows, *map(record, range(10, 40))], 0.3, 0.3, seed)
        assert len({found[row.id] for row in rows}) == 1


def test_made_up_rows_leave_a_held_out_group_and_translations_give_way() -> None:
    groups = [[
        record(place * 10, group=f"g{place}"), record(place * 10 + 1, group=f"g{place}", question_origin="generated"),
        record(place * 10 + 2, group=f"g{place}", question_origin="translated"),
        record(place * 10 + 3, group=f"g{place}", question_origin="translated", lang="en"),
    ] for place in range(40)]  # fmt: skip
    found = assigned([row for group in groups for row in group], 0.2, 0.2)
    for group in groups:
        asked, generated, same, other = (found[row.id] for row in group)
        expected = ("train",) * 4 if asked == "train" else (asked, "left out", "left out", asked)
        assert (asked, generated, same, other) == expected
    assert Counter(found.values())["left out"] == 32


def test_groups_of_made_up_questions_alone_are_trained_on() -> None:
    rows = [record(number, question_origin="generated") for number in range(50)]
    assert set(assigned(rows, 0.4, 0.4).values()) == {"train"}


@pytest.mark.parametrize(
    ("count", "expected"), [(1, {"train": 1}), (2, {"train": 2}), (3, {"train": 1, "val": 1, "test": 1})]
)
def test_few_rows(count: int, expected: dict[str, int]) -> None:
    assert Counter(assigned(records(count)).values()) == expected


@pytest.mark.parametrize(("val", "test"), [(0.0, 0.1), (0.1, 0.0), (0.0, 0.0)])
def test_a_share_of_nothing_is_nothing(val: float, test: float) -> None:
    found = Counter(assigned(records(100), val, test).values())
    assert (found["val"], found["test"]) == (round(100 * val), round(100 * test))


def test_no_rows() -> None:
    assert split(Rows(), 0.1, 0.1, 1).of.tolist() == []
    assert LEFT_OUT == 3


def test_spaces_signs_width_and_case_do_not_tell_texts_apart() -> None:
    assert letters("Ｗｈａｔ is IT?!") == letters("what is it")
    assert letters("머리가 아파요...") == letters("머리가아파요")
    assert letters("?!") == "?!"
    assert number("가") == number("가") != number("나")
