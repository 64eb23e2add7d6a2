"""Concepts: the words people use for one sign, in Korean and English, as data compiled to one expression each.

In the data a space in a Korean alternative stands for an optional particle and `..` for up to six syllables; in an
English one a space is a space and `..` is up to 24 characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from mundap.safety.data import language, rule_files
from mundap.safety.normalise import Flat, fold, nieun
from mundap.safety.quantities import amounts
from mundap.safety.scope import free

Span = tuple[int, int]
_GAP = re.compile(r"[.]([{]0,\d+[}][?]?)")
_AFTER_NIEUN = "(?<!<ㄴ>)"
_HANGUL, _LATIN = re.compile("[ㄱ-ㆎ가-힣]"), re.compile("[a-z]")


@dataclass(frozen=True, slots=True)
class Concept:
    """One compiled concept. A `risk` (an illness, a medicine) counts whenever it was, a `part` or a person always.

    `scripts` is the same by script, so that a text in one language pays for one.
    """

    name: str
    source: str
    mode: str = ""
    scripts: tuple[tuple[re.Pattern[str], re.Pattern[str]], ...] = ()

    @property
    def pattern(self) -> re.Pattern[str]:
        """Both languages as one expression, compiled when asked for: reading a message needs `scripts` alone."""
        return re.compile(self.source)


@dataclass(slots=True)
class Reading:
    """A message (or a talk) as the rules see it: each concept is looked up once."""

    flat: Flat
    profile: frozenset[str] = frozenset()
    facts: Mapping[str, float] = field(default_factory=dict)
    _seen: dict[tuple[str, str], tuple[Span, ...]] = field(default_factory=dict)
    _valued: dict[str, tuple[tuple[Span, float], ...]] = field(default_factory=dict)
    _written: dict[re.Pattern[str], bool] = field(default_factory=dict)

    def spans(self, name: str, mode: str = "") -> tuple[Span, ...]:
        """Where a concept is said and meant: `mode` "*" takes every mention, "+" all that are not negated."""
        key = (name, mode)
        if key not in self._seen:
            self._seen[key] = self._find(name, mode)
        return self._seen[key]

    def _find(self, name: str, mode: str) -> tuple[Span, ...]:
        concept = concepts()[name]
        mode = mode or concept.mode
        said = tuple(span for script, one in concept.scripts if self._in(script) for span in self._said(one, mode))
        return said or (((-1, -1),) if name in self.profile else ())

    def _in(self, script: re.Pattern[str]) -> bool:
        """Whether the text has letters of a script."""
        if script not in self._written:
            self._written[script] = bool(script.search(self.flat.text))
        return self._written[script]

    def _said(self, pattern: re.Pattern[str], mode: str) -> Iterator[Span]:
        """Every mention that counts; after one that does not, another may begin inside it."""
        found = pattern.search(self.flat.text)
        while found:
            span = found.span()
            counts = span[0] < span[1] and free(self.flat, span, mode)
            if counts:
                yield span
            found = pattern.search(self.flat.text, span[1] if counts else span[0] + 1)

    def values(self, name: str) -> tuple[tuple[Span, float], ...]:
        """The values of a quantity that are meant."""
        if name not in self._valued:
            self._valued[name] = tuple(self._values(name))
        return self._valued[name]

    def _values(self, name: str) -> Iterator[tuple[Span, float]]:
        for one in amounts(name, self.flat.text):
            if free(self.flat, (one.start, one.end), "="):
                yield (one.start, one.end), one.value
        if name in self.facts:
            yield (-1, -1), self.facts[name]


@cache
def concepts() -> Mapping[str, Concept]:
    """Every concept of every rule file, by name."""
    raw: dict[str, Any] = {}
    for file in rule_files():
        for name, row in (file.get("concepts") or {}).items():
            if name in raw:
                raise ValueError(f"concept {name} is defined twice")
            raw[name] = row
    return {name: _compile(name, row) for name, row in raw.items()}


def profile_concepts(texts: tuple[str, ...]) -> frozenset[str]:
    """The risks named by a profile's conditions and medicines."""
    from mundap.safety.normalise import flatten

    flats = [flatten(text).text for text in texts]
    return frozenset(
        one.name
        for one in concepts().values()
        if one.mode == "+" and any(part.search(text) for _, part in one.scripts for text in flats)
    )


def _compile(name: str, row: Mapping[str, Any]) -> Concept:
    korean = "|".join(_korean(text) for text in row.get("ko") or ())
    english = "|".join(_english(text) for text in row.get("en") or ())
    english = english and f"(?<![a-z])(?:{english})"
    parts = [(script, part) for script, part in ((_HANGUL, korean), (_LATIN, english)) if part]
    whole = "|".join(part for _, part in parts)
    mode = {"risk": "+", "part": "*"}.get(row.get("kind", ""), "")
    return Concept(name, whole, mode, tuple((script, re.compile(part)) for script, part in parts))


def _korean(text: str) -> str:
    """A gap does not reach over a plain negation: 입술도 안 부었어요 is not a swollen lip."""
    folded = fold(text).replace("..", ".{0,6}")
    folded = _GAP.sub(lambda found: f"(?:(?!{fold(language()['gap_stop'])}).){found.group(1)}", folded)
    particle = "(?:" + "|".join(language()["particles"]) + ")?(?:" + fold("|".join(language()["adverbs"])) + ")?"
    return folded.replace(_AFTER_NIEUN, f"(?<!{nieun()})").replace(" ", particle)


def _english(text: str) -> str:
    return text.replace("..", ".{0,24}").replace("$", "(?![a-z])")
