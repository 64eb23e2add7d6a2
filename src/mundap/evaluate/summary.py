"""From scores to numbers that can be read: each measure with its interval, each two targets with a paired test."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

from mundap import prompts
from mundap.evaluate.metrics import Measure, Scored, measure_of
from mundap.evaluate.replies import Answer, Answers
from mundap.evaluate.statistics import grouped, paired, rounded
from mundap.evaluate.targets import Target
from mundap.progress import Progress
from mundap.store import digest

DATA = "data"  # what scores of no target stand under
Place = tuple[str, str, str]  # target, set, metric


@dataclass
class Table:
    """All scores of an evaluation, by target, set and metric: of each example one, or one for each answer to it."""

    values: dict[Place, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(dict))
    failures: dict[Place, int] = field(default_factory=lambda: defaultdict(int))
    measures: dict[Place, Measure] = field(default_factory=dict)

    def add(self, target: str, scores: Iterable[Scored], measures: Mapping[str, Measure]) -> None:
        """Take in the scores of one metric for one target."""
        for score in scores:
            place = (target, score.set, score.metric)
            self.measures.setdefault(place, measure_of(measures, score.metric))
            if score.value is None:
                self.failures[place] += 1
            else:
                self.values[place].setdefault(score.example, []).append(score.value)

    @property
    def failed(self) -> dict[str, int]:
        """How many scorings failed, by metric."""
        found: dict[str, int] = defaultdict(int)
        for (_, _, metric), count in self.failures.items():
            found[f"{metric}: failed"] += count
        return dict(sorted(found.items()))

    def summed(self, seed: int, resamples: int) -> list[dict[str, Any]]:
        """Each measure as plain data. Without a single value the numbers are None."""
        with Progress("evaluate: intervals", len(self.measures)) as bar:
            return [self._summed(place, seed, resamples, bar) for place in self._ordered()]

    def _summed(self, place: Place, seed: int, resamples: int, bar: Progress) -> dict[str, Any]:
        target, set_name, metric = place
        measure, values = self.measures[place], list(self.values[place].values())
        found = grouped(values, seed, resamples, measure.statistic) if values else None
        numbers = rounded({"mean": found and found.mean, "low": found and found.low, "high": found and found.high})
        bar.advance(1)
        return {
            "target": target, "set": set_name, "metric": metric, "n": len(values), "failures": self.failures.get(place, 0),
            **numbers, "method": found.method if found else "none", "better": measure.better, "unit": measure.unit,
            "chance": measure.chance, "scale": measure.scale, "statistic": measure.statistic, "group": measure.group,
            "tested": measure.tested,
        }  # fmt: skip

    def compared(self, seed: int, resamples: int) -> list[dict[str, Any]]:
        """Each two targets on each measure that is a mean, on the examples that both have."""
        pairs = list(self._pairs())
        with Progress("evaluate: paired tests", len(pairs)) as bar:
            return [self._compared(one, other, seed, resamples, bar) for one, other in pairs]

    def _compared(self, one: Place, other: Place, seed: int, resamples: int, bar: Progress) -> dict[str, Any]:
        both = [example for example in self.values[one] if example in self.values[other]]
        first, second = ([fmean(self.values[place][example]) for example in both] for place in (one, other))
        found = paired(first, second, seed, resamples)
        bar.advance(1)
        return {"a": one[0], "b": other[0], "set": one[1], "metric": one[2], **rounded(asdict(found))}

    def _pairs(self) -> Iterator[tuple[Place, Place]]:
        """Places that differ in the target only; parts of a measure (`triage.recall:typo`) are not tested."""
        by: dict[tuple[str, str], list[Place]] = defaultdict(list)
        for place in self._ordered():
            measure = self.measures[place]
            if measure.statistic == "mean" and measure.tested and not self._part(place):
                by[place[1], place[2]].append(place)
        for places in by.values():
            yield from (pair for pair in combinations(places, 2) if self.values[pair[0]].keys() & self.values[pair[1]].keys())  # fmt: skip

    def _part(self, place: Place) -> bool:
        whole, colon, _ = place[2].partition(":")
        return bool(colon) and (place[0], place[1], whole) in self.measures

    def _ordered(self) -> list[Place]:
        """Places by set and metric, targets beside each other, each in the order it came in."""
        sets, metrics, targets = (list(dict.fromkeys(place[n] for place in self.measures)) for n in (1, 2, 0))
        return sorted(self.measures, key=lambda p: (sets.index(p[1]), metrics.index(p[2]), targets.index(p[0])))


def described(target: Target, answers: Sequence[Answers]) -> dict[str, Any]:
    """A target as it stands in the summary: what it is, how it decodes, what its answers took."""
    use = target.use
    config = use.config if use else {}
    template = _template(target)
    return {
        "name": target.name, "model": _label(target), "adapter": Path(str(config["adapter"])).name if config.get("adapter") else None,
        "template": template, "options": asdict(target.options), "digests": _digests(target),
        "cost": _cost(target, [answer for each in answers for every in each.values() for answer in every]),
    }  # fmt: skip


def _label(target: Target) -> str:
    if target.use is None:
        return "none"
    config = target.use.config
    name = config.get("name") or (Path(str(config["path"])).stem if config.get("path") else target.use.use)
    return f"{name}, {config['dtype']}" if config.get("dtype") else str(name)


def _template(target: Target) -> dict[str, str] | None:
    if not target.template:
        return None
    return {"name": target.template, "digest": prompts.digest(target.template)}


def _digests(target: Target) -> dict[str, str]:
    found = target.identity
    return {"target": digest(found), **{key: digest(found[key]) for key in ("model", "code") if found.get(key)}}


def _cost(target: Target, answers: Sequence[Answer]) -> dict[str, Any]:
    """What the answers took, and their price where the recipe says one (of a million prompt and completion tokens)."""
    models = [answer for answer in answers if answer.unit == "token"]
    read, written = sum(each.prompt for each in models), sum(each.completion for each in models)
    found: dict[str, Any] = {
        "answers": len(answers), "failed": sum(each.finish == "error" for each in answers),
        "seconds": round(sum(each.seconds for each in answers), 2), "prompt_tokens": read, "completion_tokens": written,
    }  # fmt: skip
    prices = target.recipe.evaluate.prices
    name = target.name.rpartition(":")[2]
    if name in prices:
        found["money"] = round((read * prices[name][0] + written * prices[name][1]) / 1_000_000, 6)
    return found
