"""What the run pages know about a run: its stages' state, its rows, what was dropped and changed; read from its files."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from mundap.errors import UserError
from mundap.pipeline import STAGES
from mundap.store import Manifest, Work

State = Literal["done", "begun", "none"]
Row = dict[str, Any]
PAGE = 20
# Rows that are looked through for the choices of a filter: enough to see what there is, and under a second.
_SCANNED = 50_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TABLES = ("out", "train", "val", "test")
FILTERS = ("source", "department", "flag", "origin", "split")


class Missing(UserError):
    """Something that the address names and that is not there."""


@dataclass(frozen=True, slots=True)
class Step:
    """A stage of a run: `begun` has a folder and no manifest yet."""

    name: str
    help: str
    state: State
    manifest: Manifest | None = None
    when: datetime | None = None
    files: Sequence[str] = ()
    drops: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """A run: its stages in the order of `STAGES`, and the process that works in it now, if any."""

    path: Path
    steps: Sequence[Step]
    process: str = ""

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    def step(self, name: str) -> Step:
        """One stage. Raises `Missing` for a name that is none."""
        found = next((step for step in self.steps if step.name == name), None)
        if found is None:
            raise Missing(f"no stage is called {name[:40]!r}")
        return found


@dataclass(frozen=True, slots=True)
class Table:
    """One page of rows that pass the filters; `choices` is what each filter could be, the most frequent first."""

    rows: Sequence[Row]
    more: bool
    choices: Mapping[str, Sequence[tuple[str, int]]]
    scanned: int
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """What cleaning did to one text of a record: parts that stayed, went and came."""

    record: str
    about: str
    trail: Sequence[str]
    parts: Sequence[tuple[str, str]]


def runs(root: Path) -> list[Run]:
    """All runs of a folder, the one changed last first."""
    found = [path for path in root.iterdir() if _is_run(path, root)] if root.is_dir() else []
    return [_run(path) for path in sorted(found, key=lambda path: (-_changed(path), path.name))]


def run(root: Path, name: str) -> Run:
    """One run by its folder's name. Raises `Missing` for what is none, or lies elsewhere."""
    path = root / name
    if not _NAME.fullmatch(name) or not _is_run(path, root):
        raise Missing(f"no run {name[:80]!r} here")
    return _run(path)


def inside(root: Path, path: Path) -> Path:
    """A file of a run. Raises `Missing` when there is none, or when a link leads out of the folder of runs."""
    if not path.is_file() or not path.resolve().is_relative_to(root.resolve()):
        raise Missing(f"no file {path.name} in this run yet")
    return path


def log_rows(run: Path) -> list[Row]:
    """The lines of a training's log so far; one that is being written is no line yet."""
    found: list[Row] = []
    with suppress(OSError):
        for line in (run / "train" / "log.jsonl").read_text("utf-8", "replace").splitlines():
            with suppress(ValueError):
                row = json.loads(line)
                found += [row] if isinstance(row, dict) and isinstance(row.get("step"), int) else []
    return found


def table(path: Path, filters: Mapping[str, str], text: str = "", page: int = 1) -> Table:
    """A page of a file's rows. `filters` are of `FILTERS`; `text` must be in a row, whatever the case."""
    choices, scanned, whole = _choices(path, *_version(path))
    wanted = {key: value for key, value in filters.items() if value}
    passing = (row for row in _rows(path) if _passes(row, wanted, text.casefold()))
    start = (max(page, 1) - 1) * PAGE
    found = list(islice(passing, start, start + PAGE + 1))
    return Table(found[:PAGE], len(found) > PAGE, choices, scanned, whole)


def dropped(path: Path, reason: str = "", page: int = 1) -> Table:
    """A page of a stage's `dropped.jsonl`; `reason` as in the manifest's counts."""
    rows = (row for row in _rows(path) if reason in ("", _reason(row), row.get("reason")))
    start = (max(page, 1) - 1) * PAGE
    found = list(islice(rows, start, start + PAGE + 1))
    return Table(found[:PAGE], len(found) > PAGE, {}, 0)


def changes(path: Path, count: int = 10, seed: int = 0) -> list[Change]:
    """Texts that cleaning changed, drawn evenly over the whole file."""
    from mundap.clean.show import pairs

    found = pairs(Work(path), count, seed)
    return [
        Change(after.id, name, after.trail, difference(getattr(before, name), getattr(after, name)))
        for before, after in found
        for name in ("title", "question", "answer")
        if getattr(before, name) != getattr(after, name)
    ]


def difference(before: str, after: str) -> list[tuple[str, str]]:
    """Both texts in one: parts marked `same`, `gone` or `new`. Compared word by word, so that it can be read."""
    old, new = (re.findall(r"\s+|\w+|[^\w\s]", text) for text in (before, after))
    parts: list[tuple[str, str]] = []
    for kind, start, end, new_start, new_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            parts.append(("same", "".join(old[start:end])))
            continue
        pieces = ("gone", "".join(old[start:end])), ("new", "".join(new[new_start:new_end]))
        parts += [piece for piece in pieces if piece[1]]
    return parts


def facets(row: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    """What a row is, for the filters. A record's source is what collected it, not its page."""
    inner = row.get("record", row)
    trail = inner.get("trail") or ()
    source = str(trail[0]).partition(":")[2].partition("@")[0] if trail else ""
    values = {
        "source": (source or str(inner.get("source", "")),),
        "department": (str(inner.get("specialty", "")),),
        "flag": tuple(map(str, inner.get("flags") or ())),
        "origin": (str(inner.get("question_origin") or inner.get("origin") or ""),),
        "split": (str(inner.get("split", "")),),
    }
    return {key: [value for value in found if value] for key, found in values.items()}


def _is_run(path: Path, root: Path) -> bool:
    known = ("recipe.yaml", *(stage.name for stage in STAGES))
    if not path.is_dir() or not _NAME.fullmatch(path.name) or not path.resolve().is_relative_to(root.resolve()):
        return False
    return any((path / name).exists() for name in known)


def _changed(path: Path) -> float:
    times = [0.0]
    with suppress(OSError):
        times += [child.stat().st_mtime for child in path.iterdir() if not child.name.startswith(".")]
    return max(times)


def _run(path: Path) -> Run:
    return Run(path, [_step(path, stage.name, stage.help) for stage in STAGES], _process(path))


def _step(run: Path, name: str, about: str) -> Step:
    folder, manifest = run / name, Work(run).manifest(name)
    if not folder.is_dir():
        return Step(name, about, "none")
    if manifest is None:
        return Step(name, about, "begun")
    when = None
    with suppress(OSError):
        when = datetime.fromtimestamp((folder / "manifest.json").stat().st_mtime).astimezone()
    tables = [each for each in _TABLES if (folder / f"{each}.jsonl").is_file()]
    return Step(name, about, "done", manifest, when, tables, (folder / "dropped.jsonl").is_file())


def _process(run: Path) -> str:
    """The process that holds the run's lock; empty when nobody does.

    The lock is tried only while a process of the number in it lives, so that a stage that begins is never kept out.
    """
    with suppress(OSError, ValueError), (run / ".lock").open() as stream:
        process = int(stream.read())
        os.kill(process, 0)
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return str(process)
    return ""


def _rows(path: Path) -> Iterator[Row]:
    """Rows that can be read; stages have said already what is wrong with others."""
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            with suppress(ValueError, RecursionError):
                row = json.loads(line)
                if isinstance(row, dict):
                    yield row


def _version(path: Path) -> tuple[int, int]:
    about = path.stat()
    return about.st_mtime_ns, about.st_size


@lru_cache(maxsize=32)
def _choices(path: Path, changed: int, size: int) -> tuple[dict[str, list[tuple[str, int]]], int, bool]:
    """What the filters could be, from the first rows; read again when the file has changed."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in FILTERS}
    scanned = 0
    for row in islice(_rows(path), _SCANNED):
        scanned += 1
        for name, values in facets(row).items():
            counts[name].update(values)
    return {name: found.most_common(200) for name, found in counts.items() if found}, scanned, scanned < _SCANNED


def _passes(row: Row, wanted: Mapping[str, str], text: str) -> bool:
    about = facets(row)
    if any(value not in about[key] for key, value in wanted.items()):
        return False
    return not text or text in json.dumps(row, ensure_ascii=False).casefold()


def _reason(row: Row) -> str:
    return f"{row.get('step')}: {row.get('reason')}"
