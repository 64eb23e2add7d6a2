"""Small pictures for the report, as SVG inside the page: a dot with its interval, dots on a scale, curves of a training.

Colours and the two languages are the style sheet's; numbers stand beside each picture, which is hidden from screen
readers for that reason (the curves, which have no table, carry a description instead).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

WIDTH, HEIGHT, _EDGE = 260, 24, 9
_SHAPES = ("circle", "square", "diamond", "triangle", "down")
SERIES = 8  # colours in the style sheet; a ninth target begins again


@dataclass(frozen=True, slots=True)
class Dot:
    """A value on a scale; `series` chooses colour and shape, `hollow` marks what others published."""

    value: float
    series: int
    low: float | None = None
    high: float | None = None
    hollow: bool = False


def dots(found: Sequence[Dot], scale: tuple[float, float], chance: float | None = None, width: int = WIDTH) -> Markup:
    """Dots with whiskers on one line from the scale's least to its most; a dashed line where guessing lies."""
    svg = _svg(width, HEIGHT, "dots")
    svg.set("aria-hidden", "true")
    middle = HEIGHT / 2
    _line(svg, "axis", _EDGE, middle, width - _EDGE, middle)
    for end in (_EDGE, width - _EDGE):
        _line(svg, "axis", end, middle - 4, end, middle + 4)
    if chance is not None:
        place = _place(chance, scale, width)
        _line(svg, "chance", place, 2, place, HEIGHT - 2)
    for dot in found:
        _dot(svg, dot, scale, width)
    return _written(svg)


def mark(series: int, hollow: bool = False) -> Markup:
    """The mark of a series by itself, for a legend or the head of a row."""
    svg = _svg(16, 16, "mark")
    svg.set("aria-hidden", "true")
    _shape(svg, series, hollow, 8, 8)
    return _written(svg)


def scale_of(values: Iterable[float | None]) -> tuple[float, float]:
    """A scale that holds all values, from nought where nothing is below it, with some room to spare."""
    known = [value for value in values if value is not None] or [0.0, 1.0]
    low, high = min(0.0, *known), max(0.0, *known)
    return (low, high + 0.05 * (high - low)) if high > low else (low, low + 1)


def curves(rows: Sequence[Mapping[str, Any]], title: str) -> Markup:
    """Loss of a training by step: each step faintly, the running mean, and validation with its interval."""
    steps = [(row["step"], row["loss"]) for row in rows if row.get("loss") is not None]
    tested = [row for row in rows if row.get("val_loss") is not None]
    if len(steps) + len(tested) < 2:
        return Markup("")
    ends = [row.get(name) for row in tested for name in ("val_loss", "val_low", "val_high")]
    every = [loss for loss in (*(loss for _, loss in steps), *ends) if loss is not None]
    frame = _Frame(max([step for step, _ in steps] + [row["step"] for row in tested]), min(every), max(every))
    svg = _svg(frame.width, frame.height, "curves")
    svg.set("role", "img")
    SubElement(svg, "title").text = title
    frame.draw(svg)
    frame.path(svg, "each", _thinned(steps))
    frame.path(svg, "train", _thinned(list(_running(steps))))
    for row in tested:
        low, high = row.get("val_low"), row.get("val_high")
        if low is not None and high is not None:
            _line(svg, "val", frame.x(row["step"]), frame.y(low), frame.x(row["step"]), frame.y(high))
        SubElement(
            svg,
            "circle",
            {"class": "val", "cx": _n(frame.x(row["step"])), "cy": _n(frame.y(row["val_loss"])), "r": "4"},
        )
    frame.path(svg, "val", [(row["step"], row["val_loss"]) for row in tested])
    return _written(svg)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where steps and losses lie on the paper, with round numbers on both axes."""

    last: int
    least: float
    most: float
    width: int = 640
    height: int = 280
    left: int = 46
    bottom: int = 34

    def x(self, step: float) -> float:
        return self.left + (self.width - self.left - 12) * step / max(1, self.last)

    def y(self, loss: float) -> float:
        room = self.height - self.bottom - 12
        return 12 + room * (self.most - loss) / ((self.most - self.least) or 1)

    def draw(self, svg: Element) -> None:
        for loss in _round(self.least, self.most):
            _line(svg, "grid", self.left, self.y(loss), self.width - 12, self.y(loss))
            _text(svg, f"{loss:g}", self.left - 6, self.y(loss) + 4, "end")
        for step in _round(0, self.last):
            _text(svg, f"{step:,.0f}", self.x(step), self.height - self.bottom + 18, "middle")
        _line(svg, "axis", self.left, self.height - self.bottom, self.width - 12, self.height - self.bottom)

    def path(self, svg: Element, name: str, points: Sequence[tuple[float, float]]) -> None:
        if points:
            drawn = " ".join(f"{_n(self.x(step))},{_n(self.y(loss))}" for step, loss in points)
            SubElement(svg, "polyline", {"class": name, "points": drawn})


def _round(low: float, high: float, most: int = 5) -> Iterator[float]:
    """Round numbers between two ends, at most so many and one."""
    rough = (high - low) / most or 1.0
    power = 10.0 ** floor(log10(rough))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough * 0.999)
    place = ceil(low / step)
    while place * step <= high:
        yield round(place * step, 10)
        place += 1


def _running(points: Sequence[tuple[float, float]], weight: float = 0.9) -> Iterator[tuple[float, float]]:
    """Exponential running mean, corrected for its beginning."""
    total = whole = 0.0
    for step, loss in points:
        total, whole = weight * total + (1 - weight) * loss, weight * whole + (1 - weight)
        yield step, total / whole


def _thinned(points: Sequence[tuple[float, float]], most: int = 800) -> list[tuple[float, float]]:
    """No more points than can be seen; the last one stays."""
    every = max(1, len(points) // most)
    return [*points[::every], *points[-1:]]


def _place(value: float, scale: tuple[float, float], width: int) -> float:
    low, high = scale
    share = (value - low) / ((high - low) or 1)
    return _EDGE + (width - 2 * _EDGE) * min(1.0, max(0.0, share))


def _dot(svg: Element, dot: Dot, scale: tuple[float, float], width: int) -> None:
    middle = HEIGHT / 2
    group = SubElement(svg, "g", {"class": _series(dot.series)})
    if dot.low is not None and dot.high is not None:
        ends = _place(dot.low, scale, width), _place(dot.high, scale, width)
        _line(group, "whisker", ends[0], middle, ends[1], middle)
        for end in ends:
            _line(group, "whisker", end, middle - 4, end, middle + 4)
    _shape(group, dot.series, dot.hollow, _place(dot.value, scale, width), middle)


def _shape(parent: Element, series: int, hollow: bool, x: float, y: float) -> None:
    """A mark that differs in shape as well as in colour."""
    shape, name = _SHAPES[series % len(_SHAPES)], f"{_series(series)} {'hollow' if hollow else 'full'}"
    if shape == "circle":
        SubElement(parent, "circle", {"class": name, "cx": _n(x), "cy": _n(y), "r": "5"})
        return
    corners = {
        "square": ((-4.5, -4.5), (4.5, -4.5), (4.5, 4.5), (-4.5, 4.5)),
        "diamond": ((0, -6), (6, 0), (0, 6), (-6, 0)),
        "triangle": ((0, -6), (5.5, 4.5), (-5.5, 4.5)),
        "down": ((0, 6), (5.5, -4.5), (-5.5, -4.5)),
    }[shape]
    points = " ".join(f"{_n(x + right)},{_n(y + down)}" for right, down in corners)
    SubElement(parent, "polygon", {"class": name, "points": points})


def _series(series: int) -> str:
    return f"s{series % SERIES}"


def _svg(width: int, height: int, name: str) -> Element:
    return Element(
        "svg", {"class": name, "viewBox": f"0 0 {width} {height}", "width": str(width), "height": str(height)}
    )


def _line(parent: Element, name: str, *ends: float) -> None:
    SubElement(parent, "line", {"class": name, **dict(zip(("x1", "y1", "x2", "y2"), map(_n, ends), strict=True))})


def _text(parent: Element, text: str, x: float, y: float, anchor: str) -> None:
    SubElement(parent, "text", {"x": _n(x), "y": _n(y), "text-anchor": anchor}).text = text


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _written(svg: Element) -> Markup:
    """Text and attributes are escaped by the writer."""
    return Markup(tostring(svg, encoding="unicode"))
