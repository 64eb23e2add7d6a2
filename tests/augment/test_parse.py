from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mundap.augment.parse import Malformed, numbered, questions, turns

LETTERS = st.text(st.sampled_from("가나다라 ab,'"), min_size=1).filter(lambda text: text.strip(" '") == text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1. 열이 나요?\n2. 왜 그런가요?", ("열이 나요?", "왜 그런가요?")),
        ("1) a?\n\n2) b?\n", ("a?", "b?")),
        ("(1) a?\n(2) b?", ("a?", "b?")),
        ("**1.** a?\n**2.** b?", ("a?", "b?")),
        ('1. "a?"\n2. “b?”', ("a?", "b?")),
        ("Here are 2 questions:\n1. a?\n2. b?", ("a?", "b?")),
        ("1. 궁금합니다\n2. 알려 주세요", ("궁금합니다", "알려 주세요")),
        ("1. a?\n2. b?\n3. c?\n4. d?", ("a?", "b?", "c?")),
        ('{"questions": ["a?", "2. b?"]}', ("a?", "b?")),
        ('```json\n{"questions": ["a?"]}\n```', ("a?",)),
    ],
)
def test_lists_are_read(text: str, found: tuple[str, ...]) -> None:
    assert numbered(text, 3) == found


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty list"),
        ("What is it?\nIs it bad?", "no numbered list"),
        ("- a?\n- b?", "no numbered list"),
        ("1. a?\n3. b?", "numbers do not count up"),
        ("2. a?\n3. b?", "numbers do not count up"),
        ("1. a?\n1. b?", "numbers do not count up"),
        ("1. a?\nbecause of this\n2. b?", "lines without a number"),
        ("1. a?\n2. b?\nI hope this helps!", "lines without a number"),
        ("I cannot do that.\n1. a?", "no numbered list"),
        ('{"questions": "a?"}', "JSON of another shape"),
        ('{"items": ["a?"]}', "JSON of another shape"),
        ('{"questions": []}', "empty list"),
        ("{questions: 1}", "not JSON"),
    ],
)
def test_another_shape_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        numbered(text, 3)
    assert str(caught.value) == reason


@pytest.mark.parametrize("text", ["1. a?\n2. b?\n3. what is", '{"questions": ["a?", "b?", "what is'])
def test_a_last_item_that_was_cut_off_is_dropped(text: str) -> None:
    assert numbered(text, 5, cut=True) == ("a?", "b?")


def test_nothing_is_left_of_a_single_item_cut_off() -> None:
    with pytest.raises(Malformed):
        numbered("1. what is", 5, cut=True)


def test_a_whole_last_item_of_a_cut_text_stays() -> None:
    assert numbered("1. a?\n2. b?", 5, cut=True) == ("a?", "b?")


@given(st.lists(LETTERS, min_size=1, max_size=20))
def test_what_is_written_as_a_list_is_read_back(items: list[str]) -> None:
    assert numbered("\n".join(f"{n}. {item}" for n, item in enumerate(items, 1)), 50) == tuple(
        " ".join(item.split()) for item in items
    )
    assert numbered(json.dumps({"questions": items}), 50) == tuple(" ".join(item.split()) for item in items)


@given(st.text(), st.sampled_from([numbered, turns]))
def test_nothing_else_than_malformed_is_raised(text: str, read: Callable[..., object]) -> None:
    arguments = (text, 5, True) if read is numbered else (text, True)
    with suppress(Malformed):
        assert read(*arguments)


def test_the_schema_ends_a_list() -> None:
    assert questions(4).model_json_schema()["properties"]["questions"]["maxItems"] == 4


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("의사: 어디가 아프세요?\n환자: 배요.", (("doctor", "어디가 아프세요?"), ("patient", "배요."))),
        ("**Doctor:** Where?\n\nPatient: Here.", (("doctor", "Where?"), ("patient", "Here."))),
        ('{"turns": [{"role": "doctor", "text": "Where?"}]}', (("doctor", "Where?"),)),
    ],
)
def test_talks_are_read(text: str, found: tuple[tuple[str, str], ...]) -> None:
    assert turns(text) == found


@pytest.mark.parametrize(
    "text", ["Doctor: Where?\nand more", "Nurse: Where?", "", '{"turns": [{"role": "nurse", "text": "a"}]}', "hello"]
)
def test_another_shape_of_talk_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        turns(text)


@pytest.mark.parametrize(
    "text",
    [
        "Doctor: Where?\nPatient: In my",
        '{"turns": [{"role": "doctor", "text": "Where?"}, {"role": "patient", "te',
        '{"turns": [{"role": "doctor", "text": "Where?"}, {"role": "patient", "text": "In my',
    ],
)
def test_a_turn_that_was_cut_off_is_dropped(text: str) -> None:
    assert turns(text, cut=True) == (("doctor", "Where?"),)
