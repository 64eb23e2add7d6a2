"""How sure a number is: bootstrap intervals, paired tests, agreement between raters, strengths from comparisons.

Every draw comes from a seed. Sources: Efron & Tibshirani, An Introduction to the Bootstrap (1993); Wilson (1927) for
shares of 0 and 1, where resampling finds no spread; McNemar (1947), exact; Krippendorff, Content Analysis (2004);
Bradley & Terry (1952), fitted as Hunter, Annals of Statistics 32 (2004), does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mundap.errors import UserError

Values = NDArray[np.float64]
Statistic = Literal["mean", "p50", "p95"]
Level = Literal["nominal", "ordinal", "interval", "ratio"]
RESAMPLES, CONFIDENCE = 10_000, 0.95
_FEW = (
    64  # different values up to which their counts are drawn instead of the values: the same distribution, much faster
)
_CELLS, _BLOCK = 60_000_000, 500  # numbers that are kept, and rows of them that are worked on at a time
_EXACT = 13  # pairs up to which every change of signs is tried


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate from `n` values with its 95 % interval; `method` says how that was found.

    A single value has none (NaN); a share of 0 or 1 gets Wilson's.
    """

    n: int
    mean: float
    low: float
    high: float
    method: Literal["bootstrap", "wilson", "none"]


@dataclass(frozen=True, slots=True)
class Paired:
    """The first minus the second on the same examples, and how likely so large a difference is by chance alone."""

    n: int
    difference: float
    low: float
    high: float
    p: float
    test: Literal["mcnemar", "signs"]


@dataclass(frozen=True, slots=True)
class Strength:
    """How strong one competitor is: a log strength, those of all being 0 on average, with its 95 % interval."""

    name: str
    strength: float
    low: float
    high: float


def interval(
    values: Sequence[float], seed: int = 0, resamples: int = RESAMPLES, statistic: Statistic = "mean"
) -> Interval:
    """The mean (or percentile) of values with its interval.

    Means get a bias-corrected and accelerated bootstrap interval, percentiles of values a plain one.
    """
    data = np.asarray(values, float)
    found = float(data.mean()) if statistic == "mean" else _order(data, statistic)
    if statistic == "mean" and found in (0, 1) and set(data.tolist()) <= {0, 1}:
        return Interval(len(data), found, *wilson(int(data.sum()), len(data)), "wilson")
    if len(data) < 2:
        return Interval(len(data), found, math.nan, math.nan, "none")
    if statistic != "mean":
        low, high = np.quantile(_orders(data, statistic, seed, resamples), _tails())
        return Interval(len(data), found, float(low), float(high), "bootstrap")
    return Interval(len(data), found, *_accelerated(data, _means(data, seed, resamples)), "bootstrap")


def grouped(
    groups: Sequence[Sequence[float]], seed: int = 0, resamples: int = RESAMPLES, statistic: Statistic = "mean"
) -> Interval:
    """The same for groups of values, such as several answers to each item: whole groups are drawn, and `n` counts them.

    In a mean every group weighs the same; a percentile is that of all values.
    """
    if statistic == "mean" or max(map(len, groups)) == 1:
        return interval([fmean(group) for group in groups], seed, resamples, statistic)
    found = _order(np.concatenate([np.asarray(group, float) for group in groups]), statistic)
    if len(groups) < 2:
        return Interval(len(groups), found, math.nan, math.nan, "none")
    low, high = np.quantile(_orders_of(groups, statistic, seed, resamples), _tails())
    return Interval(len(groups), found, float(low), float(high), "bootstrap")


def worst(values: Sequence[float], k: int) -> float:
    """Worst-at-k: the least of k of the values, on average over every choice of k of them (k from 1, the mean)."""
    ways = [math.comb(len(values) - place, k - 1) for place in range(1, len(values) + 1)]
    return sum(way * value for way, value in zip(ways, sorted(values), strict=True)) / math.comb(len(values), k)


def paired(first: Sequence[float], second: Sequence[float], seed: int = 0, resamples: int = RESAMPLES) -> Paired:
    """Compare two lists of values of the same examples, in the same order.

    Values of 0 and 1 are tested by McNemar's exact test, others by changing the signs of their differences.
    """
    one, other = np.asarray(first, float), np.asarray(second, float)
    if len(one) != len(other) or not len(one):
        raise UserError(f"a paired test needs two lists of one length, found {len(one)} and {len(other)} values")
    gap = one - other
    low, high = _accelerated(gap, _means(gap, seed, resamples)) if len(gap) > 1 else (math.nan, math.nan)
    if set(np.concatenate([one, other]).tolist()) <= {0, 1}:
        low, high = _alike(gap) if np.ptp(gap) == 0 else (low, high)
        p = mcnemar(int((gap > 0).sum()), int((gap < 0).sum()))
        return Paired(len(gap), float(gap.mean()), low, high, p, "mcnemar")
    return Paired(len(gap), float(gap.mean()), low, high, _signs(gap, seed, resamples), "signs")


def _alike(gap: Values) -> tuple[float, float]:
    """The interval of a difference of shares that is the same for every example, by Wilson's for what was never seen."""
    unseen = wilson(0, len(gap))[1]
    return max(-1.0, float(gap[0]) - unseen), min(1.0, float(gap[0]) + unseen)


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p of McNemar's test: how often only one of the two was right."""
    from scipy.stats import binomtest

    both = only_first + only_second
    return float(binomtest(only_first, both, 0.5).pvalue) if both else 1.0


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    from scipy.stats import binomtest

    found = binomtest(hits, n).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def alpha(table: Sequence[Sequence[float | None]], level: Level = "nominal") -> float:
    """Krippendorff's alpha of raters (rows) x units (columns), None where a rater said nothing.

    NaN where it is not defined: no unit has two ratings. Raters who all always say the same one thing agree (1).
    """
    import krippendorff

    data = np.array([[np.nan if value is None else value for value in row] for row in table], float)
    data = data[:, (~np.isnan(data)).sum(axis=0) > 1] if data.size else data
    if not data.size:
        return math.nan
    if len(np.unique(data[~np.isnan(data)])) == 1:
        return 1.0
    return float(krippendorff.alpha(reliability_data=data, level_of_measurement=level))


def alpha_interval(
    table: Sequence[Sequence[float | None]], level: Level = "nominal", seed: int = 0, resamples: int = 1000
) -> Interval:
    """Krippendorff's alpha with a bootstrap interval over units. A resample without an alpha is left out."""
    units, found = len(table[0]) if table else 0, alpha(table, level)
    if math.isnan(found) or units < 2:
        return Interval(units, found, found, found, "none")
    cells, values = _coincidences(np.array([[np.nan if v is None else v for v in row] for row in table], float))
    cells, alike = np.unique(cells, axis=0, return_counts=True)  # how often each kind of unit is drawn is multinomial
    times = np.random.default_rng(seed).multinomial(units, alike / units, resamples)
    made = _alphas((times.astype(float) @ cells).reshape(-1, len(values), len(values)), values, level)
    if not len(made := made[~np.isnan(made)]):
        return Interval(units, found, found, found, "none")
    low, high = np.quantile(made, _tails())
    return Interval(units, found, float(low), float(high), "bootstrap")


def bradley_terry(wins: Mapping[tuple[str, str], float], seed: int = 0, resamples: int = 1000) -> list[Strength]:
    """Strengths from how often the first of each pair beat the second (a tie is half a win for both), strongest first.

    Intervals are of a parametric bootstrap over the comparisons. Raises `UserError` when some competitors never met,
    even through others, so that no order between them exists. One that won or lost everything has no finite strength:
    half a win is then given to both sides of every pair that met.
    """
    names = sorted({name for pair in wins for name in pair})
    table = np.zeros((len(names), len(names)))
    for (winner, loser), count in wins.items():
        table[names.index(winner), names.index(loser)] += count
    _check_met(table, names)
    met = table + table.T
    found, rng = _strengths(table), np.random.default_rng(seed)
    chance = _chances(found)
    made = np.array([_strengths(_played(met, chance, rng)) for _ in range(resamples)]).reshape(-1, len(names))
    low, high = np.quantile(made, _tails(), axis=0) if resamples else (found, found)
    rows = [Strength(*row) for row in zip(names, found.tolist(), low.tolist(), high.tolist(), strict=True)]
    return sorted(rows, key=lambda row: -row.strength)


def _coincidences(data: Values) -> tuple[Values, Values]:
    """What each unit adds to Krippendorff's table of coincidences (units x values squared), and the values."""
    values = np.unique(data[~np.isnan(data)])
    counts = (data[:, :, None] == values).sum(axis=0).astype(float)
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(len(values))
    shares = pairs / np.maximum(counts.sum(axis=1) - 1, 1)[:, None, None]
    return shares.reshape(len(counts), -1), values


def _alphas(tables: Values, values: Values, level: Level) -> Values:
    """Alpha of each table of coincidences: 1 where there is one value only, NaN where there is none."""
    each = tables.sum(axis=2)
    ranks = np.cumsum(each, axis=1) - each / 2 if level == "ordinal" else np.broadcast_to(values, each.shape)
    one, other = ranks[:, :, None], ranks[:, None, :]
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = np.where(one == other, 0.0, (one - other) / (one + other)) if level == "ratio" else one - other
        apart = np.broadcast_to(1 - np.eye(len(values)), tables.shape) if level == "nominal" else apart**2
        expected = (each[:, :, None] * each[:, None, :] * apart).sum(axis=(1, 2)) / (each.sum(axis=1) - 1)
        found = 1 - (tables * apart).sum(axis=(1, 2)) / expected
    return np.where(each.sum(axis=1) == 0, np.nan, np.where(expected > 0, found, 1.0))


def _tails() -> tuple[float, float]:
    return (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2


def _means(data: Values, seed: int, resamples: int) -> Values:
    """Means of resamples. Few different values: how often each is drawn is multinomial, the means are the same."""
    different, counts = np.unique(data, return_counts=True)
    if len(different) <= _FEW:
        drawn = np.random.default_rng(seed).multinomial(len(data), counts / len(data), resamples)
        return np.asarray(drawn @ different / len(data), float)
    return np.concatenate([times @ data for times in _blocks(_drawn, len(data), seed, resamples)]) / len(data)


def _blocks(make: Callable[[int, int, int], Any], n: int, seed: int, resamples: int) -> Iterator[Values]:
    """Rows of numbers, a block at a time; they are made once for measures of as many examples, if they fit in memory."""
    if n * resamples > _CELLS:
        most = max(1, _CELLS // n)
        parts = [(seed + start, min(most, resamples - start)) for start in range(0, resamples, most)]
        yield from (make.__wrapped__(n, *part).astype(float) for part in parts)  # type: ignore[attr-defined]
        return
    rows = make(n, seed, resamples)
    yield from (rows[start : start + _BLOCK].astype(float) for start in range(0, resamples, _BLOCK))


@lru_cache(maxsize=2)
def _drawn(n: int, seed: int, resamples: int) -> NDArray[np.uint8]:
    """How often each of n values is in each resample (resamples x n)."""
    rng, rows = np.random.default_rng(seed), []
    for start in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - start)
        places = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        rows.append(np.bincount(places.ravel(), minlength=size * n).reshape(size, n).astype(np.uint8))
    return np.concatenate(rows)


@lru_cache(maxsize=2)
def _flips(n: int, seed: int, resamples: int) -> NDArray[np.int8]:
    """Signs by chance (resamples x n)."""
    return np.random.default_rng(seed).integers(0, 2, (resamples, n), np.int8) * 2 - 1


def _accelerated(data: Values, means: Values) -> tuple[float, float]:
    """The BCa interval of a mean: the tails are moved by the bias and the skewness that the data show."""
    from scipy.stats import norm

    centre = data.mean()
    below = ((means < centre).sum() + 0.5 * (means == centre).sum()) / len(means)
    if not 0 < below < 1 or np.ptp(data) == 0:
        low, high = np.quantile(means, _tails())
        return float(low), float(high)
    gaps = data - centre  # a mean without one value lies (centre - value) / (n - 1) from the mean
    acceleration = (gaps**3).sum() / (6 * (gaps**2).sum() ** 1.5)
    bias, normal = norm.ppf(below), norm.ppf(_tails())
    moved = norm.cdf(bias + (bias + normal) / (1 - acceleration * (bias + normal)))
    low, high = np.quantile(means, moved)
    return float(low), float(high)


def _rank(n: int, statistic: Statistic) -> int:
    """Which of n sorted values, from 1, is the percentile: the smallest that so many are not above."""
    return max(1, math.ceil(n * int(statistic[1:]) / 100))


def _order(data: Values, statistic: Statistic) -> float:
    return float(np.sort(data)[_rank(len(data), statistic) - 1])


def _orders(data: Values, statistic: Statistic, seed: int, resamples: int) -> Values:
    """That percentile of resamples: the k-th of n uniform numbers has the distribution Beta(k, n - k + 1)."""
    n, rank = len(data), _rank(len(data), statistic)
    draws = np.random.default_rng(seed).beta(rank, n - rank + 1, resamples)
    places = (n * draws).astype(int)
    return np.asarray(np.sort(data)[np.minimum(places, n - 1)], float)


def _orders_of(groups: Sequence[Sequence[float]], statistic: Statistic, seed: int, resamples: int) -> Values:
    """The same of resamples of whole groups: each value counts as often as its group was drawn."""
    data = np.concatenate([np.asarray(group, float) for group in groups])
    order = np.argsort(data, kind="stable")
    whose = np.repeat(np.arange(len(groups)), [len(group) for group in groups])[order]
    places = []
    for times in _blocks(_drawn, len(groups), seed, resamples):
        below = times[:, whose].cumsum(axis=1)
        places.append((below * 100 >= below[:, -1:] * int(statistic[1:])).argmax(axis=1))
    return np.asarray(data[order][np.concatenate(places)], float)


def _signs(gap: Values, seed: int, resamples: int) -> float:
    """Two-sided p of the mean difference when each difference could as well have the other sign."""
    seen, moved = abs(gap.sum()) * (1 - 1e-12), gap[gap != 0]
    if not len(moved):
        return 1.0
    if len(moved) <= _EXACT:
        signs = (np.arange(1 << len(moved))[:, None] >> np.arange(len(moved)) & 1) * 2 - 1
        return float((np.abs(signs @ moved) >= seen).mean())
    hits = sum(int((np.abs(signs @ gap) >= seen).sum()) for signs in _blocks(_flips, len(gap), seed, resamples))
    return (hits + 1) / (resamples + 1)


def _check_met(table: Values, names: Sequence[str]) -> None:
    from scipy.sparse.csgraph import connected_components

    if (table < 0).any() or len(names) < 2:
        raise UserError("strengths need two competitors or more and counts of wins that are not negative")
    parts, where = connected_components(table + table.T > 0, directed=False)
    if parts > 1:
        apart = [name for name, part in zip(names, where, strict=True) if part != where[0]]
        raise UserError(
            f"{', '.join(apart)} were never compared with {names[0]}, even through others; compare them too"
        )


def _strengths(table: Values) -> Values:
    """Log strengths of the largest likelihood, by minorisation and maximisation."""
    from scipy.sparse.csgraph import connected_components

    if connected_components(table > 0, directed=True, connection="strong")[0] > 1:
        table = table + 0.5 * (table + table.T > 0)
    met, won = table + table.T, table.sum(axis=1)
    strength = np.ones(len(table))
    for _ in range(10_000):
        better = won / (met / (strength[:, None] + strength)).sum(axis=1)
        better /= np.exp(np.log(better).mean())
        if np.abs(np.log(better / strength)).max() < 1e-9:
            break
        strength = better
    return np.asarray(np.log(better), float)


def _chances(strengths: Values) -> Values:
    """How likely the row's competitor beats the column's."""
    return np.asarray(1 / (1 + np.exp(strengths[None, :] - strengths[:, None])), float)


def _played(met: Values, chance: Values, rng: np.random.Generator) -> Values:
    """The same comparisons once more, with results by chance. Half comparisons are rounded up."""
    times = np.triu(np.ceil(met), 1).astype(int)
    won = rng.binomial(times, np.triu(chance, 1)).astype(float)
    return np.asarray(won + (times - won).T, float)


def rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers as they go into a file: six digits, and None for what is not a number."""
    return {key: _number(value) if isinstance(value, float) else value for key, value in values.items()}


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
