"""Multiple choice with a base and a tuned model: accuracy with intervals, chance beside, a paired test; JSON on stdout.

python benchmarks/choice_run.py --work runs/quickstart --path DATA/mmlu_medical/data/test --limit 300 base tuned
Run again, it goes on where it was, and asks nothing twice. The options of a question are weighed in one pass, questions
of like length beside each other; `--precision bf16` is several times as fast on a CPU that computes in it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from time import monotonic

from mundap import config
from mundap.config import Use
from mundap.evaluate import targets
from mundap.evaluate.choice import Choice
from mundap.evaluate.metrics import Context, Scored
from mundap.evaluate.statistics import interval, paired
from mundap.evaluate.targets import Target
from mundap.store import Work, file_digest, versions


def main() -> None:
    given = _arguments()
    import torch

    torch.set_num_threads(given.threads)
    work = Work(given.work)
    recipe = config.read(given.work / "recipe.yaml", given.override)
    metric = Choice([{"name": given.name, "path": str(given.path)}], limit=given.limit, batch=given.batch)
    found: dict[str, list[Scored]] = {}
    for target in _precise(targets.resolve(given.targets, recipe, work), given.precision):
        began = monotonic()
        context = Context(recipe, work, given.folder or work.root / "choice", [], target, _note)
        metric.check(context)
        found[target.name] = list(metric.score([], context))
        _note(f"{target.name}: {monotonic() - began:.0f} s")
    chance = metric.measures[f"choice:{given.name}"].chance
    files = sorted(given.path.iterdir()) if given.path.is_dir() else [given.path]
    told = {
        "task": given.name, "files": [file_digest(file) for file in files], "limit": given.limit, "seed": recipe.seed,
        "precision": given.precision, "chance": chance, "targets": {name: _told(scores) for name, scores in found.items()},
        "paired": _pairs(found), "versions": versions("lm_eval", "torch", "transformers"),
    }  # fmt: skip
    print(json.dumps(told, indent=2))


def _precise(found: list[Target], precision: str) -> Iterator[Target]:
    """The same targets in that precision, which makes their answers other ones. A model that is no `hf` has its own."""
    for target in found:
        if target.use is None or target.use.use != "hf":
            raise SystemExit(f"{target.name} is not a model of transformers: its precision cannot be chosen")
        yield replace(target, use=Use(**{**target.use.model_dump(), "dtype": precision}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("targets", nargs="+")
    parser.add_argument("--work", type=Path, required=True, help="a run's folder, with its recipe.yaml")
    parser.add_argument("--path", type=Path, required=True, help="a file or folder of questions")
    parser.add_argument("--folder", type=Path, help="where answers are kept (default: choice in the run's folder)")
    parser.add_argument("--name", default="mmlu_medical")
    parser.add_argument("--limit", type=int, help="questions drawn by the recipe's seed (default: all)")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--override", action="append", default=[])
    return parser.parse_args()


def _told(scores: list[Scored]) -> dict[str, object]:
    """Over all questions and for each file."""
    parts: dict[str, list[float]] = defaultdict(list)
    for score in scores:
        parts[score.example.rpartition("/")[0]].append(score.value or 0.0)
    values = [score.value or 0.0 for score in scores]
    shares = {part: [round(sum(own) / len(own), 3), len(own)] for part, own in parts.items()}
    return {**asdict(interval(values)), "unnamed": sum(bool(score.reason) for score in scores), "parts": shares}


def _pairs(found: dict[str, list[Scored]]) -> list[dict[str, object]]:
    """The first target against each other one, on the same questions."""
    (first, scores), *rest = found.items()
    own = {score.example: score.value or 0.0 for score in scores}
    pairs = []
    for name, others in rest:
        theirs = {score.example: score.value or 0.0 for score in others}
        test = paired([theirs[example] for example in own], list(own.values()))
        pairs.append({"a": name, "b": first, **asdict(test)})
    return pairs


def _note(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    main()
