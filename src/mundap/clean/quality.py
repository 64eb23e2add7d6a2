"""`quality`: rows too short, too long, in another language, repetitive or selling go; doubtful ones are flagged.

Flags: `promotion`, `stale` (advice that was right once), `oriental` (Korean medicine, dropped only when asked),
`transcript` (the answer goes on with lines of the asker, which a model must not learn to write).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from mundap.clean.patterns import pattern, patterns
from mundap.clean.rowstep import RowStep
from mundap.types import QA

Oriental = Literal["flag", "drop"]
_HANGUL = re.compile(r"[가-힣]")
_LATIN = re.compile(r"[A-Za-z]")
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Limits:
    """Lengths in characters, shares of letters or of the text."""

    min_question: int
    min_answer: int
    max_question: int
    max_answer: int
    language: float
    repetition: float
    promotions: int
    oriental: Oriental

    def row(self, record: QA) -> QA | str:
        """The record with its flags, or why it goes."""
        return self._why(record) or self._flagged(record)

    def _why(self, record: QA) -> str:
        reasons = (
            *self._lengths(record), ("language", self._foreign(record)), ("damaged", _is_damaged(record)),
            ("repetitive", _repetition(record.answer) > self.repetition), ("promotion", _sold(record) >= self.promotions),
            ("oriental", self.oriental == "drop" and _is_oriental(record)),
        )  # fmt: skip
        return next((reason for reason, found in reasons if found), "")

    def _lengths(self, record: QA) -> Iterator[tuple[str, bool]]:
        missing = not record.question and bool({"question_deleted", "no_question"} & set(record.flags))
        yield "question too short", len(record.question) < self.min_question and not missing
        yield "answer too short", len(record.answer) < self.min_answer
        yield "question too long", len(record.question) > self.max_question
        yield "answer too long", len(record.answer) > self.max_answer

    def _foreign(self, record: QA) -> bool:
        wanted, other = (_HANGUL, _LATIN) if record.lang == "ko" else (_LATIN, _HANGUL)
        own, else_ = len(wanted.findall(record.answer)), len(other.findall(record.answer))
        return own < self.language * (own + else_) or own == 0

    def _flagged(self, record: QA) -> QA:
        found = {
            "promotion": _sold(record) > 0, "stale": _is_stale(record), "oriental": _is_oriental(record),
            "transcript": pattern("quality", "transcript").search(record.answer) is not None,
        }  # fmt: skip
        flags = {*record.flags, *(flag for flag, there in found.items() if there)}
        return replace(record, flags=tuple(sorted(flags)))


def quality(
    min_question: int = 4, min_answer: int = 10, max_question: int = 4000, max_answer: int = 8000,
    language: float = 0.3, repetition: float = 0.5, promotions: int = 3, oriental: Oriental = "flag",
) -> RowStep:  # fmt: skip
    """The step; the arguments are those of `Limits`."""
    limits = Limits(min_question, min_answer, max_question, max_answer, language, repetition, promotions, oriental)
    return RowStep("quality", limits.row)


def _sold(record: QA) -> int:
    """How many kinds of selling phrases the answer has."""
    return sum(kind.search(record.answer) is not None for kind in patterns("quality", "promotion"))


def _is_stale(record: QA) -> bool:
    return pattern("quality", "stale").search(record.answer) is not None


def _is_oriental(record: QA) -> bool:
    by = f"{record.specialty} {record.answered_by}"
    if pattern("quality", "oriental_specialty").search(by):
        return True
    return len({found.group() for found in pattern("quality", "oriental").finditer(record.answer)}) >= 2


def _is_damaged(record: QA) -> bool:
    """Many characters that could not be decoded; one may be an emoji that was lost."""
    text = record.question + record.answer
    return text.count("\ufffd") + text.count("??") > max(3, len(text) // 50)


def _repetition(text: str) -> float:
    """The share of the text taken by its most repeated run of four words (by length), 0 when short."""
    words = _WORD.findall(text)
    if len(words) < 20:
        return 0.0
    runs = Counter(" ".join(words[place : place + 4]) for place in range(len(words) - 3))
    run, count = max(runs.items(), key=lambda pair: (pair[1] * len(pair[0]), pair[0]))
    return count * len(run) / len(text) if count > 2 else 0.0
