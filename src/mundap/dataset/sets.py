"""The evaluation sets that a dataset is kept apart from: the recipe's, those it will be evaluated on, and the package's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from mundap.config import Recipe
from mundap.dataset import tables
from mundap.errors import ConfigError, UserError
from mundap.overlap import Questions


@dataclass
class Set:
    """One file of questions."""

    name: str
    path: Path
    needed: bool = True
    questions: int = field(default=0)

    def into(self, index: Questions) -> None:
        """Put its questions into an index. Raises `UserError` when the recipe names the file and it has none."""
        try:
            for place, row in enumerate(tables.rows(self.path), 1):
                texts = tables.questions(row)
                for text in texts:
                    index.add(self.name, str(row.get("id") or place), text)
                self.questions += bool(texts)
        except UserError:
            if self.needed:  # a file that the evaluation names may be something else than a set
                raise
        if self.needed and not self.questions:
            keys = ", ".join(tables.QUESTIONS)
            raise UserError(f"{self.path} holds no questions: none of its rows has one of {keys}, turns")


def found(recipe: Recipe) -> list[Set]:
    """Every evaluation set, by path once. Raises `ConfigError` for all in `build.contamination` that cannot be read."""
    sets, problems = dict[Path, Set](), []
    for place, given in enumerate(recipe.build.contamination):
        try:
            sets |= {path: Set(_name(path, given), path) for path in tables.files_of(given)}
        except UserError as error:
            problems.append(f"contamination.{place}: {error}")
    if problems:
        raise ConfigError("build", problems)
    named = [Path(text) for text in _texts(recipe.evaluate.model_dump(mode="json"))]
    more = [path for path in named if tables.readable(path) and path.is_file()]
    for path in (*more, *_own()):
        sets.setdefault(path, Set(path.name.partition(".")[0], path, needed=False))
    return list(sets.values())


def _name(path: Path, given: str) -> str:
    """A file's name without its endings; inside a folder that was given, with the folder's."""
    plain = path.name.partition(".")[0]
    return plain if path == Path(given).expanduser() else f"{Path(given).name}/{plain}"


def _texts(value: Any) -> Iterator[str]:
    """Every text among a section's values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _own() -> list[Path]:
    """The sets inside the package. `evaluate` reads them; here only their questions matter."""
    with as_file(files("mundap") / "evaluate" / "sets") as folder:
        return sorted(folder.glob("*.yaml")) if folder.is_dir() else []
