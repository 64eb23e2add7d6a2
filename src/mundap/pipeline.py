"""The stages in order: the one table that the command line, `mundap run` and the docs are made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from mundap.config import Recipe
from mundap.errors import UserError, did_you_mean
from mundap.store import Manifest, Work


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage: its name is its verb and its folder; `target` is `module:function` of type `run(recipe, work)`."""

    name: str
    target: str
    help: str


STAGES: tuple[Stage, ...] = (
    Stage("collect", "mundap.collect.stage:run", "Read doctors' answers from sites and files into records."),
    Stage("clean", "mundap.clean.stage:run", "Clean the records; say what was dropped and why."),
)


def run(recipe: Recipe, work: Work, first: str = "", last: str = "") -> Iterator[Manifest]:
    """Run the stages from `first` to `last` (default: all). A stage that is fresh returns its manifest at once."""
    with work.lock():
        for stage in _between(first, last):
            module, _, function = stage.target.partition(":")
            yield getattr(import_module(module), function)(recipe, work)


def work_folder(recipe: Recipe, runs: Path = Path("runs")) -> Work:
    """Where a recipe's run lives: `runs/<name>`."""
    return Work(runs / recipe.name)


def _between(first: str, last: str) -> tuple[Stage, ...]:
    names = [stage.name for stage in STAGES]
    for name in (first, last):
        if name and name not in names:
            raise UserError(f"no stage is called {name!r}{did_you_mean(name, names)}")
    start = names.index(first) if first else 0
    end = names.index(last) + 1 if last else len(names)
    return STAGES[start:end]
