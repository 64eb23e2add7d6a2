"""`mundap augment`: the cleaned records through the augmenters of the recipe; what a model made stands beside what was asked.

Each step reads the rows that the one before it wrote. A row that a step adds says so in `question_origin` and in its
trail. Without steps the rows are copied. When the budget is used up, rows pass on as they are.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import IO, Any

from mundap import registry
from mundap.asking.context import Context, identity
from mundap.config import Recipe, Use
from mundap.errors import ConfigError, UserError
from mundap.progress import Progress
from mundap.protocols import Step
from mundap.records import encode, lines, parse
from mundap.store import Manifest, Work, code_digest, digest, file_digest, versions
from mundap.types import QA, Drop

_STAGE, _SOURCE, _WORK = "augment", "clean/out.jsonl", ".work"
_PARTS = ("augment", "translate", "chat", "retrieve", "safety", "knowledge", "knowledge.topics")
_CODE = tuple(f"mundap.{part}" for part in _PARTS)
_WORDS = {
    "requests": "requests", "cached": "from the ledger", "sent": "sent now", "again": "of them once more",
    "failed": "failed", "unasked": "over the budget", "prompt_tokens": "prompt tokens",
    "completion_tokens": "completion tokens",
}  # fmt: skip
_LIBRARIES = ("kiwipiepy", "openai", "rapidfuzz", "tantivy", "transformers", "xllamacpp")


def run(recipe: Recipe, work: Work) -> Manifest:
    """Augment `clean/out.jsonl` of the run. Raises `UserError` when there is none, or a model or its server fails."""
    source = work.root / _SOURCE
    if not source.is_file():
        raise UserError(f"no file {source}; run `mundap clean` for this recipe first")
    inputs = {_SOURCE: file_digest(source)}
    key = digest([_config(recipe), inputs, code_digest(*_CODE), versions(*_LIBRARIES)])
    done = work.fresh(_STAGE, key)
    if done is not None:
        return done
    with Context(recipe, work.folder(_STAGE)) as context:
        return _Run(recipe, work, context, Manifest(_STAGE, key, inputs=inputs, seed=recipe.seed)).run(source)


def _config(recipe: Recipe) -> list[Any]:
    """All that decides a result: the steps, the models that they name, the budget, the seed."""
    steps = [each.model_dump(mode="json") for each in recipe.augment.steps]
    models = {name: identity(recipe.models[name]) for name in sorted(set(_texts(steps)) & recipe.models.keys())}
    return [steps, models, recipe.augment.requests, recipe.augment.tokens, recipe.seed]


def _texts(value: Any) -> Iterator[str]:
    """Every text in a piece of config: any of them may be the name of a model."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


@dataclass
class _Count:
    """What one step did. `made` rows are beside those that went in: rows in + made = out + dropped."""

    use: str
    rows: int = 0
    out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def made(self) -> int:
        return self.out + self.dropped.total() - self.rows

    def told(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "use": self.use, "rows": self.rows, "made": self.made, "kept": self.out,
            "dropped": dict(sorted(self.dropped.items())), "seconds": round(self.seconds, 2),
        }  # fmt: skip


class Rows:
    """The records of a file, which a step may go through more than once; each time moves the bar from its beginning."""

    def __init__(self, path: Path, count: int, bar: Progress) -> None:
        self._path, self._count, self._bar = path, count, bar
        self._shown = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[QA]:
        self._bar.advance(-self._shown)
        self._shown = 0
        for line in lines(self._path):
            row = parse(line, self._path.name)
            assert isinstance(row, QA), row
            self._shown += 1
            self._bar.advance(1)
            yield row


@dataclass
class _Run:
    """One run of the stage. All files are made in a folder of their own and moved into place at the end."""

    recipe: Recipe
    work: Work
    context: Context
    manifest: Manifest
    counts: list[_Count] = field(default_factory=list)

    def run(self, source: Path) -> Manifest:
        """Read, take every step, move the results into place, the manifest last."""
        began = perf_counter()
        steps = self._steps()
        folder = self._empty()
        with (folder / "dropped").open("wb") as dropped:
            last = folder / "rows0"
            self._write((parse(line, _SOURCE) for line in lines(source)), last, dropped, _Count("read"))
            for number, (use, step) in enumerate(steps, 1):
                out = folder / f"rows{number}"
                self._step(use, step, last, out, dropped)
                last.unlink()
                last = out
        self._place(last, "out.jsonl")
        self._place(folder / "dropped", "dropped.jsonl")
        shutil.rmtree(folder)
        return self._finished(perf_counter() - began)

    def _steps(self) -> list[tuple[Use, Step]]:
        """Every augmenter, made before any work, so that all that is wrong is found at once."""
        made, problems = [], []
        for number, use in enumerate(self.recipe.augment.steps):
            try:
                context = self.context.of(use.use)
                made.append((use, registry.create("augmenters", use.use, context=context, **use.config)))
            except UserError as error:
                problems.append(f"steps.{number} ({use.use}): {error}")
        for name in self.recipe.augment.prices:
            if name not in self.recipe.models:
                problems.append(f"prices.{name}: no such model under `models`")
        if problems:
            raise ConfigError("augment", problems)
        return made

    def _empty(self) -> Path:
        """The folder to work in, without what a killed run left; the old manifest no longer holds, the ledger stays."""
        stage = self.work.folder(_STAGE)
        (stage / "manifest.json").unlink(missing_ok=True)
        for old in stage.glob(".*"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        folder = stage / _WORK
        folder.mkdir()
        return folder

    def _step(self, use: Use, step: Step, source: Path, out: Path, dropped: IO[bytes]) -> None:
        count = _Count(use.use, self.counts[-1].out)
        with Progress(use.use, count.rows) as bar:
            self._write(step(Rows(source, count.rows, bar)), out, dropped, count)
        if count.made < 0:
            raise RuntimeError(f"the step {use.use!r} lost {-count.made} of {count.rows} rows without a reason")

    def _write(self, found: Iterable[QA | Drop], out: Path, dropped: IO[bytes], count: _Count) -> None:
        began = perf_counter()
        with out.open("wb") as kept:
            for row in found:
                (dropped if isinstance(row, Drop) else kept).write(encode(row))
                if isinstance(row, Drop):
                    count.dropped[row.reason] += 1
                else:
                    count.out += 1
        count.seconds = perf_counter() - began
        self.counts.append(count)

    def _place(self, path: Path, name: str) -> None:
        """Move a finished file to its name, once its bytes are on the disk."""
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(path, self.work.folder(_STAGE) / name)

    def _finished(self, seconds: float) -> Manifest:
        read, *counts = self.counts
        dropped: Counter[str] = Counter()
        for count in self.counts:
            dropped.update({f"{count.use}: {reason}": number for reason, number in count.dropped.items()})
        details = {
            "rows": read.out + read.dropped.total(), "made": sum(count.made for count in counts),
            "steps": [count.told() for count in counts], "models": self.context.report(),
            "ledger": self.context.ledger.totals(), "budget_used_up": self.context.budget.over,
        }  # fmt: skip
        made = replace(
            self.manifest, kept=self.counts[-1].out, dropped=dict(sorted(dropped.items())), seconds=round(seconds, 2),
            versions=versions(*_LIBRARIES), details=details,
        )  # fmt: skip
        self.work.finish(made)
        _show(made)
        return made


def _show(manifest: Manifest) -> None:
    """Print to standard error what was asked of each model, what it cost, and what ended early."""
    models: Mapping[str, Mapping[str, Any]] = manifest.details["models"]
    for name, counts in models.items():
        told = ", ".join(f"{counts[key]:,} {word}" for key, word in _WORDS.items() if counts[key])
        cost = f", cost {counts['cost']:,.4f}" if "cost" in counts else ""
        print(f"augment: {name}: {told or 'nothing asked'}{cost}", file=sys.stderr)
    if manifest.details["budget_used_up"]:
        print(
            f"augment: the budget of {manifest.details['budget_used_up']} is used up: the other rows passed on as they are; "
            "raise it under `augment` and run again to go on from there", file=sys.stderr,
        )  # fmt: skip
    if any(counts["failed"] for counts in models.values()):
        print("augment: to ask once more what failed, remove augment/manifest.json and run again", file=sys.stderr)
