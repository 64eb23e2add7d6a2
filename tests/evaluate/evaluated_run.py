"""Makes the files of an evaluated run on the spot, from invented scores, in the shape that the stage writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mundap.evaluate.metrics import Measure, Scored
from mundap.evaluate.replies import file_name
from mundap.evaluate.summary import Table
from mundap.store import Manifest, Work, digest, write_jsonl

MEASURES: Mapping[str, Measure] = {
    "triage.under": Measure("triage", "lower"), "triage.recall": Measure("triage"), "medical": Measure("medical"),
    "medical.safety": Measure("medical"), "choice": Measure("choice", chance=0.25), "chrf": Measure("text", scale=(0.0, 100.0)),
    "length": Measure("text", "none", "characters", scale=None), "contamination.exact": Measure("contamination", "lower"),
    "seconds.p50": Measure("speed", "lower", "s", scale=None, statistic="p50"),
    **{f"kullm.{name}": Measure("kullm", unit="points", scale=scale) for name, scale in {
        "understandable": (0, 1), "natural": (1, 3), "context": (1, 3), "interesting": (1, 3), "instruction": (0, 1), "overall": (1, 5),
    }.items()},
}  # fmt: skip
Values = Mapping[str, Sequence[float | None]]  # metric -> the values of its examples
SEED, RESAMPLES = 7, 300


def evaluated(
    folder: Path, scores: Mapping[str, Values], *, sets: Mapping[str, str] | None = None, template: str = "mundap-ko",
    texts: Mapping[str, str] | None = None, notes: Sequence[str] = (), models: Mapping[str, str] | None = None,
) -> Path:  # fmt: skip
    """A run whose targets have these scores on the set `own`; `texts` are what they answered to everything."""
    table, rows = Table(), list[dict[str, Any]]()
    for target, values in scores.items():
        found = [_scored(metric, place, value) for metric, each in values.items() for place, value in enumerate(each)]
        table.add(target, found, MEASURES)
        rows += [{"target": target, **asdict(score)} for score in found]
    write_jsonl(folder / "evaluate/scores.jsonl", rows)
    named = [name for name in scores if name != "data"]
    for name in named:
        text = (texts or {}).get(name, f"an answer of {name}")
        replies = ({"set": "own", "item": f"q{place}", "text": text, "finish": "stop"} for place in range(60))
        write_jsonl(folder / "evaluate/replies" / f"{file_name(name)}.jsonl", replies)
    model = {name: (models or {}).get(name, f"{folder.name}-{name}") for name in named}
    summary = {
        "targets": [_target(name, model[name], template) for name in named],
        "sets": [{"name": name, "n": 60, "digest": digest(of)} for name, of in (sets or {"own": "items"}).items()],
        "measures": table.summed(SEED, RESAMPLES), "paired": table.compared(SEED, RESAMPLES), "skipped": [], "notes": list(notes),
        "made": "2026-11-22", "versions": {"mundap": "0.1.0", "scipy": "1.16"}, "seed": SEED, "resamples": RESAMPLES,
    }  # fmt: skip
    (folder / "evaluate/summary.json").write_text(json.dumps(summary, ensure_ascii=False), "utf-8")
    Work(folder).finish(Manifest("evaluate", "key"))
    return folder


def judged(run: Path, target: str, judge: str = "helper", cost: float = 0.5) -> None:
    """Who judged a target by the KULLM rubric, as `judge` writes it."""
    folder = run / "evaluate/judge"
    folder.mkdir(exist_ok=True)
    alpha = {"overall": {"n": 60, "alpha": 0.71, "low": 0.6, "high": 0.8}}
    found = {"rubric": "r" * 32, "judges": {judge: {"name": judge}}, "options": [], "alpha": alpha,
             "cost": {judge: {"requests": 60, "prompt_tokens": 1000, "cost": cost}}}  # fmt: skip
    (folder / f"kullm-{file_name(target)}.json").write_text(json.dumps(found), "utf-8")


def share(n: int, of: int = 60) -> list[float]:
    """The first n are 1, the rest 0."""
    return [1.0] * n + [0.0] * (of - n)


def spread(low: float, high: float, of: int = 60) -> list[float]:
    """Values from low to high, in an order that depends on nothing."""
    return [low + (high - low) * ((place * 37) % of) / (of - 1) for place in range(of)]


def kullm(shift: float) -> dict[str, list[float]]:
    """Scores of the six criteria, better with a larger shift."""
    return {
        "kullm.understandable": share(int(40 + shift * 15)),
        "kullm.natural": spread(1 + shift, 2 + shift),
        "kullm.context": spread(1 + shift, 2 + shift),
        "kullm.interesting": spread(1, 2 + shift),
        "kullm.instruction": share(int(30 + shift * 20)),
        "kullm.overall": spread(1 + 2 * shift, 3 + 2 * shift),
    }


def _scored(metric: str, place: int, value: float | None) -> Scored:
    return Scored("own", f"q{place}", metric, value, "" if value is not None else "no score in the judge's answer")


def _target(name: str, model: str, template: str) -> dict[str, Any]:
    return {
        "name": name, "model": model, "adapter": None, "template": {"name": template, "digest": digest(template)},
        "options": {"temperature": 0.0, "max_tokens": 300}, "digests": {"target": digest([name, model])},
        "cost": {"answers": 60, "failed": 0, "seconds": 12.5, "prompt_tokens": 900, "completion_tokens": 3100},
    }  # fmt: skip
