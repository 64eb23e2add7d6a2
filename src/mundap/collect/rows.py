"""Rows of JSON, JSON-lines and CSV files, one at a time and in bounded memory; a bad row is a row with a problem."""

from __future__ import annotations

import codecs
import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mundap.collect import encoding
from mundap.collect.record import Refused
from mundap.errors import UserError

LONGEST = 8 * 2**20  # bytes in a line, characters in a JSON element or CSV field; longer ones are refused
_TOO_LONG = "\ud83f\ud83f"  # high surrogates, which no bytes decode to
_NEXT = re.compile(r'["{}\[\]]')
_IN_STRING = re.compile(r'["\\]')


@dataclass(frozen=True, slots=True)
class Row:
    """What stands at a line: a value, or the reason why it cannot be read and the text's beginning."""

    line: int
    value: Any = None
    problem: str = ""
    text: str = ""


def read(path: Path, name: str = "auto") -> Iterator[Row]:
    """The rows of a file by its kind: `.csv`/`.tsv` (dicts by the header), else JSON lines or one JSON array."""
    name = _encoding(path) if name == "auto" else name
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    try:
        if suffix in (".csv", ".tsv"):
            yield from _csv(path, name, "\t" if suffix == ".tsv" else ",")
        else:
            yield from _json(path, name) if _begins(path) == b"[" else _jsonl(path, name)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield Row(0, problem="the compressed file is damaged or cut off", text=str(error))


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    try:
        stream: Any = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # noqa: SIM115
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    with stream:
        yield stream


def _lines(path: Path) -> Iterator[bytes]:
    """The file's lines; of one that is too long, only its beginning with `LONGEST` + 1 bytes."""
    with _open(path) as stream:
        first = True
        while line := stream.readline(LONGEST + 1):
            if len(line) > LONGEST and not line.endswith(b"\n"):
                _skip_line(stream)
            yield line.removeprefix(codecs.BOM_UTF8) if first else line
            first = False


def _skip_line(stream: IO[bytes]) -> None:
    while (more := stream.readline(LONGEST)) and not more.endswith(b"\n"):
        pass


def _encoding(path: Path) -> str:
    try:
        first = next(iter(_lines(path)), b"")
        if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise UserError(f"{path} is UTF-16; save it as UTF-8")
        return encoding.of_lines(_lines(path))
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return "utf-8"


def _begins(path: Path) -> bytes:
    for line in _lines(path):
        if line.strip():
            return line.strip()[:1]
    return b""


def _decoded(path: Path, name: str) -> Iterator[str]:
    """Lines as text; bytes that do not fit become lone surrogates, so that the row they are in can be refused."""
    for line in _lines(path):
        yield f"{_TOO_LONG}\n" if len(line) > LONGEST else line.decode(name, "surrogateescape")


def _unreadable(text: str, name: str) -> str:
    if _TOO_LONG in text:
        return f"line is longer than {LONGEST >> 20} MB"
    return f"not {name.upper()}" if any("\udc80" <= character <= "\udcff" for character in text) else ""


def _jsonl(path: Path, name: str) -> Iterator[Row]:
    for number, line in enumerate(_decoded(path, name), 1):
        if line.strip():
            yield _parsed(number, line, name)


def _json(path: Path, name: str) -> Iterator[Row]:
    for number, text in _elements(_chunks(path, name)):
        yield _parsed(number, text, name)


def _parsed(number: int, text: str, name: str) -> Row:
    # Bytes that do not fit are lone surrogates now; ones written as \ud800 appear only after parsing.
    problem = "" if text.isascii() else _unreadable(text, name)
    if not problem:
        try:
            return Row(
                number, value=json.loads(text, parse_constant=_constant, object_pairs_hook=_pairs), text=text[:200]
            )
        except Refused as error:
            problem = str(error)
        except RecursionError:
            problem = "JSON is nested too deeply"
        except ValueError:
            cut = text.lstrip().startswith("{") and not text.rstrip().endswith("}")
            problem = "not JSON: cut off" if cut else "not JSON"
    return Row(number, problem=problem, text=text[:200].encode("utf-8", "backslashreplace").decode())


def _constant(name: str) -> Any:
    raise Refused(f"{name} is not JSON")


def _pairs(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Refused("the same key twice")
    return found


def _chunks(path: Path, name: str, size: int = 2**18) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(name)("surrogateescape")
    with _open(path) as stream:
        first = stream.read(size).removeprefix(codecs.BOM_UTF8)
        yield decoder.decode(first)
        while chunk := stream.read(size):
            yield decoder.decode(chunk)
        yield decoder.decode(b"", final=True)


class _Depth:
    """How deep in brackets a position in JSON text is, fed piece by piece."""

    def __init__(self) -> None:
        self.depth, self.quoted, self.at = 0, False, 0

    def step(self, text: str) -> bool:
        """Move past the next bracket or quote; False when more text is needed."""
        found = (_IN_STRING if self.quoted else _NEXT).search(text, self.at)
        if found is None or (found.group() == "\\" and found.end() == len(text)):
            self.at = found.start() if found else len(text)
            return False
        mark, self.at = found.group(), found.end() + (found.group() == "\\")
        if mark == '"':
            self.quoted = not self.quoted
        elif mark != "\\":
            self.depth += 1 if mark in "{[" else -1
        return True


def _elements(chunks: Iterator[str]) -> Iterator[tuple[int, str]]:
    """The line and text of each element of a JSON array of objects, and of whatever else stands between them."""
    scan, text, line, start = _Depth(), "", 1, 0
    for chunk in chunks:
        text += chunk
        while scan.step(text):
            if scan.depth == 2 and text[scan.at - 1] in "{[" and not scan.quoted:
                between, start = text[start : scan.at - 1], scan.at - 1
                yield from _stray(line, between)
                line += between.count("\n")
            elif scan.depth == 1 and text[scan.at - 1] in "}]" and not scan.quoted:
                yield line, text[start : scan.at]
                line, start = line + text.count("\n", start, scan.at), scan.at
        text, scan.at, start = text[start:], scan.at - start, 0
        if len(text) > LONGEST:
            yield line, _TOO_LONG
            return
    if text.strip(" \r\n\t,[]"):
        yield line, text


def _stray(line: int, text: str) -> Iterator[tuple[int, str]]:
    if text.strip(" \r\n\t,["):
        yield line, text


def _csv(path: Path, name: str, delimiter: str) -> Iterator[Row]:
    """Rows as dicts. `line` is where the row ends, as spreadsheets count it."""
    csv.field_size_limit(LONGEST)
    reader = csv.reader(_decoded(path, name), delimiter=delimiter)
    header = next(reader, None)
    for cells in _cells(reader):
        if isinstance(cells, str):
            yield Row(reader.line_num, problem=cells)
        elif cells:
            yield _csv_row(reader.line_num, header or [], cells, name)


def _cells(reader: Any) -> Iterator[list[str] | str]:
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield f"not CSV: {error}"


def _csv_row(line: int, header: Sequence[str], cells: Sequence[str], name: str) -> Row:
    text = ",".join(cells)
    problem = "" if text.isascii() else _unreadable(text, name)
    if not problem and len(cells) > len(header):
        problem = "more columns than the header"
    if problem:
        return Row(line, problem=problem, text=text[:200].encode("utf-8", "backslashreplace").decode())
    return Row(line, value=dict(zip(header, cells, strict=False)), text=text[:200])


def picked(row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a record by the file's own names for them; a column that is not there is left out."""
    return {field: row[column] for field, column in columns.items() if column in row}
