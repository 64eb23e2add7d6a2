"""Whether what is evaluated was trained on: questions of each set that are, exactly or nearly, in the training rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from mundap import overlap
from mundap.errors import UserError
from mundap.evaluate.metrics import Case, Context, Kind, Measure, Scored
from mundap.overlap import Questions
from mundap.progress import Progress
from mundap.store import file_digest, read_jsonl

_MEASURE = Measure("contamination", "lower")
_BATCH = 512
_Hit = tuple[tuple[str, str], tuple[str, str]]


class Contamination:
    """Each item is 1 when a training row asks the same (`exact`) or four fifths of its 5-grams (`near`, which counts both)."""

    kind: Kind = "data"
    depends = ("overlap.py",)
    measures: Mapping[str, Measure] = {"contamination.exact": _MEASURE, "contamination.near": _MEASURE}

    def check(self, context: Context) -> Any:
        """Raise `UserError` without a dataset, `MissingExtra` without what makes signatures."""
        path = context.work.root / "build" / "out.jsonl"
        if not path.is_file():
            raise UserError(f"the metric contamination: no file {path}; run `mundap build` for this recipe first")
        overlap.check()
        return file_digest(path)

    def score(self, cases: Sequence[Case], context: Context) -> Iterator[Scored]:
        """Two scores for each item of each set; the reason names the row."""
        questions = Questions()
        for each in context.sets:
            for item in each.items:
                questions.add(each.name, item.id, item.question)
        hits = dict(_hits(questions.seal(), context))
        for each in context.sets:
            for item in each.items:
                kind, row = hits.get((each.name, item.id), ("", ""))
                told = f"trained on row {row}" if row else ""
                yield Scored(each.name, item.id, "contamination.exact", float(kind == "exact"), told)
                yield Scored(each.name, item.id, "contamination.near", float(bool(kind)), told)


def _hits(questions: Questions, context: Context) -> Iterator[_Hit]:
    """Set and item, and how and by which training row they are met; exact ones last, so that they stay."""
    path = context.work.root / "build" / "out.jsonl"
    near, exact = list[_Hit](), list[_Hit]()
    with Progress("evaluate: contamination", path.stat().st_size) as bar:
        rows = (row for row in read_jsonl(path) if row.get("split") == "train")
        while batch := list(islice(rows, _BATCH)):
            texts = [[row.get("input") or row["instruction"]] for row in batch]
            for row, found in zip(batch, questions.match(texts), strict=True):
                for hit in found:
                    (exact if hit.kind == "exact" else near).append(((hit.set, hit.item), (hit.kind, str(row["id"]))))
            bar.advance(sum(len(text) for each in texts for text in each))
    yield from (*near, *exact)
