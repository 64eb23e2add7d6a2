"""The numbers the product may show, and when they were last checked (`hotlines.yaml`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache

from mundap.safety.data import hotlines_file
from mundap.types import Lang


@dataclass(frozen=True, slots=True)
class Hotline:
    """A number to call, in one language."""

    number: str
    name: str
    purpose: str
    hours: str


@cache
def numbers() -> frozenset[str]:
    """Every number in the file, as written."""
    return frozenset(_lines())


def checked_on() -> date:
    """The day on which the numbers were last checked."""
    found = hotlines_file()["checked_on"]
    return found if isinstance(found, date) else date.fromisoformat(str(found))


def hotline(number: str, lang: Lang) -> Hotline:
    """One line. Raises `KeyError` for a number that is not in the file."""
    row = _lines()[number]
    return Hotline(number, row["name"][lang], row["for"][lang], row["hours"][lang])


def _lines() -> Mapping[str, Mapping[str, Mapping[Lang, str]]]:
    lines: Mapping[str, Mapping[str, Mapping[Lang, str]]] = hotlines_file()["lines"]
    return lines
