"""Plain files: JSON lines in and out, digests, and writes that are whole or not there."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, TextIO

from mundap.errors import UserError


def digest(value: Any) -> str:
    """A stable 32-digit hexadecimal digest of anything JSON can hold, whatever the order of its keys."""
    canonical = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
    return blake2b(canonical.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def read_lines(stream: Iterable[str], where: str) -> Iterator[dict[str, Any]]:
    """Parse JSON lines, skipping blank ones. Raises `UserError` naming the place, the line and the value."""
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where}, line {number}: not JSON ({error}): {line.strip()[:80]!r}") from error
        if not isinstance(row, dict):
            raise UserError(f"{where}, line {number}: expected an object, found {type(row).__name__}")
        yield row


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file, one at a time. Raises `UserError` for a missing or broken file."""
    try:
        with path.open(encoding="utf-8") as stream:
            yield from read_lines(stream, str(path))
    except FileNotFoundError as error:
        raise UserError(f"no file {path}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from error


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write all rows or nothing, replacing the file at once. Returns how many were written."""
    count = 0
    with replacing(path) as stream:
        for count, row in enumerate(rows, 1):  # noqa: B007
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return count


class replacing:  # noqa: N801 (a context manager reads as a verb)
    """`with replacing(path) as stream`: the file changes only when the block ends without an error."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> TextIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, self.temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        self.stream = os.fdopen(handle, "w", encoding="utf-8")
        return self.stream

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.stream.flush()
            os.fsync(self.stream.fileno())
        self.stream.close()
        if kind is None:
            os.replace(self.temporary, self.path)
        else:
            os.unlink(self.temporary)
