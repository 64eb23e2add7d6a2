"""Is a question new? ROUGE-L on morphemes to every question kept so far, through an inverted index."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from rapidfuzz.distance import LCSseq

from mundap.augment.lexicon import tokens

# Self-Instruct (arXiv 2212.10560) and Alpaca keep an instruction whose ROUGE-L F to every other is below 0.7.
THRESHOLD = 0.7
_WORD = re.compile(r"[^\W_]+")
_HANGUL = re.compile("[가-힣]")


def morphemes(text: str) -> list[str]:
    """Kiwi's morphemes of a Korean text, particles and endings too; the words of another one."""
    if not _HANGUL.search(text):
        return _WORD.findall(text.lower())
    return [token.form for token in tokens().kiwi.tokenize(text) if not str(token.tag).startswith("S")]


def rouge(first: Sequence[str], second: Sequence[str]) -> float:
    """ROUGE-L F (Lin 2004, with beta 1): twice the longest common subsequence over both lengths; 0 to 1."""
    return 2 * LCSseq.similarity(first, second) / max(len(first) + len(second), 1)


class Novelty:
    """The texts kept so far. `taken` asks for one as near as `threshold`, `add` keeps one.

    Only texts that share enough words to be that near are compared, so time grows with the near ones, not with all.
    """

    def __init__(self, texts: Iterable[str] = (), threshold: float = THRESHOLD) -> None:
        self._threshold = threshold
        self._numbers: dict[str, int] = {}
        self._texts: list[tuple[int, ...]] = []
        self._where: dict[int, list[int]] = {}
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Keep a text."""
        row = self._row(text)
        for number in set(row):
            self._where.setdefault(number, []).append(len(self._texts))
        self._texts.append(row)

    def taken(self, text: str) -> bool:
        """Whether some text kept is as near as the threshold."""
        row = self._row(text)
        return any(self._near(row, self._texts[place]) for place in self._candidates(row))

    def _row(self, text: str) -> tuple[int, ...]:
        return tuple(self._numbers.setdefault(word, len(self._numbers)) for word in morphemes(text))

    def _near(self, row: tuple[int, ...], other: tuple[int, ...]) -> bool:
        need = math.ceil(self._threshold * (len(row) + len(other)) / 2 - 1e-9)
        return LCSseq.similarity(row, other, score_cutoff=need) >= max(need, 1)

    def _candidates(self, row: tuple[int, ...]) -> list[int]:
        """Texts that hold one of the row's rarest words: a near one shares so many that it cannot miss all of these."""
        # 2·common ≥ t·(m + n) and n ≥ common, so common ≥ t·m / (2 - t); all but that many less one words can differ.
        common = math.ceil(self._threshold * len(row) / (2 - self._threshold) - 1e-9)
        rarest = sorted(row, key=lambda number: len(self._where.get(number, ())))[: len(row) - common + 1]
        found = {place for number in set(rarest) for place in self._where.get(number, ())}
        shortest, longest = common, math.floor(len(row) * (2 - self._threshold) / self._threshold + 1e-9)
        return [place for place in found if shortest <= len(self._texts[place]) <= longest]
