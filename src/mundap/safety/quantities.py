"""Numbers with a unit: temperature, age, oxygen saturation, blood pressure, glucose, weeks, tablets, minutes.

Numerals may be written as digits or as Korean words, Sino-Korean (삼십팔도) or native (스무 알).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from mundap.safety.data import language
from mundap.safety.normalise import fold

_DIGITS = dict(zip("일이삼사오육칠팔구", range(1, 10), strict=True))
_UNITS = {"십": 10, "백": 100, "천": 1000}
_NATIVE = ("하나|한", "둘|두", "셋|세|석", "넷|네|넉", "다섯", "여섯", "일곱", "여덟", "아홉")
_TENS = ("열", "스물|스무", "서른", "마흔", "쉰", "예순", "일흔", "여든", "아흔")
_PLACE = re.compile("(?<![?]P)<[nd]>")
_SINO = "[일이삼사오육칠팔구십백천]{1,6}(?:점[일이삼사오육칠팔구])?"


@dataclass(frozen=True, slots=True)
class Amount:
    """A number found at `start:end`."""

    start: int
    end: int
    value: float


def amounts(name: str, text: str) -> Iterator[Amount]:
    """Every value of one quantity in a flattened message, within the limits its data gives."""
    for pattern, scale, fixed, low, high in _patterns()[name]:
        for found in pattern.finditer(text):
            value = fixed if fixed is not None else _value(found, scale)
            if low <= value <= high:
                yield Amount(found.start(), found.end(), value)


def names() -> frozenset[str]:
    """The quantities the data defines."""
    return frozenset(language()["quantities"])


def patterns() -> tuple[re.Pattern[str], ...]:
    """Every compiled expression, for the test that times them."""
    return tuple(row[0] for rows in _patterns().values() for row in rows)


def number(word: str) -> float:
    """`38.5`, `삼십팔점오` or `스물다섯` as a number; 0 when it is none of these."""
    if word[:1].isdigit():
        return float(word)
    whole, _, part = word.partition("점")
    if all(sign in _DIGITS or sign in _UNITS for sign in whole) and whole:
        return _sino(whole) + (_DIGITS.get(part, 0) / 10 if part else 0)
    return float(_native().get(fold(word), 0))


def _sino(word: str) -> float:
    total, digit = 0, 0
    for sign in word:
        if sign in _DIGITS:
            digit = _DIGITS[sign]
        else:
            total, digit = total + max(digit, 1) * _UNITS[sign], 0
    return float(total + digit)


def _value(found: re.Match[str], scale: str | float) -> float:
    value = number(found.group("n"))
    tenth = found.groupdict().get("tenth")
    value += number(tenth) / 10 if tenth else 0
    if scale == "fahrenheit":
        return (value - 32) * 5 / 9
    return value * float(scale)


@cache
def _native() -> dict[str, int]:
    """Every native numeral from 1 to 99."""
    ones = {word: n for n, words in enumerate(_NATIVE, 1) for word in words.split("|")}
    tens = {word: n * 10 for n, words in enumerate(_TENS, 1) for word in words.split("|")}
    both = {ten + one: high + low for ten, high in tens.items() for one, low in ones.items()}
    return {fold(word): value for word, value in {**ones, **tens, **both}.items()}


@cache
def _patterns() -> dict[str, tuple[tuple[re.Pattern[str], str | float, float | None, float, float], ...]]:
    """Compiled once: pattern, scale, fixed value, limits."""
    native = "(?:(?:" + "|".join(_TENS) + ")(?:" + "|".join(_NATIVE) + ")?|" + "|".join(_NATIVE) + ")"
    digits = r"\d{1,4}(?:\.\d{1,2})?"
    either = rf"(?<![\d.])(?P<n>{digits}|{_SINO}|{native})"
    return {
        name: tuple(_row(row, either, rf"(?<![\d.])(?P<n>{digits})") for row in rows)
        for name, rows in language()["quantities"].items()
    }


def _row(
    row: Mapping[str, Any], either: str, digits: str
) -> tuple[re.Pattern[str], str | float, float | None, float, float]:
    text = _PLACE.sub(lambda found: either if found.group() == "<n>" else digits, row["find"])
    limits = float(row.get("low", 0)), float(row.get("high", 1e6))
    return (re.compile(fold(text)), row.get("scale", 1), row.get("value"), *limits)
