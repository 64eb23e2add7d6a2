"""How much is asked and how fast: a budget that ends at the same request every time, and a token bucket."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Condition

_BURST = 5.0  # seconds' worth that may be sent at once


class Budget:
    """At most so many requests and tokens, answers from the ledger included: what the stage's output may rest on.

    Where it ends depends on the order of requests only: while the most that is on its way could be too much, the next
    request waits to see what was really spent. Once it has ended, it stays so.
    """

    def __init__(self, requests: int | None = None, tokens: int | None = None) -> None:
        self.requests, self.tokens, self.over = requests, tokens, ""
        self._count = self.spent = self._reserved = 0
        self._landed = Condition()

    def admit(self, reserve: int) -> bool:
        """Whether a request that takes at most `reserve` tokens may be asked; waits while that is not known."""
        with self._landed:
            if not self.over and self.requests is not None and self._count >= self.requests:
                self.over = f"{self.requests:,} requests"
            if not self.over and self.tokens is not None:
                self._landed.wait_for(lambda: self._fits(reserve) or not self._reserved)
                self.over = "" if self._fits(reserve) else f"{self.tokens:,} tokens"
            if not self.over:
                self._count += 1
                self._reserved += reserve
            return not self.over

    def settle(self, reserve: int, spent: int) -> None:
        """A request landed and took so many tokens."""
        with self._landed:
            self._reserved -= reserve
            self.spent += spent
            self._landed.notify_all()

    def _fits(self, reserve: int) -> bool:
        return self.tokens is None or self.spent + self._reserved + reserve <= self.tokens


class Pace:
    """A token bucket over requests and tokens a minute, and a hold that a busy server asks for. Not for several threads."""

    def __init__(
        self, requests: int | None = None, tokens: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rates = (requests / 60 if requests else None, tokens / 60 if tokens else None)
        self._level = [max(1.0, (rate or 0) * _BURST) for rate in self._rates]
        self._clock = clock
        self._at = self._held = clock()

    def take(self, tokens: int) -> float:
        """Seconds to wait before sending a request of about so many tokens. What is taken is owed from now on."""
        now = self._clock()
        waits = [self._held - now]
        for place, (rate, amount) in enumerate(zip(self._rates, (1, tokens), strict=True)):
            if rate is not None:
                full = max(1.0, rate * _BURST)
                self._level[place] = min(full, self._level[place] + (now - self._at) * rate) - amount
                waits.append(-self._level[place] / rate)
        self._at = now
        return max(0.0, *waits)

    def give_back(self, tokens: int) -> None:
        """A request took so many tokens less than was thought."""
        self._level[1] += tokens

    def hold(self, seconds: float) -> None:
        """Nothing is sent for so long."""
        self._held = max(self._held, self._clock() + seconds)

    def held(self) -> float:
        """Seconds until something may be sent."""
        return max(0.0, self._held - self._clock())
