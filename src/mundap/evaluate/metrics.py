"""What a metric is: scores from the answers, from a loaded model or from the data, and how each measure is read.

A metric of the registry is one of three kinds: `answers` (scores the cases that one target answered), `model` (looks
into a target's model while it is loaded) or `data` (needs no target). A plugin may be simpler: a
`protocols.Metric`, which scores one example and one reply.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mundap import protocols, registry
from mundap.config import Recipe, Use
from mundap.errors import UserError
from mundap.evaluate.item_sets import Set
from mundap.evaluate.items import Item
from mundap.evaluate.replies import Answer
from mundap.store import Work, digest
from mundap.types import Example, Reply, Usage

if TYPE_CHECKING:
    from mundap.evaluate.targets import Target

Kind = Literal["answers", "model", "data"]
Group = Literal["kullm", "medical", "facts", "triage", "choice", "text", "speed", "general", "contamination"]
Statistic = Literal["mean", "p50", "p95"]


class Unfit(UserError):
    """A metric cannot look into this kind of model; the report says so, and the evaluation goes on."""


@dataclass(frozen=True, slots=True)
class Measure:
    """How a measure's values are read. `chance` is what guessing scores, `scale` the least and the most it can be.

    One that is not `tested` is shown, but targets are not told apart by it.
    """

    group: Group
    better: Literal["higher", "lower", "none"] = "higher"
    unit: str = ""
    chance: float | None = None
    scale: tuple[float, float] | None = (0.0, 1.0)
    statistic: Statistic = "mean"
    tested: bool = True


@dataclass(frozen=True, slots=True)
class Case:
    """One item of a set and what a target answered, which it may have done several times: this is the answer `number`."""

    set: str
    item: Item
    answer: Answer
    number: int = 1

    def scored(self, metric: str, value: float | None, reason: str = "") -> Scored:
        """A value for this answer."""
        return Scored(self.set, self.item.id, metric, value, reason, self.number)


@dataclass(frozen=True, slots=True)
class Scored:
    """One value for one answer to an example. Without a value the scoring failed, and `reason` says why.

    `metric` may end in `:part` (a kind of wording, a task); its measure is that of the name before the colon unless
    the metric describes the whole name.
    """

    set: str
    example: str
    metric: str
    value: float | None
    reason: str = ""
    number: int = 1


@dataclass(frozen=True, slots=True)
class Context:
    """What a metric may use: the recipe, the run, a folder of its own under `evaluate/`, all sets, and the target.

    `target` is None for `data` metrics and while settings are checked. `note` takes a line for the report's limits.
    """

    recipe: Recipe
    work: Work
    folder: Path
    sets: Sequence[Set]
    target: Target | None = None
    note: Callable[[str], None] = lambda text: None


class Metric(Protocol):
    """What the stage asks of a metric. `measures` describes every name it gives scores under.

    `depends`, where a metric has it, names files of mundap that its scores depend on beside its own module.
    """

    @property
    def kind(self) -> Kind: ...

    @property
    def measures(self) -> Mapping[str, Measure]: ...

    def check(self, context: Context) -> Any:
        """Before any work: raise `UserError` for wrong settings. Returns digests of what else it reads, as plain data."""
        ...

    def score(self, cases: Sequence[Case], context: Context) -> Iterator[Scored]:
        """The scores of all cases of one target (none for `model` and `data`)."""
        ...


def create(use: Use) -> Metric:
    """The metric that a recipe names. Raises `UnknownName`, or `UserError` for wrong settings."""
    found: Any = registry.create("metrics", use.use, **use.config)
    return found if hasattr(found, "score") else _Simple(use.use, found)


def code(metric: Metric) -> str:
    """A digest of the files that a metric's scores depend on: when it changes, and only then, all is scored anew.

    What else decides them is known by its content: items, answers, targets, versions of libraries.
    """
    own = sys.modules[(metric.call if isinstance(metric, _Simple) else metric).__module__].__file__
    beside = [files("mundap") / name for name in ("evaluate/metrics.py", *getattr(metric, "depends", ()))]
    return digest([each.read_text("utf-8") for each in (*map(Path, [own] if own else []), *beside)])


def measure_of(measures: Mapping[str, Measure], name: str) -> Measure:
    """How a score's name is read: by its whole name or by what stands before the colon."""
    return measures.get(name) or measures[name.partition(":")[0]]


class _Simple:
    """A `protocols.Metric`, called case by case."""

    kind: Kind = "answers"

    def __init__(self, name: str, call: protocols.Metric) -> None:
        self.name, self.call = name, call
        self.measures: Mapping[str, Measure] = {name: Measure("text", scale=None)}

    def check(self, context: Context) -> Any:
        """Nothing can be known before."""
        return None

    def score(self, cases: Sequence[Case], context: Context) -> Iterator[Scored]:
        """One score a case, under the metric's registered name."""
        for case in cases:
            found = self.call(example_of(case), reply_of(case.answer))
            yield case.scored(self.name, found.value, found.reason)


def example_of(case: Case) -> Example:
    """A case's item in Alpaca's form; `output` is the reference answer, where there is one."""
    item = case.item
    before = [turn.content for turn in item.turns if turn.role == "system"]
    return Example(
        item.id, "\n".join(before), item.question, item.answer, split="test", lang=item.lang, turns=item.turns
    )  # fmt: skip


def reply_of(answer: Answer) -> Reply:
    """An answer as the reply it was; sources are known by topic only, so that citations are left out."""
    usage = Usage(answer.prompt, answer.completion, answer.unit)
    return Reply(text=answer.text, model=answer.model, finish=answer.finish, usage=usage, seconds=answer.seconds)
