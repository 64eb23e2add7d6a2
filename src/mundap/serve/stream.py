"""One reply, run in a thread of its own and read by the event loop, with a cap, a deadline and a way to stop it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mundap.errors import UserError
from mundap.types import Lang, Message, Profile, Reply

if TYPE_CHECKING:
    from mundap.chat.engines import Engines

log = logging.getLogger("mundap.serve")

IN_FLIGHT = 64
DEADLINE = 60.0


class Busy(Exception):
    """More replies are under way than the server takes at once."""


class TimedOut(Exception):
    """A reply was not finished by its deadline."""


class Stopped(Exception):
    """The person who asked does not want the rest."""


class Broken(Exception):
    """A reply failed. The text is safe to show: it is a `UserError`'s, or empty."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What is asked: the conversation so far, whose it is, and which engine answers."""

    model: str
    history: tuple[Message, ...]
    profile: Profile | None = None
    lang: Lang | None = None
    sampling: tuple[tuple[str, float], ...] = ()


class Desk:
    """Runs turns. At most `limit` are under way; a further one is refused at once rather than kept waiting.

    Every turn has its own thread, so an emergency reply, which asks no model, never waits behind a slow model.
    """

    def __init__(self, engines: Engines, limit: int = IN_FLIGHT, deadline: float = DEADLINE) -> None:
        self.engines = engines
        self.deadline = deadline
        self._places = threading.BoundedSemaphore(limit)

    def ask(self, turn: Turn, stop: asyncio.Event | None = None) -> AsyncGenerator[str | Reply]:
        """Pieces of text and, last, the finished `Reply`. Raises `Busy` now; `TimedOut` or `Broken` while read.

        Setting `stop` raises `Stopped` at once. Closing the iterator stops the engine at its next piece. The place is
        free once the engine has really stopped.
        """
        if not self._places.acquire(blocking=False):
            raise Busy
        work = _Work(self.engines, turn, self._places.release, stop or asyncio.Event())
        work.start()  # Now, not at the first read: a reader that never comes must not keep the place.
        return self._read(work)

    async def _read(self, work: _Work) -> AsyncGenerator[str | Reply]:
        ends = time.monotonic() + self.deadline
        try:
            while (item := await work.next(ends - time.monotonic())) is not None:
                yield item
        finally:
            work.stop()


class _Work:
    """The thread that iterates an engine, and the queue between it and the event loop."""

    def __init__(self, engines: Engines, turn: Turn, done: Callable[[], None], stop: asyncio.Event) -> None:
        self._engines = engines
        self._turn = turn
        self._done = done
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[str | Reply | Exception | None] = asyncio.Queue()
        self._stopped = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True, name="mundap-reply").start()

    def stop(self) -> None:
        self._stopped.set()

    async def next(self, seconds: float) -> str | Reply | None:
        """The next piece, None at the end. Raises what went wrong."""
        get, halt = asyncio.ensure_future(self._queue.get()), asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({get, halt}, timeout=max(seconds, 0), return_when=asyncio.FIRST_COMPLETED)
            if halt.done():
                raise Stopped
            if not get.done():
                raise TimedOut
            item = get.result()
        finally:
            get.cancel()
            halt.cancel()
        if isinstance(item, Exception):
            raise item
        return item

    def _run(self) -> None:
        try:
            self._iterate()
        except UserError as error:
            log.warning("no reply: %s", error)
            self._post(Broken(str(error)))
        except Exception as error:
            # The message of an unknown error may quote what a patient wrote, so only its type and place are logged.
            log.error("reply failed: %s", where(error))
            self._post(Broken(""))
        finally:
            self._done()
            self._post(None)

    def _iterate(self) -> None:
        turn = self._turn
        pieces = self._engines.get(turn.model).reply(
            turn.history, profile=turn.profile, lang=turn.lang, sampling=dict(turn.sampling)
        )
        try:
            for piece in pieces:
                if self._stopped.is_set():
                    return
                self._post(piece)
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()

    def _post(self, item: str | Reply | Exception | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)
        except RuntimeError:  # The loop is closed: the server is going down and nobody reads any more.
            self._stopped.set()


def where(error: BaseException) -> str:
    """The type of an error and the file and line it came from, without its message."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "unknown place"
    return f"{type(error).__name__} at {place}"


def last_turns(messages: Sequence[Message], turns: int) -> tuple[Message, ...]:
    """The messages from the `turns`-th last question on."""
    asked = [index for index, message in enumerate(messages) if message.role == "user"]
    start = asked[-turns] if len(asked) > turns else 0
    return tuple(messages[start:])
