"""The patterns of the privacy mask, read and compiled once, when first needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern, what its group `v` (or all of it) is, the check it must pass, and the words that must be near or not."""

    type: str
    pattern: re.Pattern[str]
    check: str
    cue: re.Pattern[str] | None
    unless: re.Pattern[str] | None
    unless_value: re.Pattern[str] | None
    digits: int
    hangul: bool
    any: frozenset[str]

    def worth(self, digits: int, hangul: bool, letters: frozenset[str]) -> bool:
        """Whether a text with so many digits, Hangul or not, and these letters can hold a match."""
        return (
            digits >= self.digits and (hangul or not self.hangul) and (not self.any or not self.any.isdisjoint(letters))
        )


@cache
def _file(name: str) -> Mapping[str, Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    raw = (files("mundap.safety") / name).read_text("utf-8")
    return dict(yaml.load(raw, Loader=loader))


@cache
def tokens() -> Mapping[str, str]:
    """The Korean word that stands for each type in masked text."""
    return dict(_file("privacy.yaml")["tokens"])


@cache
def rules() -> tuple[Rule, ...]:
    """The rules of `privacy.yaml`, then those for names, in order of precedence."""
    rows = [*_file("privacy.yaml")["rules"], *_file("privacy_names.yaml")["rules"]]
    return tuple(_rule(row) for row in rows)


def _rule(row: Mapping[str, Any]) -> Rule:
    found = {
        key: re.compile(row[key], re.IGNORECASE) if key in row else None for key in ("cue", "unless", "unless_value")
    }
    flags = 0 if "[A-Z][a-z]" in row["pattern"] else re.IGNORECASE
    need = {**_file("privacy.yaml")["needs"].get(row["type"], {}), **row}
    wanted = (need.get("digits", 0), need.get("hangul", False), frozenset(need.get("any", "")))
    return Rule(
        row["type"], re.compile(expanded(row["pattern"]), flags), row.get("check", ""),
        found["cue"], found["unless"], found["unless_value"], *wanted,
    )  # fmt: skip


@cache
def _words() -> Mapping[str, str]:
    return {**_file("privacy_places.yaml"), **_file("privacy.yaml")["words"], **_file("privacy_names.yaml")["words"]}


def expanded(text: str) -> str:
    """The text with its `<word>`s replaced. Words stand for patterns and may use each other; three rounds are more than the data needs."""
    for _ in range(4):
        for word, meaning in _words().items():
            text = text.replace(f"<{word}>", f"(?:{meaning})")
    return text


@cache
def places(*names: str) -> re.Pattern[str]:
    """The patterns of `privacy_places.yaml` under these names, as alternatives."""
    return re.compile("|".join(expanded(f"<{name}>") for name in names))


@cache
def public_numbers() -> frozenset[str]:
    """Help lines, digits only: never masked."""
    return frozenset(number for row in _file("privacy.yaml")["public"] for number in row.split())


@cache
def words(key: str) -> frozenset[str]:
    """A word list of `privacy_names.yaml`."""
    found = _file("privacy_names.yaml")[key]
    return frozenset((found if isinstance(found, str) else " ".join(found)).split())


@cache
def kinds() -> re.Pattern[str]:
    """What stands before 병원 or a department without being a name, any number of times."""
    return re.compile(f"(?:{'|'.join(sorted(words('hospital_kinds'), key=len, reverse=True))})+")


@cache
def joined() -> re.Pattern[str]:
    """A particle or ending that ties another word to a department: 내과나외과, 가까운내과."""
    return re.compile(
        r"(?:에서|데|으로|에게|하고|이나|거나|까지|부터|보다|라는|다는|하는|되는|있는|없는|좋은|많은|같은|가까운|어떤|의|및|나|와|과|은|는|을|를|도|된|한|할|던|든)$"
    )


@cache
def hospital_end() -> re.Pattern[str]:
    """The noun at the end of a hospital's name."""
    return re.compile(r"(?:대학교?)?(?:병원|의원|의료원|클리닉|한의원|메디컬센터)$")


@cache
def department_end() -> re.Pattern[str]:
    """The department at the end of a practice's name."""
    return re.compile(
        r"(?:정형외과|이비인후과|소아청소년과|소아과|산부인과|피부과|성형외과|비뇨기과|비뇨의학과|정신건강의학과|신경외과|통증의학과|재활의학과|내과|외과|안과|치과|약국)(?:의원|병원)?$"
    )
