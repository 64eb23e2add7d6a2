"""What a training is made from, checked before anything heavy is imported: data, template, base, libraries, room on disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from mundap import prompts
from mundap.config import Recipe
from mundap.errors import MissingExtra, UserError
from mundap.models.bases import Place, locate
from mundap.store import Work, digest, file_digest, versions
from mundap.train import launch

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "tokenizers")
_DATA = ("build/train.jsonl", "build/val.jsonl", "build/template.json")
# What decides the result. The rest of the package (progress, curves, merging, export) may change without a new training.
_CODE = ("data.py", "plan.py", "process.py", "sft.py", "table.py", "trainer.py")
# Settings that change when a training ends or what it shows, not what is learnt: a run goes on after they change.
_FREE = ("budget", "samples")
_ROOM = 100 << 20
_EDGE = 1 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked training: `key` stands for all that decides its result."""

    key: str
    place: Place
    template: prompts.Template
    inputs: Mapping[str, str]
    base_digest: str


def plan(recipe: Recipe, work: Work) -> Plan:
    """Check everything that can be checked without opening the model. Raises `UserError` for the first problem."""
    missing = [name for name in _DATA if not (work.root / name).is_file()]
    if missing:
        raise UserError(f"no file {work.root / missing[0]}; run `mundap build` for this recipe first")
    if not (work.root / _DATA[0]).stat().st_size:
        raise UserError(f"{work.root / _DATA[0]} is empty: there is nothing to train on; see build/dropped.jsonl")
    prompts.agree(work.root / "build", recipe.build.template)
    template = prompts.saved(work.root / "build")
    assert template is not None
    place = locate(recipe.train.base)
    _check_libraries(recipe, place)
    _check_room(work.root)
    inputs = {name: file_digest(work.root / name) for name in _DATA}
    base = base_digest(place, recipe.train.revision)
    settings = {name: value for name, value in recipe.train.model_dump(mode="json").items() if name not in _FREE}
    parts = [settings, recipe.seed, inputs, base, _code(), _profile(recipe), versions(*LIBRARIES)]
    return Plan(digest(parts), place, template, inputs, base)


def base_digest(place: Place, revision: str | None = None) -> str:
    """What a base is told from another by: names, sizes, first and last MiB of its files; a hub's id and revision.

    Whole files are not read: 25 GB would take longer than the rest of the checks together.
    """
    if place.folder is None:
        return digest([place.base, revision])
    names = [place.gguf] if place.gguf else sorted(path.name for path in place.folder.iterdir() if _counts(path))
    return digest([[name, *_edges(place.folder / name)] for name in names])


def _counts(path: Path) -> bool:
    return path.is_file() and path.suffix in (".json", ".safetensors", ".model", ".jinja", ".txt")


def _edges(path: Path) -> tuple[int, str]:
    size = path.stat().st_size
    with path.open("rb") as stream:
        found = blake2b(stream.read(_EDGE), digest_size=16)
        stream.seek(max(size - _EDGE, 0), os.SEEK_SET)
        found.update(stream.read(_EDGE))
    return size, found.hexdigest()


def _profile(recipe: Recipe) -> str:
    return launch.profile(recipe.train.launch) if recipe.train.launch else ""


def _code() -> str:
    return digest([(name, blake2b((files("mundap.train") / name).read_bytes()).hexdigest()) for name in _CODE])


def _check_libraries(recipe: Recipe, place: Place) -> None:
    needed = ["torch", "transformers", "trl", "peft", "accelerate", "datasets", "matplotlib"]
    needed += ["bitsandbytes"] if recipe.train.method in ("qlora", "int8") else []
    needed += ["gguf"] if place.gguf else []
    if missing := [name for name in needed if find_spec(name) is None]:
        raise MissingExtra(f"`mundap train` needs {', '.join(missing)}: pip install 'mundap[train]'")


def _check_room(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < _ROOM:
        raise UserError(f"{folder} has {free >> 20} MB free on its disk; training needs {_ROOM >> 20} MB and more")
