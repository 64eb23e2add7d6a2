"""Translators for tests: one that knows a few sentences, and ones that go wrong on purpose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mundap.types import Lang


class Book:
    """Translates what is in its book, placeholders and all; anything else comes back in brackets of the language."""

    name, model, version = "book", "toy", "1"

    def __init__(self, lines: Mapping[str, str], spoil: Callable[[str], str] = str) -> None:
        self.lines, self.spoil = dict(lines), spoil
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, texts: Sequence[str], source: Lang, target: Lang) -> list[str]:
        self.asked.append(tuple(texts))
        return [self.spoil(self.lines[text]) for text in texts]


class Failing:
    """Raises, on every text or only on those with `word` in them."""

    name = "failing"

    def __init__(self, error: Exception, word: str = "", answers: int | None = None) -> None:
        self.error, self.word, self.calls = error, word, 0
        self.answers = answers

    def __call__(self, texts: Sequence[str], source: Lang, target: Lang) -> list[str]:
        self.calls += 1
        if any(self.word in text for text in texts):
            raise self.error
        return ["머리가 아프면 쉬세요." for _ in texts][: self.answers]
