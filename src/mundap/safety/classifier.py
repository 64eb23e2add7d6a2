"""The second opinion of triage: a small linear classifier over letters, for wordings that no rule foresaw.

Trained by `benchmarks/train_triage.py` on the development messages of tests/safety/data (written for this project,
labelled by its authors; no clinician has reviewed them). Its level can only raise what the rules found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any
from zlib import crc32

from mundap.safety.normalise import clean, flatten
from mundap.types import Level

LEVELS: tuple[Level, ...] = (Level.ROUTINE, Level.URGENT, Level.CRISIS, Level.EMERGENCY)
BITS = 16
# A message escalates from the first probability on, a part of it (a sentence, two neighbours) from the second; a crisis,
# the class with no miss to spare, from the third; urgent from the fourth. Chosen by cross-validation on the development
# messages; LOG.md has the curve.
ESCALATES, PART_ESCALATES, IS_CRISIS, IS_URGENT = 0.40, 0.95, 0.15, 0.50
_SENTENCE = re.compile(r"[.!?\n…~]+")
_SHORTEST = 6  # letters of a sentence that is looked at by itself
_MOST_PARTS = 40


@dataclass(frozen=True, slots=True)
class Opinion:
    """The level the classifier sees, the probability (0 to 1) of 119 or 109, and of 109 in the message or any part."""

    level: Level
    probability: float
    crisis: float


def opinion(text: str, escalates: float = ESCALATES) -> Opinion:
    """What the classifier makes of a text. A red flag in one sentence counts however long the rest is."""
    return verdict(_probabilities(text), [_probabilities(part) for part in parts_of(text)], escalates)


def verdict(whole: Sequence[float], parts: Sequence[Sequence[float]], escalates: float = ESCALATES) -> Opinion:
    """The opinion that follows from the probabilities of a text and of its parts."""
    worst = max(parts, key=_escalation, default=whole)
    crisis = max(one[2] for one in (whole, *parts))
    if _calls(whole, escalates):
        return Opinion(_called(whole), _escalation(whole), crisis)
    if _calls(worst, PART_ESCALATES):
        return Opinion(_called(worst), _escalation(worst), crisis)
    urgent = whole[1] + _escalation(whole) >= IS_URGENT
    return Opinion(Level.URGENT if urgent else Level.ROUTINE, _escalation(whole), crisis)


def features(text: str) -> list[int]:
    """Hashes (below 2**BITS) of runs of 1 to 4 letters without spaces, and of 3 to 5 letters and whole words with them."""
    packed, spaced = f"^{flatten(text).text}$", clean(text).split()
    grams = {f"f{packed[at : at + size]}" for size in (1, 2, 3, 4) for at in range(len(packed) - size + 1)}
    for word in (f" {word} " for word in spaced):
        grams |= {f"w{word[at : at + size]}" for size in (3, 4, 5) for at in range(len(word) - size + 1)}
        grams.add(f"W{word}")
    return sorted({crc32(gram.encode()) % (1 << BITS) for gram in grams})


def parts_of(text: str) -> list[str]:
    """The sentences of a text and each pair of neighbours; nothing when there is only one."""
    sentences = [part.strip() for part in _SENTENCE.split(text) if len(part.strip()) >= _SHORTEST][:_MOST_PARTS]
    pairs = [f"{first} {second}" for first, second in pairwise(sentences)]
    return [*sentences, *pairs] if len(sentences) > 1 else []


def _probabilities(text: str) -> Sequence[float]:
    """Softmax over `LEVELS`: the mean weight of the features, scaled as unit length, plus the bias."""
    import numpy

    weights, bias = _model()
    found = features(text)
    scores = weights[found].sum(axis=0, dtype="float32") / max(len(found), 1) ** 0.5 + bias
    powers = numpy.exp(scores - scores.max())
    return [float(power) for power in powers / powers.sum()]


def _escalation(probabilities: Sequence[float]) -> float:
    return probabilities[2] + probabilities[3]


def _calls(probabilities: Sequence[float], escalates: float) -> bool:
    """Whether somebody should be called now: 119 or 109."""
    return _escalation(probabilities) >= escalates or probabilities[2] >= IS_CRISIS


def _called(probabilities: Sequence[float]) -> Level:
    return Level.CRISIS if probabilities[2] > probabilities[3] else Level.EMERGENCY


@cache
def _model() -> tuple[Any, Any]:
    """Weights (2**BITS, 4) and bias (4,) from `classifier.npz`."""
    import numpy

    with (
        (files("mundap.safety") / "classifier.npz").open("rb") as stream,
        numpy.load(stream, allow_pickle=False) as saved,
    ):
        return saved["weights"], saved["bias"].astype("float32")
