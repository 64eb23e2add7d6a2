"""Files of rows that are not records: general rows and evaluation sets, as JSON, JSON lines, CSV or YAML."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any, cast

import yaml

from mundap.errors import UserError
from mundap.store import read_lines

SUFFIXES = (".json", ".jsonl", ".csv", ".tsv", ".yaml", ".yml")
QUESTIONS = ("question", "Question", "질문", "Q", "instruction", "prompt", "input", "text")
_SAID = ("user", "patient")


def files_of(path: str) -> list[Path]:
    """The file itself, or a folder's files that can be read. Raises `UserError` when there are none."""
    given = Path(path).expanduser()
    if given.is_file() and readable(given):
        return [given]
    found = sorted(each for each in given.rglob("*") if each.is_file() and readable(each)) if given.is_dir() else []
    if not found:
        problem = "cannot be read" if given.is_file() else "holds no file" if given.is_dir() else "is not there"
        raise UserError(f"{path} {problem}; name a file that ends in {', '.join(SUFFIXES)} (or one of them with .gz)")
    return found


def readable(path: Path) -> bool:
    """Whether a file's name says that it holds rows."""
    return Path(path.name.removesuffix(".gz")).suffix in SUFFIXES


def rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """A file's rows, streamed where its form allows. Raises `UserError` naming the file, the line and the problem."""
    read = _READERS[Path(path.name.removesuffix(".gz")).suffix]
    try:
        with _opened(path) as packed, TextIOWrapper(packed, "utf-8-sig", newline="") as stream:
            yield from read(stream, path)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from error
    except (OSError, EOFError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    except (ValueError, RecursionError, csv.Error, yaml.YAMLError) as error:
        raise UserError(f"{path}: not what its name says: {' '.join(str(error).split())}") from error


def _opened(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _json(stream: TextIOWrapper, path: Path) -> Iterator[Mapping[str, Any]]:
    return _listed(json.load(stream), path)


def _yaml(stream: TextIOWrapper, path: Path) -> Iterator[Mapping[str, Any]]:
    return _listed(yaml.load(stream, Loader=yaml.CSafeLoader), path)


def _listed(value: Any, path: Path) -> Iterator[Mapping[str, Any]]:
    if not isinstance(value, list):
        raise UserError(f"{path}: expected a list of rows, found {type(value).__name__}")
    for number, row in enumerate(value, 1):
        if not isinstance(row, dict):
            raise UserError(f"{path}, row {number}: expected an object, found {type(row).__name__}")
        yield row


def _csv(stream: TextIOWrapper, path: Path) -> Iterator[Mapping[str, Any]]:
    """With a header, when it names a column that we know; else the first column is the question."""
    table = csv.reader(stream, delimiter="\t" if ".tsv" in path.suffixes else ",", strict=True)
    first = next(table, None)
    if first is None:
        return
    if any(name in QUESTIONS for name in first):
        yield from (dict(zip(first, row, strict=False)) for row in table)
    else:
        yield from ({"question": row[0]} for row in (first, *table) if row)


_READERS: Mapping[str, Callable[[TextIOWrapper, Path], Iterable[Mapping[str, Any]]]] = {
    ".json": _json, ".jsonl": lambda stream, path: read_lines(stream, str(path)),
    ".csv": _csv, ".tsv": _csv, ".yaml": _yaml, ".yml": _yaml,
}  # fmt: skip


def questions(row: Mapping[str, Any]) -> list[str]:
    """What a row of an evaluation set asks: its question; its input, alone and after the instruction; a person's turns."""
    if isinstance(row.get("turns"), list):
        return [text for turn in row["turns"] if isinstance(turn, dict) for text in _said(turn)]
    if isinstance(task := row.get("instruction"), str):
        inputs = [row, *(each for each in row.get("instances") or () if isinstance(each, dict))]
        more = [each["input"] for each in inputs if isinstance(each.get("input"), str) and each["input"].strip()]
        return [*more, *(f"{task} {each}" for each in more)] or [task]
    return [row[key] for key in QUESTIONS if isinstance(row.get(key), str)][:1]


def _said(turn: Mapping[str, Any]) -> list[str]:
    found = (
        turn.get("content") if turn.get("role") in _SAID else next((turn[who] for who in _SAID if who in turn), None)
    )
    return [found] if isinstance(found, str) else []
