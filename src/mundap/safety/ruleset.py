"""The red-flag rules as records, read from `rules/*.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from mundap.safety.concepts import Reading
from mundap.safety.data import rule_files
from mundap.safety.expr import Node, parse
from mundap.types import Level


@dataclass(frozen=True, slots=True)
class Rule:
    """One class (or one urgent rule): it fires when any `when` line holds and no `unless` line does."""

    number: int
    id: str
    level: Level
    hotlines: tuple[str, ...]
    when: tuple[Node, ...]
    unless: tuple[Node, ...]

    @property
    def name(self) -> str:
        """How a result cites it: `02-acs`."""
        return f"{self.number:02d}-{self.id}"

    def fires(self, reading: Reading) -> bool:
        """Whether the reading shows this rule's signs."""
        return any(node(reading) for node in self.when) and not any(node(reading) for node in self.unless)


@cache
def rules() -> tuple[Rule, ...]:
    """Every rule of every file, by number."""
    found = [_rule(row) for file in rule_files() for row in file.get("classes") or ()]
    return tuple(sorted(found, key=lambda rule: rule.number))


def classes() -> tuple[Mapping[str, Any], ...]:
    """The same as data: names, levels and examples, for the replies and the tests."""
    return tuple(row for file in rule_files() for row in file.get("classes") or ())


def _rule(row: Mapping[str, Any]) -> Rule:
    try:
        when, unless = (tuple(parse(line) for line in row.get(key) or ()) for key in ("when", "unless"))
    except ValueError as error:
        raise ValueError(f"rule {row['id']}: {error}") from error
    return Rule(row["number"], row["id"], Level[row["level"].upper()], tuple(row["hotlines"]), when, unless)
