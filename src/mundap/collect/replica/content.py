"""The questions and answers that the replicas show, from the YAML files beside this one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

ENGLISH_SITES = ("icliniq", "healthcaremagic", "healthtap", "ehealthforum")
# Invented names: no doctor is meant.
DOCTORS = ("가온누리", "나래솔", "다온빛", "라온별", "마루한", "바른샘", "새론결", "아라찬", "하람솔", "푸른내")
ENGLISH_DOCTORS = (
    "Dr. Avery Fennimore",
    "Dr. Rowan Ashgrove",
    "Dr. Linden Marsh",
    "Dr. Sable Whitcombe",
    "Dr. Corin Vale",
)


@dataclass(frozen=True, slots=True)
class Question:
    """One question as a site would show it; `number` is its place among its site's."""

    number: int
    department: str
    topic: str
    title: str
    body: str
    answer: str

    @property
    def slug(self) -> str:
        """The title as it stands in addresses."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@cache
def load(name: str) -> Any:
    """One of the YAML files, by its name without ending."""
    return yaml.safe_load(files(__package__).joinpath(f"{name}.yaml").read_text("utf-8"))


@cache
def korean() -> tuple[Question, ...]:
    """HiDoc's questions, by department code."""
    rows = ((code, row) for code, rows in load("korean").items() for row in rows)
    return tuple(Question(number, code, "", *row) for number, (code, row) in enumerate(rows, 1))


@cache
def english(site: str) -> tuple[Question, ...]:
    """An English site's share of the questions: every fourth one."""
    own = [each for index, each in enumerate(_english()) if ENGLISH_SITES[index % 4] == site]
    return tuple(Question(number, *each) for number, each in enumerate(own, 1))


def _english() -> Iterator[tuple[str, str, str, str, str]]:
    for department, topics in load("english").items():
        for topic, rows in topics.items():
            yield from ((department, topic, *row) for row in rows)
