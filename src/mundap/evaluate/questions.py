"""Multiple-choice questions of local files, whatever their columns are called; all that is wrong is told at once.

Read are MMLU's CSV files (question, options, letter; no header), CSV with a header and JSON lines, with the columns of
KorMedMCQA, KMMLU, MedQA, MedMCQA and their like.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mundap.errors import ConfigError, UserError
from mundap.store import read_jsonl

LETTERS = "ABCDEFGHIJ"
_ENDINGS = (".csv", ".jsonl")
_QUESTION = ("question", "sent1", "query", "질문", "문제")
_OPTIONS = ("options", "choices", "보기")
_ANSWER = ("answer_idx", "answer_index", "label", "cop", "answer", "answerkey", "gold", "정답")
_OPTION = re.compile(r"(option|choice|ending|op)?[ _-]?([a-j]|\d)")
_SPLIT = re.compile(r"[_-](test|dev|val|validation|train)$")
_SHOWN = 10  # problems of a file that are told; the rest are counted


@dataclass(frozen=True, slots=True)
class Question:
    """One question. `answer` is the place of the right option, `id` its own or its row's number in the file."""

    id: str
    text: str
    options: tuple[str, ...]
    answer: int


@dataclass(frozen=True, slots=True)
class _Row:
    """A question whose answer may still be a bare number, which counts from 0 or from 1."""

    id: str
    text: str
    options: tuple[str, ...]
    answer: int | None
    number: int | None


def read(path: Path, first: int | None = None) -> dict[str, tuple[Question, ...]]:
    """The questions of a file, or of each file of a folder, by the file's name without `_test` and its like.

    `first` is the number of the first option where answers are numbers, if it does not show. Raises `ConfigError`.
    """
    return {part_of(file): _questions(file, first) for file in files_of(path)}


def files_of(path: Path) -> list[Path]:
    """The file itself, or the files of a folder. Raises `UserError` when there are none."""
    if path.is_file():
        if path.suffix not in _ENDINGS:
            raise UserError(f"{path}: questions are read from {' and '.join(_ENDINGS)} files")
        return [path]
    if not path.is_dir():
        raise UserError(f"no file or folder {path} with questions")
    if found := sorted(each for each in path.iterdir() if each.suffix in _ENDINGS):
        return found
    below = sorted({str(each.parent) for each in path.rglob("*") if each.suffix in _ENDINGS})
    hint = f"; name one of: {', '.join(below)}" if below else ""
    raise UserError(f"{path} has no {' or '.join(_ENDINGS)} files of its own{hint}")


def part_of(file: Path) -> str:
    """What a file is about, by its name: `anatomy` of `anatomy_test.csv`."""
    return _SPLIT.sub("", file.stem)


def _questions(path: Path, first: int | None) -> tuple[Question, ...]:
    rows, problems = list[_Row](), list[str]()
    for number, raw in enumerate(_raw(path), 1):
        try:
            rows.append(_row(raw, str(raw.get("id") or number)))
        except ValueError as error:
            problems.append(f"row {number}: {error}")
    problems += [
        f"the id {name!r} stands twice" for name, times in Counter(row.id for row in rows).items() if times > 1
    ]
    if not rows and not problems:
        problems.append("no questions in it")
    start = _first(rows) if first is None else first
    if start is None:
        problems.append("answers are numbers that may count from 0 or from 1; say which with `first: 0` or `first: 1`")
    found = [_settled(row, start or 0) for row in rows]
    problems += [
        f"question {row.id}: there is no option number {row.number}"
        for row, one in zip(rows, found, strict=True)
        if not 0 <= one.answer < len(one.options)
    ]
    if problems:
        more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise ConfigError(str(path), [*problems[:_SHOWN], *more])
    return tuple(found)


def _raw(path: Path) -> Iterator[Mapping[str, Any]]:
    if path.suffix == ".jsonl":
        yield from read_jsonl(path)
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            yield from _cells(csv.reader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def _cells(rows: Iterator[list[str]]) -> Iterator[Mapping[str, Any]]:
    """CSV rows by column. Without a header that names the question they are question, options, answer."""
    head = next(rows, [])
    names = [cell.strip().lower() for cell in head]
    if set(names) & set(_QUESTION):
        yield from (dict(zip(names, row, strict=False)) for row in rows if any(row))
        return
    for row in (head, *rows):
        if any(row):
            yield {"question": row[0], "options": row[1:-1], "answer": row[-1]}


def _row(raw: Mapping[str, Any], name: str) -> _Row:
    """Raises `ValueError` saying what is missing."""
    cells = {str(key).strip().lower(): value for key, value in raw.items()}
    text = next((str(cells[key]).strip() for key in _QUESTION if cells.get(key)), "")
    if not text:
        raise ValueError("no question")
    named = _options(cells)
    options = tuple(named.values())
    if not 2 <= len(options) <= len(LETTERS) or len(set(options)) < len(options) or not all(options):
        raise ValueError(f"expected 2 to {len(LETTERS)} different options, found {len(options)}")
    answer = next((cells[key] for key in _ANSWER if cells.get(key) not in (None, "")), None)
    return _Row(name, text, options, *_answer(answer, named))


def _options(cells: Mapping[str, Any]) -> dict[str, str]:
    """Options by their letters or numbers; empty ones at the end are none."""
    given = next((cells[key] for key in _OPTIONS if cells.get(key)), None)
    if isinstance(given, Mapping) and "text" in given and "label" in given:
        given = dict(zip(map(str, given["label"]), given["text"], strict=True))
    if isinstance(given, Mapping):
        found = [(str(key), value) for key, value in given.items()]
    elif isinstance(given, Sequence) and not isinstance(given, str):
        found = list(zip(LETTERS, given, strict=False)) if len(given) <= len(LETTERS) else []
    else:
        places = sorted((match[2], value) for key, value in cells.items() if (match := _OPTION.fullmatch(key)))
        found = list(zip(LETTERS, (value for _, value in places), strict=False))
    texts = [(key.upper(), "" if value is None else str(value).strip()) for key, value in found]
    while texts and not texts[-1][1]:
        texts.pop()
    return dict(texts)


def _answer(value: Any, named: Mapping[str, str]) -> tuple[int | None, int | None]:
    """The place of the right option, or the number that the file gives. Raises `ValueError` when it is neither."""
    said, options = str(value if value is not None else "").strip(), list(named.values())
    letter = said.upper().strip("().")
    if letter in named:
        return list(named).index(letter), None
    if re.fullmatch(r"\d+(\.0)?", said):
        return None, int(float(said))
    if said in options:
        return options.index(said), None
    raise ValueError(f"the answer is none of the options or their letters {', '.join(named)}" if said else "no answer")


def _first(rows: Sequence[_Row]) -> int | None:
    """From what number answers count: from 0 where there is a 0, from 1 where the last option's is one past it."""
    numbered = [(row.number, len(row.options)) for row in rows if row.number is not None]
    if not numbered or any(number == 0 for number, _ in numbered):
        return 0
    return 1 if any(number == options for number, options in numbered) else None


def _settled(row: _Row, first: int) -> Question:
    place = row.answer if row.number is None else row.number - first
    return Question(row.id, row.text, row.options, -1 if place is None else place)
