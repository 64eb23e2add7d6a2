"""A tuned model's card, made from the files of its run: data, base, training, evaluation, intended use, limits."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from mundap.config import Recipe
from mundap.store import Manifest, Work
from mundap.train.licences import Data, base_licence, bases, hub_name

_MOST = 20  # values shown of one kind


def text(recipe: Recipe, work: Work, data: Data) -> str:
    """The card as Markdown that begins with the header a model hub reads."""
    words, trained = _words(), work.manifest("train") or Manifest("train", "")
    known = {
        "name": recipe.name, "base": base_name(recipe.train.base), "version": trained.versions.get("mundap", "of unknown version"),
        "rows": f"{data.rows:,}", "seed": recipe.seed, "template": trained.details.get("template", {}).get("name", recipe.build.template),
    }  # fmt: skip
    summary = _summary(work)
    more = {"data": _data(data), "training": _training(trained, recipe), "evaluation": _evaluation(summary)}
    parts = [
        f"# {words['title'].format(**known)}",
        words["summary_ko"].format(**known),
        words["summary"].format(**known),
    ]
    for name, section in words["sections"].items():
        lead = str(section["text"]).format(**known)
        parts += [part for part in (f"## {section['title']}", lead, *more.get(name, ())) if part]
    return f"---\n{_header(recipe, data, summary)}\n---\n\n" + "\n\n".join(parts) + "\n"


def base_name(base: str) -> str:
    """A base's name on a hub; of a folder on somebody's machine only its last part."""
    named = bases().get(base, {}).get("name")
    local = base.startswith(("/", ".", "~")) or base.count("/") > 1
    return str(named) if named else Path(base).name if local else base


@cache
def _words() -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load((files("mundap.train") / "model_card.yaml").read_text("utf-8"))
    return found


def _header(recipe: Recipe, data: Data, summary: Mapping[str, Any]) -> str:
    from huggingface_hub import ModelCardData

    licence, base = base_licence(recipe), recipe.train.base
    name = hub_name(licence)
    shown = {} if name else {"license_name": licence or _words()["nothing"]}
    found = ModelCardData(
        language=sorted(data.by["lang"]), license=name or "other", library_name="transformers", pipeline_tag="text-generation",
        tags=["medical", "health", "mundap"], model_name=recipe.name, eval_results=list(_results(summary)) or None,
        base_model=base_name(base) if "/" in base_name(base) else None, **shown,
    )  # fmt: skip
    return str(found.to_yaml())


def _results(summary: Mapping[str, Any]) -> Iterator[Any]:
    from huggingface_hub import EvalResult

    for each in _of_this_model(summary):
        yield EvalResult(
            task_type="text-generation", dataset_type=each["set"], dataset_name=each["set"], metric_type=each["metric"],
            metric_value=each["mean"],
        )  # fmt: skip


def _summary(work: Work) -> Mapping[str, Any]:
    """What `mundap evaluate` measured, if it has finished."""
    path = work.root / "evaluate" / "summary.json"
    if work.manifest("evaluate") is None or not path.is_file():
        return {}
    found: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def _of_this_model(summary: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for each in summary.get("measures", ()):
        if each["target"] == "tuned" and each.get("mean") is not None:
            yield each


def _evaluation(summary: Mapping[str, Any]) -> Iterator[str]:
    words = _words()
    measured = [each for each in summary.get("measures", ()) if each.get("mean") is not None]
    if not measured:
        yield words["not_evaluated"]
        return
    yield words["evaluated"]
    yield table(
        ("model", "set", "metric", "n", "mean", "95 %", "chance"),
        ([m["target"], m["set"], m["metric"], m["n"], _number(m["mean"]), _interval(m), _number(m.get("chance"))] for m in measured),
    )  # fmt: skip


def _interval(measure: Mapping[str, Any]) -> str:
    ends = (measure.get("low"), measure.get("high"))
    return "" if None in ends else f"{_number(ends[0])} to {_number(ends[1])}"


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.3g}"


def _data(data: Data) -> Iterator[str]:
    words = _words()
    for facet, title in words["facets"].items():
        counts = sorted(data.by[facet].items(), key=lambda item: (-item[1], item[0]))
        names = words["origins"] if facet == "origin" else {}
        rows = [[names.get(value, value) or words["nothing"], f"{count:,}"] for value, count in counts[:_MOST]]
        rest = counts[_MOST:]
        rows += [[f"{len(rest)} more", f"{sum(count for _, count in rest):,}"]] if rest else []
        yield table((title, "rows"), rows)


def _training(trained: Manifest, recipe: Recipe) -> Iterator[str]:
    details = trained.details
    settings = {**recipe.train.model_dump(mode="json"), **details.get("settings", {})}
    shown = [[name, settings[name]] for name in _words()["settings"] if settings.get(name) not in (None, False)]
    facts = {
        "steps done": details.get("steps"), "tokens": _count(details.get("tokens")), "hardware": details.get("device"),
        "training time": _time(details.get("training_seconds")), "precision": details.get("precision"),
        **{name: version for name, version in trained.versions.items() if version != "none"},
    }  # fmt: skip
    yield table(("setting", "value"), [*shown, *([name, value] for name, value in facts.items() if value is not None)])
    before, after = (details.get(name) or {} for name in ("val_before", "val_after"))
    if before.get("val_loss") is not None and after.get("val_loss") is not None:
        yield _words()["validation"].format(before=f"{before['val_loss']:.3f}", after=f"{after['val_loss']:.3f}")


def _count(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in lines)
