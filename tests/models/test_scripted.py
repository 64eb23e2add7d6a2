"""The model for tests says exactly what it was told, and keeps to the options as every model must."""

from __future__ import annotations

import time

import pytest

from mundap.errors import ModelError
from mundap.models.scripted import Scripted
from mundap.protocols import Model
from mundap.types import Message, Options

ASKED = [Message("user", "머리가 아파요")]


def said(model: Model, options: Options | None = None) -> list[str]:
    return list(model.generate(ASKED, options or Options()))


def test_it_is_a_model_for_both_languages() -> None:
    model = Scripted(["네."])
    assert isinstance(model, Model)
    assert model.name == "scripted"
    assert model.languages == {"ko", "en"}
    assert Scripted(["Yes."], languages=("en",)).languages == {"en"}


def test_replies_come_in_turn_and_the_last_again() -> None:
    model = Scripted(["하나.", "둘."])
    assert ["".join(said(model)) for _ in range(3)] == ["하나.", "둘.", "둘."]


def test_pieces_are_a_few_letters_each() -> None:
    assert said(Scripted(["가나다라마"], piece=2)) == ["가나", "다라", "마"]


def test_what_was_asked_is_kept() -> None:
    model = Scripted(["네."])
    said(model)
    assert model.prompts == [tuple(ASKED)]


def test_it_fails_when_told_to() -> None:
    pieces = Scripted(["가나다라마"], piece=1, fail_after=2).generate(ASKED, Options())
    assert [next(pieces), next(pieces)] == ["가", "나"]
    with pytest.raises(ModelError, match="told to fail"):
        next(pieces)


def test_it_waits_between_pieces() -> None:
    started = time.perf_counter()
    said(Scripted(["가나다"], piece=1, delay=0.02))
    assert time.perf_counter() - started >= 0.06


def test_stop_strings_and_max_tokens_are_kept_to() -> None:
    assert "".join(said(Scripted(["네. ### 질문: 또"]), Options(stop=("### 질문:", "없음")))) == "네. "
    assert said(Scripted(["가나다"], piece=1), Options(max_tokens=2)) == ["가", "나"]


def test_without_replies_it_says_nothing() -> None:
    assert said(Scripted([])) == []
