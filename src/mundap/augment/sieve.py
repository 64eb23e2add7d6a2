"""Which made questions are kept: the checks of `filters`, then new beside all others, then the round trip."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from mundap.augment import filters
from mundap.augment.novelty import Novelty
from mundap.augment.roundtrip import Answers
from mundap.types import QA

WITHIN = 3  # among so many answers a question must find its own (SITES.md D)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a question is not kept ('' when it is), the rank of its own answer when searched with it, and the score."""

    text: str
    reason: str = ""
    rank: int = 0
    score: float = 0.0


class Sieve:
    """The judge of the questions made beside `records`, which are read again when first needed."""

    def __init__(self, records: Iterable[QA]) -> None:
        self._records = records

    @cached_property
    def answers(self) -> Answers:
        """Every answer of the run, searchable."""
        return Answers(row.answer for row in self._records)

    @cached_property
    def kept(self) -> Novelty:
        """Every question of the run, and those kept since."""
        return Novelty(row.question for row in self._records if row.question)

    def judge(self, text: str, seed: QA) -> Verdict:
        """The verdict on a question made from `seed`; the cheapest checks come first."""
        reason = filters.question(text, seed)
        if reason or self.kept.taken(text):
            return Verdict(text, reason or "like another question")
        rank, score = self.answers.rank(text, seed.answer, WITHIN)
        return Verdict(text, "" if rank else "does not find its own answer", rank, score)

    def keep(self, text: str) -> None:
        """Later questions must differ from this one too."""
        self.kept.add(text)
