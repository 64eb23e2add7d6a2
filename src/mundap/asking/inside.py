"""Asks a model of this process (llama.cpp, transformers, scripted), a few answers at a time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from time import perf_counter

from mundap.asking.ask import Answer, Request, Task, estimate
from mundap.asking.ledger import Outcome
from mundap.errors import ModelError, UserError
from mundap.protocols import Model
from mundap.types import Options


class Inside:
    """A model asked from `at_once` threads. Structured output is not asked for; tokens are counted roughly."""

    def __init__(self, model: Model, at_once: int = 1) -> None:
        self._model, self._stopped, self._closed = model, Event(), Event()
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="mundap-ask")

    def start(self, task: Task) -> Future[Answer]:
        """Ask when a thread is free."""
        return self._pool.submit(self._ask, task)

    def stop(self) -> None:
        """Begin nothing new."""
        self._stopped.set()

    def close(self) -> None:
        """Stop the model where it is."""
        self._stopped.set()
        self._closed.set()
        self._pool.shutdown(cancel_futures=True)

    def _ask(self, task: Task) -> Answer:
        if self._stopped.is_set():
            raise UserError("the run was stopped")
        task.begin()
        began = perf_counter()
        try:
            texts, pieces = zip(*(self._text(task, sample) for sample in range(task.request.n)), strict=True)
        except ModelError as error:
            return task.settle(Outcome(error=str(error), seconds=perf_counter() - began))
        cut = any(count >= task.request.max_tokens for count in pieces)
        read = estimate(line.content for line in task.request.messages)
        return task.settle(Outcome(texts, read, sum(pieces), perf_counter() - began, cut))

    def _text(self, task: Task, sample: int) -> tuple[str, int]:
        """One sample, and how many pieces it came in: about its tokens."""
        pieces = list(self._pieces(task.request, task.seed + sample))
        return "".join(pieces), len(pieces)

    def _pieces(self, request: Request, seed: int) -> Iterator[str]:
        options = Options(max_tokens=request.max_tokens, temperature=request.temperature, seed=seed)
        for piece in self._model.generate(request.messages, options):
            if self._closed.is_set():
                raise UserError("the run was stopped")
            yield piece
