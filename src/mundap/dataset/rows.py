"""A record as a row of the dataset, or why it is none: what a recipe's rules on language, licence and permission say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from mundap import prompts
from mundap.config import Build
from mundap.records import Line, lines, parse
from mundap.store import digest
from mundap.types import QA, Drop, Example, Lang, Message

STEP = "build"
_HANGUL = re.compile("[가-힣]")
_DIALOGUE = "dialogue"  # the flag of a record whose `fields` are turns
_ROLES: Mapping[str, Any] = {"doctor": "assistant", "patient": "user"}


@dataclass(frozen=True, slots=True)
class Rules:
    """What a recipe lets into its dataset."""

    settings: Build

    def read(self, path: Path) -> Iterator[Example | Drop]:
        """Each record of a file as a row or a `Drop`; the same, in the same order, however often it is read."""
        return (self._made(line, path.name) for line in lines(path))

    def _made(self, line: Line, where: str) -> Example | Drop:
        record = parse(line, where)
        return record if isinstance(record, Drop) else self.example(record)

    def example(self, record: QA) -> Example | Drop:
        """The row of a record, its source and licence with it."""
        made = _example(record)
        reason = self._refused(record) or self.unfit(made)
        return Drop(asdict(record), STEP, reason) if reason else made

    def _refused(self, record: QA) -> str:
        if not record.question.strip():
            return "question deleted" if record.state == "question_deleted" else "no question"
        if not record.answer.strip():
            return "no answer"
        if _DIALOGUE in record.flags and not _alternates(record):
            return "turns of a dialogue do not alternate"
        return ""

    def unfit(self, row: Example) -> str:
        """Why the rules leave out a row that is whole; empty when they do not."""
        if self.settings.lang not in (None, row.lang):
            return f"language {row.lang} not asked for"
        texts = [row.instruction, row.input, row.output]
        if any(prompts.harmless(text) != text for text in texts):
            return "holds the marker of a turn or of a template"
        return self._licence(row)

    def _licence(self, row: Example) -> str:
        """A written permission stands above a licence; where the recipe lists either, one of the two must be listed."""
        listed = {_name(each) for each in self.settings.licences}
        if (listed or self.settings.permissions) and not (
            _name(row.licence) in listed or (row.permission and row.permission in self.settings.permissions)
        ):
            return f"licence {row.licence or 'unknown'} not listed in the recipe"
        if row.permission:
            return ""
        return next(
            (f"licence {row.licence} forbids it: {why}" for rule, why in _forbidden() if rule.search(row.licence)), ""
        )


def _example(record: QA) -> Example:
    dialogue = _DIALOGUE in record.flags
    return Example(
        record.id, prompts.instruction(record.lang, dialogue), record.question.strip(), record.answer.strip(),
        group=record.group, origin=record.question_origin, lang=record.lang, specialty=record.specialty,
        source=record.source, licence=record.licence, permission=record.permission, trail=record.trail,
        turns=tuple(Message(_ROLES[who], text) for who, text in record.fields if who in _ROLES) if dialogue else (),
    )  # fmt: skip


def _alternates(record: QA) -> bool:
    """Whether a dialogue's turns are the doctor's and the patient's in turn, from the doctor's first to the last."""
    speakers = [who for who, _ in record.fields]
    return len(speakers) > 2 and speakers == ["doctor", "patient"] * (len(speakers) // 2) + ["doctor"]


def general(row: Mapping[str, Any], name: str, licence: str) -> Example | str:
    """A row in Alpaca's form that is not medical, or what is wrong with it."""
    texts = [row.get(key) or "" for key in ("instruction", "input", "output")]
    if not all(isinstance(text, str) for text in texts):
        return "instruction, input and output must be text"
    instruction, more, output = (text.strip() for text in texts)
    if not instruction or not output:
        return "no instruction" if not instruction else "no output"
    lang: Lang = "ko" if _HANGUL.search(instruction + output) else "en"
    return Example(
        digest(["general", instruction, more, output]), instruction, more, output,
        origin="general", lang=lang, source=name, licence=licence, trail=(f"mix:{name}",),
    )  # fmt: skip


def source_name(row: Example) -> str:
    """What collected a row: `hidoc` of `collect:hidoc@1`, the file's name for general rows."""
    first = row.trail[0] if row.trail else ""
    return first.partition(":")[2].partition("@")[0] or "unknown"


def questions(row: Example) -> list[str]:
    """What is compared with evaluation sets: the question; of general rows the whole task too."""
    whole = [f"{row.instruction} {row.input}".strip()] if row.origin == "general" else []
    return [*([row.input] if row.input else []), *whole]


def _name(licence: str) -> str:
    return re.sub(r"[\s_-]+", "-", licence.strip().lower())


@cache
def _forbidden() -> Sequence[tuple[re.Pattern[str], str]]:
    rules = yaml.safe_load((files("mundap.dataset") / "licences.yaml").read_text("utf-8"))["forbidden"]
    return [(re.compile(rule["match"], re.IGNORECASE), str(rule["why"])) for rule in rules]
