"""`mundap calibrate`: how far a judge agrees with people who scored the same responses by the same rubric.

A file of labels has one row for each response and rater: `item` (the id of an item of the recipe's sets or of our own)
or `instruction` and `input`, then `response`, `scores` by criterion, and `rater` where there are several. Criteria that
an item brings along are numbered as it lists them: `must_1`, `nice_1`, `must_not_1`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

from mundap.asking.context import Context as Asking
from mundap.config import Recipe
from mundap.errors import ConfigError, UserError, did_you_mean
from mundap.evaluate import agreement, item_sets, rubrics
from mundap.evaluate.agreement import Agreement, criterion
from mundap.evaluate.items import Item
from mundap.evaluate.judge import Panel, Ruling, raw, report_of, told
from mundap.evaluate.rubrics import Judged, Line
from mundap.evaluate.statistics import RESAMPLES, rounded
from mundap.evaluate.verdicts import Verdict
from mundap.store import Work, digest, file_digest, read_jsonl, replacing, versions, write_jsonl
from mundap.types import Message

_JUDGES = ("judge", "facts")
_COLUMNS = ("criterion", "n", "failed", "exact", "within 1", "kappa", "alpha", "Spearman", "", "bias", "")


@dataclass
class Labelled:
    """A response with what each rater gave it: rater -> criterion -> score."""

    judged: Judged
    lines: tuple[Line, ...]
    raters: dict[str, dict[str, int]] = field(default_factory=dict)

    def people(self, line: str) -> float | None:
        """The median of the raters' scores of a line."""
        found = [scores[line] for scores in self.raters.values() if line in scores]
        return median(found) if found else None


def run(
    recipe: Recipe, work: Work, labels: Path, judges: Sequence[str] = (), rubric: str = "", resamples: int = RESAMPLES
) -> Iterator[str]:
    """Measure judges against the labels of people; yields the lines to show and writes `calibrate/<rubric>.json`.

    Without `judges` and `rubric` the recipe's first metric with a judge is measured. Raises `UserError` for a missing
    judge and `ConfigError` with everything that is wrong in the labels, before a judge is asked.
    """
    panel = _panel(recipe, judges, rubric)
    about = panel.check(recipe)
    labelled = read(labels, panel, _items(recipe, work))
    folder = work.folder("calibrate")
    with work.lock(), Asking(recipe, work.folder("evaluate"), "judge", settings=recipe.evaluate) as asking:
        rulings = list(panel.rulings([each.judged for each in labelled], asking))
        found = {**about, **report_of(panel, rulings), "cost": asking.report()}
    criteria = {
        judge: _measured(place, labelled, rulings, recipe.seed, resamples) for place, judge in enumerate(panel.models)
    }
    people = agreement.between([_verdicts(each) for each in labelled])
    found |= {
        "criteria": criteria, "people": people, "responses": len(labelled), "labels": file_digest(labels),
        "made": date.today().isoformat(), "seed": recipe.seed, "resamples": resamples,
        "versions": versions("krippendorff", "numpy", "scipy"),
    }  # fmt: skip
    write_jsonl(folder / f"{panel.name}.jsonl", raw(rulings, [("labels", each.judged.item.id, 1) for each in labelled]))
    with replacing(folder / f"{panel.name}.json") as stream:
        json.dump(found, stream, ensure_ascii=False, indent=2)
    yield from _shown(found, len(labelled))
    yield from told(panel, found)
    yield f"written: {folder / panel.name}.json, and what the judges wrote: {panel.name}.jsonl"


def read(path: Path, panel: Panel, items: Mapping[str, Item]) -> list[Labelled]:
    """The responses of a file of labels, each with all its raters. Raises `ConfigError` with every problem."""
    found: dict[str, Labelled] = {}
    problems: list[str] = []
    for number, row in enumerate(read_jsonl(path), 1):
        try:
            _add(row, panel, items, found)
        except UserError as error:
            problems.append(f"row {number}: {error}")
    if not found and not problems:
        problems.append("no rows in it")
    if problems:
        raise ConfigError(str(path), problems)
    return list(found.values())


def _add(row: Mapping[str, Any], panel: Panel, items: Mapping[str, Item], found: dict[str, Labelled]) -> None:
    """Put a row's scores beside those of other raters of the same response. Raises `UserError`."""
    if not isinstance(row.get("response"), str) or not isinstance(row.get("scores"), dict) or not row["scores"]:
        raise UserError("expected `response` (a text) and `scores` (criterion: score)")
    item = _item(row, items)
    key = digest([item.id, row["response"]])
    if key not in found:
        judged = rubrics.judged(item, row["response"])
        sheet = rubrics.sheet(panel.rubric, judged, panel.strict)
        found[key] = Labelled(judged, sheet.lines if sheet else ())
    rater = str(row.get("rater", ""))
    if rater in found[key].raters:
        raise UserError(f"the rater {rater!r} scored this response to {item.id} already; give each rater another name")
    found[key].raters[rater] = _scores(row["scores"], found[key].lines)


def _item(row: Mapping[str, Any], items: Mapping[str, Item]) -> Item:
    if isinstance(row.get("item"), str):
        if row["item"] not in items:
            raise UserError(f"no item {row['item']!r} in the sets of the recipe{did_you_mean(row['item'], items)[:60]}")
        return items[row["item"]]
    instruction, given = row.get("instruction"), row.get("input") or ""
    if not isinstance(instruction, str) or not instruction.strip() or not isinstance(given, str):
        raise UserError("expected `item` (an id) or `instruction` and `input` (texts)")
    turns = (Message("system", instruction), Message("user", given)) if given else (Message("user", instruction),)
    return Item(digest([instruction, given])[:12], turns)


def _scores(given: Mapping[str, Any], lines: Sequence[Line]) -> dict[str, int]:
    known = {line.id: line for line in lines}
    for name, score in given.items():
        if name not in known:
            raise UserError(f"no criterion {name!r} for this item{did_you_mean(name, known)}")
        line = known[name]
        if not isinstance(score, int) or isinstance(score, bool) or not line.low <= score <= line.high:
            raise UserError(f"{name} is {score!r}; it must be a whole number from {line.low} to {line.high}")
    return dict(given)


def _panel(recipe: Recipe, judges: Sequence[str], rubric: str) -> Panel:
    """The judges and the rubric: as told, else those of the recipe's first metric that has a judge."""
    of = next((use for use in recipe.evaluate.metrics if use.use in _JUDGES and use.config.get("model")), None)
    config = of.config if of else {}
    model = tuple(judges) or config.get("model")
    if not model:
        raise UserError("no judge: name one with --judge, or give evaluate.metrics a `judge` with a `model`")
    named = rubric or ("facts" if of and of.use == "facts" else str(config.get("rubric", "kullm")))
    kept = {} if rubric else {key: config[key] for key in ("strict", "structured", "max_tokens") if key in config}
    return Panel(model, named, **kept)


def _items(recipe: Recipe, work: Work) -> dict[str, Item]:
    names = dict.fromkeys((*recipe.evaluate.sets, "own"))
    return {item.id: item for each in item_sets.load(list(names), work) for item in each.items}


def _measured(
    place: int, labelled: Sequence[Labelled], rulings: Sequence[Ruling], seed: int, resamples: int
) -> dict[str, dict[str, Any]]:
    """One judge's agreement with people for each criterion, over the lines that both scored; the rest is counted."""
    pairs: dict[str, list[tuple[float, float]]] = {}
    failures: dict[str, int] = {}
    scales: dict[str, tuple[int, int]] = {}
    for each, ruling in zip(labelled, rulings, strict=True):
        for line in each.lines:
            name, people = criterion(line.id), each.people(line.id)
            if people is None:
                continue
            scales[name] = (line.low, line.high)
            score = ruling.verdicts[place].scores.get(line.id)
            failures[name] = failures.get(name, 0) + (score is None)
            if score is not None:
                pairs.setdefault(name, []).append((score, people))
    return {
        name: {"failures": failures[name], **_agreed(pairs.get(name, []), scale, seed, resamples)}
        for name, scale in scales.items()
    }  # fmt: skip


def _agreed(pairs: Sequence[tuple[float, float]], scale: tuple[int, int], seed: int, resamples: int) -> dict[str, Any]:
    if not pairs:
        return dict.fromkeys(Agreement.__slots__) | {"n": 0}
    judge, people = zip(*pairs, strict=True)
    return rounded(asdict(agreement.with_people(judge, people, scale, seed, resamples)))


def _verdicts(each: Labelled) -> list[Verdict]:
    """What the raters of a response gave it, as the verdicts of judges are."""
    return [Verdict(name, scores, {}) for name, scores in each.raters.items()]


def _shown(found: Mapping[str, Any], responses: int) -> Iterator[str]:
    """A table for each judge; intervals of 95 % in brackets."""
    for judge, criteria in found["criteria"].items():
        rows = [list(_COLUMNS), *([name, *_cells(each)] for name, each in criteria.items())]
        widths = [max(len(row[place]) for row in rows) for place in range(len(_COLUMNS))]
        yield f"{judge} against people, {responses:,} responses"
        for row in rows:
            yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    for name, each in found["people"].items():
        yield f"people among each other: {name}: alpha {each['alpha']:.2f} [{each['low']:.2f}, {each['high']:.2f}], n {each['n']:,}"


def _cells(each: Mapping[str, Any]) -> Iterator[str]:
    yield f"{each['n']:,}"
    yield f"{each['failures']:,}"
    for name in ("exact", "within_one", "kappa", "alpha", "spearman"):
        yield _number(each[name])
    yield _interval(each, "spearman")
    yield _number(each["bias"], "+.2f")
    yield _interval(each, "bias", "+.2f")


def _interval(each: Mapping[str, Any], name: str, form: str = ".2f") -> str:
    low, high = each[f"{name}_low"], each[f"{name}_high"]
    return "" if low is None else f"[{_number(low, form)}, {_number(high, form)}]"


def _number(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else format(value, form)
