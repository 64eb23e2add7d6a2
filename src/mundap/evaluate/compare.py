"""Runs beside each other: reads what was measured, refuses what cannot be compared, pairs the rest example by example."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from mundap.errors import ConfigError, UserError
from mundap.evaluate.replies import file_name
from mundap.evaluate.statistics import RESAMPLES, paired
from mundap.store import Work, digest, read_jsonl

Values = Mapping[str, float]  # example -> value
Place = tuple[str, str, str]  # target, set, metric


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Target(_Row):
    """What was measured: a model or a whole assistant, with all that makes its answers its own."""

    name: str
    model: Any = None
    adapter: Any = None
    template: Any = None
    options: Any = None
    digests: Any = None
    cost: Mapping[str, Any] | None = None

    @property
    def identity(self) -> str:
        """The same for two targets that are the same system; empty when no digests say so."""
        return digest(self.model_dump(exclude={"cost"})) if self.digests else ""


class ItemSet(_Row):
    """What was asked. Two results are comparable only when the digests are the same."""

    name: str
    n: int = 0
    digest: str = ""


class Measure(_Row):
    """One measure of one target on one set. `mean` is None where every scoring failed."""

    target: str
    set: str
    metric: str
    n: int = 0
    failures: int = 0
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    better: Literal["higher", "lower", "none"] = "none"
    unit: str = ""
    chance: float | None = None
    scale: tuple[float, float] | None = None
    statistic: str = "mean"
    group: str = "text"
    tested: bool = True

    @property
    def key(self) -> tuple[str, str]:
        """What is measured, whoever is."""
        return self.set, self.metric


class Difference(_Row):
    """`a` minus `b` on the examples that both have. Without an interval only the means could be compared."""

    a: str
    b: str
    set: str
    metric: str
    n: int = 0
    difference: float
    low: float | None = None
    high: float | None = None
    p: float | None = None


class Summary(_Row):
    """`evaluate/summary.json`."""

    targets: tuple[Target, ...]
    sets: tuple[ItemSet, ...]
    measures: tuple[Measure, ...]
    paired: tuple[Difference, ...] = ()
    made: str = ""
    versions: Mapping[str, str] = {}
    seed: int = 0
    resamples: int = RESAMPLES
    answers: int = 1
    skipped: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Panel:
    """The judges of one target by one rubric, as `evaluate/judge/*.json` has it: who, how far they agreed, what it took."""

    name: str
    target: str
    judges: tuple[str, ...]
    digest: str
    alpha: Mapping[str, Any]
    cost: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, path: Path, name: str, target: str) -> Self:
        """Raises `UserError` for a file that is not whole."""
        try:
            found = json.loads(path.read_text("utf-8"))
            same = digest([found["rubric"], found["judges"], found.get("options")])
            return cls(name, target, tuple(found["judges"]), same, found.get("alpha") or {}, found.get("cost") or {})
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is not whole ({error!r}); run `mundap evaluate` again") from error


@dataclass(frozen=True, slots=True)
class Run:
    """A run that was evaluated: its folder, and its name, which is the folder's."""

    name: str
    folder: Path
    summary: Summary

    @classmethod
    def read(cls, folder: Path, name: str = "") -> Self:
        """Raises `UserError` when there is no whole evaluation in it."""
        path = folder / "evaluate" / "summary.json"
        if not folder.is_dir():
            raise UserError(f"no run {folder}; give a run's folder, such as runs/quickstart")
        if not path.is_file():
            raise UserError(
                f"{folder} was not evaluated: there is no {path}; run `mundap evaluate` with its recipe first"
            )
        try:
            summary = Summary.model_validate(json.loads(path.read_text("utf-8")))
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:5]]
            raise ConfigError(str(path), problems) from error
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path} is not whole ({error}); run `mundap evaluate` again") from error
        return cls(name or folder.resolve().name, folder, summary)

    def scores(self) -> dict[Place, dict[str, float]]:
        """Values of examples by target, set and metric: of several answers to one the mean. Failures are left out."""
        return {
            place: {example: fmean(each.values()) for example, each in found.items()}
            for place, found in self.each_score().items()
        }

    def each_score(self) -> dict[Place, dict[str, dict[int, float]]]:
        """The same for each answer, by its number."""
        found: dict[Place, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
        path = self.folder / "evaluate" / "scores.jsonl"
        for row in read_jsonl(path) if path.is_file() else ():
            if row.get("value") is not None:
                answers = found[row["target"], row["set"], row["metric"]][str(row["example"])]
                answers[int(row.get("number", 1))] = float(row["value"])
        return found

    def panels(self) -> list[Panel]:
        """Who judged which target by which rubric; the longest name that a file ends in is its target's."""
        names = sorted((each.name for each in self.summary.targets), key=len, reverse=True)
        found = []
        for path in sorted(
            path for kind in ("judge", "facts") for path in (self.folder / "evaluate" / kind).glob("*.json")
        ):
            for name in names:
                if path.stem.endswith(f"-{file_name(name)}"):
                    found.append(Panel.read(path, path.stem.removesuffix(f"-{file_name(name)}"), name))
                    break
        return found

    def detail(self, stage: str) -> Mapping[str, Any]:
        """What a stage of this run noted about itself; nothing when it was not run."""
        manifest = Work(self.folder).manifest(stage)
        return manifest.details if manifest else {}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything of some runs in one table. Targets are called `run/target` where several runs have their own.

    `names` leads from a target here to its run and its name there.
    """

    runs: tuple[Run, ...]
    names: Mapping[str, tuple[Run, str]]
    targets: tuple[Target, ...]
    sets: tuple[ItemSet, ...]
    measures: tuple[Measure, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    @property
    def judged(self) -> tuple[Difference, ...]:
        """The differences that are better or worse: of a length, say, neither is."""
        neither = {each.key for each in self.measures if each.better == "none"}
        return tuple(each for each in self.differences if (each.set, each.metric) not in neither)

    def difference(self, a: str, b: str, key: tuple[str, str]) -> Difference | None:
        """`a` minus `b` on one measure, whichever way round it was noted."""
        for each in self.differences:
            if (each.set, each.metric) == key and {each.a, each.b} == {a, b}:
                return each if each.a == a else _turned(each)
        return None


def load(folders: Sequence[Path]) -> Comparison:
    """Read runs and join them. Raises `UserError` for different item sets, templates or judges, naming each."""
    twice = len({folder.resolve().name for folder in folders}) < len(folders)
    return join([Run.read(folder, str(folder) if twice else "") for folder in folders])


def join(runs: Sequence[Run]) -> Comparison:
    """Runs in one table, with paired tests between targets of the same name in different runs."""
    _check(runs)
    labels = _labels(runs)
    names: dict[str, tuple[Run, str]] = {}
    for (at, name), label in labels.items():
        names.setdefault(label, (runs[at], name))
    return Comparison(
        runs=tuple(runs),
        names=names,
        targets=tuple(_targets(names)),
        sets=tuple({each.name: each for run in runs for each in run.summary.sets}.values()),
        measures=(*_measures(names), *_of_data(runs)),
        differences=(*_noted(runs, labels), *_across(runs, labels)),
        notes=(*dict.fromkeys(note for run in runs for note in run.summary.notes), *_apart(runs)),
    )


def _targets(names: Mapping[str, tuple[Run, str]]) -> Iterator[Target]:
    for label, (run, name) in names.items():
        for each in run.summary.targets:
            if each.name == name:
                yield each.model_copy(update={"name": label})


def _measures(names: Mapping[str, tuple[Run, str]]) -> Iterator[Measure]:
    for label, (run, name) in names.items():
        for each in run.summary.measures:
            if each.target == name:
                yield each.model_copy(update={"target": label})


def _of_data(runs: Sequence[Run]) -> Iterator[Measure]:
    """Measures of the data, which are no target's; with several runs by the run whose data it is."""
    for run in runs:
        targets = {target.name for target in run.summary.targets}
        for each in run.summary.measures:
            if each.target not in targets:
                yield each.model_copy(update={"target": run.name} if len(runs) > 1 else {})


def _noted(runs: Sequence[Run], labels: Mapping[tuple[int, str], str]) -> Iterator[Difference]:
    """The differences that the runs found themselves; of those that several found, the first."""
    seen: set[tuple[str, ...]] = set()
    for at, run in enumerate(runs):
        for each in run.summary.paired:
            names = {"a": labels.get((at, each.a), each.a), "b": labels.get((at, each.b), each.b)}
            place = (*sorted(names.values()), each.set, each.metric)
            if place not in seen:
                yield each.model_copy(update=names)
            seen.add(place)


def differ(new: Values, old: Values, seed: int, resamples: int) -> dict[str, Any] | None:
    """The paired difference of two targets on the examples both have a value for; None when there are none."""
    both = sorted(new.keys() & old.keys())
    if not both:
        return None
    found = paired([new[each] for each in both], [old[each] for each in both], seed, resamples)
    return {"n": found.n, "difference": found.difference, "low": found.low, "high": found.high, "p": found.p}


def _turned(each: Difference) -> Difference:
    low, high = (None if end is None else -end for end in (each.high, each.low))
    update = {"a": each.b, "b": each.a, "difference": -each.difference, "low": low, "high": high}
    return each.model_copy(update=update)


def _labels(runs: Sequence[Run]) -> dict[tuple[int, str], str]:
    """What each target of each run is called; the same system in several runs is one."""
    identities: dict[str, list[str]] = defaultdict(list)
    for run in runs:
        for target in run.summary.targets:
            identities[target.name].append(target.identity)
    same = {name for name, each in identities.items() if len(each) == len(runs) and len(set(each)) == 1 and each[0]}
    alone = len(runs) == 1
    return {
        (at, target.name): target.name if alone or target.name in same else f"{run.name}/{target.name}"
        for at, run in enumerate(runs)
        for target in run.summary.targets
    }


def _across(runs: Sequence[Run], labels: Mapping[tuple[int, str], str]) -> Iterator[Difference]:
    """Differences between targets of the same name in different runs, where a measure is a mean."""
    scores = [run.scores() if len(runs) > 1 else {} for run in runs]
    for one, other in combinations(range(len(runs)), 2):
        for measure in runs[one].summary.measures:
            place = (measure.target, measure.set, measure.metric)
            names = [labels.get((at, measure.target), "") for at in (one, other)]
            new, old = scores[one].get(place, {}), scores[other].get(place, {})
            if "" in names or names[0] == names[1] or measure.statistic != "mean" or not measure.tested:
                continue
            if found := differ(new, old, runs[one].summary.seed, runs[one].summary.resamples):
                yield Difference(a=names[0], b=names[1], set=measure.set, metric=measure.metric, **found)


def _check(runs: Sequence[Run]) -> None:
    """Raise `UserError` with everything that forbids comparing."""
    problems = [*_sets_apart(runs), *_templates_apart(runs), *_judges_apart(runs)]
    if problems:
        raise ConfigError("these runs cannot be compared", problems)


def _sets_apart(runs: Sequence[Run]) -> Iterator[str]:
    digests: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        for each in run.summary.sets:
            digests[each.name][f"{each.digest[:12]}, {each.n} items"].append(run.name)
    for name, found in digests.items():
        if len(found) > 1:
            yield f"the item set {name!r} differs ({_told(found)}); evaluate them on the same items"
    if len(runs) > 1 and not set.intersection(*({each.name for each in run.summary.sets} for run in runs)):
        listed = "; ".join(f"{run.name}: {', '.join(each.name for each in run.summary.sets)}" for run in runs)
        yield f"no item set is in all of them ({listed}); evaluate them on the same items"


def _templates_apart(runs: Sequence[Run]) -> Iterator[str]:
    templates: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        for target in run.summary.targets:
            templates[target.name][_plain(target.template)].append(run.name)
    for name, found in templates.items():
        if len(found) > 1:
            yield f"the template of {name!r} differs ({_told(found)}); evaluate them with one template"


def _judges_apart(runs: Sequence[Run]) -> Iterator[str]:
    """Different judges, or differently worded rubrics of one name, of the runs that were judged at all."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        for each in run.panels():
            listed = found[each.name][f"{', '.join(each.judges)} ({each.digest[:12]})"]
            listed += [] if run.name in listed else [run.name]
    for name, panels in found.items():
        if len(panels) > 1:
            yield f"the judges of {name!r} differ ({_told(panels)}); have all judged by the same model and rubric"


def _apart(runs: Sequence[Run]) -> Iterator[str]:
    """What differs between runs without forbidding a comparison."""
    every = {each.name for run in runs for each in run.summary.sets}
    for name in sorted(every):
        having = [run.name for run in runs if name in {each.name for each in run.summary.sets}]
        if len(having) < len(runs):
            yield f"the set {name} was measured in {', '.join(having)} only"
    times = {run.name: run.summary.answers for run in runs}
    if len(set(times.values())) > 1:
        yield "answers to each item: " + ", ".join(f"{name} {n}" for name, n in times.items())
    for library in sorted({name for run in runs for name in run.summary.versions}):
        versions = {run.name: run.summary.versions.get(library, "none") for run in runs}
        if len(set(versions.values())) > 1:
            yield f"{library} differs: " + ", ".join(f"{name} {version}" for name, version in versions.items())


def _told(found: Mapping[str, Iterable[str]]) -> str:
    return "; ".join(f"{', '.join(names)}: {what}" for what, names in found.items())


def _plain(value: Any) -> str:
    """A name, or what stands in its place."""
    if isinstance(value, Mapping) and value.get("name"):
        return f"{value['name']} {str(value.get('digest', ''))[:12]}".strip()
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
