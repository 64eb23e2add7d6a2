"""When training must stop at once: a loss that is no number, zero, or far above where it began."""

from __future__ import annotations

import math
from collections.abc import Sequence

_FIRST, _LAST = 10, 5


def trouble(losses: Sequence[float], gradient: float | None = None) -> str:
    """What is wrong after the last of these losses (one a step, from the first), or nothing.

    Exploding: the mean of the last 5 is over twice the mean of the first 10 plus 1, or a single loss is five times
    that mean plus 5. A batch of hard rows stays far below both; a wrong learning rate passes them within a few steps.
    """
    last = losses[-1]
    if not math.isfinite(last):
        return f"the loss is {last}; lower train.lr, or train in bf16 or fp32 rather than fp16"
    if last == 0:
        return "the loss is exactly zero: nothing is learnt; are the answers empty or masked?"
    if gradient is not None and not math.isfinite(gradient):
        return f"the gradient is {gradient}; lower train.lr"
    start = sum(losses[:_FIRST]) / min(_FIRST, len(losses))
    if len(losses) == 1:
        return ""
    if last > 5 * losses[0] + 5 or (len(losses) >= _FIRST + _LAST and _mean(losses[-_LAST:]) > 2 * start + 1):
        return f"the loss exploded: {last:.2f} after a start at {start:.2f}; lower train.lr or lengthen train.warmup"
    return ""


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
