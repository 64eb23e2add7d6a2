"""An augmenter for the tests of the stage: asks one thing of each record and adds what comes back as a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from itertools import tee

from mundap.asking.ask import Request
from mundap.asking.context import Context
from mundap.store import digest
from mundap.types import QA, Drop, Message


class Toy:
    def __init__(self, context: Context, model: str, n: int = 1, max_tokens: int = 64) -> None:
        self._context, self._model, self._asker = context, model, context.ask(model)
        self._n, self._max_tokens = n, max_tokens

    def __call__(self, records: Iterable[QA]) -> Iterator[QA | Drop]:
        rows, copies = tee(records)
        requests = (
            Request("toy 1", (Message("user", row.question),), n=self._n, max_tokens=self._max_tokens) for row in copies
        )
        for row, answer in zip(rows, self._asker.ask(requests), strict=True):
            if answer.error and not answer.unasked:
                yield Drop(asdict(row), "toy", answer.error)
                continue
            yield row
            for text in answer.texts:
                trail = (*row.trail, self._context.origin(self._model, "abc"))
                made = replace(row, id=digest([row.id, text]), question=text, question_origin="generated", trail=trail)
                yield replace(made, group=row.group or row.id)
