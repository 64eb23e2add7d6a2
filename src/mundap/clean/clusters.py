"""Which texts are nearly the same: bands of MinHash signatures, verified pairs, connected components.

Components depend on the set of texts only, not on their order, and fewer texts never join two of them; so the same
rows survive whatever the order, and a second cleaning finds nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Signatures = NDArray[np.uint16]
Edge = tuple[int, int]

PERMUTATIONS, BANDS = 112, 16
ROWS = PERMUTATIONS // BANDS


def labels(signatures: Signatures, threshold: float) -> NDArray[np.int64]:
    """A component number for each signature (shape n x 112)."""
    union = Union(len(signatures))
    for band in range(BANDS):
        for members in runs(band_keys(signatures, band)):
            join_near(signatures, members, threshold, union)
    return union.labels()


def band_keys(signatures: Signatures, band: int) -> Keys:
    """One 64-bit key for each signature's part of a band; equal parts have equal keys."""
    part = signatures[:, band * ROWS : (band + 1) * ROWS].astype(np.uint64)
    weights = (np.arange(1, ROWS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)
    mixed = (part + np.uint64(1)) * weights
    mixed ^= mixed >> np.uint64(29)
    keys: Keys = (mixed * np.uint64(0xBF58476D1CE4E5B9)).sum(axis=1, dtype=np.uint64)
    return keys


def runs(keys: Keys) -> Iterator[NDArray[np.int64]]:
    """The places of equal keys, for each key that occurs twice or more."""
    order = np.argsort(keys, kind="stable")
    ends = np.flatnonzero(np.diff(keys[order])) + 1
    starts, ends = np.concatenate(([0], ends)), np.concatenate((ends, [len(order)]))
    for start, end in zip(starts[ends - starts > 1], ends[ends - starts > 1], strict=True):
        yield order[start:end]


def join_near(signatures: Signatures, members: NDArray[np.int64], threshold: float, union: Union) -> None:
    """Join the members of a bucket that are similar enough; pairs already joined are not compared again."""
    roots = np.fromiter((union.find(int(member)) for member in members), np.int64, len(members))
    if (roots == roots[0]).all():
        return
    part, wanted = signatures[members], threshold * signatures.shape[1]
    for place in range(len(members) - 1):
        apart = np.flatnonzero(roots[place + 1 :] != roots[place]) + place + 1
        near = apart[np.count_nonzero(part[apart] == part[place], axis=1) >= wanted]
        for root in np.unique(roots[near]):
            union.join(int(root), int(roots[place]))
        if len(near):
            roots[np.isin(roots, roots[near])] = roots[place]


class Union:
    """Disjoint sets over the numbers below `size`."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def find(self, number: int) -> int:
        """The set's representative, its smallest number."""
        while self._parent[number] != number:
            self._parent[number] = self._parent[self._parent[number]]
            number = self._parent[number]
        return number

    def join(self, one: int, other: int) -> None:
        """Make one set of two."""
        low, high = sorted((self.find(one), self.find(other)))
        self._parent[high] = low

    def join_all(self, pairs: Iterable[Edge]) -> Union:
        """Join each pair."""
        for one, other in pairs:
            self.join(one, other)
        return self

    def labels(self) -> NDArray[np.int64]:
        """The representative of each number."""
        return np.fromiter((self.find(number) for number in range(len(self._parent))), np.int64, len(self._parent))
