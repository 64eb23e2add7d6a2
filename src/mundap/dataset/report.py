"""What a person sees of a dataset: rows of each split, lengths and what would be cut, overlap with evaluation sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from mundap.dataset.card import apart
from mundap.dataset.split import SPLITS
from mundap.errors import UserError
from mundap.store import Manifest, Work, read_jsonl

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_LENGTHS = ("rows", "p50", "p90", "p95", "p99", "longest", "cut")
_WIDTH = 200


def show(manifest: Manifest, console: Console | None = None) -> None:
    """Print the report, to standard error unless told otherwise."""
    from rich.console import Console

    console = console or Console(stderr=True, highlight=False)
    details = manifest.details
    console.print(_lengths(details["lengths"]))
    if details["lengths"]["why"]:
        console.print(f"no tokens were counted: {details['lengths']['why']}", markup=False, soft_wrap=True)
    found, without = apart(details["overlap"])
    if found:
        console.print(_overlap(found))
    if without:
        console.print(f"no row's question is in {without}", markup=False, soft_wrap=True)
    for split, count in details["splits"].items():
        if not count:
            console.print(f"{split}.jsonl is empty: its share is 0 or there are too few groups", markup=False)
    for each in details["mix"]:
        if each["taken"] < each["wanted"]:
            console.print(
                f"{each['name']}: {each['wanted']:,} general rows wanted, {each['taken']:,} found", markup=False
            )


def look(folder: Path, samples: int = 3, seed: int = 0, console: Console | None = None) -> None:
    """Print a finished dataset: its counts, the report, and some rows of each split. `folder` is `runs/<name>/build`."""
    from rich.console import Console

    console = console or Console(highlight=False)
    manifest = Work(folder.resolve().parent).manifest(folder.resolve().name)
    if manifest is None:
        raise UserError(f"{folder} holds no finished build stage; run `mundap build` first")
    counts = ", ".join(f"{count:,} {split}" for split, count in manifest.details["splits"].items())
    console.print(f"{manifest.kept:,} rows ({counts}), template {manifest.details['template']}", markup=False)
    for reason, count in manifest.dropped.items():
        console.print(f"left out: {reason} ({count:,})", markup=False)
    show(manifest, console)
    for split, rows in _drawn(folder / "out.jsonl", samples, seed).items():
        for row in rows:
            words = " ".join(f"{row['input'] or row['instruction']} → {row['output']}".split())
            console.print(
                f"{split} {row['id'][:12]} {row['origin']} {words[:_WIDTH]}", markup=False, style="dim", soft_wrap=True
            )


def _drawn(path: Path, samples: int, seed: int) -> dict[str, list[dict[str, Any]]]:
    """Some rows of each split, each as likely as any other, in one pass."""
    dice, seen = Random(seed), Counter[str]()
    drawn: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for row in read_jsonl(path):
        rows, split = drawn[row["split"]], row["split"]
        seen[split] += 1
        if len(rows) < samples:
            rows.append(row)
        elif (place := dice.randrange(seen[split])) < samples:
            rows[place] = row
    return drawn


def _lengths(found: dict[str, Any]) -> Table:
    title = f"length in {found['unit']}s" + (
        f" of {found['base']}; cut at {found['limit']:,}" if not found["why"] else ""
    )
    rows = [[split, *(_number(of[name]) for name in _LENGTHS)] for split, of in found["splits"].items()]
    return _table(title, ("split", *_LENGTHS), rows)


def _overlap(found: Sequence[Mapping[str, Any]]) -> Table:
    names = [(split, kind) for split in SPLITS for kind in ("exact", "near")]
    rows = [
        [each["set"], _number(each["questions"]), *(_number(each[at].get(kind, 0)) for at, kind in names)]
        for each in found
    ]
    title = "rows whose question is in an evaluation set (gone from train)"
    return _table(title, ("set", "questions", *(" ".join(name) for name in names)), rows)


def _table(title: str, columns: tuple[str, ...], rows: list[list[str]]) -> Table:
    from rich.table import Table

    table = Table(title=title)
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"
