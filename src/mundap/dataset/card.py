"""The dataset's card: counts by source, licence, origin, language and department, drops, lengths, overlap, known limits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from mundap.config import Recipe
from mundap.dataset.split import SPLITS
from mundap.overlap import NEAR
from mundap.store import Manifest, Work

_NAMES = {"train": "train", "val": "validation", "test": "test"}
_STAGES = ("collect", "clean", "augment")
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_PLAIN = re.compile(r"[^a-z0-9.]+")
_MOST = 30  # values shown of one kind


def text(recipe: Recipe, work: Work, manifest: Manifest) -> str:
    """The card as Markdown that begins with the header a model hub reads."""
    header = yaml.safe_dump(_header(recipe, manifest), allow_unicode=True, sort_keys=False)
    words = _words()
    known = _known(recipe, manifest)
    parts = [f"# {words['title'].format(**known)}", words["summary_ko"], words["summary"].format(**known)]
    tables = {
        "counts": _counts(manifest), "lengths": _lengths(manifest), "overlap": _overlap(manifest),
        "stages": _stages(work, manifest),
    }  # fmt: skip
    for name, section in words["sections"].items():
        lead = str(section.get("text", "")).format(**known)
        parts += [part for part in (f"## {section['title']}", lead, *tables.get(name, ())) if part]
    return f"---\n{header}---\n\n" + "\n\n".join(parts) + "\n"


@cache
def _words() -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load((files("mundap.dataset") / "card.yaml").read_text("utf-8"))
    return found


def _known(recipe: Recipe, manifest: Manifest) -> dict[str, Any]:
    details = manifest.details
    numbers = {"rows": manifest.kept, **details["splits"]}
    groups = {
        **details["groups"],
        "groups": details["groups"]["all"],
        "too_large": details["groups"]["too_large_to_hold_out"],
    }
    return {
        "name": recipe.name, "version": manifest.versions["mundap"], "template": details["template"], "seed": manifest.seed,
        "near": f"{NEAR:.0%}", **{name: f"{value:,}" for name, value in {**numbers, **groups}.items()},
    }  # fmt: skip


def _header(recipe: Recipe, manifest: Manifest) -> dict[str, Any]:
    """The keys that the Hugging Face hub reads; `license` is one it knows or `other` with the names beside it."""
    by, splits = manifest.details["by"], manifest.details["splits"]
    shown = [name for name in SPLITS if splits[name]]
    return {
        "pretty_name": recipe.name, "language": sorted(by["lang"]),
        **_licence(sorted(by["licence"])),
        "task_categories": ["question-answering", "text-generation"], "tags": ["medical", "health", "mundap"],
        "size_categories": [next((word for size, word in _SIZES if manifest.kept < size), "n>1M")],
        "configs": [
            {"config_name": name, **({"default": True} if name == "alpaca" else {}),
             "data_files": [{"split": _NAMES[split], "path": f"{split}.{ending}"} for split in shown]}
            for name, ending in (("alpaca", "json"), ("prompt-completion", "jsonl"))
        ],
    }  # fmt: skip


def _licence(names: Sequence[str]) -> dict[str, str]:
    plain = _PLAIN.sub("-", names[0].lower()) if len(names) == 1 else "mixed"
    known = yaml.safe_load((files("mundap.dataset") / "licences.yaml").read_text("utf-8"))["hub"]
    return {"license": plain} if plain in known else {"license": "other", "license_name": plain}


def _counts(manifest: Manifest) -> Iterator[str]:
    words = _words()
    for facet, title in words["facets"].items():
        found = sorted(manifest.details["by"][facet].items(), key=lambda item: (-sum(item[1].values()), item[0]))
        named = [(words["origins"].get(value, value) if facet == "origin" else value, of) for value, of in found]
        rows = [[value, *(f"{of.get(split, 0):,}" for split in SPLITS)] for value, of in named[:_MOST]]
        more = (
            [[f"{len(named) - _MOST} more", *(f"{_rest(named, split):,}" for split in SPLITS)]] if named[_MOST:] else []
        )
        yield _table([title, *SPLITS], [*rows, *more])


def _rest(named: Sequence[tuple[str, Mapping[str, int]]], split: str) -> int:
    return sum(of.get(split, 0) for _, of in named[_MOST:])


def _lengths(manifest: Manifest) -> Iterator[str]:
    found = manifest.details["lengths"]
    columns = ("rows", "p50", "p90", "p95", "p99", "longest", *(("cut",) if found["unit"] == "token" else ()))
    rows = [[split, *(f"{of[name]:,}" for name in columns)] for split, of in found["splits"].items()]
    if found["unit"] == "token":
        yield f"Tokens of the tokenizer of `{_base(found['base'])}`, prompt and answer; `cut`: longer than {found['limit']:,}."
    else:
        yield "Characters, prompt and answer: the tokenizer of the base was not at hand, so what would be cut is not known."
    yield _table(["split", *columns], rows)


def _base(base: str) -> str:
    """A base's name; of a folder on somebody's machine only its last part."""
    return (
        base if base.count("/") <= 1 and not base.startswith(("/", ".", "~")) else base.rstrip("/").rpartition("/")[2]
    )


def _overlap(manifest: Manifest) -> Iterator[str]:
    found, without = apart(manifest.details["overlap"])
    rows = [
        [each["set"], f"{each['questions']:,}", *(f"{sum(each[split].values()):,}" for split in SPLITS)]
        for each in found
    ]
    if rows:
        yield _table(["set", "questions", *(f"in {split}" for split in SPLITS)], rows)
    if without:
        yield f"No overlap with: {without}."


def apart(found: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], str]:
    """The sets that rows overlap with; the names of the others, each with its number of questions."""
    some = [each for each in found if any(each[split] for split in SPLITS)]
    return some, ", ".join(f"{each['set']} ({each['questions']:,})" for each in found if each not in some)


def _stages(work: Work, manifest: Manifest) -> Iterator[str]:
    done = [found for name in _STAGES if (found := work.manifest(name)) is not None]
    if manifest.stage not in {found.stage for found in done}:
        done.append(manifest)
    for stage in done:
        reasons = sorted(stage.dropped.items(), key=lambda item: (-item[1], item[0]))
        lines = [f"- {reason}: {count:,}" for reason, count in reasons]
        yield "\n".join(
            [f"**{stage.stage}**: {stage.kept:,} kept, {sum(stage.dropped.values()):,} left out", "", *lines]
        ).strip()


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in lines)
