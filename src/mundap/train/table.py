"""Rows as the table that TRL trains on: one by one, or packed into blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mundap.train.data import Row


def single(rows: Sequence[Row]) -> tuple[Any, list[str]]:
    """The rows as TRL wants them, and the id of each."""
    from datasets import Dataset

    columns = {"input_ids": [row.ids for row in rows], "labels": [row.labels for row in rows], "row": range(len(rows))}
    return Dataset.from_dict(columns), [row.id for row in rows]


def packed(rows: Sequence[Row], length: int) -> tuple[Any, list[str]]:
    """Rows packed into blocks of at most `length` tokens (best fit), none of which sees another; ids by lines."""
    import numpy as np
    from datasets import Dataset
    from trl import pack_dataset

    origin = [np.full(len(row.ids), place, np.int32) for place, row in enumerate(rows)]
    columns = {"input_ids": [row.ids for row in rows], "labels": [row.labels for row in rows], "origin": origin}
    with _no_bars():
        table = pack_dataset(Dataset.from_dict(columns), length, "bfd")
    names = ["\n".join(rows[place].id for place in dict.fromkeys(block)) for block in table["origin"]]
    return table.remove_columns("origin").add_column("row", list(range(len(names)))), names


@contextmanager
def _no_bars() -> Iterator[None]:
    """Without the progress bars of `datasets`."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    before = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            enable_progress_bars()
