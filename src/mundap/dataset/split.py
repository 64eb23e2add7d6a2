"""Splits that cannot leak: rows that share a group, a question or an answer stay together.

Groups are held out in proportion to department, source and language, by a systematic sample: groups are put in order of
stratum, then of a number drawn from seed and content, and every n-th is taken. Neither the order of rows nor when they are
read matters. A group larger than a twentieth of a held-out split is always trained on, so that it cannot be most of a test.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from mundap.overlap import letters
from mundap.types import Example

SPLITS = ("train", "val", "test")
LEFT_OUT = len(SPLITS)  # made by a model, in a group that is held out
_LARGEST, _ALWAYS_SMALL = 0.05, 4
_RANKS: Mapping[str, int] = {"asked": 0, "title": 0, "translated": 1, "generated": 2}
Numbers = NDArray[np.uint64]
Places = NDArray[np.int64]


def number(text: str) -> int:
    """A 64-bit number for a text, the same everywhere."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _column() -> array[int]:
    return array("Q")


@dataclass(slots=True)
class Rows:
    """What a split needs to know of each row: 42 bytes of numbers, no text."""

    row: array[int] = field(default_factory=_column)
    question: array[int] = field(default_factory=_column)
    answer: array[int] = field(default_factory=_column)
    group: array[int] = field(default_factory=_column)
    stratum: array[int] = field(default_factory=_column)
    rank: array[int] = field(default_factory=lambda: array("B"))
    korean: array[int] = field(default_factory=lambda: array("B"))
    strata: dict[str, int] = field(default_factory=dict)

    def add(self, row: Example, source: str) -> None:
        """Note a row."""
        self.row.append(number(row.id))
        self.question.append(number(letters(row.input or row.instruction)))
        self.answer.append(number(letters(row.output)))
        self.group.append(number(row.group or row.id))
        self.stratum.append(self.strata.setdefault(f"{row.lang} {source} {row.specialty}", len(self.strata)))
        self.rank.append(_RANKS[row.origin])
        self.korean.append(row.lang == "ko")

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True)
class Split:
    """For each row the place of its split in `SPLITS` (or `LEFT_OUT`), and what is to be said about the groups."""

    of: NDArray[np.int8]
    groups: int = 0
    largest: int = 0
    too_large: int = 0
    in_too_large: int = 0


def split(rows: Rows, val: float, test: float, seed: int) -> Split:
    """Assign each row; `val` and `test` are shares of the groups."""
    if not len(rows):
        return Split(np.empty(0, np.int8))
    numbers, first, sizes = _numbered(components(rows.question, rows.answer, rows.group), rows)
    small = sizes <= _limit(len(rows), val, test)
    fit = np.flatnonzero(small & _fit(rows, numbers, len(sizes)))
    draw = _mixed(np.array(rows.row, np.uint64)[first], seed)
    order = fit[np.lexsort((draw[fit], _ranked(rows)[first][fit]))]
    found = _held(order, len(sizes), val, test, seed)[numbers]
    found[_second_best(rows, numbers) & (found > 0)] = LEFT_OUT
    return Split(found, len(sizes), int(sizes.max()), int((~small).sum()), int(sizes[~small].sum()))


def components(*columns: array[int]) -> Places:
    """For each row the first row that it is tied to by an equal number in one of the columns, through any chain."""
    parent = list(range(len(columns[0])))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for column in columns:
        first: dict[int, int] = {}
        for place, value in enumerate(column):
            low, high = sorted((root(first.setdefault(value, place)), root(place)))
            parent[high] = low
    return np.fromiter(map(root, range(len(parent))), np.int64, len(parent))


def _numbered(labels: Places, rows: Rows) -> tuple[Places, Places, Places]:
    """Groups as 0, 1, …: each row's group; each group's row with the smallest number, whatever their order; its size."""
    _, numbers, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.lexsort((np.array(rows.row, np.uint64), numbers))
    return numbers, order[np.cumsum(sizes) - sizes], sizes


def _limit(rows: int, val: float, test: float) -> float:
    shares = [share for share in (val, test) if share]
    return max(_ALWAYS_SMALL, _LARGEST * min(shares) * rows) if shares else 0


def _fit(rows: Rows, numbers: Places, groups: int) -> NDArray[np.bool_]:
    """Whether a group holds anything but questions that a model made up."""
    best = np.full(groups, 255, np.uint8)
    np.minimum.at(best, numbers, np.array(rows.rank, np.uint8))
    found: NDArray[np.bool_] = best < _RANKS["generated"]
    return found


def _ranked(rows: Rows) -> Places:
    """The stratum of each row as its place in order of name."""
    order = np.empty(len(rows.strata), np.int64)
    order[[rows.strata[name] for name in sorted(rows.strata)]] = np.arange(len(rows.strata))
    return order[np.array(rows.stratum, np.int64)]


def _mixed(key: Numbers, seed: int) -> Numbers:
    """A number for each group that depends on its rows and on the seed (the finalizer of SplitMix64)."""
    mixed = key ^ np.uint64(number(f"split {seed}"))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), np.uint64)


def _held(order: Places, groups: int, val: float, test: float, seed: int) -> NDArray[np.int8]:
    """For each group the place of its split: every n-th of those in order, and of these every m-th is tested on."""
    wanted = [max(1, round(share * groups)) if share and groups > 2 else 0 for share in (val, test)]
    total = min(sum(wanted), len(order), groups - 1)
    held = np.zeros(groups, np.int8)
    if total:
        start = number(f"start {seed}") / 2**64
        taken = order[np.floor((np.arange(total) + start) * len(order) / total).astype(np.int64)]
        turns = np.floor(np.arange(total + 1) * wanted[1] / sum(wanted) + 0.5)
        held[taken] = np.where(np.diff(turns) > 0, SPLITS.index("test"), SPLITS.index("val"))
    return held


def _second_best(rows: Rows, numbers: Places) -> NDArray[np.bool_]:
    """Rows that are no test: made up, or a translation where the group has a row of that language that a person asked."""
    rank, place = np.array(rows.rank, np.uint8), numbers * 2 + np.array(rows.korean, np.int64)
    best = np.full(int(place.max()) + 1, 255, np.uint8)
    np.minimum.at(best, place, rank)
    found: NDArray[np.bool_] = (rank > best[place]) | (rank == _RANKS["generated"])
    return found
