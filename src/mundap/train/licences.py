"""May a tuned model be handed on? The licences of the rows it was trained on, and of its base, by the rules beside this file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from mundap.config import Recipe
from mundap.errors import UserError
from mundap.store import Work, read_jsonl

FACETS = ("source", "licence", "permission", "origin", "lang", "split")
_UNSURE = "no rule knows it, so nobody has said that it may"


@dataclass(frozen=True, slots=True)
class Data:
    """Counts of the rows that a model learnt from or was chosen by; `rights` counts pairs of licence and permission."""

    rows: int
    by: Mapping[str, Mapping[str, int]]
    rights: Mapping[tuple[str, str], int]


def data_of(work: Work) -> Data:
    """Count the dataset's rows, without those held out for testing. Raises `UserError` when there is no dataset."""
    path = work.root / "build" / "out.jsonl"
    if not path.is_file():
        raise UserError(f"no file {path}; without it nothing says whether the data may be published")
    by: dict[str, Counter[str]] = {name: Counter() for name in FACETS}
    rights: Counter[tuple[str, str]] = Counter()
    for row in read_jsonl(path):
        if row.get("split") == "test":
            continue
        rights[row.get("licence", ""), row.get("permission", "")] += 1
        for name, counts in by.items():
            counts[_facet(name, str(row.get(name, "")))] += 1
    return Data(rights.total(), by, rights)


def _facet(name: str, value: str) -> str:
    """A source is counted by its site or file, not by its page or line."""
    if name != "source":
        return value
    site = re.match(r"https?://([^/?#]+)", value)
    return site[1] if site else Path(re.sub(r":\d+$", "", value)).name


def problems(recipe: Recipe, data: Data) -> Iterator[str]:
    """Everything that forbids publishing, each with what it is about and how many rows."""
    for (licence, permission), rows in sorted(data.rights.items()):
        if (why := _row_problem(licence, permission, recipe.publish.permissions)) and rows:
            yield f"{rows:,} rows under {licence or 'no stated licence'}{_with(permission)}: {why}"
    licence = base_licence(recipe)
    if why := refusal(licence):
        yield f"the base {recipe.train.base} under {licence or 'no stated licence'}: {why} (publish.base_licence states one)"


def _row_problem(licence: str, permission: str, covered: tuple[str, ...]) -> str:
    if permission and permission in covered:
        return ""
    if permission and not licence:
        return "a permission to use them is not one to publish; if it is, list it in publish.permissions"
    return refusal(licence)


def _with(permission: str) -> str:
    return f", permission {permission!r}" if permission else ""


def refusal(licence: str) -> str:
    """Why a licence does not let a model be handed on; empty when it does."""
    rules = _rules()
    found = [rule["why"] for rule in rules["refused"] if re.search(rule["match"], licence, re.IGNORECASE)]
    if found:
        return str(found[0])
    return "" if re.match(rules["allowed"], licence.strip(), re.IGNORECASE) else _UNSURE


def base_licence(recipe: Recipe) -> str:
    """The base's licence: as the recipe states it, as known for a hub id, or as the card in a base's folder says."""
    known = bases().get(recipe.train.base, {})
    return recipe.publish.base_licence or str(known.get("licence") or _of_folder(Path(recipe.train.base)))


def _of_folder(folder: Path) -> str:
    card = folder / "README.md"
    header = re.match(r"---\n(.*?)\n---", card.read_text("utf-8"), re.DOTALL) if card.is_file() else None
    found = yaml.safe_load(header[1]) if header else None
    return str(found.get("license", "")) if isinstance(found, dict) else ""


def hub_name(licence: str) -> str:
    """A licence as model hubs write it, or nothing."""
    plain = re.sub(r"[^a-z0-9.]+", "-", licence.strip().lower())
    return plain if plain in _rules()["hub"] else ""


@cache
def bases() -> Mapping[str, Mapping[str, Any]]:
    """Known base models by hub id: shape and licence."""
    return dict(yaml.safe_load((files("mundap.train") / "bases.yaml").read_text("utf-8")))


@cache
def _rules() -> Mapping[str, Any]:
    return dict(yaml.safe_load((files("mundap.train") / "licences.yaml").read_text("utf-8")))
