"""Statistics against known answers: simulated data, published examples, other libraries."""

from __future__ import annotations

import math
from itertools import combinations
from math import comb

import numpy as np
import pytest

from mundap.errors import UserError
from mundap.evaluate.statistics import (
    Level,
    alpha,
    alpha_interval,
    bradley_terry,
    grouped,
    interval,
    mcnemar,
    paired,
    wilson,
    worst,
)

# Four coders, twelve units: Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section D. Published:
# nominal .743, ordinal .815, interval .849, ratio .797.
N = None
CODERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
    [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
]
# Games of the American League's east in 1987: Agresti, Categorical Data Analysis (2002), table 10.10 and 10.11; with
# Baltimore at 0 the published strengths are Milwaukee 1.58, Detroit 1.44, Toronto 1.29, New York 1.25, Boston 1.11,
# Cleveland 0.68.
TEAMS = ("Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore")
GAMES = [
    [0, 7, 9, 7, 7, 9, 11],
    [6, 0, 7, 5, 11, 9, 9],
    [4, 6, 0, 7, 7, 8, 12],
    [6, 8, 6, 0, 6, 7, 10],
    [6, 2, 6, 7, 0, 7, 12],
    [4, 4, 5, 6, 6, 0, 6],
    [2, 4, 1, 3, 1, 7, 0],
]
WINS = {(a, b): GAMES[i][j] for i, a in enumerate(TEAMS) for j, b in enumerate(TEAMS) if i != j}


@pytest.mark.parametrize("shape", ["normal", "share", "skewed"])
def test_intervals_cover_the_truth_as_often_as_they_say(shape: str) -> None:
    rng, hits = np.random.default_rng(11), 0
    truth = {"normal": 0.0, "share": 0.3, "skewed": 1.0}[shape]
    for run in range(300):
        drawn = {"normal": rng.normal(size=50), "share": rng.random(50) < 0.3, "skewed": rng.gamma(4, 0.25, 50)}[shape]
        found = interval(drawn.astype(float).tolist(), seed=run, resamples=500)
        hits += found.low <= truth <= found.high
    assert 0.92 <= hits / 300 <= 0.98


def test_a_mean_s_interval_is_scipy_s() -> None:
    from scipy.stats import bootstrap

    values = np.random.default_rng(3).lognormal(size=200)
    ours = interval(values.tolist(), seed=5, resamples=4000)
    theirs = bootstrap((values,), np.mean, n_resamples=4000, rng=np.random.default_rng(5)).confidence_interval
    assert ours.low == pytest.approx(theirs.low, rel=0.02) and ours.high == pytest.approx(theirs.high, rel=0.02)
    assert (
        ours == interval(values.tolist(), seed=5, resamples=4000) != interval(values.tolist(), seed=6, resamples=4000)
    )


def test_few_different_values_have_the_interval_of_many() -> None:
    grid = np.round(np.random.default_rng(4).normal(size=300), 1)
    shaken = grid + np.random.default_rng(5).normal(size=300) * 1e-9
    coarse, fine = interval(grid.tolist(), 1), interval(shaken.tolist(), 1)
    assert len(set(grid)) <= 64 < len(set(shaken))
    assert (coarse.low, coarse.high) == pytest.approx((fine.low, fine.high), abs=0.01)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_share_that_never_varies_is_not_certain(value: float) -> None:
    found = interval([value] * 20)
    assert found.method == "wilson" and (found.low, found.high) == wilson(int(20 * value), 20)
    assert found.high - found.low == pytest.approx(0.1611, abs=1e-3)  # Wilson 1927: z^2 / (n + z^2)


def test_one_value_has_no_interval_and_equal_ones_no_width() -> None:
    assert math.isnan(interval([3.5]).low)
    same = interval([2.5] * 9)
    assert same.low == same.high == 2.5


def test_percentiles_are_values_of_the_data() -> None:
    values = list(map(float, range(1, 101)))
    median, tail = interval(values, statistic="p50"), interval(values, statistic="p95")
    assert (median.mean, tail.mean) == (50, 95)
    assert 38 <= median.low <= 43 and 57 <= median.high <= 62  # the order statistics 40 and 61 bound it by the binomial
    assert tail.high <= 100


def test_worst_at_k_is_the_mean_of_every_choice_of_k() -> None:
    values = [0.9, 0.2, 0.2, 0.7, 1.0]
    for k in range(1, 6):
        choices = [min(chosen) for chosen in combinations(values, k)]
        assert worst(values, k) == pytest.approx(np.mean(choices))
    assert worst([0.0] * 3 + [1.0] * 7, 5) == pytest.approx(comb(7, 5) / comb(10, 5))  # all five are good ones


def test_worst_at_k_is_not_biased_by_the_number_of_answers() -> None:
    """Of uniform scores the least of k is 1 / (k + 1) on average, from however many answers it is told."""
    drawn = np.random.default_rng(1).uniform(size=(4000, 6))
    for k in (1, 2, 4):
        for answers in (k, 6):
            assert np.mean([worst(row[:answers], k) for row in drawn]) == pytest.approx(1 / (k + 1), abs=0.01)


def test_groups_are_drawn_as_a_whole() -> None:
    """Answers to one item are alike: taken for items of their own they would look far surer than they are."""
    rng = np.random.default_rng(3)
    groups = [[value + noise for noise in rng.normal(0, 0.01, 8)] for value in rng.normal(0, 1, 40)]
    flat = [value for group in groups for value in group]
    for statistic in ("mean", "p50", "p95"):
        found, naive = grouped(groups, statistic=statistic), interval(flat, statistic=statistic)
        alone = interval([group[0] for group in groups], statistic=statistic)
        assert (found.n, naive.n, found.mean) == (40, 320, pytest.approx(naive.mean))
        assert found.high - found.low > 1.5 * (naive.high - naive.low) and found.low < found.mean < found.high
        assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=0.05)
    assert grouped([[value] for value in flat], statistic="p95") == interval(flat, statistic="p95")
    assert grouped([[1.0, 3.0], [5.0]]).mean == 3.5  # an item with a failed answer weighs as much as others


def test_the_paired_tests_are_scipy_s() -> None:
    from scipy.stats import permutation_test

    rng = np.random.default_rng(8)
    one = rng.normal(size=40)
    other = one - 0.3 + rng.normal(size=40) * 0.8
    ours = paired(one.tolist(), other.tolist(), seed=2)
    theirs = permutation_test(
        (one, other), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples", vectorized=True,
        n_resamples=10_000, rng=np.random.default_rng(2),
    )  # fmt: skip
    assert ours.test == "signs" and ours.difference == pytest.approx(float(np.mean(one - other)))
    assert ours.p == pytest.approx(float(theirs.pvalue), abs=0.015)
    assert ours.low < ours.difference < ours.high
    few = paired([1.0, 2.0, 3.5], [0.0, 0.5, 0.0])
    assert few.p == 2 / 8  # all three differ the same way: two of eight changes of signs are as extreme


def test_mcnemar_is_the_published_example() -> None:
    # Agresti 2002, section 10.1: 150 and 86 changed their minds, z = -4.17, which is 3.1e-05; exactly, a little more.
    assert 3.1e-5 < mcnemar(86, 150) == mcnemar(150, 86) < 4.5e-5
    assert mcnemar(0, 0) == 1.0
    found = paired([1, 1, 1, 0] * 10, [1, 0, 0, 0] * 10)
    assert found.test == "mcnemar" and found.difference == 0.5 and found.p == pytest.approx(2 * 0.5**20)


def test_equal_shares_leave_room_for_a_difference_never_seen() -> None:
    found = paired([1.0] * 20, [1.0] * 20)
    assert found.difference == 0 and found.p == 1 and found.low == pytest.approx(-0.161, abs=1e-3)
    assert found.high == -found.low


def test_unpaired_lists_are_refused() -> None:
    with pytest.raises(UserError, match="2 and 3 values"):
        paired([1.0, 2.0], [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)]
)
def test_alpha_is_krippendorff_s(level: str, published: float) -> None:
    assert alpha(CODERS, level) == pytest.approx(published, abs=6e-4)  # type: ignore[arg-type]


def test_alpha_of_no_overlap_and_of_one_opinion() -> None:
    assert math.isnan(alpha([[1, None], [None, 2]]))
    assert alpha([[1, 1, 1], [1, 1, 1]]) == 1.0
    found = alpha_interval(CODERS, "nominal", seed=1, resamples=200)
    assert found.low < 0.743 < found.high <= 1 and math.isnan(alpha_interval([[1, None], [None, 2]]).mean)


def test_strengths_are_agresti_s() -> None:
    found = {row.name: row for row in bradley_terry(WINS, resamples=200)}
    above = {name: row.strength - found["Baltimore"].strength for name, row in found.items()}
    published = (1.58, 1.44, 1.29, 1.25, 1.11, 0.68, 0.0)
    assert [above[name] for name in TEAMS] == pytest.approx(published, abs=0.006)
    assert list(found) == list(TEAMS)  # strongest first
    assert sum(row.strength for row in found.values()) == pytest.approx(0, abs=1e-9)
    assert found["Baltimore"].high < found["Milwaukee"].low
    assert all(0.3 < row.high - row.low < 1.4 for row in found.values())


def test_strengths_of_one_who_always_wins_are_finite_and_of_strangers_refused() -> None:
    found = bradley_terry({("a", "b"): 5, ("b", "c"): 3, ("c", "b"): 2}, resamples=50)
    assert found[0].name == "a" and math.isfinite(found[0].strength)
    with pytest.raises(UserError, match="c, d were never compared with a"):
        bradley_terry({("a", "b"): 2, ("c", "d"): 1})


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval", "ratio"])
def test_alpha_of_resamples_is_krippendorff_s(level: Level) -> None:
    from mundap.evaluate.statistics import _alphas, _coincidences

    data = np.array([[np.nan if value is None else value for value in row] for row in CODERS], float)
    cells, values = _coincidences(data)
    rng = np.random.default_rng(2)
    for places in (range(12), *(rng.integers(0, 12, 12) for _ in range(20))):
        table = cells[list(places)].sum(axis=0).reshape(1, len(values), len(values))
        drawn = [[row[place] for place in places] for row in CODERS]
        assert _alphas(table, values, level)[0] == pytest.approx(alpha(drawn, level))
