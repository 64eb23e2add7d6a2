"""The stages in order: the one table that the command line, `mundap run` and the docs are made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from inspect import signature
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mundap import registry
from mundap.errors import ConfigError, MissingExtra, UserError, did_you_mean
from mundap.store import Manifest, Work, read_jsonl, replacing

if TYPE_CHECKING:
    from mundap.config import Recipe, Use


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage: its name is its verb and its folder; `target` is `module:function` of type `run(recipe, work)`.

    `extra` is the package's extra with the libraries it needs.
    """

    name: str
    target: str
    help: str
    extra: str = "train"


STAGES: tuple[Stage, ...] = (
    Stage("collect", "mundap.collect.stage:run", "Read doctors' answers from sites and files into records.", "collect"),
    Stage("clean", "mundap.clean.stage:run", "Clean the records; say what was dropped and why.", "collect"),
    Stage("augment", "mundap.augment.stage:run", "Repair questions, write new ones, translate: by a model, checked."),
    Stage("build", "mundap.dataset.stage:run", "Make the dataset: templates, splits that cannot leak, a card."),
    Stage("train", "mundap.train.stage:run", "Tune a base model on the dataset."),
    Stage("merge", "mundap.train.merge:run", "Fold the adapter into its base model and compare the two."),
    Stage("export", "mundap.train.export:run", "Write the model as safetensors, GGUF and for Ollama."),
    Stage("publish", "mundap.train.publish:run", "Upload the model with its card; a dry run unless told otherwise."),
    Stage(
        "evaluate", "mundap.evaluate.stage:run", "Measure models and the whole assistant, with intervals.", "evaluate"
    ),
)
_ALWAYS = ("collect", "clean")


def run(recipe: Recipe, work: Work, first: str = "", last: str = "") -> Iterator[Manifest]:
    """Run the stages from `first` to `last` (default: all). A stage that is fresh returns its manifest at once."""
    with work.lock():
        _keep(recipe, work)
        for stage in _wanted(recipe, first, last):
            yield _function(stage)(recipe, work)


def _function(stage: Stage) -> Callable[[Recipe, Work], Manifest]:
    """What runs a stage. Raises `MissingExtra` when a library that its module needs is not installed."""
    module, _, name = stage.target.partition(":")
    try:
        found: Callable[[Recipe, Work], Manifest] = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "mundap"):
            raise
        advice = f"pip install 'mundap[{stage.extra}]'"
        raise MissingExtra(f"`mundap {stage.name}` needs the package {package!r}: {advice}") from error
    return found


def _keep(recipe: Recipe, work: Work) -> None:
    """The recipe as it was resolved, beside what it made."""
    import yaml

    with replacing(work.root / "recipe.yaml") as stream:
        yaml.safe_dump(recipe.model_dump(mode="json", exclude_unset=True), stream, allow_unicode=True, sort_keys=False)


def problems(recipe: Recipe) -> list[str]:
    """What a recipe needs and does not find here: permissions, files, keys of translators. Nothing is fetched."""
    from mundap.dataset import mix, sets

    found = _collecting(recipe)
    if "build" in recipe.model_fields_set:
        found += [*_said(partial(mix.check, recipe.build.mix)), *_said(partial(sets.found, recipe))]
    for place, use in _translators(recipe):
        if "key_from" in signature(registry.find("translators", use.use)).parameters:
            made = partial(registry.create, "translators", use.use, **use.config)
            found += [f"{place}: {each}" for each in _said(made)]
    return found


def _collecting(recipe: Recipe) -> list[str]:
    """What the sources lack; a missing library is one thing more that they lack."""
    if missing := _said(lambda: _function(STAGES[0])):
        return missing
    from mundap.collect import stage

    return stage.problems(recipe)


def _said(check: Callable[[], Any]) -> list[str]:
    try:
        check()
    except ConfigError as error:
        return [f"{error.where}.{problem}" for problem in error.problems]
    except UserError as error:
        return [str(error)]
    return []


def _translators(recipe: Recipe) -> Iterator[tuple[str, Use]]:
    """Every translator that a recipe names, and where."""
    from mundap.config import Use

    if recipe.chat.translate is not None:
        yield "chat.translate", recipe.chat.translate
    for number, step in enumerate(recipe.augment.steps):
        engine = step.config.get("engine", {})
        config = {"use": engine} if isinstance(engine, str) else engine
        if config.get("use") in registry.names("translators"):
            yield f"augment.steps.{number}", Use(**config)


def work_folder(recipe: Recipe, runs: Path = Path("runs")) -> Work:
    """Where a recipe's run lives: `runs/<name>`."""
    return Work(runs / recipe.name)


def trace(record: str, runs: Path) -> Iterator[dict[str, Any]]:
    """Where a record (by its id or the beginning of it) stands in each stage of each run: kept or dropped, and why."""
    for run_folder in sorted(path for path in runs.glob("*") if path.is_dir()):
        for stage in STAGES:
            for name in ("out", "dropped"):
                file = run_folder / stage.name / f"{name}.jsonl"
                rows = read_jsonl(file) if file.is_file() else ()
                yield from (_place(row, file) for row in rows if _id(row).startswith(record))


_SHOWS = {"clean": "mundap.clean.show:show", "build": "mundap.dataset.report:look"}


def show(folder: Path, samples: int = 3, seed: int = 0) -> Iterator[dict[str, Any]]:
    """A finished stage: some have a view of their own, which is printed; of the others what they counted and first rows."""
    name = folder.resolve().name
    if name in _SHOWS:
        module, _, function = _SHOWS[name].partition(":")
        getattr(import_module(module), function)(folder, samples, seed)
        return
    manifest, out = Work(folder.resolve().parent).manifest(name), folder / "out.jsonl"
    if manifest is None:
        raise UserError(f"{folder} holds no finished stage; name one such as runs/<name>/clean")
    yield {"stage": manifest.stage, "kept": manifest.kept, "dropped": dict(manifest.dropped), **manifest.details}
    yield from islice(read_jsonl(out) if out.is_file() else (), samples)


def _id(row: Mapping[str, Any]) -> str:
    """The id of a kept row, or of the record inside a dropped one."""
    inner = row.get("record")
    return str(row.get("id") or (inner.get("id", "") if isinstance(inner, dict) else ""))


def _place(row: Mapping[str, Any], file: Path) -> dict[str, Any]:
    return {"stage": file.parent.name, "run": file.parent.parent.name, "kept": file.stem == "out", **row}


def _wanted(recipe: Recipe, first: str, last: str) -> Iterator[Stage]:
    """The stages between two names that the recipe has a section for; a stage that is named itself is always run."""
    for stage in _between(first, last):
        if stage.name in (*_ALWAYS, first, last) or stage.name in recipe.model_fields_set:
            yield stage


def _between(first: str, last: str) -> tuple[Stage, ...]:
    names = [stage.name for stage in STAGES]
    for name in (first, last):
        if name and name not in names:
            raise UserError(f"no stage is called {name!r}{did_you_mean(name, names)}")
    start = names.index(first) if first else 0
    end = names.index(last) + 1 if last else len(names)
    return STAGES[start:end]
