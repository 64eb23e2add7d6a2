"""Plain files: JSON lines in and out, digests, and writes that are whole or not there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from secrets import token_hex
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
        stream = path.open("rb")
    except FileNotFoundError as error:
        raise UserError(f"no file {path}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    with stream:
        yield from read_lines(_decoded(stream, path), str(path))


def _decoded(stream: Iterable[bytes], path: Path) -> Iterator[str]:
    for number, line in enumerate(stream, 1):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            where = f"{path}, line {number}: not UTF-8 at byte {error.start} of the line"
            raise UserError(f"{where}; save the file as UTF-8") from error


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write all rows or nothing, replacing the file at once. Returns how many were written."""
    count = 0
    with replacing(path) as stream:
        for count, row in enumerate(rows, 1):  # noqa: B007
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return count


class replacing:
    """`with replacing(path) as stream`: the file changes only when the block ends without an error.

    Lone surrogates, which UTF-8 cannot hold, are written as JSON would escape them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> TextIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.temporary = self.path.with_name(f".{self.path.name}.{token_hex(4)}")
        self.stream = self.temporary.open("x", encoding="utf-8", errors="backslashreplace", newline="\n")
        return self.stream

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            with self.stream:
                if kind is None:
                    self.stream.flush()
                    os.fsync(self.stream.fileno())
            if kind is None:
                os.replace(self.temporary, self.path)
        finally:
            self.temporary.unlink(missing_ok=True)
