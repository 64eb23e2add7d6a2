"""`repair`: a question for an answer whose question is gone: its title, else the best one a model makes that passes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from mundap.asking.ask import Answer
from mundap.augment import filters
from mundap.augment.parse import Malformed, numbered, questions
from mundap.augment.prompted import Prompted, between, chunks
from mundap.augment.sieve import Sieve, Verdict
from mundap.types import QA, Drop

if TYPE_CHECKING:
    from mundap.asking.context import Context

_STEP = "repair"
_TOKENS = 90  # for each candidate: 300 Korean letters at most, most far shorter


class Repair:
    """The augmenter. Without a `model` the title stands in or the row is dropped; with one, `k` candidates are asked for.

    A question that its asker deleted is repaired only with `opt_in`, and never from its title: that was the asker's too.
    """

    def __init__(
        self, context: Context, model: str | None = None, k: int = 4, opt_in: bool = False, max_tokens: int | None = None,
        temperature: float = 0.7, room: int = 3000, structured: bool = True,
    ) -> None:  # fmt: skip
        between("k", k, 1, 20)
        self._k, self._opt_in = k, opt_in
        self._prompt: Prompted | None = None
        if model is not None:
            tokens = k * _TOKENS if max_tokens is None else max_tokens
            self._prompt = Prompted(context, model, _STEP, questions(k), tokens, temperature, room, structured)

    def __call__(self, records: Iterable[QA]) -> Iterator[QA | Drop]:
        """Every record with a question, as it is or repaired, in order; the others as drops."""
        records = list(records) if iter(records) is records else records
        sieve = Sieve(records)
        for chunk in chunks(records, lambda record: self._without_model(record) is None):
            found = [self._without_model(record) for record in chunk]
            prompt = self._prompt
            asked = [_known(record) for record, known in zip(chunk, found, strict=True) if known is None]
            replies = prompt.ask(prompt.request(record, count=self._k) for record in asked) if prompt else iter(())
            for record, known in zip(chunk, found, strict=True):
                yield known or self._made(record, next(replies), sieve)

    def _without_model(self, record: QA) -> QA | Drop | None:
        """What becomes of a record that no model is asked about; None for one that needs a model."""
        taken_back = _taken_back(record)
        if record.question.strip() and record.state == "whole":
            return record
        if taken_back and not self._opt_in:
            return _dropped(record, "question deleted by its asker")
        if not taken_back and filters.title(record):
            trail = (*record.trail, f"{_STEP}:title")
            return replace(record, question=record.title, question_origin="title", trail=trail)
        return _dropped(record, "no question, no title, no model") if self._prompt is None else None

    def _made(self, record: QA, reply: Answer, sieve: Sieve) -> QA | Drop:
        assert self._prompt is not None
        if reply.error:
            return _dropped(record, f"not asked: {reply.error}" if reply.unasked else "the model failed")
        try:
            texts = numbered(reply.texts[0], self._k, reply.cut)
        except Malformed as error:
            return _dropped(record, f"reply: {error}", reply=reply.texts[0])
        verdicts = [sieve.judge(text, _known(record)) for text in texts]
        passed = [verdict for verdict in verdicts if not verdict.reason]
        if not passed:
            return _dropped(record, _reasons(verdicts), candidates=[asdict(verdict) for verdict in verdicts])
        best = min(passed, key=lambda verdict: (verdict.rank, -verdict.score, verdict.text))
        sieve.keep(best.text)
        trail = (*record.trail, self._prompt.origin(record.lang))
        return replace(record, question=best.text, question_origin="generated", state="whole", trail=trail)


def _taken_back(record: QA) -> bool:
    return record.state == "question_deleted" or "question_deleted" in record.flags


def _known(record: QA) -> QA:
    """What may be used of a record without a question: of one taken back only the answer."""
    return replace(record, question="", title="" if _taken_back(record) else record.title)


def _reasons(verdicts: Iterable[Verdict]) -> str:
    """Each candidate's reason, once: a row is dropped when none is left."""
    return "no candidate passed: " + ", ".join(sorted({verdict.reason for verdict in verdicts}))


def _dropped(record: QA, reason: str, **more: object) -> Drop:
    return Drop({**asdict(record), **more}, _STEP, reason)
