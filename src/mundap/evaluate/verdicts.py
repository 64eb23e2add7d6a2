"""Reads what a judge wrote: a score for each line of the sheet, or the reason why there is none. Nothing is guessed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mundap.evaluate.rubrics import Line

_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_MARKS = re.compile(r"[*_`]+")
_BEFORE = re.compile(r"^[\s>#•\-]*(?:\d+\s*[.)]\s*)?")
_AFTER = r"\s*(?:\([^()]*\))?\s*[:：=]\s*(.*)$"
_NUMBER = re.compile(r"([-−]?\d+)\s*(?:점|/\s*(\d+))?\s*\.?")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one judge said of one response: for each line (by its id) a score or a reason, and the judge's own words."""

    judge: str
    scores: Mapping[str, int]
    reasons: Mapping[str, str]
    text: str = ""


def read(judge: str, text: str, lines: Sequence[Line], cut: bool = False) -> Verdict:
    """A judge's answer, a JSON object or the form filled in; words around either do not matter."""
    body = _THOUGHT.sub("", text)
    found = _json(body)
    said = _form(body, lines) if found is None else found
    scores: dict[str, int] = {}
    reasons: dict[str, str] = {}
    for line in lines:
        score = _score(said.get(line.key, ()), line)
        if isinstance(score, int):
            scores[line.id] = score
        else:
            reasons[line.id] = "the judge's answer was cut off" if cut and not said.get(line.key) else score
    return Verdict(judge, scores, reasons, text)


def failed(judge: str, reason: str, lines: Sequence[Line]) -> Verdict:
    """No answer at all."""
    return Verdict(judge, {}, {line.id: reason for line in lines})


def _score(values: Sequence[Any], line: Line) -> int | str:
    """The one score among what was given for a line, or why there is none."""
    if not values:
        return "no score in the judge's answer"
    whole = [_whole(value, line) for value in values]
    if len(set(whole)) > 1:
        return "two different scores"
    [score] = set(whole)
    if score is None:
        return "not a whole number"
    return score if line.low <= score <= line.high else f"out of range: {score} is not from {line.low} to {line.high}"


def _whole(value: Any, line: Line) -> int | None:
    """A whole number, or one as people write it: `4`, `4점`, and `4/5` where 5 is the most."""
    if not isinstance(value, str):
        return value if isinstance(value, int) and not isinstance(value, bool) else None
    found = _NUMBER.fullmatch(value.strip())
    if found is None or found[2] not in (None, str(line.high)):
        return None
    return int(found[1].replace("−", "-"))


def _json(text: str) -> Mapping[str, Sequence[Any]] | None:
    """What a JSON object in the text holds, each key with all that was given for it; None without an object."""
    start, end = text.find("{"), text.rfind("}")
    pairs: list[tuple[str, Any]] = []
    with suppress(ValueError, RecursionError):
        found = json.loads(text[start : end + 1], object_pairs_hook=_Pairs)
        pairs = found if isinstance(found, _Pairs) else []
    if not pairs:
        return None
    return _gathered(pairs)


class _Pairs(list[tuple[str, Any]]):
    """The keys and values of a JSON object in order, repeated keys included."""


def _form(text: str, lines: Sequence[Line]) -> Mapping[str, Sequence[str]]:
    """What stands behind each label; a line of the form that was left blank says nothing."""
    known = [(line.key, re.compile(_labels(line) + _AFTER, re.IGNORECASE)) for line in lines]
    return _gathered(_filled(text, known))


def _filled(text: str, known: Sequence[tuple[str, re.Pattern[str]]]) -> Iterator[tuple[str, str]]:
    for row in _MARKS.sub("", text).splitlines():
        row = _BEFORE.sub("", row)
        for key, pattern in known:
            found = pattern.match(row)
            if found and found[1].strip():
                yield key, found[1]


def _labels(line: Line) -> str:
    return "(?:" + "|".join(re.escape(_MARKS.sub("", name)) for name in {line.label, line.key}) + ")"


def _gathered(pairs: Iterator[tuple[str, Any]] | Sequence[tuple[str, Any]]) -> Mapping[str, Sequence[Any]]:
    found: dict[str, list[Any]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found
