"""A stage's folder while it is made anew: worked on out of sight, moved into place whole, checked for room first."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mundap.errors import UserError
from mundap.store import Work, digest, file_digest

_WORK = ".work"
_SPARE = 64 << 20  # bytes that stay free on a disk


@contextmanager
def making(work: Work, stage: str) -> Iterator[Path]:
    """An empty folder to work in. Without an error, what was made there takes its place in the stage's folder.

    What a killed run left is gone, and the stage no longer counts as done.
    """
    folder = work.folder(stage)
    (folder / "manifest.json").unlink(missing_ok=True)
    for old in folder.glob(".*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    made = folder / _WORK
    made.mkdir()
    try:
        yield made
        for path in sorted(made.iterdir()):
            _replace(path, folder / path.name)
    finally:
        shutil.rmtree(made)


def _replace(path: Path, old: Path) -> None:
    if old.is_dir():
        shutil.rmtree(old)
    os.replace(path, old)


def link(source: Path, target: Path, names: Sequence[str] = ()) -> None:
    """The files of a folder (or those of these names) in another, without a copy where the disk can do that.

    Nothing here changes a file in place, so one file under two names stays the same under both.
    """
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if not path.is_file() or (names and path.name not in names):
            continue
        try:
            os.link(path, target / path.name)
        except OSError:
            shutil.copy2(path, target / path.name)


def digest_of(folder: Path) -> str:
    """A digest of the files of a folder: names and bytes."""
    return digest([[path.name, file_digest(path)] for path in sorted(folder.iterdir()) if path.is_file()])


def size_of(folder: Path) -> int:
    """Bytes of the files of a folder."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def check_room(folder: Path, needed: int, what: str) -> None:
    """Raise `UserError` when the disk has less room than `needed` bytes."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE:
        raise UserError(
            f"{what} needs {needed / 1e9:.1f} GB of disk and {folder} has {free / 1e9:.1f} GB free; make room or set "
            "another place for runs"
        )
