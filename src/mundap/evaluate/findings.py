"""What a comparison comes to: which target is first on each key measure, how sure that is, answers worth reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random

from mundap import config
from mundap.errors import UserError
from mundap.evaluate import item_sets
from mundap.evaluate.compare import Comparison, Difference, Measure, Run
from mundap.evaluate.replies import file_name
from mundap.store import Work, read_jsonl

SURE = 0.05  # p below which a difference is called clear, where its interval does not hold 0 either
_EACH = 3  # samples of each kind
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Lead:
    """Who is first on a measure, who is second, and the first minus the second where they were paired.

    `joint` are all with the best value; `p` is the difference's, corrected for all key measures.
    """

    group: str
    first: Measure
    second: Measure
    difference: Difference | None
    joint: tuple[str, ...]
    all_equal: bool
    p: float | None = None

    @property
    def tie(self) -> bool:
        """Whether nobody is first alone."""
        return len(self.joint) > 1

    @property
    def sure(self) -> bool | None:
        """Whether chance is a poor explanation of the lead; None when it was not tested."""
        return None if self.difference is None else clear(self.difference, self.p)


@dataclass(frozen=True, slots=True)
class Headline:
    """Which targets are first most often (several when equal), on how many of the key measures, and how many are clear."""

    targets: tuple[str, ...]
    first: int
    of: int
    sure: int


@dataclass(frozen=True, slots=True)
class Said:
    """What one target answered, and its value by the measure that chose the sample."""

    target: str
    text: str
    finish: str
    value: float | None


@dataclass(frozen=True, slots=True)
class Sample:
    """A question with an answer of each target. No turns: its text is not at hand."""

    set: str
    item: str
    turns: tuple[tuple[str, str], ...]
    answers: tuple[Said, ...]


@dataclass(frozen=True, slots=True)
class Samples:
    """Items where `target` does best and worst by `metric`, and random ones.

    Of several answers of a target its best one is shown on the former, its worst on the latter, else its first.
    """

    target: str
    metric: str
    seed: int
    chosen: Mapping[str, tuple[Sample, ...]]


@dataclass(frozen=True, slots=True)
class Worst:
    """Worst-at-k of one measure on one set: of each target a value for each k from 1, which is the measure itself."""

    set: str
    metric: str
    rows: Mapping[str, tuple[Measure | None, ...]]

    @property
    def columns(self) -> list[str]:
        """What stands above each value; a target that gave fewer answers than another has fewer values."""
        return [f"k = {k}" for k in range(1, max(map(len, self.rows.values())) + 1)]


def worst(comparison: Comparison) -> list[Worst]:
    """Every measure that was taken of several answers to each item."""
    found: dict[Key, dict[str, dict[int, Measure]]] = {}
    for each in comparison.measures:
        if told := worst_at(each.metric):
            found.setdefault((each.set, told[0]), {}).setdefault(each.target, {})[told[1]] = each
    means = {(each.set, each.metric, each.target): each for each in comparison.measures}
    return [
        Worst(name, metric, {
            target: (means.get((name, metric, target)), *(at.get(k) for k in range(2, max(at) + 1)))
            for target, at in targets.items()
        }) for (name, metric), targets in found.items()
    ]  # fmt: skip


def worst_at(metric: str) -> tuple[str, int] | None:
    """The measure and the k of a name such as `medical.worst_at_3`; None for any other."""
    of, between, k = metric.rpartition(".worst_at_")
    return (of, int(k)) if between and k.isdecimal() else None


def clear(each: Difference, p: float | None) -> bool:
    """Whether the interval leaves out 0 and a (corrected) p agrees."""
    if each.low is None or each.high is None or p is None:
        return False
    return p < SURE and (each.low > 0 or each.high < 0)


def leads(comparison: Comparison, speaking: Mapping[str, Sequence[str]]) -> list[Lead]:
    """The key measure of each group, where two targets or more have it. `speaking` names candidates by group."""
    found = list(_leads(comparison, speaking))
    corrected = holm([lead.difference.p if lead.difference else None for lead in found])
    return [replace(lead, p=p) for lead, p in zip(found, corrected, strict=True)]


def headline(found: Sequence[Lead], medicine: Sequence[str]) -> Headline:
    """Who is first most often, alone or with others. The groups of medicine count, any other where those do not decide."""
    medical = [lead for lead in found if lead.group in medicine]
    found = medical if any(not lead.all_equal for lead in medical) else found
    won = [lead for lead in found if not lead.all_equal]
    counts = Counter(target for lead in won for target in lead.joint)
    most = max(counts.values(), default=0)
    targets = tuple(target for target, count in counts.items() if count == most)
    sure = sum(lead.sure is True for lead in won if len(targets) == 1 and lead.first.target == targets[0])
    return Headline(targets, most, len(found), sure)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Each p corrected for all that were made (Holm, Scandinavian Journal of Statistics 6, 1979)."""
    ranked = sorted((value, place) for place, value in enumerate(values) if value is not None)
    corrected: list[float | None] = [None] * len(values)
    least = 0.0
    for rank, (value, place) in enumerate(ranked):
        least = max(least, min(1.0, value * (len(ranked) - rank)))
        corrected[place] = least
    return corrected


def samples(comparison: Comparison, by: Sequence[str], each: int = _EACH) -> Samples | None:
    """The answers worth reading of the last target whose scores by one of these metrics differ; None without any."""
    scores = {run.folder: run.scores() for run in comparison.runs}
    for metric in by:
        for target in reversed(comparison.targets):
            run, name = comparison.names[target.name]
            values = {
                (of, example): value
                for (whose, of, what), found in scores[run.folder].items() if (whose, what) == (name, metric)
                for example, value in found.items()
            }  # fmt: skip
            lower = any(m.better == "lower" for m in comparison.measures if m.metric == metric)
            if len(set(values.values())) > 1:
                chosen = _chosen(values, lower, run.summary.seed, each)
                made = _made(comparison, chosen, metric, lower)
                return Samples(target.name, metric, run.summary.seed, made)
    return None


def _leads(comparison: Comparison, speaking: Mapping[str, Sequence[str]]) -> Iterator[Lead]:
    by_key: dict[Key, list[Measure]] = {}
    for measure in comparison.measures:
        if measure.mean is not None and measure.better != "none":
            by_key.setdefault(measure.key, []).append(measure)
    for group, names in speaking.items():
        if found := _speaker(group, names, by_key):
            first, second, *_ = sorted(found, key=lambda each: each.mean or 0.0, reverse=found[0].better == "higher")
            joint = tuple(each.target for each in found if each.mean == first.mean)
            paired = comparison.difference(first.target, second.target, first.key)
            yield Lead(group, first, second, paired, joint, len(joint) == len(found))


def _speaker(group: str, names: Sequence[str], by_key: Mapping[Key, list[Measure]]) -> list[Measure]:
    """The measure that most targets have; of several the first name, whole before its parts, the set with most items."""
    found = [
        (len(measures), -names.index(key[1].partition(":")[0]), key[1] in names, measures[0].n, key)
        for key, measures in by_key.items()
        if key[1].partition(":")[0] in names and measures[0].group == group and len(measures) > 1
    ]
    return by_key[max(found)[-1]] if found else []


def _chosen(values: Mapping[Key, float], lower: bool, seed: int, each: int) -> dict[str, list[Key]]:
    """Places of the best, the worst and random examples; none is chosen twice."""
    ranked = sorted(values, key=lambda key: (values[key] if lower else -values[key], key))
    each = min(each, len(ranked) // 2) or 1
    best, rest = ranked[:each], ranked[each:]
    worst, rest = rest[::-1][:each], rest[:-each]
    return {"best": best, "worst": worst, "random": Random(seed).sample(sorted(rest), min(each, len(rest)))}


def _made(
    comparison: Comparison, chosen: Mapping[str, Sequence[Key]], metric: str, lower: bool
) -> dict[str, tuple[Sample, ...]]:
    scores = {run.folder: run.each_score() for run in comparison.runs}
    wanted = {key for keys in chosen.values() for key in keys}
    asked = {key: turns for run in comparison.runs for key, turns in _questions(run).items() if key in wanted}
    replies = {label: _replies(run, name, wanted) for label, (run, name) in comparison.names.items()}

    def answer(kind: str, label: str, key: Key) -> Said:
        run, name = comparison.names[label]
        values = scores[run.folder].get((name, key[0], metric), {}).get(key[1], {})
        number = _number(kind, values, lower)
        return Said(label, *replies[label][key][number], values.get(number))

    def sample(kind: str, key: Key) -> Sample:
        answers = tuple(answer(kind, label, key) for label in replies if key in replies[label])
        return Sample(*key, asked.get(key, ()), answers)

    return {kind: tuple(sample(kind, key) for key in keys) for kind, keys in chosen.items()}


def _number(kind: str, values: Mapping[int, float], lower: bool) -> int:
    """Which of a target's answers to a question is shown, where it gave several."""
    if kind == "random" or not values:
        return 1
    return (min if (kind == "best") == lower else max)(values, key=values.__getitem__)


def _questions(run: Run) -> dict[Key, tuple[tuple[str, str], ...]]:
    """What was asked: the sets that the run's recipe names, or the package's and the run's own; less those that are gone."""
    path, names = run.folder / "recipe.yaml", [each.name for each in run.summary.sets]
    found: dict[Key, tuple[tuple[str, str], ...]] = {}
    with suppress(UserError):
        names += config.read(path).evaluate.sets if path.is_file() else ()
    for name in dict.fromkeys(names):
        with suppress(UserError, OSError):
            for each in item_sets.load([name], Work(run.folder)):
                found |= {(each.name, item.id): tuple((turn.role, turn.content) for turn in item.turns) for item in each.items}  # fmt: skip
    return found


def _replies(run: Run, target: str, wanted: set[Key]) -> dict[Key, dict[int, tuple[str, str]]]:
    """Text and ending of each answer to these questions, by its number."""
    found: dict[Key, dict[int, tuple[str, str]]] = {}
    path = run.folder / "evaluate" / "replies" / f"{file_name(target)}.jsonl"
    for row in read_jsonl(path) if path.is_file() else ():
        if (key := (str(row["set"]), str(row["item"]))) in wanted:
            said = str(row.get("text", "")), str(row.get("finish", ""))
            found.setdefault(key, {})[int(row.get("number", 1))] = said
    return found
