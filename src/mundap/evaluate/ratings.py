"""What people's judgements come to: who is better, how much raters agree, errors, and preferences to train on."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mundap.errors import UserError
from mundap.evaluate.people import SIDES, Judgement, Pair, Side, form, shown
from mundap.evaluate.statistics import Interval, Strength, alpha_interval, bradley_terry, interval

_CHOSEN: Mapping[str, float] = {"first": 1.0, "tie": 0.0, "second": -1.0}


@dataclass(frozen=True, slots=True)
class Agreement:
    """Krippendorff's alpha on one question of the form, over `alpha.n` answers or pairs that two or more people judged."""

    about: str
    alpha: Interval


@dataclass(frozen=True, slots=True)
class Ratings:
    """All results. `left` is how often the answer on the left was preferred: near 0.5 when places do not matter."""

    strengths: Sequence[Strength]
    agreement: Sequence[Agreement]
    scores: Mapping[str, Mapping[str, Interval]]
    tags: Mapping[str, Mapping[str, int]]
    judged: Mapping[str, int]
    left: Interval | None
    why: str = ""


def ratings(
    pairs: Mapping[str, Pair], judgements: Sequence[Judgement], seed: int = 0, resamples: int = 1000
) -> Ratings:
    """What all judgements come to. Intervals are 95 %; `why` says why there are no strengths."""
    strengths, why = _strengths(pairs, judgements, seed, resamples)
    left = [float(shown(each.pair, each.rater)[0] == each.choice) for each in judgements if each.choice != "tie"]
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    tags: dict[str, Counter[str]] = defaultdict(Counter)
    judged: Counter[str] = Counter()
    for each, side in ((each, side) for each in judgements for side in SIDES):
        name, mark = pairs[each.pair].name(side), each.mark(side)
        judged[name] += 1
        tags[name].update(mark.tags)
        for criterion, score in mark.scores.items():
            scores[name][criterion].append(score)
    means = {
        name: {key: interval(values, seed, resamples) for key, values in found.items()}
        for name, found in scores.items()
    }
    agreement = _agreements(judgements, seed, resamples)
    return Ratings(strengths, agreement, means, tags, judged, interval(left, seed, resamples) if left else None, why)


def preferences(
    pairs: Mapping[str, Pair], judgements: Sequence[Judgement]
) -> tuple[list[dict[str, Any]], Mapping[str, int]]:
    """Rows for TRL's preference trainers (`prompt`, `chosen`, `rejected` as messages), and why pairs gave none.

    A pair counts by what most of its raters said; an answer that anybody found seriously wrong is never the chosen one.
    """
    rows, left, by_pair = [], Counter[str](), defaultdict[str, list[Judgement]](list)
    for each in judgements:
        by_pair[each.pair].append(each)
    for name, said in sorted(by_pair.items()):
        better = _better(said)
        if better is None:
            left["tie"] += 1
        elif _serious(said, better):
            left["serious error in the better answer"] += 1
        else:
            rows.append(_preference(pairs[name], better))
    return rows, left


def _preference(pair: Pair, better: Side) -> dict[str, Any]:
    worse = SIDES[1 - SIDES.index(better)]
    return {
        "prompt": [{"role": role, "content": text} for role, text in pair.turns],
        "chosen": [{"role": "assistant", "content": pair.text(better)}],
        "rejected": [{"role": "assistant", "content": pair.text(worse)}],
    }


def _better(said: Sequence[Judgement]) -> Side | None:
    total = sum(_CHOSEN[each.choice] for each in said)
    return None if total == 0 else SIDES[0] if total > 0 else SIDES[1]


def _serious(said: Sequence[Judgement], side: Side) -> bool:
    return any(form()["tags"][tag].get("serious") for each in said for tag in each.mark(side).tags)


def _strengths(
    pairs: Mapping[str, Pair], judgements: Sequence[Judgement], seed: int, resamples: int
) -> tuple[Sequence[Strength], str]:
    wins: dict[tuple[str, str], float] = defaultdict(float)
    for each in judgements:
        pair, share = pairs[each.pair], (1 + _CHOSEN[each.choice]) / 2  # a tie is half a win for both
        wins[pair.first, pair.second] += share
        wins[pair.second, pair.first] += 1 - share
    if not wins:
        return (), "nothing has been judged yet"
    try:
        return bradley_terry(wins, seed, resamples), ""
    except UserError as error:
        return (), str(error)


def _agreements(judgements: Sequence[Judgement], seed: int, resamples: int) -> list[Agreement]:
    """On the choice, on the scores of each criterion and on each error tag, where two people judged the same."""
    both = [(_unit(each, side), each.mark(side)) for each in judgements for side in SIDES]
    chosen = {(each.rater, each.pair): _CHOSEN[each.choice] for each in judgements}
    asked: list[tuple[str, Literal["nominal", "ordinal"], dict[tuple[str, str], float]]] = [
        ("choice", "nominal", chosen)
    ]
    for name in form()["criteria"]:
        asked.append((name, "ordinal", {unit: float(mark.scores[name]) for unit, mark in both if name in mark.scores}))
    for name in form()["tags"]:
        asked.append((name, "nominal", {unit: float(name in mark.tags) for unit, mark in both}))
    tables = ((about, level, _table(given)) for about, level, given in asked)
    return [Agreement(about, alpha_interval(table, level, seed, resamples)) for about, level, table in tables if table]


def _unit(judgement: Judgement, side: Side) -> tuple[str, str]:
    return judgement.rater, f"{judgement.pair}/{side}"


def _table(given: Mapping[tuple[str, str], float]) -> list[list[float | None]]:
    """Raters x units, of units that two or more raters have; empty without any."""
    seen = Counter(unit for _, unit in given)
    units = [unit for unit, count in sorted(seen.items()) if count > 1]
    raters = sorted({rater for rater, unit in given if seen[unit] > 1})
    return [[given.get((rater, unit)) for unit in units] for rater in raters] if units else []
