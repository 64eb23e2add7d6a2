"""How far scores agree: judges with each other, and a judge with people.

Weighted kappa with quadratic weights is Cohen's (Psychological Bulletin 70, 1968), alpha Krippendorff's (2004).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mundap.evaluate.statistics import CONFIDENCE, RESAMPLES, Level, Values, alpha, alpha_interval, interval
from mundap.evaluate.verdicts import Verdict

_NUMBERED = re.compile(r"_\d+$")
_ALPHAS = 1000  # resamples of an alpha between judges: it stands beside the scores, to be read and not tested


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a judge agrees with people over `n` responses. None where a number is not defined, as for one response.

    `exact` and `within_one` are shares; where people's score lies between two (the median of several raters), both are
    exact. `bias` is the judge's mean minus people's. Intervals are of 95 %.
    """

    n: int
    exact: float
    within_one: float
    kappa: float | None
    alpha: float | None
    spearman: float | None
    spearman_low: float | None
    spearman_high: float | None
    bias: float
    bias_low: float | None
    bias_high: float | None


def criterion(line: str) -> str:
    """What a line is counted under: `must_1` and `must_2` are both `must`."""
    return _NUMBERED.sub("", line)


def between(rulings: Sequence[Sequence[Verdict]], level: Level = "ordinal") -> dict[str, dict[str, float | int]]:
    """Krippendorff's alpha of those who scored the same responses, with its interval, for each criterion.

    They are told apart by `judge`, and need not all have scored everything. Left out where alpha is not defined.
    """
    raters = list(dict.fromkeys(each.judge for verdicts in rulings for each in verdicts))
    tables: dict[str, list[list[float | None]]] = {}
    for verdicts in rulings:
        scores = {each.judge: each.scores for each in verdicts}
        for line in dict.fromkeys(name for each in scores.values() for name in each):
            row: list[float | None] = [scores[rater].get(line) if rater in scores else None for rater in raters]
            tables.setdefault(criterion(line), []).append(row)
    found = {
        name: alpha_interval(list(zip(*units, strict=True)), level, resamples=_ALPHAS) for name, units in tables.items()
    }
    return {
        name: {"n": each.n, "alpha": round(each.mean, 4), "low": round(each.low, 4), "high": round(each.high, 4)}
        for name, each in found.items() if len(raters) > 1 and not math.isnan(each.mean)
    }  # fmt: skip


def with_people(
    judge: Sequence[float], people: Sequence[float], scale: tuple[int, int], seed: int = 0, resamples: int = RESAMPLES
) -> Agreement:
    """Compare a judge's scores with people's of the same responses, in the same order."""
    one, other = np.asarray(judge, float), np.asarray(people, float)
    gap = one - other
    low, high = _spearman_interval(one, other, seed, resamples)
    return Agreement(
        len(one), float((np.abs(gap) <= 0.5).mean()), float((np.abs(gap) <= 1).mean()), kappa(one, other, scale),
        _defined(alpha([one.tolist(), other.tolist()], "ordinal")), spearman(one, other), low, high,
        float(gap.mean()), *_bias_interval(gap, seed, resamples),
    )  # fmt: skip


def _bias_interval(gap: Values, seed: int, resamples: int) -> tuple[float | None, float | None]:
    """The 95 % interval of a mean difference; differences that are all the same have no width."""
    if len(gap) < 2:
        return None, None
    if np.ptp(gap) == 0:
        return float(gap[0]), float(gap[0])
    found = interval(gap.tolist(), seed, resamples)
    return found.low, found.high


def kappa(one: Sequence[float] | Values, other: Sequence[float] | Values, scale: tuple[int, int]) -> float | None:
    """Cohen's kappa with quadratic weights; None when both always say the same one thing."""
    width = scale[1] - scale[0]
    gaps = (np.subtract.outer(np.asarray(one, float), np.asarray(other, float)) / width) ** 2
    return None if gaps.mean() == 0 else float(1 - np.diagonal(gaps).mean() / gaps.mean())


def spearman(one: Values, other: Values) -> float | None:
    """Spearman's correlation of ranks, ties at their mean; None when one of the two does not vary."""
    return _defined(float(_correlations(one[None], other[None])[0]))


def _spearman_interval(one: Values, other: Values, seed: int, resamples: int) -> tuple[float | None, float | None]:
    """The 95 % percentile interval over responses. Resamples that do not vary have no correlation and are left out."""
    if len(one) < 3 or spearman(one, other) is None:
        return None, None
    rng, parts, size = np.random.default_rng(seed), list[Values](), max(1, 2_000_000 // len(one))
    for start in range(0, resamples, size):
        drawn = rng.integers(0, len(one), (min(size, resamples - start), len(one)))
        parts.append(_correlations(one[drawn], other[drawn]))
    found = np.concatenate(parts)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(found, (tail, 1 - tail))
    return float(low), float(high)


def _correlations(one: Values, other: Values) -> Values:
    """Spearman's correlation of each row, NaN where a row does not vary."""
    from scipy.stats import rankdata

    ranks = [rankdata(each, axis=1) for each in (one, other)]
    first, second = (each - each.mean(axis=1, keepdims=True) for each in ranks)
    spread = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(spread > 0, (first * second).sum(axis=1) / spread, np.nan), float)


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
