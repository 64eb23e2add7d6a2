"""How long training may take: `90m` or `3h`, ended in time to save and finish."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic

_UNITS = {"s": 1, "m": 60, "h": 3600}
_MARGIN = 1.5  # what was measured may take longer the next time
_LEAST = 2.0  # seconds for what is not measured


def seconds(text: str) -> float:
    """`90s`, `45m` or `3h` as seconds."""
    return float(text[:-1]) * _UNITS[text[-1]]


@dataclass
class Budget:
    """The clock of one run of the stage, from its first moment; `limit` in seconds, None: no end."""

    limit: float | None = None
    began: float = field(default_factory=monotonic)
    step: float = 0.0
    still: dict[str, float] = field(default_factory=dict)

    def took(self, step: float) -> None:
        """Note how long a step took."""
        self.step = max(self.step, step)

    def reserves(self, what: str, took: float) -> None:
        """Note how long something took that will be done once more at the end."""
        self.still[what] = max(took, self.still.get(what, 0.0))

    @property
    def left(self) -> float | None:
        """Seconds to the limit."""
        return None if self.limit is None else self.limit - (monotonic() - self.began)

    def over(self) -> bool:
        """Whether another step might not leave time to save and finish."""
        left = self.left
        return left is not None and left < _MARGIN * (self.step + sum(self.still.values())) + _LEAST
