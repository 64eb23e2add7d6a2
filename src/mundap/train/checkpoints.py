"""Checkpoints that are whole or not there: written aside, renamed, and checked file by file before anything is loaded."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path

from mundap.errors import UserError

FILES = "files.json"


@dataclass
class Checkpoints:
    """The folder `checkpoints/` of a run: `step-N/`, each with the sizes and SHA-256 digests of its files.

    They belong to one `key`; those of another are not loaded. The digests find damage. They do not prove who wrote a
    checkpoint: whoever can write into the folder can write them too, so a run's folder is to be trusted like code.
    `say` is told what is ignored and why.
    """

    folder: Path
    key: str
    ignored: list[str] = field(default_factory=list)

    def tidy(self) -> None:
        """Remove what a killed run left half written."""
        for path in self.folder.glob(".step-*"):
            shutil.rmtree(path)

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, whole or not, in order."""
        names = (path.name.removeprefix("step-") for path in self.folder.glob("step-*"))
        return sorted(int(name) for name in names if name.isdecimal())

    def path(self, step: int) -> Path:
        """Where the checkpoint of a step lies."""
        return self.folder / f"step-{step}"

    def latest(self) -> int:
        """The newest whole checkpoint, 0 when there is none. Broken ones after it are noted in `ignored`, then removed."""
        for step in reversed(self.steps()):
            problem = self.problem(step)
            if not problem:
                return step
            self.ignored.append(f"checkpoint step-{step} is not used: {problem}")
            shutil.rmtree(self.path(step))
        return 0

    def problem(self, step: int) -> str:
        """What is wrong with a checkpoint, naming the file; nothing when it is whole. No file of it is loaded."""
        folder = self.path(step)
        try:
            listed = json.loads((folder / FILES).read_text("utf-8"))
            expected, key = {str(name): tuple(seal) for name, seal in listed["files"].items()}, listed["key"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return f"{FILES} is missing or broken"
        if key != self.key:
            return "it belongs to another recipe, dataset or base"
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {FILES}
        for name in sorted(names | expected.keys()):
            if name not in expected or name not in names:
                return f"{name} is {'missing' if name in expected else 'not part of it'}"
            if _seal(folder / name) != expected[name]:
                return f"{name} was changed or cut short after it was written"
        return ""

    @contextmanager
    def writing(self, step: int, first: bool = True) -> Iterator[Path]:
        """A folder to write a checkpoint into; it gets its name only when the block ends without an error.

        With several processes all write, and the `first` of them seals. Raises `UserError` when writing fails.
        """
        folder = self.folder / f".step-{step}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            yield folder
            if first:
                self._seal(folder, step)
        except _write_errors() as error:
            shutil.rmtree(folder, ignore_errors=True)
            whole = [known for known in self.steps() if known != step]
            kept = f"step-{whole[-1]} is whole" if whole else "there is no earlier one"
            raise UserError(
                f"cannot save the checkpoint of step {step} in {self.folder} ({_first_line(error)}); {kept}; "
                "free some space and run the same command again to go on"
            ) from error

    def _seal(self, folder: Path, step: int) -> None:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        seals = {path.relative_to(folder).as_posix(): _seal(path) for path in paths}
        with (folder / FILES).open("w", encoding="utf-8") as stream:
            json.dump({"step": step, "key": self.key, "files": seals}, stream, indent=1)
        for path in [*paths, folder / FILES, folder]:
            _to_disk(path)
        shutil.rmtree(self.path(step), ignore_errors=True)
        os.replace(folder, self.path(step))
        _to_disk(self.folder)

    def rotate(self, best: int | None, newest: int = 2) -> None:
        """Keep the newest ones (the second in case the first is damaged) and the best."""
        for step in self.steps()[:-newest]:
            if step != best:
                shutil.rmtree(self.path(step))

    def clear(self) -> int:
        """Remove all; how many there were."""
        count = len(self.steps())
        with suppress(FileNotFoundError):
            shutil.rmtree(self.folder)
        return count


def _seal(path: Path) -> tuple[int, str]:
    with path.open("rb") as stream:
        return path.stat().st_size, file_digest(stream, "sha256").hexdigest()


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_errors() -> tuple[type[Exception], ...]:
    """What a full disk raises: torch and safetensors have their own."""
    from safetensors import SafetensorError

    return OSError, RuntimeError, SafetensorError


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:160].rstrip(".")
