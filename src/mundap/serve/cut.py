"""Keeps an answer to a client's `max_tokens` and `stop`, but never cuts an emergency or crisis reply."""

from __future__ import annotations

from collections.abc import Sequence

from mundap.types import Finish, Reply

# Without a model's tokenizer a token is counted as four bytes of UTF-8: about four English letters, or one and
# a third Korean syllables.
BYTES_PER_TOKEN = 4


class Cut:
    """Passes pieces on up to the limit and holds the rest until the `Reply` says whether it may be dropped."""

    def __init__(self, max_tokens: int | None, stop: Sequence[str]) -> None:
        self._room = max_tokens * BYTES_PER_TOKEN if max_tokens else None
        self._stop = tuple(stop)
        self._tail = max((len(text) for text in self._stop), default=1) - 1
        self._held = ""
        self.reached: Finish | None = None

    def feed(self, piece: str) -> str:
        """What may be passed on now."""
        self._held += piece
        if self.reached:
            return ""
        end = len(self._held) - self._tail
        found = [at for at in (self._held.find(text) for text in self._stop) if at >= 0]
        if found:
            end, self.reached = min(found), "stop"
        return self._give(max(end, 0))

    def finish(self, reply: Reply) -> str:
        """What is left to pass on: all of it where a life may depend on it, else what the limits allow."""
        if reply.urgency.stop:
            self._room, self.reached = None, None
            return self._give(len(self._held))
        return "" if self.reached else self._give(len(self._held))

    def _give(self, end: int) -> str:
        given = self._held[:end]
        if self._room is not None:
            fits = given.encode()[: self._room].decode("utf-8", "ignore")
            if len(fits) < len(given):
                given, self.reached = fits, "length"
            self._room -= len(given.encode())
        self._held = self._held[len(given) :]
        return given
