"""How often an engine is asked, and what happens when it says no: a pace, patience that ends, a clear last word."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

from mundap.errors import ModelError
from mundap.waiting import pause

_T = TypeVar("_T")
_R = TypeVar("_R")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 20.0
_SENTENCE_END = re.compile(r"(?<=[.!?。！？…])\s+|\n+")


class Again(Exception):
    """A failed attempt that may succeed later: why it failed, and the seconds the server asked to wait, if it did."""

    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.why, self.after = why, after


@dataclass
class Limits:
    """The pace of one engine and its patience with failures. Safe to share between threads.

    `requests` a second and `characters` a minute (0: no limit) are kept by waiting. A request is tried `tries` times,
    after pauses that double and vary, or that the server asks for, while trying and pausing take under `patience` seconds.
    """

    requests: float = 10.0
    characters: float = 0.0
    tries: int = 4
    patience: float = 30.0
    _pace: tuple[_Bucket, _Bucket] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._pace = (_Bucket(self.requests, 1.0), _Bucket(self.characters / 60, 60.0))

    def call(self, attempt: Callable[[], _T], characters: int, engine: str) -> _T:
        """What `attempt` returns. It raises `Again` to be tried again; at the end of the patience, `ModelError`."""
        spent, tried = 0.0, 0
        while True:
            self._wait(characters)
            began, tried = time.monotonic(), tried + 1
            try:
                return attempt()
            except Again as again:
                wait = pause(tried - 1, _FIRST_PAUSE, _LONGEST_PAUSE) if again.after is None else again.after
                spent += time.monotonic() - began + wait
                if tried >= self.tries or spent > self.patience:
                    raise _given_up(engine, again, tried) from again
            time.sleep(wait)

    def _wait(self, characters: int) -> None:
        time.sleep(max(bucket.take(amount) for bucket, amount in zip(self._pace, (1, characters), strict=True)))


class _Bucket:
    """Holds what `seconds` of a rate allow; taking more than it holds is a debt that the taker waits for."""

    def __init__(self, rate: float, seconds: float) -> None:
        self._rate, self._size = rate, max(rate * seconds, 1.0)
        self._level, self._at = self._size, time.monotonic()
        self._lock = Lock()

    def take(self, amount: float) -> float:
        """Take from the bucket; the seconds to wait until that was allowed."""
        if self._rate <= 0:
            return 0.0
        with self._lock:
            now = time.monotonic()
            self._level = min(self._size, self._level + (now - self._at) * self._rate) - amount
            self._at = now
            return max(0.0, -self._level / self._rate)


def _given_up(engine: str, failure: Again, tried: int) -> ModelError:
    times = "once" if tried == 1 else f"{tried} times"
    asked = f" and asks to wait {failure.after:.0f} s" if failure.after else ""
    return ModelError(f"{engine} failed {times} ({failure.why}){asked}; run this again later, what is done stays done")


def together(work: Callable[[_T], _R], items: Sequence[_T], at_once: int) -> list[_R]:
    """`work` done on every item, `at_once` of them at a time, results in order; the first failure stops what waits."""
    if at_once <= 1 or len(items) <= 1:
        return [work(item) for item in items]
    pool = ThreadPoolExecutor(min(at_once, len(items)))
    try:
        return list(pool.map(work, items))
    finally:
        pool.shutdown(cancel_futures=True)


def batches(texts: Sequence[str], most: int, characters: int) -> Iterator[range]:
    """Index ranges of neighbouring texts: at most `most` of them and so many `characters`, or one long text alone."""
    start, size = 0, 0
    for place, text in enumerate(texts):
        if place > start and (place - start == most or size + len(text) > characters):
            yield range(start, place)
            start, size = place, 0
        size += len(text)
    if start < len(texts):
        yield range(start, len(texts))


def fitting(text: str, fits: Callable[[str], bool]) -> list[str]:
    """A text in parts that an engine takes, cut near the middle again and again: at a sentence's end, a space, or anywhere.

    The parts joined are the text.
    """
    if len(text) < 2 or fits(text):
        return [text]
    cut = next(filter(None, (_cut(text, end) for end in (_SENTENCE_END, re.compile(r"\s+")))), len(text) // 2)
    return [*fitting(text[:cut], fits), *fitting(text[cut:], fits)]


def _cut(text: str, pattern: re.Pattern[str]) -> int:
    """The end of a match nearest to the middle, or 0."""
    ends = [found.end() for found in pattern.finditer(text) if 0 < found.end() < len(text)]
    return min(ends, key=lambda place: abs(place - len(text) // 2), default=0)


def joined(parts: Sequence[str], translated: Sequence[str]) -> str:
    """Translations of the parts that `fitting` made, with the white space that stood between the parts."""
    return "".join(_spaced(part, text) for part, text in zip(parts, translated, strict=True)).strip()


def _spaced(part: str, translated: str) -> str:
    """A translation between the white space around its part."""
    body = part.strip()
    return part.replace(body, translated.strip(), 1) if body else part
