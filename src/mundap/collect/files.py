"""Files of rows as sources: Alpaca, ChatDoctor, songys, any CSV with its columns named, Hugging Face datasets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from mundap.collect import rows
from mundap.collect.record import Provenance, Refused
from mundap.collect.rows import Row
from mundap.errors import ConfigError, UserError, did_you_mean
from mundap.types import QA, Drop, Lang

SUFFIXES = (".json", ".jsonl", ".csv", ".tsv", ".json.gz", ".jsonl.gz", ".csv.gz", ".tsv.gz")
FIELDS = ("question", "answer", "title", "specialty", "asked_on", "answered_by", "source", "lang")


def paths(path: str, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """The file itself, or a folder's files of these kinds in order of name. Raises `UserError` when there are none."""
    given = Path(path)
    if given.is_file():
        return [given]
    found = sorted(each for each in given.rglob("*") if each.is_file() and each.name.lower().endswith(suffixes))
    if not found:
        what = f"no {' or '.join(suffixes)} file in" if given.is_dir() else "no file or folder"
        raise UserError(f"{what} {path}")
    return found


def limited(limit: int | None, made: Iterable[QA | Drop]) -> Iterator[QA | Drop]:
    """What was made, up to the last record that `limit` allows."""
    count = 0
    for each in made:
        if limit is not None and count >= limit:
            return
        count += isinstance(each, QA)
        yield each


@dataclass(frozen=True, kw_only=True)
class Rows(ABC):
    """Rows of one or more files. Subclasses say what a row's question and answer are."""

    path: str
    encoding: str = "auto"
    lang: Lang = "ko"
    licence: str = ""
    permission: str = ""
    limit: int | None = None
    name: ClassVar[str] = "rows"

    @property
    def provenance(self) -> Provenance:
        """What all its records share."""
        return Provenance(self.name, 1, self.lang, self.licence, self.permission)

    @property
    def inputs(self) -> list[Path]:
        """The files that will be read."""
        return paths(self.path)

    def read(self) -> Iterator[QA | Drop]:
        """A record or a refusal for each row."""
        return limited(
            self.limit, (self._made(path, row) for path in self.inputs for row in rows.read(path, self.encoding))
        )

    @abstractmethod
    def fields(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row's `question`, `answer` and whatever else of a record it has."""

    def _made(self, path: Path, row: Row) -> QA | Drop:
        where = {"file": str(path), "line": row.line, "text": row.text}
        if row.problem:
            return self.provenance.drop(row.problem, **where)
        try:
            if not isinstance(row.value, dict):
                raise Refused(f"expected an object, found {type(row.value).__name__}")
            found = {"source": f"{path}:{row.line}"} | self.fields(row.value)
            return self.provenance.qa(
                path.name, str(row.line), found.pop("question", None), found.pop("answer", None), **found
            )
        except Refused as error:
            return self.provenance.drop(str(error), **where)


@dataclass(frozen=True, kw_only=True)
class Alpaca(Rows):
    """`instruction`, `input` (may be empty or missing) and `output`, as JSON, JSON lines or CSV."""

    name: ClassVar[str] = "alpaca"

    def fields(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The instruction and its input, one after the other, are the question."""
        question, more = row.get("instruction"), row.get("input") or ""
        if not isinstance(more, str):
            raise Refused(f"input is {type(more).__name__}, not text")
        if isinstance(question, str) and more.strip():
            question = f"{question.strip()}\n\n{more.strip()}"
        return {"question": question, "answer": row.get("output")}


@dataclass(frozen=True, kw_only=True)
class ChatDoctor(Rows):
    """ChatDoctor's files: the instruction is the same in every row, so the question is the input alone."""

    lang: Lang = "en"
    name: ClassVar[str] = "chatdoctor"

    def fields(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """`input` is what the patient says, `output` what the doctor does."""
        return {"question": row.get("input"), "answer": row.get("output")}


@dataclass(frozen=True, kw_only=True)
class Columns(Rows):
    """Rows whose columns are named in the recipe: `columns: {question: 질문, answer: 답변}`."""

    columns: Mapping[str, str] = field(default_factory=lambda: {"question": "question", "answer": "answer"})
    name: ClassVar[str] = "csv"

    def __post_init__(self) -> None:
        unknown = [key for key in self.columns if key not in FIELDS]
        missing = [key for key in ("question", "answer") if key not in self.columns]
        problems = [f"columns.{key}: no such field{did_you_mean(key, FIELDS)}" for key in unknown]
        problems += [f"columns.{key}: say which column holds the {key}" for key in missing]
        if problems:
            raise ConfigError(f"source {self.name!r}", problems)

    def fields(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The named columns; optional ones that are not text are refused with the row."""
        found = rows.picked(row, self.columns)
        for key, value in list(found.items()):
            if key not in ("question", "answer"):
                found[key] = _optional(key, value)
        return {key: value for key, value in found.items() if value != "" or key in ("question", "answer")}


@dataclass(frozen=True, kw_only=True)
class Songys(Columns):
    """songys Chatbot_data: short Korean small talk, columns Q and A (MIT)."""

    columns: Mapping[str, str] = field(default_factory=lambda: {"question": "Q", "answer": "A"})
    licence: str = "MIT"
    name: ClassVar[str] = "songys"


@dataclass(frozen=True, kw_only=True)
class HuggingFace(Columns):
    """A Hugging Face dataset: a folder on this machine, or an id, which is fetched only with `download: true`."""

    split: str = "train"
    revision: str | None = None
    download: bool = False
    name: ClassVar[str] = "huggingface"

    @property
    def inputs(self) -> list[Path]:
        """The folder's files; none for an id."""
        return sorted(each for each in Path(self.path).rglob("*") if each.is_file()) if Path(self.path).exists() else []

    def read(self) -> Iterator[QA | Drop]:
        """A record or a refusal for each row of the split."""
        return limited(self.limit, (self._made(Path(self.path), row) for row in self._rows()))

    def _rows(self) -> Iterator[Row]:
        for number, value in enumerate(self._dataset(), 1):
            yield Row(number, value=dict(value), text=str(value)[:200])

    def _dataset(self) -> Any:
        import datasets  # type: ignore[import-untyped, import-not-found, unused-ignore]

        folder = Path(self.path)
        if not folder.exists():
            return self._fetched(datasets)
        if (folder / "dataset_info.json").exists() or (folder / "dataset_dict.json").exists():
            found = datasets.load_from_disk(self.path)
            return found[self.split] if isinstance(found, datasets.DatasetDict) else found
        return datasets.load_dataset(self.path, split=self.split, streaming=True)

    def _fetched(self, datasets: Any) -> Any:
        if not self.download:
            raise UserError(f"no folder {self.path}; to fetch it as a dataset id, add download: true")
        try:
            return datasets.load_dataset(self.path, split=self.split, revision=self.revision, streaming=True)
        except (OSError, ValueError) as error:
            said = " ".join(str(error).split())[:200]
            advice = "are its id, split and revision right, is the hub reachable, and may your token read it?"
            raise UserError(f"the dataset {self.path!r} cannot be fetched ({said}); {advice}") from error


def _optional(key: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Refused(f"{key} is {type(value).__name__}, not text")
    return value.strip()
