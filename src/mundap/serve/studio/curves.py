"""Loss curves as a drawing that needs no script: the page's policy forbids those that plotting libraries make up."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 320, 52, 12, 12, 34
_POINTS = 300  # more than that many cannot be told apart on a screen


@dataclass(frozen=True, slots=True)
class Bar:
    """A measured validation loss with its interval, in places of the drawing."""

    x: float
    y: float
    low: float
    high: float
    told: str


@dataclass(frozen=True, slots=True)
class Curve:
    """One run: its smoothed training loss as a line, its validation losses, and the last of each in words."""

    name: str
    colour: int
    line: str
    bars: Sequence[Bar]
    step: int
    loss: float | None
    val: float | None


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing of curves; `across` and `up` are the places and numbers of its grid."""

    curves: Sequence[Curve]
    across: Sequence[tuple[float, str]]
    up: Sequence[tuple[float, str]]

    width = WIDTH
    height = HEIGHT
    left = LEFT
    right = WIDTH - RIGHT
    top = TOP
    bottom = HEIGHT - BOTTOM


@dataclass(frozen=True, slots=True)
class _Frame:
    """Numbers to places."""

    most: float
    low: float
    high: float

    def x(self, step: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * step / self.most, 1)

    def y(self, loss: float) -> float:
        part = (min(max(loss, self.low), self.high) - self.low) / (self.high - self.low)
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part, 1)


def chart(logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Chart:
    """The curves of trainings from the rows of their logs, by the run's name."""
    trained = {name: _steps(rows, "loss") for name, rows in logs.items()}
    tested = {name: _steps(rows, "val_loss") for name, rows in logs.items()}
    smooth = {
        name: list(_thin(_smooth([(row["step"], row["loss"]) for row in rows]))) for name, rows in trained.items()
    }
    frame = _frame(
        [point for line in smooth.values() for point in line], [row for rows in tested.values() for row in rows]
    )
    curves = [
        Curve(
            name, place % 8, " ".join(f"{frame.x(step)},{frame.y(loss)}" for step, loss in smooth[name]),
            [_bar(row, frame) for row in tested[name]], max((row["step"] for row in [*trained[name], *tested[name]]), default=0),
            smooth[name][-1][1] if smooth[name] else None, tested[name][-1]["val_loss"] if tested[name] else None,
        )
        for place, name in enumerate(logs)
    ]  # fmt: skip
    return Chart(
        curves,
        [(frame.x(tick), f"{tick:g}") for tick in _ticks(0, frame.most)],
        [(frame.y(tick), f"{tick:g}") for tick in _ticks(frame.low, frame.high)],
    )


def _steps(rows: Sequence[Mapping[str, Any]], key: str) -> list[Mapping[str, Any]]:
    """Rows that have a number under `key`; a loss that is none (training broke down) is not drawn."""
    return [row for row in rows if isinstance(row.get(key), int | float) and math.isfinite(row[key])]


def _smooth(points: Sequence[tuple[int, float]], weight: float = 0.9) -> list[tuple[int, float]]:
    """Exponential running mean, corrected for its beginning, as in the training's own picture."""
    total = scale = 0.0
    found = []
    for step, loss in points:
        total, scale = weight * total + (1 - weight) * loss, weight * scale + (1 - weight)
        found.append((step, total / scale))
    return found


def _thin(points: Sequence[tuple[int, float]]) -> Iterator[tuple[float, float]]:
    """Means of neighbours, so that at most `_POINTS` are drawn; the last point is kept as it is."""
    size = math.ceil(len(points) / _POINTS) or 1
    for start in range(0, len(points) - 1, size):
        part = points[start : min(start + size, len(points) - 1)]
        yield fmean(step for step, _ in part), fmean(loss for _, loss in part)
    yield from points[-1:]


def _frame(points: Sequence[tuple[float, float]], tested: Sequence[Mapping[str, Any]]) -> _Frame:
    values = [loss for _, loss in points] + [row["val_loss"] for row in tested]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = (high - low) * 0.08 or 0.5
    steps = [step for step, _ in points] + [row["step"] for row in tested]
    return _Frame(max(steps, default=1) or 1, max(0.0, low - margin), high + margin)


def _bar(row: Mapping[str, Any], frame: _Frame) -> Bar:
    loss = row["val_loss"]
    low, high = (row.get(key, loss) for key in ("val_low", "val_high"))
    told = f"{row['step']}: {loss:.3f} [{low:.3f}, {high:.3f}]"
    return Bar(frame.x(row["step"]), frame.y(loss), frame.y(low), frame.y(high), told)


def _ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers between two ends: steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough)
    first = math.ceil(low / step)
    return [round(number * step, 10) for number in range(first, math.floor(high / step) + 1)]
