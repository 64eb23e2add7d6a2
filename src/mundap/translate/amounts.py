"""Numbers and units as they stand in a Korean or English sentence, in digits or words, for comparing the two sides."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from mundap.types import Lang

_DIGITS = r"[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?"
# `B12`, `HbA1c`, `T4`: part of a name that a translation may spell out.
_CODE = re.compile(r"(?<![A-Za-z])[A-Za-z]{1,3}(?P<digits>[0-9]+)")
_JOINED = r"(?:\s?(?:[-–—~/,]|to|or|and|에서|내지|또는|이나)\s?{digits}){{0,3}}"
_PART = re.compile(rf"({_DIGITS})\s?([가-힣a-z]+)")
_SIGNS = {"½": 0.5, "¼": 0.25, "¾": 0.75}
_EN_WORD = re.compile(r"[a-z]+")


@dataclass(slots=True)
class Numbers:
    """The numbers of a sentence: in digits, in words that must be matched, in words that only may be, in codes (B12)."""

    digits: Counter[float] = field(default_factory=Counter)
    firm: set[float] = field(default_factory=set)
    soft: set[float] = field(default_factory=set)
    codes: set[str] = field(default_factory=set)

    @property
    def words(self) -> set[float]:
        """Every number that stands there in words."""
        return self.firm | self.soft


def numbers(text: str, lang: Lang) -> Numbers:
    """The numbers of a sentence."""
    found = Numbers()
    text = text.lower()
    for code in _CODE.finditer(text):
        found.soft.add(float(code["digits"]))
        found.codes.add(code.group())
    for value in _in_digits(_CODE.sub(" ", text), lang):
        found.digits[value] += 1
    (_english if lang == "en" else _korean)(text, found)
    return found


def units(text: str) -> dict[float, set[str]]:
    """Units by the number they follow; the numbers of a range share one. Both languages' units are known everywhere."""
    found: dict[float, set[str]] = {}
    for value, unit in _amounts(text):
        found.setdefault(value, set()).add(unit)
    return found


def measured(text: str) -> list[tuple[float, str]]:
    """The amounts of a sentence that have a hard unit, in order."""
    return [(value, unit) for value, unit in _amounts(text) if hard(unit)]


def _amounts(text: str) -> Iterator[tuple[float, str]]:
    for match in _with_unit().finditer(_in_figures(text.lower())):
        unit = next(name for name in _unit_names() if match[_group(name)])
        yield from ((_value(digits), unit) for digits in re.findall(_DIGITS, match["numbers"]))


def _in_figures(text: str) -> str:
    """`two weeks` and `두 달` as `2 weeks` and `2 달`."""
    text = _counted().sub(lambda match: f"{_native_value(match):d} {match['counter'] or ''}", text)
    words = _words("en")["firm"]
    return _firm().sub(lambda match: str(words[match[1]] + (words[match[2]] if match[2] else 0)), text)


def alike(one: str, two: str) -> bool:
    """Whether a unit may stand for the other."""
    return one == two or any({one, two} <= set(pair) for pair in table()["units"]["alike"])


def hard(unit: str) -> bool:
    """Whether a number must never be without this unit on one side."""
    return unit in table()["units"]["hard"]


@cache
def table() -> dict[str, Any]:
    """`checks.yaml`."""
    text = (files("mundap.translate") / "checks.yaml").read_text("utf-8")
    return dict(yaml.load(text, Loader=yaml.CSafeLoader))


def _in_digits(text: str, lang: Lang) -> Iterator[float]:
    """Values of numbers in digits; `3만 5천` and `1.5 million` are one number each."""
    scale: Mapping[str, int] = table()["numbers"][lang]["scale"]
    for match in _scaled(lang).finditer(text):
        yield sum(_value(digits) * scale[word] for digits, word in _PART.findall(match.group()))
    for match in re.finditer(_DIGITS, _scaled(lang).sub(" ", text)):
        yield _value(match.group())
    yield from (_SIGNS[sign] for sign in text if sign in _SIGNS)


def _value(digits: str) -> float:
    return float(digits.replace(",", ""))


def _english(text: str, found: Numbers) -> None:
    words = _words("en")
    for match in _firm().finditer(text):
        found.firm.add(float(words["firm"][match[1]] + (words["firm"][match[2]] if match[2] else 0)))
    for word in _EN_WORD.findall(text):
        found.soft.update(_values(words["soft"].get(word, ())))
    found.soft.update(found.firm)


def _korean(text: str, found: Numbers) -> None:
    words = _words("ko")
    for match in _native().finditer(text):
        value = _native_value(match)
        firm = match["counter"] and value not in (1, 10)  # 열 is also heat
        (found.firm if firm else found.soft).add(float(value))
    for match in _sino().finditer(text):
        found.soft.add(float(_sino_value(match["digits"], words["sino"])))
    for match in _soft().finditer(text):
        found.soft.update(_values(words["soft"][match.group()]))


def _native_value(match: re.Match[str]) -> int:
    words = _words("ko")
    return int(words["tens"].get(match["ten"], 0) + words["ones"].get(match["one"] or match["only"], 0))


def _values(value: Any) -> Iterable[float]:
    return map(float, value if isinstance(value, (list, tuple)) else [value])


def _sino_value(word: str, sino: Mapping[str, int]) -> int:
    total = digit = 0
    for sign in word:
        total, digit = (total + max(digit, 1) * 10, 0) if sign == "십" else (total, sino[sign])
    return total + digit


def _words(lang: Lang) -> Mapping[str, Any]:
    found: Mapping[str, Any] = table()["numbers"][lang]
    return found


def _either(words: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


@cache
def _scaled(lang: Lang) -> re.Pattern[str]:
    """Digits with words of scale: one in English, a falling row of them in Korean."""
    words = list(_words(lang)["scale"])
    if lang == "en":
        return re.compile(rf"(?<![0-9.]){_DIGITS}\s?(?:{'|'.join(words)})\b")
    no_word = _words("ko")["no_scale"]
    row = "".join(rf"(?:{_DIGITS}\s?{word}(?!{no_word})\s?)?" for word in reversed(words))
    return re.compile(rf"(?<![0-9.])(?={_DIGITS}\s?[{''.join(words)}](?!{no_word})){row}")


@cache
def _firm() -> re.Pattern[str]:
    """An English numeral, with the one that belongs to it (`twenty-four`)."""
    firm: Mapping[str, int] = _words("en")["firm"]
    ones = _either(word for word, value in firm.items() if value < 10)
    return re.compile(rf"\b({_either(firm)})\b(?:(?<=ty)[\s-]({ones})\b)?")


@cache
def _native() -> re.Pattern[str]:
    """A native Korean numeral: before a counter, or a word of its own."""
    return re.compile(rf"{_numeral()}(?:\s?(?P<counter>{_words('ko')['counters']})|(?![가-힣]))")


@cache
def _counted() -> re.Pattern[str]:
    return re.compile(rf"{_numeral()}\s?(?P<counter>{_words('ko')['counters']})")


def _numeral() -> str:
    ones, tens = (_either(_words("ko")[name]) for name in ("ones", "tens"))
    return rf"(?<![가-힣])(?:(?P<ten>{tens})(?P<one>{ones})?|(?P<only>{ones}))"


@cache
def _sino() -> re.Pattern[str]:
    words = _words("ko")
    return re.compile(rf"(?<![가-힣])(?P<digits>[{''.join(words['sino'])}]{{1,4}})\s?(?={words['sino_before']})")


@cache
def _soft() -> re.Pattern[str]:
    return re.compile(rf"(?<![가-힣0-9])(?:{_either(_words('ko')['soft'])})")


@cache
def _unit_names() -> tuple[str, ...]:
    return tuple(name for kind in ("hard", "soft") for name in table()["units"][kind])


def _group(unit: str) -> str:
    return "u" + str(_unit_names().index(unit))


@cache
def _with_unit() -> re.Pattern[str]:
    forms = {**table()["units"]["hard"], **table()["units"]["soft"]}
    named = "|".join(rf"(?P<{_group(name)}>(?:{form})(?![a-z]))" for name, form in forms.items())
    joined = _JOINED.format(digits=_DIGITS)
    return re.compile(rf"(?<![a-z0-9.,])(?P<numbers>{_DIGITS}{joined})[\s-]?(?:{named})")
