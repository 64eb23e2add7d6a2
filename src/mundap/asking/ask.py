"""Asks a model: many requests at once, answers in order, each in the ledger before anybody uses it.

A request that was answered before, in this run or in one that was killed, is not sent again. What is asked, and where
a budget ends it, depends on the order of the requests only, never on how fast a server answers them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from itertools import islice
from threading import RLock
from typing import TYPE_CHECKING, Protocol

from mundap.asking.ledger import Ledger, Outcome
from mundap.asking.limits import Budget
from mundap.errors import ModelError, UserError
from mundap.store import digest
from mundap.types import Lang, Message, Options

if TYPE_CHECKING:
    from pydantic import BaseModel

OVER = "the budget is used up"
_GRACE = 20.0  # seconds that requests on their way get to land in the ledger when a run ends with an error
_PATIENCE = 16  # failed requests in a row, each tried several times: then the server is broken, not the requests
_SEEDS = 2**31


@dataclass(frozen=True, slots=True)
class Request:
    """What a model is asked. `key` tells apart what is else the same: the prompt's version, the sample's number.

    The model, the messages and the options belong to the identity of a request too. Without a `seed` it gets one that
    follows from the recipe's. `schema` is asked for as structured output where the server supports it.
    """

    key: str
    messages: tuple[Message, ...]
    schema: type[BaseModel] | None = None
    max_tokens: int = 512
    temperature: float = 0.7
    seed: int | None = None
    n: int = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `texts` or an `error`. `cut`: a text ran into `max_tokens`, so that its end is missing."""

    key: str
    texts: tuple[str, ...]
    prompt_tokens: int
    completion_tokens: int
    cached: bool
    error: str = ""
    cut: bool = False

    @property
    def unasked(self) -> bool:
        """Whether the budget was used up: nothing was asked, the record passes on as it is."""
        return self.error == OVER


@dataclass(frozen=True, slots=True)
class Task:
    """A request on its way. An engine calls `begin` when it sends it and `settle` with what became of it."""

    request: Request
    seed: int
    begin: Callable[[], None]
    settle: Callable[[Outcome], Answer]


class Engine(Protocol):
    """What sends requests. An error that ends the run comes out of the future as a `UserError`."""

    def start(self, task: Task) -> Future[Answer]: ...

    def stop(self) -> None:
        """Send nothing new; what is on its way may land."""
        ...

    def close(self) -> None:
        """Give up what is on its way and let go of the model."""
        ...


class OverBudget(ModelError):
    """A model was asked through `Asked` when nothing may be asked any more."""


@dataclass
class Counts:
    """What one model was asked by this run: `sent` now, `cached` from the ledger, `again` when an earlier run had sent it.

    Tokens are those of requests that were sent.
    """

    requests: int = 0
    sent: int = 0
    cached: int = 0
    again: int = 0
    failed: int = 0
    unasked: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0


class Asker:
    """Asks one model. `identity` is what makes its answers its own; its engine is opened for the first new request.

    `ahead` requests are taken from an iterator before the first answer is given out: so many wait or are on their way.
    """

    def __init__(
        self, name: str, identity: str, ledger: Ledger, budget: Budget, engine: Callable[[], Engine], seed: int = 0,
        ahead: int = 64,
    ) -> None:  # fmt: skip
        self.name, self.counts = name, Counts()
        self._identity, self._ledger, self._budget, self._seed, self._ahead = identity, ledger, budget, seed, ahead
        self._open = engine
        self._engine: Engine = _Closed()
        self._flying: dict[str, Future[Answer]] = {}
        self._lock, self._failures, self._answered = RLock(), 0, False

    def ask(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """The answers, in the order of the requests, which are taken lazily.

        Raises `UserError` when the server or its key fails; what was answered until then is kept.
        """
        waiting: deque[Future[Answer]] = deque()
        source = iter(requests)
        try:
            while True:
                waiting.extend(self._start(request) for request in islice(source, self._ahead - len(waiting)))
                if not waiting:
                    return
                yield waiting.popleft().result()
        except GeneratorExit:
            wait(waiting)  # nobody wants the rest, but it is asked for: what it takes must not depend on the moment
            raise
        except UserError:
            self._engine.stop()
            wait(waiting, _GRACE)
            raise
        finally:
            for future in waiting:
                future.cancel()

    def one(self, request: Request) -> Answer:
        """The answer to one request; may be called from several threads."""
        return self._start(request).result()

    def close(self) -> None:
        """Let go of the model; what is on its way is given up."""
        self._engine.close()

    def _start(self, request: Request) -> Future[Answer]:
        reserve = most_tokens(request)
        self.counts.requests += 1
        if not self._budget.admit(reserve):
            self.counts.unasked += 1
            return _done(Answer(request.key, (), 0, 0, False, OVER))
        future = self._future(request)
        future.add_done_callback(partial(self._landed, reserve))
        return future

    def _future(self, request: Request) -> Future[Answer]:
        """From the ledger, on its way already, or sent now."""
        seed = int(digest([self._seed, request.key]), 16) % _SEEDS if request.seed is None else request.seed
        key = self._key(request, seed)
        with self._lock:
            known = self._ledger.get(key)
            self.counts.cached += known is not None or key in self._flying
            if known is not None:
                self._answered = True
                return _done(_answer(request, known, cached=True))
            if key in self._flying:
                return self._flying[key]
            return self._send(key, Task(request, seed, partial(self._begin, key), partial(self._settle, key, request)))

    def _send(self, key: str, task: Task) -> Future[Answer]:
        if isinstance(self._engine, _Closed):
            self._engine = self._open()
        future = self._flying[key] = self._engine.start(task)
        future.add_done_callback(lambda _: self._flying.pop(key, None))  # at once, if it has landed already
        return future

    def _key(self, request: Request, seed: int) -> str:
        schema = request.schema.model_json_schema() if request.schema else None
        messages = [[line.role, line.content] for line in request.messages]
        options = [request.max_tokens, request.temperature, request.n, seed]
        return digest([self._identity, request.key, messages, schema, options])

    def _begin(self, key: str) -> None:
        with self._lock:
            self.counts.sent += 1
            self.counts.again += self._ledger.begin(key, self.name)

    def _settle(self, key: str, request: Request, outcome: Outcome) -> Answer:
        """Keep what became of a request; too many failures in a row end the run."""
        with self._lock:
            self._ledger.settle(key, outcome)
            self._count(outcome)
            if self._failures >= _PATIENCE:
                raise UserError(
                    f"the model {self.name!r} failed {self._failures} requests in a row (the last one: {outcome.error}); "
                    "see the log of its server, then run again: what was answered is kept"
                )
        return _answer(request, outcome, cached=False)

    def _count(self, outcome: Outcome) -> None:
        self._answered = self._answered or not outcome.error
        if not (outcome.refused and self._answered):  # a server that refuses some has no fault of its own
            self._failures = self._failures + 1 if outcome.error else 0
        self.counts.failed += bool(outcome.error)
        self.counts.prompt_tokens += outcome.prompt_tokens
        self.counts.completion_tokens += outcome.completion_tokens
        self.counts.seconds += outcome.seconds

    def _landed(self, reserve: int, future: Future[Answer]) -> None:
        """Whatever became of it, it is not on its way any more."""
        fine = not future.cancelled() and future.exception() is None
        spent = future.result().prompt_tokens + future.result().completion_tokens if fine else 0
        self._budget.settle(reserve, spent)


class Asked:
    """A model behind an asker, for what wants a `Model`: with the ledger, the budget and the retries.

    Raises `OverBudget` when the budget is used up, `ModelError` when a request failed.
    """

    def __init__(self, asker: Asker, languages: Iterable[Lang]) -> None:
        self.name = asker.name
        self.languages = frozenset(languages)
        self._asker = asker

    def generate(self, messages: Sequence[Message], options: Options) -> Iterator[str]:
        """The whole answer at once."""
        key = digest([options.top_p, options.repeat_penalty, options.stop])
        request = Request(key, tuple(messages), None, options.max_tokens, options.temperature, options.seed)
        answer = self._asker.one(request)
        if answer.error:
            raise (OverBudget if answer.unasked else ModelError)(f"{self.name}: {answer.error}")
        text = answer.texts[0]
        yield text[: min((at for at in map(text.find, options.stop) if at >= 0), default=None)]


class _Closed:
    """The engine of an asker that has sent nothing yet."""

    def start(self, task: Task) -> Future[Answer]:
        raise AssertionError("open an engine first")

    def stop(self) -> None: ...

    def close(self) -> None: ...


def most_tokens(request: Request) -> int:
    """More tokens than a request can take: a token is a byte or more, but a chat template adds some to a message."""
    read = sum(len(line.content.encode("utf-8", "replace")) + 16 for line in request.messages)
    schema = len(str(request.schema.model_json_schema())) if request.schema else 0
    return read + schema + request.n * request.max_tokens


def estimate(texts: Iterable[str]) -> int:
    """About how many tokens texts are, where a server does not say: a Korean letter, or three English ones, are one."""
    return sum(len(text.encode("utf-8", "replace")) // 3 + 1 for text in texts)


def _done(answer: Answer) -> Future[Answer]:
    future: Future[Answer] = Future()
    future.set_result(answer)
    return future


def _answer(request: Request, outcome: Outcome, cached: bool) -> Answer:
    return Answer(
        request.key, outcome.texts, outcome.prompt_tokens, outcome.completion_tokens, cached, outcome.error, outcome.cut
    )
