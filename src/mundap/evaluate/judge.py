"""Judges: models that score responses by a rubric, one call for all scores, every failure counted.

A judge is a model of the recipe. It is asked at temperature 0 and without a reference answer; what it wrote is kept, and
no request is paid for twice. With several judges a score is the mean of theirs, and their agreement is measured.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from mundap.asking.ask import Answer, Request
from mundap.asking.context import Context as Asking
from mundap.asking.context import identity, use_of
from mundap.config import Recipe
from mundap.errors import UserError, did_you_mean
from mundap.evaluate import agreement, metrics, rubrics, statistics, verdicts
from mundap.evaluate.item_sets import GENERAL
from mundap.evaluate.items import Item
from mundap.evaluate.metrics import Case, Context, Measure, Scored
from mundap.evaluate.replies import file_name
from mundap.evaluate.rubrics import Judged, Line, Rubric, Sheet
from mundap.evaluate.verdicts import Verdict
from mundap.knowledge.load import topics
from mundap.knowledge.passages import sections
from mundap.progress import Progress
from mundap.store import replacing, write_jsonl
from mundap.types import Lang

_WORST = ".worst_at_{}"
DEPENDS = (
    "evaluate/rubrics.py", "evaluate/rubrics.yaml", "evaluate/verdicts.py", "evaluate/agreement.py", "evaluate/statistics.py",
)  # fmt: skip
_SINGLE = (
    "{}: every item was answered once; worst-at-k, how bad the worst of k answers is, needs evaluate.answers above 1"
)
_LINE, _SPARE = 24, 64  # tokens of an answer: of a line of the form, and of what may stand around it


@dataclass(frozen=True, slots=True)
class Ruling:
    """What every judge said of one response. Without a sheet the rubric asks nothing about it."""

    judged: Judged
    sheet: Sheet | None
    verdicts: tuple[Verdict, ...] = ()


class Panel:
    """One or more judges with one rubric. `structured` asks for JSON where the server can; else the form is filled in.

    `max_tokens` (of an answer) must be raised for models that think before they answer.
    """

    def __init__(
        self, model: str | Sequence[str], rubric: str, strict: bool = False, structured: bool | None = None,
        max_tokens: int | None = None,
    ) -> None:  # fmt: skip
        self.models = listed("model", model)
        if not self.models:
            raise UserError("`model` is empty; name one of the recipe's models, or several")
        if max_tokens is not None and (isinstance(max_tokens, bool) or not 16 <= max_tokens <= 65_536):
            raise UserError(f"max_tokens is {max_tokens!r}; it must be from 16 to 65536")
        self.rubric, self.strict = rubrics.rubric(rubric), strict
        if strict and not any(each.strict for each in self.rubric.criteria.values()):
            raise UserError(f"the rubric {rubric} has no strict variant; leave `strict` out")
        self.name = _called({"rubric": rubric, "strict": strict})
        self.digest = rubrics.rubric_digest(self.rubric, strict)
        self._structured = self.rubric.structured if structured is None else structured
        self._max_tokens = max_tokens

    def check(self, recipe: Recipe) -> dict[str, Any]:
        """What makes the scores its own. Raises `UserError` for judges and prices of models that the recipe lacks."""
        judges = {name: identity(use_of(recipe, name)) for name in self.models}
        for name in recipe.evaluate.prices:
            use_of(recipe, name)
        return {"rubric": self.digest, "judges": judges, "options": [self._structured, self._max_tokens, recipe.seed]}

    def rulings(self, given: Sequence[Judged], asking: Asking) -> Iterator[Ruling]:
        """What the judges say, in order. Raises `UserError` when a judge's server or key fails; what it said is kept."""
        sheets = [rubrics.sheet(self.rubric, each, self.strict) for each in given]
        wanted = [sheet for each, sheet in zip(given, sheets, strict=True) if sheet and not each.error]
        askers = [asking.ask(model) for model in self.models]
        streams = [asker.ask(map(self._request, wanted)) for asker in askers]
        with Progress(f"judge: {self.name}", len(wanted)) as bar:
            for each, sheet in zip(given, sheets, strict=True):
                if sheet is None:
                    yield Ruling(each, None)
                elif each.error:
                    yield Ruling(each, sheet, tuple(verdicts.failed(m, each.error, sheet.lines) for m in self.models))
                else:
                    answers = [next(stream) for stream in streams]
                    bar.advance(1)
                    yield Ruling(each, sheet, tuple(map(_verdict, self.models, answers, [sheet.lines] * len(answers))))

    def _request(self, sheet: Sheet) -> Request:
        room = self._max_tokens or _SPARE + _LINE * len(sheet.lines)
        return Request(
            f"judge:{self.digest}", sheet.messages, sheet.schema if self._structured else None, room, temperature=0.0
        )  # fmt: skip


class Judge:
    """The metric `judge`: `rubric` is `kullm` (with `strict: true` as the original words it), `kullm3`, `medical` or a file.

    A rubric with points gives one score, `<rubric>`, and one for each axis; with several answers to each item also
    `<rubric>.worst_at_2` and so on, as HealthBench has it: the least score of so many of the answers, on average over
    every choice of them. Else each criterion has its own. With several models a score is the mean where all gave one,
    and each judge's own follows as `<score>:<model>`. `sets` are those to judge, all unless given; `medical` leaves
    general tasks out. `evaluate.requests` and `.tokens` are for each metric and target.
    """

    kind: metrics.Kind = "answers"
    depends = DEPENDS

    def __init__(
        self, model: str | Sequence[str], rubric: str = "kullm", strict: bool = False, structured: bool | None = None,
        max_tokens: int | None = None, sets: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.panel, self._sets = Panel(model, rubric, strict, structured, max_tokens), listed("sets", sets)
        if self.panel.rubric.statements and not self.panel.rubric.has_points:
            raise UserError(f"the rubric {rubric} is not scored by `judge`; for facts write `use: facts`")
        self.measures = dict(_measures(self.panel.name, self.panel.rubric))

    def check(self, context: Context) -> Any:
        """Raises `UserError` when the recipe has no such judge, or the run no such set."""
        if self.panel.rubric.has_points:
            self.measures |= dict(_worst_measures(self.panel, context.recipe.evaluate.answers))
        check_sets(self._sets, context)
        check_alone("judge", self.panel.name, _called, context)
        if not any(self._asks(each.name, item) for each in context.sets for item in each.items):
            raise UserError(
                f"the rubric {self.panel.name} has nothing to judge in {', '.join(s.name for s in context.sets)}"
            )
        return self.panel.check(context.recipe)

    def score(self, cases: Sequence[Case], context: Context) -> Iterator[Scored]:
        """The scores of one target's answers; what the judges wrote and cost goes into the metric's folder."""
        kept = [case for case in cases if self._asks(case.set, case.item)]
        found = [
            score
            for case, ruling in zip(kept, ruled(self.panel, kept, context), strict=True)
            for name, values, reason in _values(self.panel, ruling)
            for score in combined(case, name, self.panel.models, values, reason)
        ]
        yield from found
        if self.panel.rubric.has_points:
            answers = context.recipe.evaluate.answers
            yield from worst([score for score in found if score.metric == self.panel.name], answers)
            if answers == 1:
                context.note(_SINGLE.format(self.panel.name))

    def _asks(self, set_name: str, item: Item) -> bool:
        """Whether an item is judged: a medical rubric says nothing about a general task."""
        fits = self.panel.rubric.group != "medical" or item.kinds != GENERAL
        return fits and set_name in (self._sets or (set_name,))


def listed(key: str, names: str | Sequence[str]) -> tuple[str, ...]:
    """One name or a list of them, as the recipe has it. Raises `UserError` for anything else and for a name given twice."""
    found = (names,) if isinstance(names, str) else tuple(names)
    if not all(isinstance(each, str) for each in found) or len(set(found)) < len(found):
        raise UserError(f"`{key}` is {names!r}; it must be a name or a list of different names")
    return found


def check_alone(metric: str, name: str, names: Callable[[Mapping[str, Any]], str], context: Context) -> None:
    """Raise `UserError` when the recipe has two metrics whose scores would go by one name."""
    if [names(use.config) for use in context.recipe.evaluate.metrics if use.use == metric].count(name) > 1:
        raise UserError(f"two `{metric}` metrics score {name!r}; write one of them, with both judges under `model`")


def check_sets(names: Sequence[str], context: Context) -> None:
    """Raise `UserError` for a set that the evaluation does not have."""
    known = [each.name for each in context.sets]
    for name in names:
        if name not in known:
            raise UserError(f"no set is called {name!r}{did_you_mean(name, known)}")


def judged_cases(cases: Sequence[Case]) -> list[Judged]:
    """Cases as judges read them, with the texts of the sources that the answer names."""
    return [
        rubrics.judged(
            case.item, case.answer.text, _sources(case),
            f"no answer to judge: {case.answer.reason}" if case.answer.finish == "error" else "",
        )
        for case in cases
    ]  # fmt: skip


def _sources(case: Case) -> str:
    known = _topics(case.item.lang) if case.answer.topics else {}
    return "\n\n".join(f"[{n}] {known.get(topic, topic)}" for n, topic in enumerate(case.answer.topics or (), 1))


@cache
def _topics(lang: Lang) -> Mapping[str, str]:
    """Every topic's whole text in a language."""
    found: dict[str, list[str]] = {}
    for section in sections(topics().values()):
        if section.lang == lang:
            found.setdefault(section.topic, [section.title]).append(section.text)
    return {topic: "\n".join(texts) for topic, texts in found.items()}


def ruled(panel: Panel, cases: Sequence[Case], context: Context) -> list[Ruling]:
    """What the judges say of one target's answers; written down with its cost, the failures and the agreement."""
    with Asking(context.recipe, context.work.folder("evaluate"), "judge", settings=context.recipe.evaluate) as asking:
        rulings = list(panel.rulings(judged_cases(cases), asking))
        report = {**panel.check(context.recipe), **report_of(panel, rulings), "cost": asking.report()}
    report["made"] = date.today().isoformat()
    path = context.folder / f"{panel.name}-{file_name(context.target.name if context.target else 'none')}"
    places = [(case.set, case.item.id, case.number) for case in cases]
    write_jsonl(path.with_name(f"{path.name}.jsonl"), raw(rulings, places))
    with replacing(path.with_name(f"{path.name}.json")) as stream:
        json.dump(report, stream, ensure_ascii=False, indent=2)
    for line in told(panel, report):
        print(line, file=sys.stderr)
    return rulings


def raw(rulings: Sequence[Ruling], places: Sequence[tuple[str, str, int]]) -> Iterator[dict[str, Any]]:
    """A row for each response (set, item, number) and judge: what it wrote, what was read from it, what could not be."""
    for (name, item, number), ruling in zip(places, rulings, strict=True):
        for verdict in ruling.verdicts:
            yield {
                "set": name, "item": item, "number": number, "judge": verdict.judge, "text": verdict.text,
                "scores": verdict.scores, "failures": verdict.reasons,
            }  # fmt: skip


def combined(
    case: Case, name: str, judges: Sequence[str], values: Sequence[float | None], reason: str
) -> Iterator[Scored]:
    """A score: the mean of the judges' when each gave one; with several judges, what each said follows."""
    known = [value for value in values if value is not None]
    yield case.scored(name, fmean(known) if len(known) == len(values) else None, reason)
    if len(judges) > 1:
        for judge, value in zip(judges, values, strict=True):
            yield case.scored(f"{name}:{judge}", value, "" if value is not None else reason)


def worst(scores: Sequence[Scored], answers: int) -> Iterator[Scored]:
    """Worst-at-k of each item for k from 2 to its number of `answers`; none where fewer than k have a score."""
    items: dict[tuple[str, str], list[Scored]] = {}
    for score in scores:
        items.setdefault((score.set, score.example), []).append(score)
    for (name, example), given in items.items():
        known = [score.value for score in given if score.value is not None]
        short = f"only {len(known)} of {answers} answers have a score"
        for k in range(2, answers + 1):
            enough = k <= len(known)
            value = statistics.worst(known, k) if enough else None
            yield Scored(name, example, f"{given[0].metric}{_WORST.format(k)}", value, "" if enough else short)


def reasons(ruling: Ruling, ids: Sequence[str]) -> str:
    """Why lines have no score, each reason with its lines; the judge stands before it where there are several."""
    found: dict[str, list[str]] = {}
    for verdict in ruling.verdicts:
        judge = f"{verdict.judge}: " if len(ruling.verdicts) > 1 else ""
        for name in ids:
            if name in verdict.reasons:
                found.setdefault(judge + verdict.reasons[name], []).append(name)
    return "; ".join(reason if len(ids) == 1 else f"{reason} ({', '.join(names)})" for reason, names in found.items())


def told(panel: Panel, report: Mapping[str, Any]) -> Iterator[str]:
    """What judging took and how it went, for people."""
    for judge, counts in report["cost"].items():
        cost = f", cost {counts['cost']:,.4f}" if "cost" in counts else ""
        yield (
            f"judge: {panel.name}: {judge}: {counts['requests']:,} requests ({counts['cached']:,} from the ledger), "
            f"{counts['prompt_tokens']:,} prompt and {counts['completion_tokens']:,} completion tokens{cost}"
        )
    for judge, failures in report["failures"].items():
        if failures:
            counted = ", ".join(f"{count:,} {reason}" for reason, count in failures.items())
            yield f"judge: {panel.name}: {judge}: scores that are missing: {counted}"
    if any(counts["failed"] for counts in report["cost"].values()):
        yield "judge: to ask once more what failed, remove the stage's manifest.json and run again"


def _called(config: Mapping[str, Any]) -> str:
    """What the scores of a judge with this config are called."""
    return Path(str(config.get("rubric", "kullm"))).stem + (".strict" if config.get("strict") else "")


def _verdict(judge: str, answer: Answer, lines: Sequence[Line]) -> Verdict:
    if answer.error:
        return verdicts.failed(judge, answer.error if answer.unasked else f"the judge failed: {answer.error}", lines)
    return verdicts.read(judge, answer.texts[0], lines, answer.cut)


def report_of(panel: Panel, rulings: Sequence[Ruling]) -> dict[str, Any]:
    """Failures of each judge by reason, and how far the judges agree on each criterion."""
    failures = {
        judge: dict(Counter(reason for ruling in rulings for reason in _of(ruling, place)).most_common())
        for place, judge in enumerate(panel.models)
    }  # fmt: skip
    agreed = agreement.between([ruling.verdicts for ruling in rulings]) if len(panel.models) > 1 else {}
    return {"scored": sum(bool(ruling.sheet) for ruling in rulings), "failures": failures, "alpha": agreed}


def _of(ruling: Ruling, place: int) -> Iterator[str]:
    return iter(ruling.verdicts[place].reasons.values() if ruling.verdicts else ())


def _measures(name: str, found: Rubric) -> Iterator[tuple[str, Measure]]:
    if found.has_points:
        yield name, Measure(found.group)
        for axis in found.axes:
            yield f"{name}.{axis}", Measure(found.group)
    else:
        for criterion, each in found.criteria.items():
            yield f"{name}.{criterion}", Measure(found.group, unit="points", scale=(each.low, each.high))


def _worst_measures(panel: Panel, answers: int) -> Iterator[tuple[str, Measure]]:
    """Only the last is tested: those before it say nearly the same."""
    for k in range(2, answers + 1):
        yield f"{panel.name}{_WORST.format(k)}", Measure(panel.rubric.group, tested=k == answers)


def _values(panel: Panel, ruling: Ruling) -> Iterator[tuple[str, list[float | None], str]]:
    """Each score's name, what each judge's verdict comes to, and why one does not come to anything."""
    lines = ruling.sheet.lines if ruling.sheet else ()
    if not panel.rubric.has_points:
        for line in lines:
            values = [verdict.scores.get(line.id) for verdict in ruling.verdicts]
            yield f"{panel.name}.{line.id}", list(values), reasons(ruling, [line.id])
        return
    for axis in ("", *panel.rubric.axes):
        ids = [line.id for line in lines if axis in ("", line.axis)]
        found = [rubrics.points(lines, verdict.scores, axis) for verdict in ruling.verdicts]
        if ids:
            yield f"{panel.name}.{axis}" if axis else panel.name, found, reasons(ruling, ids)
