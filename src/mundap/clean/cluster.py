"""The same step functions on Ray Data: blocks cleaned by `map_batches`, MinHash bands grouped on the cluster.

Every node must see the run's folder under the same path (shared storage) and have mundap installed. `RAY_ADDRESS`
names the cluster; without it Ray starts on this machine.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any

import numpy as np

from mundap.clean import clusters
from mundap.clean.dedup import Labels, Sketches
from mundap.clean.engine import Block, Result

# Buckets of a band go to this many groups, so that a group is worth a task.
_PARTS, _SHUFFLES = 4, 16
_ROWS = 20_000
_COLUMNS = ("question", "answer")
Table = dict[str, Any]


def ray() -> Any:
    """Ray, started, with its progress and logs kept quiet and blocks in order."""
    module = import_module("ray")
    if not module.is_initialized():
        module.init(log_to_driver=False, include_dashboard=False, configure_logging=False)
    data = import_module("ray.data")
    context = data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    return module


def results(work: Callable[[Block], Result], todo: Iterable[Block]) -> Iterator[Result]:
    """Results in the order of the blocks."""
    data = ray().data
    found = list(todo)
    if not found:
        return
    rows = [{"place": place, "block": pickle.dumps(block)} for place, block in enumerate(found)]
    cleaned = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        _clean, batch_size=1, fn_kwargs={"work": work}
    )
    waiting: dict[int, bytes] = {}
    wanted = 0
    for row in cleaned.iter_rows():
        waiting[int(row["place"])] = row["result"]
        while wanted in waiting:
            yield pickle.loads(waiting.pop(wanted))  # what our own workers made a moment ago
            wanted += 1


def _clean(batch: Table, work: Callable[[Block], Result]) -> Table:
    """A batch of blocks through the row steps, in a worker of the cluster."""
    made = [pickle.dumps(work(pickle.loads(block))) for block in batch["block"]]
    return {"place": batch["place"], "result": np.array(made, dtype=object)}


def labels(sketches: Sketches, threshold: float) -> tuple[Labels, Labels]:
    """The cluster of each row's question and of each row's answer, as `Dedup.labels` finds them."""
    columns = [np.unique(sketches[name], return_index=True, return_inverse=True) for name in _COLUMNS]
    unions = [clusters.Union(len(first)) for _, first, _ in columns]
    parts = [
        {**_part(sketches[f"{name}s"][first], start), "column": place}
        for place, (name, (_, first, _)) in enumerate(zip(_COLUMNS, columns, strict=True))
        for start in range(0, len(first), _ROWS)
    ]
    for row in _pairs(parts, threshold):
        unions[int(row["column"])].join(int(row["one"]), int(row["other"]))
    questions, answers = (union.labels()[inverse] for union, (_, _, inverse) in zip(unions, columns, strict=True))
    return questions, answers


def _pairs(parts: list[Table], threshold: float) -> Iterator[Table]:
    """Pairs that are alike: equal texts have travelled once, and only pairs come back."""
    if not parts:
        return
    table = ray().data.from_items(parts, override_num_blocks=len(parts)).flat_map(_banded)
    near = table.groupby("group", num_partitions=_SHUFFLES).map_groups(
        _near, batch_format="numpy", fn_kwargs={"threshold": threshold}
    )
    yield from near.iter_rows()


def _part(signatures: clusters.Signatures, start: int) -> Table:
    return {"start": start, "data": signatures[start : start + _ROWS].tobytes()}


def _signatures(data: bytes) -> clusters.Signatures:
    return np.frombuffer(data, np.uint16).reshape(-1, clusters.PERMUTATIONS)


def _banded(row: Table) -> Iterator[Table]:
    """The rows of a part, for each band and part of its buckets."""
    signatures = _signatures(row["data"])
    for band in range(clusters.BANDS):
        keys = clusters.band_keys(signatures, band)
        for part in range(_PARTS):
            places = np.flatnonzero(keys % np.uint64(_PARTS) == part)
            numbers = (places + row["start"]).astype(np.int64)
            yield {
                "group": (row["column"] * clusters.BANDS + band) * _PARTS + part, "numbers": numbers.tobytes(),
                "keys": keys[places].tobytes(), "data": signatures[places].tobytes(),
            }  # fmt: skip


def _near(group: Table, threshold: float) -> Table:
    """The pairs of a group's buckets that are alike: enough of them to connect what is connected."""
    numbers = np.frombuffer(b"".join(group["numbers"]), np.int64)
    keys = np.frombuffer(b"".join(group["keys"]), np.uint64)
    signatures = _signatures(b"".join(group["data"]))
    union = clusters.Union(len(numbers))
    for members in clusters.runs(keys):
        clusters.join_near(signatures, members, threshold, union)
    found = union.labels()
    joined = np.flatnonzero(found != np.arange(len(found)))
    column = np.full(len(joined), int(group["group"][0]) // (clusters.BANDS * _PARTS), np.int64)
    return {"column": column, "one": numbers[found[joined]], "other": numbers[joined]}
