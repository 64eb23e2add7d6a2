"""What `mundap show runs/x/clean` prints: counts by step, drop reasons, and samples before and after, in colour."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mundap.errors import UserError
from mundap.records import lines, parse
from mundap.store import Manifest, Work, read_jsonl
from mundap.types import QA

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

Pair = tuple[QA, QA]
_WIDTH = 160
_WORDS = ("title", "question", "answer")


def show(folder: Path, samples: int = 3, seed: int = 0, console: Console | None = None) -> None:
    """Print a finished clean stage. `folder` is `runs/<name>/clean`. Raises `UserError` when it has not finished."""
    from rich.console import Console

    console = console or Console()
    work = Work(folder.resolve().parent)
    manifest = work.manifest("clean")
    if manifest is None:
        raise UserError(f"{folder} holds no finished clean stage; run `mundap clean` first")
    console.print(_steps(manifest))
    for reason, rows in _dropped(folder, samples, seed):
        console.print(f"[bold]{reason}[/] ({manifest.dropped.get(reason, 0):,})", highlight=False)
        for row in rows:
            console.print(f"  {_short(row)}", style="dim", markup=False, highlight=False)
    for before, after in pairs(work, samples, seed):
        console.print(f"[bold]{after.id}[/] {' '.join(after.trail)}", highlight=False)
        for name in _WORDS:
            if getattr(before, name) != getattr(after, name):
                console.print(difference(getattr(before, name), getattr(after, name)))


def _steps(manifest: Manifest) -> Table:
    from rich.table import Table

    rows, share = manifest.details["rows"], manifest.kept / max(manifest.details["rows"], 1)
    table = Table(title=f"{rows:,} rows in, {manifest.kept:,} kept ({share:.1%}), {manifest.seconds:.1f} s")
    for name in ("step", "rows in", "changed", "dropped", "seconds"):
        table.add_column(name, justify="left" if name == "step" else "right")
    for step in manifest.details["steps"]:
        gone = sum(step["dropped"].values())
        table.add_row(step["name"], f"{step['rows']:,}", f"{step['changed']:,}", f"{gone:,}", f"{step['seconds']:.1f}")
    return table


def _dropped(folder: Path, samples: int, seed: int) -> Iterator[tuple[str, Sequence[Mapping[str, Any]]]]:
    """A few rows for each reason, drawn evenly in one pass."""
    dice, drawn, seen = random.Random(seed), defaultdict[str, list[Any]](list), defaultdict[str, int](int)
    for row in read_jsonl(folder / "dropped.jsonl"):
        reason = f"{row['step']}: {row['reason']}"
        seen[reason] += 1
        _draw(drawn[reason], row["record"], samples, seen[reason], dice)
    yield from sorted(drawn.items(), key=lambda item: -seen[item[0]])


def pairs(work: Work, count: int, seed: int) -> list[Pair]:
    """Records whose words changed, before and after, drawn evenly in one pass over both files."""
    dice, drawn, seen = random.Random(seed), list[Pair](), 0
    kept = _records(work.root / "clean" / "out.jsonl")
    after = next(kept, None)
    for before in _records(work.root / "collect" / "out.jsonl"):
        if after is None or before.id != after.id:  # dropped; cleaning keeps the order
            continue
        if any(getattr(before, name) != getattr(after, name) for name in _WORDS):
            seen += 1
            _draw(drawn, (before, after), count, seen, dice)
        after = next(kept, None)
    return drawn


def _records(path: Path) -> Iterator[QA]:
    found = (parse(line, path.name) for line in lines(path))
    return (row for row in found if isinstance(row, QA))


def _draw(drawn: list[Any], item: Any, size: int, seen: int, dice: random.Random) -> None:
    """Reservoir sampling: each of the `seen` items is equally likely to be among the `size` drawn."""
    if len(drawn) < size:
        drawn.append(item)
    elif size and (place := dice.randrange(seen)) < size:
        drawn[place] = item


def difference(before: str, after: str) -> Text:
    """One text: what went is red and struck out, what came is green, long stretches that stayed are shortened."""
    from rich.text import Text

    shown = Text("  ")
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for kind, start, end, new_start, new_end in matcher.get_opcodes():
        if kind == "equal":
            shown.append(_middle(before[start:end]))
            continue
        shown.append(before[start:end].replace("\n", "↵"), style="red strike")
        shown.append(after[new_start:new_end], style="green")
    return shown


def _middle(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH // 2]} … {text[-_WIDTH // 2 :]}"


def _short(row: Mapping[str, Any]) -> str:
    if "text" in row:
        return f"{row['file']}, line {row['line']}: {row['text'][:80]}"
    words = " ".join(f"{row['question']} → {row['answer']}".split())
    return words[:_WIDTH]
