"""Pace and patience: the rate is kept, tries end, a text cut in parts is the text."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mundap.errors import ModelError
from mundap.translate.limits import Again, Limits, batches, fitting, joined, together


def failing(times: int, after: float | None = 0.0) -> Callable[[], str]:
    left = [times]

    def attempt() -> str:
        if left[0]:
            left[0] -= 1
            raise Again("busy", after)
        return "done"

    return attempt


def test_tries_end() -> None:
    assert Limits(tries=3).call(failing(2), 1, "it") == "done"
    with pytest.raises(ModelError, match=r"it failed 3 times \(busy\)"):
        Limits(tries=3).call(failing(3), 1, "it")


def test_patience_ends_before_the_tries() -> None:
    with pytest.raises(ModelError, match="failed once.*60 s"):
        Limits(tries=9, patience=5).call(failing(9, 60.0), 1, "it")


def test_pauses_grow() -> None:
    began = time.monotonic()
    assert Limits(tries=3).call(failing(2, None), 1, "it") == "done"
    assert 0.25 + 0.5 <= time.monotonic() - began < 3


def test_another_error_is_not_tried_again() -> None:
    calls: list[int] = []

    def attempt() -> str:
        calls.append(1)
        raise ModelError("no")

    with pytest.raises(ModelError, match="^no$"):
        Limits().call(attempt, 1, "it")
    assert calls == [1]


def test_characters_are_paced() -> None:
    limits = Limits(requests=0, characters=6000)
    limits.call(lambda: "", 6000, "it")
    began = time.monotonic()
    limits.call(lambda: "", 20, "it")
    assert 0.1 < time.monotonic() - began < 1


def test_work_together_stays_in_order_and_stops_at_a_failure() -> None:
    assert together(lambda n: n * n, range(20), 4) == [n * n for n in range(20)]
    seen: list[int] = []

    def work(n: int) -> int:
        seen.append(n)
        time.sleep(0.01)
        raise ModelError(str(n))

    with pytest.raises(ModelError):
        together(work, range(200), 2)
    assert len(seen) < 20


@given(st.lists(st.text(max_size=20)), st.integers(1, 5), st.integers(1, 30))
def test_batches_hold_every_text_once(texts: list[str], most: int, characters: int) -> None:
    found = list(batches(texts, most, characters))
    assert [place for part in found for place in part] == list(range(len(texts)))
    for part in found:
        assert len(part) <= most
        assert len(part) == 1 or sum(len(texts[place]) for place in part) <= characters


@given(st.text(alphabet="가a .!?\n", max_size=200), st.integers(1, 20))
def test_parts_joined_are_the_text(text: str, most: int) -> None:
    parts = fitting(text, lambda part: len(part) <= most)
    assert "".join(parts) == text
    assert all(len(part) <= most for part in parts)
    assert joined(parts, parts) == text.strip()
