"""A model that says what it is told: for tests, documentation and demonstrations. It is not a language model."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from mundap.errors import ModelError
from mundap.types import Lang, Message, Options


class Scripted:
    """Replies in turn from `replies` (the last one again and again), a few letters at a time.

    `delay` is the pause in seconds between pieces; `fail_after` raises `ModelError` after that many pieces.
    """

    def __init__(
        self,
        replies: Sequence[str],
        delay: float = 0.0,
        piece: int = 3,
        fail_after: int | None = None,
        languages: Sequence[Lang] = ("ko", "en"),
    ) -> None:
        self.name = "scripted"
        self.languages: frozenset[Lang] = frozenset(languages)
        self.prompts: list[tuple[Message, ...]] = []
        self._replies, self._delay, self._piece, self._fail_after = list(replies), delay, piece, fail_after

    def generate(self, messages: Sequence[Message], options: Options) -> Iterator[str]:
        """Yield the next reply, a piece for a token; what it was asked is kept in `prompts`."""
        self.prompts.append(tuple(messages))
        reply = self._replies[min(len(self.prompts), len(self._replies)) - 1] if self._replies else ""
        reply = reply[: min((at for at in map(reply.find, options.stop) if at >= 0), default=None)]
        for count, start in enumerate(range(0, len(reply), self._piece)[: options.max_tokens]):
            if count == self._fail_after:
                raise ModelError("the scripted model was told to fail here")
            time.sleep(self._delay)
            yield reply[start : start + self._piece]
