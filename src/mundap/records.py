"""Records as lines of a file and back. A line that is no record is quarantined with its place and reason, never lost."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import IO, Any, cast, get_args

from mundap.errors import UserError
from mundap.types import QA, Drop, Lang, Origin, State

LONGEST = 4 << 20
_SHOWN = 200
_BOM = b"\xef\xbb\xbf"
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "lang": get_args(Lang), "question_origin": get_args(Origin), "state": get_args(State),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file: its number, its bytes (without the end) and, when it cannot be read, why."""

    number: int
    data: bytes
    problem: str = ""


def lines(path: Path) -> Iterator[Line]:
    """The lines that are not blank, none of them longer than 4 MiB in memory. `.gz` is read as it is.

    Raises `UserError` for a missing file; an archive that ends early yields a last line with that problem.
    """
    number = 0
    try:
        with _open(path) as stream:
            for line in bounded(stream):
                number = line.number
                if line.data.strip() or line.problem:
                    yield line
    except FileNotFoundError as error:
        raise UserError(f"no file {path}; run the stage before this one first") from error
    except (EOFError, OSError) as error:
        yield Line(number + 1, b"", f"the file cannot be read further: {error}")


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def bounded(stream: IO[bytes], number: int = 1, end: int = sys.maxsize) -> Iterator[Line]:
    """Lines without their ends, from the one called `number`, up to byte `end`; of one too long only the beginning."""
    while stream.tell() < end and (data := stream.readline(LONGEST)):
        size = len(data)
        if size == LONGEST and not data.endswith(b"\n"):
            size += _skip(stream)
            yield Line(number, data[:_SHOWN], f"longer than {LONGEST >> 20} MiB ({size >> 20} MiB)")
        else:
            data = data.removeprefix(_BOM) if number == 1 else data
            yield Line(number, data.rstrip(b"\r\n"))
        number += 1


def _skip(stream: IO[bytes]) -> int:
    """Read to the end of the line and say how much that was."""
    size = 0
    while more := stream.readline(LONGEST):
        size += len(more)
        if more.endswith(b"\n"):
            break
    return size


def parse(line: Line, where: str) -> QA | Drop:
    """The record of a line, or a `Drop` that names file, line and reason."""
    problem = line.problem
    try:
        return record(_loaded(line.data)) if not problem else _quarantined(line, where, problem)
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 at byte {error.start}"
    except RecursionError:
        problem = "nested too deeply"
    except (ValueError, TypeError) as error:
        problem = str(error)
    return _quarantined(line, where, problem)


def _quarantined(line: Line, where: str, problem: str) -> Drop:
    shown = line.data[:_SHOWN].decode("utf-8", "replace")
    return Drop({"file": where, "line": line.number, "text": shown}, "read", problem)


def _loaded(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for place, (key, _) in enumerate(pairs) if key in dict(pairs[:place]))
        raise ValueError(f"key {twice!r} appears twice")
    return found


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def record(row: Any) -> QA:
    """A `QA` from plain data. Raises `ValueError` that names the first wrong key."""
    if not isinstance(row, dict):
        raise ValueError(f"expected an object, found {type(row).__name__}")
    if unknown := sorted(row.keys() - _keys()):
        raise ValueError(f"unknown key {unknown[0]!r}")
    if missing := sorted({"id", "question", "answer"} - row.keys()):
        raise ValueError(f"no key {missing[0]!r}")
    return QA(**{key: _value(key, value) for key, value in row.items()})


def _value(key: str, value: Any) -> Any:
    if key in ("trail", "flags"):
        return tuple(_text(f"{key}[{place}]", each) for place, each in enumerate(_list(key, value)))
    if key == "fields":
        return tuple(_pair(each) for each in _list(key, value))
    text = _text(key, value)
    if key in _CHOICES and text not in _CHOICES[key]:
        raise ValueError(f"{key} is {text!r}; expected one of {', '.join(_CHOICES[key])}")
    if key == "id" and not text:
        raise ValueError("id is empty")
    return text


def _list(key: str, value: Any) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{key} is {type(value).__name__}, expected a list")
    return list(value)


def _pair(value: Any) -> tuple[str, str]:
    first, second = _list("fields", value) if isinstance(value, (list, tuple)) and len(value) == 2 else (None, None)
    return _text("fields", first), _text("fields", second)


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{key} is {type(value).__name__}, expected text")
    return value


@cache
def _keys() -> frozenset[str]:
    return frozenset(field.name for field in fields(QA))


def encode(row: QA | Drop) -> bytes:
    """One line of `out.jsonl` or `dropped.jsonl`. Lone surrogates are escaped, as JSON does."""
    text = json.dumps(asdict(row), ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace")
