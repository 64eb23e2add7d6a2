"""`generate`: new questions beside the ones that were asked, many in one request ("batch decoding"), each checked.

Batch decoding is KoAlpaca's and Stanford Alpaca's way: a seed in, a numbered list of new tasks out.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from mundap.asking.ask import Answer
from mundap.augment import filters
from mundap.augment.parse import Malformed, numbered, questions
from mundap.augment.prompted import Prompted, between, chunks
from mundap.augment.sieve import Sieve
from mundap.errors import UserError
from mundap.store import digest
from mundap.types import QA, Drop

if TYPE_CHECKING:
    from mundap.asking.context import Context

_STEP = "generate"
_TOKENS = 90  # for each question
_ANSWER_TOKENS = 400
From = Literal["seed", "model"]


class Generate:
    """The augmenter: `count` new questions in one request, `requests` of them for each seed.

    Seeds are rows that people asked, all or `seeds` of them drawn by the recipe's seed. `answers: seed` keeps the doctor's
    answer; `answers: model` has the model write one from it, kept only when every sentence stands on the doctor's words.
    """

    def __init__(
        self, context: Context, model: str, count: int = 5, requests: int = 1, seeds: int | None = None, answers: From = "seed",
        max_tokens: int | None = None, temperature: float = 0.7, room: int = 3000, structured: bool = True,
    ) -> None:  # fmt: skip
        between("count", count, 1, 50)
        between("requests", requests, 1, 1000)
        if answers not in get_args(From):
            raise UserError(f"answers is {answers!r}; it must be one of {', '.join(get_args(From))}")
        tokens = count * _TOKENS if max_tokens is None else max_tokens
        self._count, self._requests, self._seed = count, requests, context.seed
        self._seeds = Seeds(seeds, context.seed)
        self._prompt = Prompted(context, model, _STEP, questions(count), tokens, temperature, room, structured)
        self._answer: Prompted | None = None
        if answers == "model":
            self._answer = Prompted(context, model, "answer", None, _ANSWER_TOKENS, 0.0, room, False)

    def __call__(self, records: Iterable[QA]) -> Iterator[QA | Drop]:
        """Every record, followed by what was made from it: rows, and a drop for each question or reply refused."""
        records = list(records) if iter(records) is records else records
        sieve, chosen = Sieve(records), self._seeds.choice(records)
        for chunk in chunks(records, chosen):
            seeds = [record for record in chunk if chosen(record)]
            replies = self._prompt.ask(
                self._prompt.request(seed, sample, count=self._count)
                for seed in seeds
                for sample in range(self._requests)
            )
            made = [self._made(record, replies, sieve) if chosen(record) else [] for record in chunk]
            yield from self._answered(chunk, made)

    def _made(self, seed: QA, replies: Iterator[Answer], sieve: Sieve) -> list[QA | Drop]:
        """What comes of the replies about one seed."""
        return [row for _ in range(self._requests) for row in self._questions(seed, next(replies), sieve)]

    def _questions(self, seed: QA, reply: Answer, sieve: Sieve) -> Iterator[QA | Drop]:
        if reply.error:
            if not reply.unasked:
                yield Drop({"seed": seed.id, "reply": ""}, _STEP, "the model failed")
            return
        try:
            texts = numbered(reply.texts[0], self._count, reply.cut)
        except Malformed as error:
            yield Drop({"seed": seed.id, "reply": reply.texts[0]}, _STEP, f"reply: {error}")
            return
        for text in texts:
            verdict = sieve.judge(text, seed)
            if verdict.reason:
                yield Drop({"seed": seed.id, "question": text}, _STEP, verdict.reason)
            else:
                sieve.keep(text)
                yield self._row(seed, text)

    def _row(self, seed: QA, text: str) -> QA:
        return made_from(seed, self._prompt.origin(seed.lang), question=text, answered_by=seed.answered_by)

    def _answered(self, chunk: Sequence[QA], made: Sequence[list[QA | Drop]]) -> Iterator[QA | Drop]:
        """The chunk's records with their made rows; those get a model's answer where the recipe wants one."""
        rows = [(seed, row) for seed, own in zip(chunk, made, strict=True) for row in own if isinstance(row, QA)]
        writer = self._answer
        replies = (
            writer.ask(writer.request(replace(seed, question=row.question)) for seed, row in rows) if writer else None
        )
        for record, own in zip(chunk, made, strict=True):
            yield grouped(record) if any(isinstance(row, QA) for row in own) else record
            for row in own:
                yield self._written(record, row, next(replies)) if replies and isinstance(row, QA) else row

    def _written(self, seed: QA, row: QA, reply: Answer) -> QA | Drop:
        """A made row with the model's answer, if the doctor's carries all of it."""
        assert self._answer is not None
        text = "" if reply.error else reply.texts[0].strip()
        reason = _wrong(reply, text, seed)
        if reason:
            return Drop({"seed": seed.id, "question": row.question, "answer": text}, _STEP, f"answer: {reason}")
        return replace(row, answer=text, answered_by="", trail=(*row.trail, self._answer.origin(seed.lang)))


def _wrong(reply: Answer, text: str, seed: QA) -> str:
    """Why the model's answer must not be kept; '' when nothing is wrong with it."""
    if reply.error:
        return f"not asked: {reply.error}" if reply.unasked else "the model failed"
    return "cut off" if reply.cut else filters.answer(text, seed)


@dataclass(frozen=True, slots=True)
class Seeds:
    """Which records new ones are made from: those that people asked; at most `limit`, drawn by `seed`."""

    limit: int | None
    seed: int

    def __post_init__(self) -> None:
        if self.limit is not None:
            between("seeds", self.limit, 0, 1e9)

    def choice(self, records: Iterable[QA]) -> Chosen:
        """The choice among these records: it does not depend on their order."""
        if self.limit is None:
            return Chosen(None)
        drawn = ((digest([self.seed, row.id]), row.id) for row in records if is_seed(row))
        return Chosen(frozenset(name for _, name in heapq.nsmallest(self.limit, drawn)))


@dataclass(frozen=True, slots=True)
class Chosen:
    """Whether a record was chosen; without `ids` every possible seed is."""

    ids: frozenset[str] | None

    def __call__(self, record: QA) -> bool:
        return is_seed(record) and (self.ids is None or record.id in self.ids)


def is_seed(record: QA) -> bool:
    """Whether something may be made from a record: somebody asked it, and its advice is neither stale nor for sale."""
    asked = record.question_origin in ("asked", "title") and bool(record.question.strip())
    return asked and not {"stale", "promotion"} & set(record.flags)


def grouped(seed: QA) -> QA:
    """A seed in a group, so that it and what was made from it stay in one split."""
    return seed if seed.group else replace(seed, group=seed.id)


def made_from(seed: QA, origin: str, **changes: object) -> QA:
    """A row made from a seed: its source, licence and permission, its group, and the origin in the trail."""
    row = replace(
        seed, title="", asked_on="", answered_by="", state="whole", question_origin="generated", fields=(),
        group=grouped(seed).group, trail=(*seed.trail, origin),
    )  # fmt: skip
    row = replace(row, **changes)  # type: ignore[arg-type]
    return replace(row, id=digest([seed.id, row.question]))
