"""Which questions are also in an evaluation set: equal in letters and digits, or alike in their 5-grams of them.

Candidates come from bands of MinHash signatures (rensa), and each is verified by the true share of equal 5-grams.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mundap.errors import MissingExtra

NEAR = 0.8  # share of equal 5-grams from which two questions are alike; cleaning uses the same
_GRAM, _SEED, _BATCH = 5, 42, 512
_PERMUTATIONS, _BANDS = 128, 32  # four places a band: a pair at 0.8 is missed once in ten million
_SLACK = 0.15  # how far a signature's estimate may lie below the threshold and still be verified
_SHORTEST = 4  # letters under which a text says nothing
_SIGNS = re.compile(r"[\W_]+")
Signatures = NDArray[np.uint32]


def letters(text: str) -> str:
    """Letters and digits in one case: spaces and signs do not tell texts apart."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _SIGNS.sub("", folded) or folded


@dataclass(frozen=True, slots=True)
class Hit:
    """A question of a set that a text is equal to or like."""

    set: str
    item: str
    kind: Literal["exact", "near"]
    similarity: float


def check() -> None:
    """Raise `MissingExtra` without the library that makes signatures."""
    try:
        import rensa  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra("finding overlap needs the package 'rensa': pip install 'mundap[collect]'") from error


class Questions:
    """The questions of evaluation sets, to be matched against. Add all, then `seal`, then match."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._items: list[tuple[str, str]] = []
        self._exact: dict[str, list[int]] = defaultdict(list)

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, name: str, item: str, text: str) -> None:
        """A question of the set called `name`; too short ones say nothing and are left out."""
        text = letters(text)
        if len(text) >= _SHORTEST:
            self._exact[text].append(len(self._texts))
            self._texts.append(text)
            self._items.append((name, item))

    def seal(self) -> Questions:
        """Make the index. It holds 0.8 KB and the text for each question."""
        parts = [_signatures(batch) for batch in _batches(self._texts)]
        self._signatures = np.concatenate(parts) if parts else np.empty((0, _PERMUTATIONS), np.uint32)
        keys = _keys(self._signatures)
        self._order = np.argsort(keys, axis=0, kind="stable")
        self._keys = np.take_along_axis(keys, self._order, axis=0)
        return self

    def match(self, rows: Sequence[Sequence[str]]) -> list[list[Hit]]:
        """For each row, which is one or more texts, its best hit in each set."""
        found = iter(self._matched([text for texts in rows for text in texts]))
        hits = [[hit for _ in texts for hit in next(found)] for texts in rows]
        best = [{hit.set: hit for hit in sorted(each, key=lambda hit: hit.similarity)} for each in hits]
        return [[each[name] for name in sorted(each)] for each in best]

    def _matched(self, texts: Sequence[str]) -> list[list[Hit]]:
        plain = [letters(text) for text in texts]
        if not self._texts:
            return [[] for _ in texts]
        signatures = _signatures(plain)
        starts, ends = self._runs(_keys(signatures))
        return [
            self._best(text, self._near(text, signature, start, end))
            for text, signature, start, end in zip(plain, signatures, starts, ends, strict=True)
        ]

    def _runs(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where in the index each text's bands begin and end (both texts x bands)."""
        sides = [
            np.stack([np.searchsorted(self._keys[:, band], keys[:, band], side) for band in range(_BANDS)], axis=1)
            for side in ("left", "right")
        ]
        return sides[0], sides[1]

    def _near(self, text: str, signature: Signatures, starts: Any, ends: Any) -> Iterator[tuple[int, float]]:
        """The questions that share a band with a text and are alike, with how much."""
        shared = [self._order[starts[band] : ends[band], band] for band in np.flatnonzero(ends > starts)]
        if not shared:
            return
        places = np.unique(np.concatenate(shared))
        agree = np.count_nonzero(self._signatures[places] == signature, axis=1) / _PERMUTATIONS
        grams = set(_grams(text))
        for place in places[agree >= NEAR - _SLACK].tolist():
            if (share := _share(grams, set(_grams(self._texts[place])))) >= NEAR:
                yield place, share

    def _best(self, text: str, near: Iterable[tuple[int, float]]) -> list[Hit]:
        found: dict[str, Hit] = {}
        for place, share in near:
            name, item = self._items[place]
            if name not in found or share > found[name].similarity:
                found[name] = Hit(name, item, "near", round(share, 3))
        for place in reversed(self._exact.get(text, ())):
            name, item = self._items[place]
            found[name] = Hit(name, item, "exact", 1.0)
        return list(found.values())


def _grams(text: str) -> list[str]:
    return [text[place : place + _GRAM] for place in range(max(1, len(text) - _GRAM + 1))]


def _share(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)


def _signatures(texts: Sequence[str]) -> Signatures:
    from rensa import RMinHash

    rows = RMinHash.digest_matrix_from_token_sets(list(map(_grams, texts)), _PERMUTATIONS, _SEED).to_rows()
    return np.asarray(rows, np.uint32).reshape(len(texts), _PERMUTATIONS)


def _keys(signatures: Signatures) -> NDArray[np.uint64]:
    """One 64-bit key for each text and band; equal parts have equal keys."""
    parts = signatures.reshape(len(signatures), _BANDS, _PERMUTATIONS // _BANDS).astype(np.uint64)
    keys = np.zeros(parts.shape[:2], np.uint64)
    for place in range(parts.shape[2]):
        keys = (keys ^ parts[:, :, place]) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    return keys


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    left = iter(texts)
    while batch := list(islice(left, _BATCH)):
        yield batch
