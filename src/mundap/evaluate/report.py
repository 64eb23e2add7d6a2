"""The comparison as one HTML file that opens offline: no script, no request, Korean first with English beside it.

Its words are `report.yaml`, its look `report.html` and `report.css`. What models and people wrote is escaped like all
other text, and a policy in the page forbids scripts and requests besides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup, escape

from mundap.errors import ConfigError, UserError
from mundap.evaluate import charts, findings
from mundap.evaluate.compare import Comparison, Difference, Measure, Run, load
from mundap.store import read_jsonl, replacing, versions

Words = Mapping[str, str]
_WIDE = 620  # of the normalised chart
_FEW = 30  # items under which an interval is called wide
_SECTIONS = ("glance", "kullm", "measures", "paired", "training", "cost", "samples", "provenance", "limits")


def write(folder: Path, against: Sequence[Path] = ()) -> Path:
    """Write a run's own report, `evaluate/report.html`, beside other runs where these can be compared with it."""
    path = folder / "evaluate" / "report.html"
    try:
        found = load([folder, *against])
    except ConfigError as error:
        alone = load([folder])
        found = replace(alone, notes=(*alone.notes, str(error)))
    save(found, path)
    return path


def save(comparison: Comparison, path: Path) -> None:
    """Write the report of a comparison. Raises `UserError` where no file can be written."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the report a file's name, such as {path / 'compare.html'}")
    text = page(comparison)
    try:
        with replacing(path) as stream:
            stream.write(text)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def page(comparison: Comparison) -> str:
    """The report as HTML."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(_file("report.html")).render(**_Page(comparison).values())


@cache
def words() -> Mapping[str, Any]:
    """The report's words and choices."""
    return dict(yaml.safe_load(_file("report.yaml")))


@cache
def published() -> Mapping[str, Any]:
    """The published rows of the KULLM table."""
    return dict(yaml.safe_load(_file("published.yaml")))


def named(metric: str) -> Words:
    """A measure in words; what has none is called by its name."""
    known, (whole, _, part) = words()["metrics"], metric.partition(":")
    rubric, _, criterion = whole.partition(".")
    found = known.get(metric) or known.get(whole)
    if found is None and criterion in words()["criteria"]:
        found = {lang: f"{rubric.upper()}: {text}" for lang, text in _both(words()["criteria"][criterion]).items()}
    if found is None and rubric in known:
        found, part = known[rubric], " · ".join(filter(None, (criterion.replace("worst_at_", "worst-at-"), part)))
    found = found or {"ko": whole, "en": whole}
    rest = f" ({part})" if part and metric not in known else ""
    return {lang: found[lang] + rest for lang in ("ko", "en")}


def number(value: float | None) -> str:
    """A number with the digits that matter."""
    if value is None:
        return "–"
    size = abs(value)
    return f"{value:.3f}" if size < 10 else f"{value:.1f}" if size < 1000 else f"{value:,.0f}"


def signed(value: float) -> str:
    """A difference with its sign."""
    return ("+" if value > 0 else "") + number(value)


def probability(value: float | None) -> str:
    """A p, or that it is below what is worth telling."""
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


class _Page:
    """What the template is filled with."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison, self.words = comparison, words()
        self.series = {target.name: place for place, target in enumerate(comparison.targets)}

    def values(self) -> dict[str, Any]:
        """All names of the template."""
        found, (groups, speed) = self.comparison, self._groups()
        leads = findings.leads(found, self.words["leads"])
        corrected = findings.holm([each.p for each in found.judged])
        costs, cost_names = self._costs()
        return {
            "w": self.words, "c": found, "style": Markup(_file("report.css")), "sections": _SECTIONS,
            "both": _spans, "plain": _plain, "named": named, "number": number, "signed": signed, "probability": probability,
            "mark": self._mark, "metric_words": named, "runs": ", ".join(run.name for run in found.runs),
            "items": f"{sum(each.n for each in found.sets):,}", "made": max(run.summary.made for run in found.runs),
            "leads": leads, "headline": findings.headline(leads, self.words["medicine"]),
            "kullm": self._kullm(), "groups": groups, "speed": speed, "worst": findings.worst(found),
            "differences": [
                {"each": each, "holm": p, "better": self._better(each, p)}
                for each, p in zip(found.judged, corrected, strict=True)
            ],
            "tests": sum(p is not None for p in corrected),
            "training": list(self._training()), "costs": costs, "cost_names": cost_names,
            "samples": findings.samples(found, self.words["samples_by"]), "systems": list(self._systems()),
            "data": [_data(run) for run in found.runs], "limits": list(self._limits()),
            "judges": self._judges(kullm=False),
            "skipped": [each for run in found.runs for each in run.summary.skipped], "version": versions()["mundap"],
        }  # fmt: skip

    def _mark(self, name: str) -> Markup:
        return charts.mark(self.series[name]) if name in self.series else Markup("")

    def _groups(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Measures by group, set and name, parts apart; speed goes with the cost, worst-at-k into tables of its own."""
        by: dict[str, dict[tuple[str, str], list[Measure]]] = {name: {} for name in self.words["groups"]}
        for measure in self.comparison.measures:
            if not findings.worst_at(measure.metric):
                by.setdefault(measure.group, {}).setdefault(measure.key, []).append(measure)
        names = {metric for found in by.values() for _, metric in found}
        shown = []
        for group, found in by.items():
            parts = {key for key in found if ":" in key[1] and key[1].partition(":")[0] in names}
            blocks = [self._block(each) for key, each in found.items() if key not in parts]
            title = self.words["groups"].get(group, {"ko": group, "en": group})
            rest = [self._block(found[key]) for key in found if key in parts]
            shown.append({"group": group, "title": title, "blocks": blocks, "parts": rest})
        full = [each for each in shown if each["blocks"] and each["group"] != "speed"]
        return full, next((each["blocks"] for each in shown if each["group"] == "speed"), [])

    def _block(self, measures: Sequence[Measure]) -> dict[str, Any]:
        first = measures[0]
        scale = first.scale or charts.scale_of(end for each in measures for end in (each.mean, each.low, each.high))
        return {
            "name": named(first.metric), "set": first.set, "better": first.better, "unit": first.unit, "chance": first.chance,
            "scale": scale, "rows": [{"measure": each, "chart": self._dot(each, scale)} for each in measures],
        }  # fmt: skip

    def _dot(self, each: Measure, scale: tuple[float, float]) -> Markup:
        series = self.series.get(each.target, 0)
        found = [] if each.mean is None else [charts.Dot(each.mean, series, each.low, each.high)]
        return charts.dots(found, scale, each.chance)

    def _kullm(self) -> dict[str, Any]:
        """The table of the specification: published rows, ours beside them, and both on one scale."""
        w, criteria = self.words["kullm"], self.words["criteria"]
        rows = [*self._ours(), *self._published()]
        names = [_spans(w["model"]), _spans(self.words["measures"]["n"]), *map(_spans, criteria.values())]
        drawn = [(name, charts.dots([row["dots"][place] for row in rows if row["dots"][place]], (0, 100), width=_WIDE))
                 for place, name in enumerate(criteria.values())]  # fmt: skip
        ours = [row for row in rows if not row["published"]]
        return {"rows": rows, "names": names, "charts": drawn, "ours": ours, "judges": self._judges(kullm=True)}

    def _ours(self) -> Iterator[dict[str, Any]]:
        """A row for each target and set with KULLM scores, and one for each judge's own where there are several."""
        found: dict[tuple[str, str, str], dict[str, Measure]] = {}
        for each in self.comparison.measures:
            rubric, _, rest = each.metric.partition(".")
            criterion, _, judge = rest.removeprefix("strict.").partition(":")
            if rubric == published()["rubric"] and criterion in self.words["criteria"]:
                variant = ", ".join(filter(None, ("strict" if rest.startswith("strict.") else "", judge)))
                found.setdefault((each.target, each.set, variant), {})[criterion] = each
        for (target, name, variant), cells in found.items():
            series = self.series.get(target, 0)
            listed = [cells.get(criterion) for criterion in self.words["criteria"]]
            yield {
                "name": " · ".join(filter(None, (target, variant, name if len({key[1] for key in found}) > 1 else ""))),
                "published": False, "mark": charts.mark(series), "n": max(each.n for each in cells.values()),
                "cells": [each if each and each.mean is not None else None for each in listed],
                "dots": [_normal(each, series) for each in listed],
            }  # fmt: skip

    def _published(self) -> Iterator[dict[str, Any]]:
        found = published()
        for place, row in enumerate(found["rows"]):
            means = dict(zip(found["criteria"], row["means"], strict=True))
            cells = [
                Measure(target=row["name"], set="", metric=name, mean=means[name]) for name in self.words["criteria"]
            ]
            scaled = [each.model_copy(update={"scale": self.words["criteria"][each.metric]["scale"]}) for each in cells]
            yield {
                "name": row["name"], "published": True, "mark": charts.mark(place, hollow=True), "n": found["items"],
                "cells": cells, "dots": [_normal(each, place, hollow=True) for each in scaled],
            }  # fmt: skip

    def _judges(self, kullm: bool) -> list[Markup]:
        """Who judged by which rubric, when, and how far several agreed: of KULLM's, or of all others."""
        w, told = self.words["judges"], dict[Markup, None]()
        for run in self.comparison.runs:
            for panel in run.panels():
                if (panel.name.partition(".")[0] == published()["rubric"]) != kullm:
                    continue
                told[_spans(w["judged"], rubric=panel.name, judges=", ".join(panel.judges), made=run.summary.made)] = (
                    None
                )
                if panel.alpha:
                    values = ", ".join(f"{name} {_alpha(found)}" for name, found in panel.alpha.items())
                    told[_spans(w["agreement"], rubric=panel.name, target=panel.target, alpha=values)] = None
        return list(told)

    def _better(self, each: Difference, p: float | None) -> str:
        """The better target where a difference was shown."""
        found = next((m for m in self.comparison.measures if m.key == (each.set, each.metric)), None)
        if found is None or found.better == "none" or not findings.clear(each, p):
            return ""
        return each.a if (each.difference > 0) == (found.better == "higher") else each.b

    def _training(self) -> Iterator[dict[str, Any]]:
        for run in self.comparison.runs:
            path = run.folder / "train" / "log.jsonl"
            rows = list(read_jsonl(path)) if path.is_file() else []
            tested = [row["val_loss"] for row in rows if row.get("val_loss") is not None]
            ends = {"before": number(tested[0] if tested else None), "after": number(tested[-1] if tested else None)}
            steps = max((row["step"] for row in rows), default=0)
            if chart := charts.curves(
                rows, _plain(self.words["training"]["described"], name=run.name, steps=steps, **ends)
            ):
                yield {"name": run.name, "chart": chart}

    def _costs(self) -> tuple[list[dict[str, Any]], list[Markup]]:
        """What answering and judging took: the columns are what was counted."""
        plain = {"judge": "", "rubric": ""}
        found: list[dict[str, Any]] = [
            {**plain, "target": each.name, "took": each.cost or {}} for each in self.comparison.targets
        ]
        for label, (run, name) in self.comparison.names.items():
            for panel in run.panels():
                for judge, took in panel.cost.items() if panel.target == name else ():
                    found.append({"target": label, "judge": judge, "rubric": panel.name, "took": took})
        names = list(dict.fromkeys(name for row in found for name in row["took"]))
        rows = [{**row, "cells": [_cell(row["took"].get(name)) for name in names]} for row in found if row["took"]]
        return rows, [_spans(self.words["costs"].get(name, {"ko": name, "en": name})) for name in names]

    def _systems(self) -> Iterator[dict[str, Any]]:
        for each in self.comparison.targets:
            cells = (each.model, each.adapter, each.template, each.options, each.digests)
            yield {"name": each.name, "cells": [_cell(cell) for cell in cells]}

    def _limits(self) -> Iterator[Markup]:
        w = self.words["limits"]
        for note in self.comparison.notes:
            yield escape(note)
        if len({_cell(each.options) for each in self.comparison.targets}) > 1:
            yield _spans(w["options"])
        few = {
            (m.metric, m.set, m.n) for m in self.comparison.measures if m.n < _FEW and m.tested and ":" not in m.metric
        }
        for metric, name, n in sorted(few):
            yield _spans(w["few"], metric=named(metric), set=name, n=n)
        for each in self.comparison.measures:
            if each.failures:
                yield _spans(
                    w["failed"], target=each.target, metric=named(each.metric), set=each.set, failures=each.failures
                )


def _normal(each: Measure | None, series: int, hollow: bool = False) -> charts.Dot | None:
    """A mean as a dot on the scale from 0 to 100, by (x - min) / (max - min)."""
    if each is None or each.mean is None or each.scale is None:
        return None
    low, high = each.scale
    ends = [None if end is None else (end - low) / (high - low) * 100 for end in (each.mean, each.low, each.high)]
    return charts.Dot(ends[0] or 0.0, series, ends[1], ends[2], hollow)


def _alpha(found: Mapping[str, Any]) -> str:
    """An agreement with its interval."""
    return f"{number(found.get('alpha'))} [{number(found.get('low'))}, {number(found.get('high'))}]"


def _data(run: Run) -> dict[str, Any]:
    """What a run was built and trained from, as its stages noted it."""
    built, trained, w = run.detail("build"), run.detail("train"), words()
    rows = [
        (title, value, sum(counts.values()) if isinstance(counts, Mapping) else counts)
        for facet, title in w["facets"].items() for value, counts in built.get("by", {}).get(facet, {}).items()
    ]  # fmt: skip
    overlap = [
        {"set": each["set"], "questions": each["questions"], "exact": each["train"].get("exact", 0), "near": each["train"].get("near", 0)}
        for each in built.get("overlap", ())
    ]  # fmt: skip
    facts = [
        (title, _cell(trained[name]))
        for name, title in w["training_facts"].items()
        if trained.get(name) not in (None, "")
    ]
    return {"name": run.name, "rows": rows, "overlap": overlap, "training": facts}


def _cell(value: Any) -> str:
    """A value as it stands in a table: numbers with commas, digests short, settings one after the other."""
    if value is None or value == "":
        return ""
    if isinstance(value, Mapping) and {*value} == {"name", "digest"}:
        return f"{value['name']} {_cell(value['digest'])}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_cell(each)}" for key, each in value.items() if each not in (None, "", [], ()))
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)[:12] if isinstance(value, str) and len(value) == 32 and value.isalnum() else str(value)


def _both(found: Mapping[str, Any]) -> Words:
    return {"ko": str(found["ko"]), "en": str(found["en"])}


def _filled(found: Mapping[str, Any], values: Mapping[str, Any]) -> Words:
    """Words in both languages with values, which may be words themselves."""
    return {
        lang: text.format_map({name: value[lang] if isinstance(value, Mapping) else value for name, value in values.items()})
        for lang, text in _both(found).items()
    }  # fmt: skip


def _spans(found: Mapping[str, Any], **values: Any) -> Markup:
    """Both languages, of which the style sheet shows what the reader chose."""
    filled = _filled(found, values)
    if filled["ko"] == filled["en"]:
        return escape(filled["ko"])
    return Markup('<span class="ko" lang="ko">{ko}</span><span class="en" lang="en">{en}</span>').format(**filled)


def _plain(found: Mapping[str, Any], **values: Any) -> str:
    """Both languages where no markup may stand: in descriptions for screen readers."""
    filled = _filled(found, values)
    return f"{filled['ko']} / {filled['en']}"


def _file(name: str) -> str:
    return (files("mundap.evaluate") / name).read_text("utf-8")
