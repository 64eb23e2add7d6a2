"""Sends requests to an OpenAI-compatible server, many at once: retries, a shared pace, what the server cannot do left out."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from concurrent.futures import Future
from threading import Thread
from time import perf_counter
from typing import Any

from mundap.asking.ask import Answer, Request, Task, estimate
from mundap.asking.faults import Fault, Unreadable, fault
from mundap.asking.ledger import Outcome
from mundap.asking.limits import Pace
from mundap.errors import UserError
from mundap.models.http import Http
from mundap.waiting import pause

FIRST_PAUSE = 0.5  # seconds before the second try; doubled for each one after
LONGEST_PAUSE = 30.0  # seconds between two tries, unless the server asks for more
_LONGEST_HOLD = 600.0  # a server that asks to wait longer than this has used up its quota
_UNKNOWN = ("support", "unknown", "unrecognized", "extra", "not permitted")
_RESUME = "What was answered is kept: run again to go on from there."


class Server:
    """One server, asked from an event loop in a thread of its own."""

    def __init__(self, model: Http, pace: Pace, at_once: int = 16, retries: int = 6) -> None:
        self._model, self._pace, self._retries = model, pace, retries
        self._client = model.asynchronous()
        self._end: UserError | None = None
        self._left_out: set[str] = set()
        self._dice = random.Random()
        self._loop = asyncio.new_event_loop()
        self._room, self._ended = asyncio.Semaphore(at_once), asyncio.Event()
        self._thread = Thread(target=self._loop.run_forever, name=f"mundap-ask {model.name}", daemon=True)
        self._thread.start()

    def start(self, task: Task) -> Future[Answer]:
        """Send a request when there is room."""
        return self._run(self._ask(task))

    def stop(self) -> None:
        """Send nothing new; what is on its way may land."""
        self._loop.call_soon_threadsafe(self._stop, UserError("the run was stopped"))

    def close(self) -> None:
        """Give up what is on its way."""
        if not self._loop.is_closed():
            self._run(self._closed()).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _closed(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for each in others:
            each.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._client.close()

    def _stop(self, error: UserError) -> None:
        self._end = self._end or error
        self._ended.set()

    async def _ask(self, task: Task) -> Answer:
        async with self._room:
            reserve = _expected(task.request)
            await self._sleep(self._pace.take(reserve))
            try:
                task.begin()
                outcome = await self._outcome(task)
                self._pace.give_back(reserve - outcome.prompt_tokens - outcome.completion_tokens)
                return task.settle(outcome)
            except UserError as error:
                self._stop(error)
                raise

    async def _sleep(self, seconds: float) -> None:
        """Wait, and as long as a busy server asks for; raises what ended the run meanwhile."""
        while seconds > 0 and self._end is None:
            try:
                await asyncio.wait_for(self._ended.wait(), seconds)
            except TimeoutError:
                seconds = self._pace.held()
        if self._end is not None:
            raise self._end

    async def _outcome(self, task: Task) -> Outcome:
        """Try until there is an answer or no use in it."""
        began, found = perf_counter(), Fault("again", "")
        for attempt in range(self._retries + 1):
            try:
                return await self._once(task, began)
            except Exception as error:  # what a foreign server sends can break its client anywhere
                found = self._judged(error, last=attempt == self._retries)
                if found.kind == "refused":
                    break
            if attempt < self._retries:
                await self._sleep(self._wait(found, attempt))
        return Outcome(error=found.said, seconds=perf_counter() - began, refused=found.kind == "refused")

    async def _once(self, task: Task, began: float) -> Outcome:
        """Ask; what the server refuses for its form alone is asked once more without that."""
        left_out = set(self._left_out)
        while True:
            body = _body(self._model.name, task, left_out)
            try:
                found = await asyncio.wait_for(self._client.chat.completions.create(**body), self._model.timeout)
                break
            except Exception as error:
                extra = _culprit(error, body)
                if extra is None:
                    raise
                left_out.add(extra)
        self._left_out |= left_out
        return _read(found, task.request, perf_counter() - began)

    def _judged(self, error: Exception, last: bool) -> Fault:
        """The fault. One that is not this request's ends the run, at once or when no try is left."""
        found = fault(error)
        too_long = found.after is not None and found.after > _LONGEST_HOLD
        if found.kind == "end" or too_long or (last and (found.unreachable or found.kind == "busy")):
            wait = f" (it asks to wait {found.after:,.0f} s)" if too_long else ""
            self._stop(UserError(f"{self._model.advice(error)}{wait}\n{_RESUME}"))
        if self._end is not None:
            raise self._end from error
        return found

    def _wait(self, found: Fault, attempt: int) -> float:
        """Seconds before the next try; when a server says how long, all requests wait so long."""
        wait = pause(attempt, FIRST_PAUSE, LONGEST_PAUSE, self._dice)
        if found.after is None:
            return wait
        if found.kind == "busy":
            self._pace.hold(found.after)
        return found.after + self._dice.uniform(0, FIRST_PAUSE)


def _expected(request: Request) -> int:
    """About the most tokens that a request takes."""
    return estimate(line.content for line in request.messages) + request.n * request.max_tokens


def _body(name: str, task: Task, left_out: set[str]) -> dict[str, Any]:
    request = task.request
    limit = "max_tokens" if "max_tokens" not in left_out else "max_completion_tokens"
    body: dict[str, Any] = {
        "model": name, "messages": [{"role": line.role, "content": line.content} for line in request.messages],
        limit: request.max_tokens, "temperature": request.temperature, "seed": task.seed,
    }  # fmt: skip
    if request.n > 1:
        body["n"] = request.n
    if request.schema is not None:
        form = {"name": request.schema.__name__, "schema": request.schema.model_json_schema(), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    return {key: value for key, value in body.items() if key not in left_out}


def _culprit(error: Exception, body: dict[str, Any]) -> str | None:
    """What a server may not know: the key that its refusal names, else structured output."""
    if getattr(error, "status_code", None) not in (400, 422):
        return None
    said = str(error).lower()
    for key in ("response_format", "max_tokens", "temperature", "seed"):
        if key in body and key in said and any(word in said for word in _UNKNOWN):
            return key
    return "response_format" if "response_format" in body else None


def _read(found: Any, request: Request, seconds: float) -> Outcome:
    choices = getattr(found, "choices", None) or []
    contents = [getattr(getattr(choice, "message", None), "content", None) for choice in choices]
    texts = [text for text in contents if isinstance(text, str)]
    if not texts or len(texts) < len(contents):
        raise Unreadable("an answer without text")
    usage = getattr(found, "usage", None)
    read, written = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
    return Outcome(
        tuple(texts),
        read if isinstance(read, int) else estimate(line.content for line in request.messages),
        written if isinstance(written, int) else estimate(texts),
        seconds,
        any(getattr(choice, "finish_reason", None) == "length" for choice in choices),
    )
