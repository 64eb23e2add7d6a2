"""`mundap evaluate`: every target asked everything, every answer measured, every number with its interval.

Targets are asked one model after the other. What was answered is kept as it comes, and scores as each metric ends, so
that a run that was killed goes on where it was, and one whose settings changed asks and scores only what is new.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from mundap.config import Recipe, Use
from mundap.errors import ConfigError, UserError
from mundap.evaluate import compare, item_sets, metrics, report, targets
from mundap.evaluate.item_sets import TEST, Set
from mundap.evaluate.metrics import Case, Context, Metric, Scored, Unfit
from mundap.evaluate.replies import Answer, Answers, Replies
from mundap.evaluate.summary import DATA, Table, described
from mundap.evaluate.targets import Target
from mundap.store import Manifest, Work, code_digest, digest, file_digest, read_jsonl, replacing, versions, write_jsonl

STAGE = "evaluate"
_LIBRARIES = (
    "torch",
    "transformers",
    "xllamacpp",
    "kiwipiepy",
    "sacrebleu",
    "rouge_score",
    "scipy",
    "numpy",
    "lm_eval",
)


def run(recipe: Recipe, work: Work) -> Manifest:
    """Evaluate what the recipe names. Raises `UserError` or `ConfigError` for what is wrong before any work."""
    plan = _plan(recipe, work)
    key = digest([plan.settings, code_digest("mundap.evaluate"), versions(*_LIBRARIES)])
    inputs = {each.name: each.digest for each in plan.sets}
    done = work.fresh(STAGE, key)
    return done or _Evaluation(plan).run(Manifest(STAGE, key, inputs=inputs, seed=recipe.seed))


@dataclass(frozen=True)
class _Plan:
    """What is to be done, checked: nothing was loaded or asked yet."""

    recipe: Recipe
    work: Work
    targets: tuple[Target, ...]
    sets: tuple[Set, ...]
    metrics: tuple[tuple[Use, Metric, Any], ...]
    settings: Any

    def context(self, use: Use, target: Target | None = None) -> Context:
        """What a metric is given; its folder is made before it scores."""
        return Context(self.recipe, self.work, self.work.root / STAGE / use.use, self.sets, target)


def _plan(recipe: Recipe, work: Work) -> _Plan:
    asked = recipe.evaluate
    sets = item_sets.load(asked.sets or _default_sets(work), work, asked.limit, recipe.seed)
    found = targets.resolve(asked.targets or targets.default(recipe, work), recipe, work)
    _check_answers(recipe, found)
    uses = asked.metrics or _default_metrics(work)
    made = _Plan(recipe, work, tuple(found), tuple(sets), (), None)
    checked = tuple(_checked(uses, made))
    against = _against(asked.against, sets, found)
    settings = [
        [[each.name, each.identity] for each in found], [[each.name, each.digest] for each in sets],
        [[use.model_dump(), digests] for use, _, digests in checked], against, asked.model_dump(mode="json"), recipe.seed,
    ]  # fmt: skip
    return replace(made, metrics=checked, settings=settings)


def _check_answers(recipe: Recipe, found: Sequence[Target]) -> None:
    """Raise `ConfigError` where a model would give the same answer again and again."""
    wanted, writing = recipe.evaluate.answers, [each.name for each in found if each.use]
    if wanted > 1 and writing and not recipe.chat.generation.temperature:
        raise ConfigError(
            "evaluate",
            [
                f"answers: {', '.join(writing)} would give the same answer {wanted} times, because chat.generation.temperature "
                "is 0; set it above 0 (such as 0.7), or answers to 1"
            ],
        )


def _default_sets(work: Work) -> tuple[str, ...]:
    """Our own items, and the run's held-out rows where there are some."""
    path = work.root / "build" / "test.jsonl"
    return ("own", TEST) if path.is_file() and path.stat().st_size else ("own",)


def _default_metrics(work: Work) -> tuple[Use, ...]:
    """What needs nothing but the answers, and what the run's dataset makes possible."""
    built = _default_sets(work)[1:]
    names = ["behaviour", "triage", "form", "speed"]
    names += ["chrf", "rouge", "contamination"] if built else []
    names += ["loss"] if built and targets.trained(work) else []
    return tuple(Use(use=name) for name in names)


def _checked(uses: Sequence[Use], plan: _Plan) -> Iterator[tuple[Use, Metric, Any]]:
    """The metrics, made and checked. Raises `ConfigError` with what is wrong with any of them."""
    found, problems = list[tuple[Use, Metric, Any]](), []
    for place, use in enumerate(uses):
        try:
            metric = metrics.create(use)
            found.append((use, metric, metric.check(plan.context(use))))
        except UserError as error:
            problems.append(f"metrics.{place} ({use.use}): {error}")
    if problems:
        raise ConfigError("evaluate", problems)
    yield from found


def _against(runs: Sequence[str], sets: Sequence[Set], found: Sequence[Target]) -> list[str]:
    """Digests of the runs to be compared with. Raises `ConfigError` where their items or templates are other ones."""
    problems, digests = [], []
    for place, name in enumerate(runs):
        try:
            other = compare.Run.read(Path(name))
        except UserError as error:
            problems.append(f"against.{place}: {error}")
            continue
        digests.append(file_digest(other.folder / STAGE / "summary.json"))
        problems += [f"against.{place}: {problem}" for problem in _apart(other, sets, found)]
    if problems:
        raise ConfigError("evaluate", problems)
    return digests


def _apart(other: compare.Run, sets: Sequence[Set], found: Sequence[Target]) -> Iterator[str]:
    theirs = {each.name: each for each in other.summary.sets}
    if not any(each.name in theirs for each in sets):
        yield f"{other.name} was measured on {', '.join(theirs)}, not on {', '.join(each.name for each in sets)}"
    for each in sets:
        if each.name in theirs and theirs[each.name].digest != each.digest:
            n = theirs[each.name].n
            yield (
                f"{other.name} was measured on another set {each.name!r} ({n} items, here {len(each.items)}); use the "
                "same items, limit and seed"
            )
    templates = {each.name: each.template for each in other.summary.targets}
    for target in found:
        named = templates.get(target.name)
        if target.template and isinstance(named, Mapping) and named.get("name") not in (None, target.template):
            yield f"{other.name} used template {named['name']!r} for {target.name!r}, here it is {target.template!r}"


@dataclass
class _Evaluation:
    """One run of the stage."""

    plan: _Plan
    table: Table = field(default_factory=Table)
    answers: dict[str, list[Answers]] = field(default_factory=dict)
    skipped: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def _times(self) -> int:
        """How often every item is asked."""
        return self.plan.recipe.evaluate.answers

    def run(self, manifest: Manifest) -> Manifest:
        """Ask, measure, sum up; the manifest last."""
        began = perf_counter()
        self.folder = self.plan.work.folder(STAGE)
        (self.folder / "manifest.json").unlink(missing_ok=True)
        self._ask()
        for use, metric, inputs in self.plan.metrics:
            self._measure(use, metric, inputs)
        self._write()
        return self.plan.work.finish(
            replace(
                manifest, kept=len(self.rows), dropped=self.table.failed, seconds=round(perf_counter() - began, 3),
                versions=versions(*_LIBRARIES), details=self._details(),
            )
        )  # fmt: skip

    def _ask(self) -> None:
        """All answers, and what needs the models while they are loaded, one model after the other."""
        try:
            for target in targets.by_model(self.plan.targets):
                replies = Replies(self.folder / "replies", target.name, target.identity)
                found = replies.gather(target.name, target.answerer, self.plan.sets, target.at_once, self._times)
                self.answers[target.name] = found
                self._note_answers(target, [given for each in found for given in each.values()])
                for use, metric, inputs in self.plan.metrics:
                    if metric.kind == "model" and target.bare:
                        self._look(use, metric, inputs, target)
        finally:
            for target in self.plan.targets:
                target.shared.close()

    def _note_answers(self, target: Target, given: Sequence[Sequence[Answer]]) -> None:
        """Answers that failed are measured as empty ones; the report says how many there are, and who never varies."""
        failed = [answer.reason for each in given for answer in each if answer.finish == "error"]
        if failed:
            of = sum(map(len, given))
            self._note(f"{target.name}: {len(failed)} of {of} answers failed, the first one: {failed[0]}")
        if self._times > 1 and all(len({answer.text for answer in each}) == 1 for each in given):
            self._note(
                f"{target.name}: the {self._times} answers to each item are the same, so that worst-at-k is the mean"
            )

    def _look(self, use: Use, metric: Metric, inputs: Any, target: Target) -> None:
        """A metric that looks into a loaded model; one that cannot is noted."""
        try:
            self._keep(use, metric, inputs, target, ())
        except Unfit as error:
            self.skipped.append({"target": target.name, "metric": use.use, "reason": str(error)})

    def _measure(self, use: Use, metric: Metric, inputs: Any) -> None:
        """The metrics that need answers only, target by target in the recipe's order, or the data only."""
        if metric.kind == "data":
            self._keep(use, metric, inputs, None, ())
        for target in self.plan.targets if metric.kind == "answers" else ():
            pairs = zip(self.plan.sets, self.answers[target.name], strict=True)
            cases = [
                Case(each.name, item, answer, number)
                for each, found in pairs for item in each.items for number, answer in enumerate(found[item.id], 1)
            ]  # fmt: skip
            self._keep(use, metric, inputs, target, cases)

    def _keep(self, use: Use, metric: Metric, inputs: Any, target: Target | None, cases: Sequence[Case]) -> None:
        """The scores of one metric for one target, from last time where nothing changed, into the table."""
        name = target.name if target else DATA
        said = [[case.set, case.item.id, case.number, asdict(case.answer)] for case in cases]
        parts = [use.model_dump(), inputs, target.identity if target else None, [each.digest for each in self.plan.sets],
                 said, metrics.code(metric), versions(*_LIBRARIES), self.plan.recipe.seed]  # fmt: skip
        path = self.folder / ".scores" / f"{digest(parts)}.jsonl"
        if path.is_file():
            notes, *kept = read_jsonl(path)
            found = [Scored(**row) for row in kept]
        else:
            notes = {"notes": []}
            found = self._scored(use, metric, target, cases, notes["notes"].append)
            if all(score.value is not None for score in found):  # what failed is tried again by the next run
                write_jsonl(path, [notes, *map(asdict, found)])
        for note in notes["notes"]:
            self._note(note)
        self.table.add(name, found, metric.measures)
        self.rows += [{"target": name, **asdict(score)} for score in found]

    def _scored(
        self, use: Use, metric: Metric, target: Target | None, cases: Sequence[Case], note: Callable[[str], None]
    ) -> list[Scored]:
        """The scores of one metric for one target, made now."""
        context = replace(self.plan.context(use, target), note=note)
        context.folder.mkdir(parents=True, exist_ok=True)
        try:
            return list(metric.score(cases, context))
        finally:
            with suppress(OSError):  # most metrics leave nothing there
                context.folder.rmdir()

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _write(self) -> None:
        """The files that people and other stages read."""
        write_jsonl(self.folder / "scores.jsonl", self.rows)
        with replacing(self.folder / "summary.json") as stream:
            json.dump(self._summary(), stream, ensure_ascii=False, indent=2)
        report.write(self.plan.work.root, [Path(name) for name in self.plan.recipe.evaluate.against])

    def _summary(self) -> dict[str, Any]:
        seed, resamples = self.plan.recipe.seed, self.plan.recipe.evaluate.resamples
        return {
            "targets": [described(each, self.answers[each.name]) for each in self.plan.targets],
            "sets": [{"name": each.name, "n": len(each.items), "digest": each.digest} for each in self.plan.sets],
            "measures": self.table.summed(seed, resamples), "paired": self.table.compared(seed, resamples),
            "skipped": self.skipped, "notes": self.notes, "made": datetime.now(UTC).date().isoformat(),
            "versions": versions(*_LIBRARIES), "seed": seed, "resamples": resamples, "answers": self._times,
        }  # fmt: skip

    def _details(self) -> dict[str, Any]:
        return {
            "targets": [each.name for each in self.plan.targets],
            "sets": {each.name: len(each.items) for each in self.plan.sets},
            "metrics": [use.use for use, _, _ in self.plan.metrics], "measures": len(self.table.measures),
            "skipped": self.skipped,
        }  # fmt: skip
