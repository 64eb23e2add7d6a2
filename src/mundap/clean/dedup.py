"""`dedup`: exact and near duplicates and stock answers go; what is alike shares a group, so that splits cannot leak.

Questions and answers are clustered apart, by MinHash on character 5-grams of their letters and digits. A row whose
question and answer are both alike an earlier row's, with the same numbers, is a duplicate; the same answer
under another question is a doctor's stock answer. Of each set the longest row stays (then by digest), whatever the order of input.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from importlib import import_module
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mundap.clean import clusters
from mundap.records import Line, encode, parse
from mundap.types import QA, Drop

Sketches = NDArray[np.void]
Labels = NDArray[np.int64]
SKETCH = np.dtype([
    ("question", "<u8"), ("answer", "<u8"), ("row", "<u8"), ("group", "<u8"), ("facts", "<u8"), ("size", "<u4"),
    ("questions", "<u2", clusters.PERMUTATIONS), ("answers", "<u2", clusters.PERMUTATIONS),
])  # fmt: skip
REASONS = ("", "duplicate", "near duplicate", "stock answer")
_GRAM, _SEED, _BATCH = 5, 42, 512
_SIGNS = re.compile(r"[\W_]+")
_FACT = re.compile(r"\d+(?:[.,/:]\d+)*|(?<![A-Za-z\'’])[A-Za-z](?![A-Za-z\'’])|(?<![A-Za-z])[IVX]{2,4}(?![A-Za-z])")
_HEX = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Dedup:
    """The step. `threshold`: share of equal 5-grams from which texts are alike; `stock`: copies of an answer that stay."""

    threshold: float = 0.8
    stock: int = 1
    name: str = "dedup"
    rowwise: bool = False

    def __post_init__(self) -> None:
        import_module("rensa")

    def __call__(self, records: Iterable[QA]) -> Iterator[QA | Drop]:
        """Two passes: the first spools the records to a temporary file, so that memory holds sketches only."""
        sketches: list[Sketches] = []
        with tempfile.TemporaryFile() as spool:
            for batch in _batches(records):
                spool.writelines(map(encode, batch))
                sketches.append(self.sketch(batch))
            spool.seek(0)
            rows = (parse(Line(0, line), "") for line in spool)
            found = np.concatenate(sketches) if sketches else np.empty(0, SKETCH)
            yield from self.decided((row for row in rows if isinstance(row, QA)), found)

    def sketch(self, records: Sequence[QA]) -> Sketches:
        """What the step needs to know of each record; made anywhere, in any order."""
        found = np.zeros(len(records), SKETCH)
        questions, answers = [_letters(row.question) for row in records], [_letters(row.answer) for row in records]
        for place, row in enumerate(records):
            answer = _number(answers[place])
            # A missing question is like no other.
            question = _number(questions[place]) if questions[place] else answer ^ 0x5555555555555555
            size = min(len(row.question) + len(row.answer), 0xFFFFFFFF)
            found[place] = (question, answer, _number(encode(row)), _group(row.group), _facts(row), size, 0, 0)
        found["questions"], found["answers"] = _signatures(questions), _signatures(answers)
        return found

    def labels(self, sketches: Sketches) -> tuple[Labels, Labels]:
        """The cluster of each row's question and of each row's answer."""
        return self._column(sketches, "question"), self._column(sketches, "answer")

    def _column(self, sketches: Sketches, name: str) -> Labels:
        """Equal texts are compared once."""
        _, first, inverse = np.unique(sketches[name], return_index=True, return_inverse=True)
        return clusters.labels(sketches[f"{name}s"][first], self.threshold)[inverse]

    def decided(self, records: Iterable[QA], sketches: Sketches) -> Iterator[QA | Drop]:
        """The records in order, each kept (with its group) or dropped."""
        why, groups = self.verdicts(sketches, *self.labels(sketches))
        for place, row in enumerate(records):
            yield self.judged(row, why[place], groups[place], sketches["group"][place])

    def verdicts(
        self, sketches: Sketches, questions: Labels, answers: Labels
    ) -> tuple[NDArray[np.int8], clusters.Keys]:
        """For each row the place of its reason in `REASONS` (0: it stays) and the number of its group (0: none)."""
        return reasons(sketches, questions, answers, self.stock), grouped(sketches, questions, answers)

    def judged(self, row: QA, why: int, group: int, before: int) -> QA | Drop:
        """A row as `verdicts` found: dropped, or in its group; a group it is in already keeps its name."""
        if why:
            return Drop(asdict(row), self.name, REASONS[why])
        if group == before:
            return row
        return replace(row, group=f"{group:016x}", trail=(*row.trail, self.name))


def reasons(sketches: Sketches, questions: Labels, answers: Labels, stock: int) -> NDArray[np.int8]:
    """For each row the place of its reason in `REASONS`, 0 when it stays."""
    order = np.lexsort((sketches["row"], -sketches["size"].astype(np.int64)))
    why = np.zeros(len(sketches), np.int8)
    exact = ~_firsts(sketches["question"][order], sketches["answer"][order])
    near = ~_firsts(questions[order], answers[order], sketches["facts"][order])
    why[order[near]] = REASONS.index("near duplicate")
    why[order[exact]] = REASONS.index("duplicate")
    left = order[why[order] == 0]
    if stock > 0:  # equal answers only: one that is merely alike may be about another illness
        why[left[_counts(sketches["answer"][left]) >= stock]] = REASONS.index("stock answer")
    return why


def _firsts(*columns: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each combination appears for the first time."""
    order = np.lexsort(columns)
    first = np.ones(len(order), np.bool_)
    first[order[1:]] = np.logical_or.reduce([np.diff(column[order]) != 0 for column in columns])
    return first


def _counts(values: NDArray[Any]) -> NDArray[np.int64]:
    """How often each value has appeared before."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(values[order]) != 0]) if len(values) else np.empty(0, np.int64)
    lengths = np.diff(np.r_[starts, len(values)])
    before = np.empty(len(values), np.int64)
    before[order] = np.arange(len(values)) - np.repeat(starts, lengths)
    return before


def grouped(sketches: Sketches, questions: Labels, answers: Labels) -> NDArray[np.uint64]:
    """A number for each row that shares its question's, its answer's or an earlier run's group with another, else 0."""
    size = len(sketches)
    union = clusters.Union(size)
    named = np.where(sketches["group"] != 0, sketches["group"], np.arange(size, dtype=np.uint64))
    for values in (questions, answers, named):
        order = np.argsort(values, kind="stable")
        same = np.flatnonzero(values[order][1:] == values[order][:-1])
        union.join_all(zip(order[same].tolist(), order[same + 1].tolist(), strict=True))
    return _named(sketches, union.labels())


def _named(sketches: Sketches, labels: Labels) -> NDArray[np.uint64]:
    """The smallest earlier group of a set, else the smallest key of its rows; a row alone has none."""
    most = np.uint64(0xFFFFFFFFFFFFFFFF)
    fresh = np.full(len(labels), most)
    np.minimum.at(fresh, labels, sketches["question"] ^ (sketches["answer"] * np.uint64(0x9E3779B97F4A7C15)))
    old = np.full(len(labels), most)
    np.minimum.at(old, labels, np.where(sketches["group"] != 0, sketches["group"], most))
    several = np.bincount(labels, minlength=len(labels)) > 1
    chosen = np.where(old != most, old, np.where(several, fresh, np.uint64(0)))
    return chosen[labels]


def _batches(records: Iterable[QA]) -> Iterator[list[QA]]:
    left = iter(records)
    while batch := list(islice(left, _BATCH)):
        yield batch


def _letters(text: str) -> str:
    """Letters and digits only, in one case: spaces and signs do not tell texts apart."""
    return _SIGNS.sub("", text).lower()


def _number(value: str | bytes) -> int:
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


def _facts(row: QA) -> int:
    """What must be equal in near duplicates: numbers, and letters that stand alone (type 2 and type B are others)."""
    found = sorted(_FACT.findall(f"{row.question} {row.answer}"))
    return _number(" ".join(found).upper())


def _group(name: str) -> int:
    if not name:
        return 0
    return int(name, 16) if _HEX.fullmatch(name) else _number(name)


def _signatures(texts: Sequence[str]) -> clusters.Signatures:
    """MinHash signatures, the low 16 bits of each place: two texts agree in as many places as their sets overlap."""
    from rensa import RMinHash

    grams = [[text[place : place + _GRAM] for place in range(max(1, len(text) - _GRAM + 1))] for text in texts]
    rows = RMinHash.digest_matrix_from_token_sets(grams, clusters.PERMUTATIONS, _SEED).to_rows()
    return np.asarray(rows, np.uint32).reshape(len(texts), clusters.PERMUTATIONS).astype(np.uint16)


def dedup(threshold: float = 0.8, stock: int = 1) -> Dedup:
    """The step, as the registry makes it."""
    return Dedup(threshold, stock)
