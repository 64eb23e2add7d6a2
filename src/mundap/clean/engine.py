"""The steps over a file of records: row steps in as many processes as there are cores, then what needs all rows.

A file is read in blocks of whole lines. Workers read, clean, sketch and write their blocks as bytes; this process only
puts the results in order, so output does not depend on how many work.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, islice
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from time import perf_counter
from typing import Any

from mundap import registry
from mundap.clean.dedup import Dedup
from mundap.protocols import Step
from mundap.records import LONGEST, Line, bounded, encode, parse
from mundap.types import QA, Drop

BLOCK = 256 << 10
Spec = tuple[str, tuple[tuple[str, Any], ...]]


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of a file: where they start and end, and the number of the first."""

    path: str
    where: str
    start: int
    end: int
    first: int


@dataclass(slots=True)
class Count:
    """What one step did: records in, changed and dropped (by reason), and its seconds, summed over processes."""

    name: str
    rows: int = 0
    changed: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, other: Count) -> None:
        """Add another process's count of the same step."""
        self.rows, self.changed = self.rows + other.rows, self.changed + other.changed
        self.seconds += other.seconds
        self.dropped.update(other.dropped)


@dataclass(slots=True)
class Result:
    """A cleaned block: lines kept and dropped, sketches of the kept ones, and the counts of each step."""

    kept: bytes
    dropped: bytes
    sketches: bytes
    counts: list[Count]
    size: int


def blocks(path: Path, where: str, size: int = BLOCK) -> Iterator[Block]:
    """The file in blocks of about `size` bytes that end with a line."""
    number, start = 1, 0
    with path.open("rb") as stream:
        while data := stream.read(size):
            count = data.count(b"\n")
            while not data.endswith(b"\n") and (data := stream.readline(LONGEST)):
                count += data.endswith(b"\n")
            yield Block(str(path), where, start, stream.tell(), number)
            number, start = number + count, stream.tell()


def block_lines(block: Block) -> Iterator[Line]:
    """The lines of a block that are not blank."""
    with open(block.path, "rb") as stream:
        stream.seek(block.start)
        for line in bounded(stream, block.first, block.end):
            if line.data.strip() or line.problem:
                yield line


def clean_block(block: Block, specs: tuple[Spec, ...], sketcher: Spec | None) -> Result:
    """Parse a block and take its records through the row steps."""
    began = perf_counter()
    parsed = [parse(line, block.where) for line in block_lines(block)]
    read = Count("read", len(parsed), seconds=perf_counter() - began)
    rows, drops, counts = _split(parsed, read), _drops(parsed), [read]
    for spec in specs:
        rows, gone, count = _through(step(spec), spec[0], rows)
        drops += gone
        counts.append(count)
    kept = b"".join(map(encode, rows))
    return Result(
        kept, b"".join(map(encode, drops)), _sketches(sketcher, rows, counts), counts, block.end - block.start
    )


def _split(found: Sequence[QA | Drop], count: Count) -> list[QA]:
    count.dropped.update(row.reason for row in found if isinstance(row, Drop))
    return [row for row in found if isinstance(row, QA)]


def _drops(found: Sequence[QA | Drop]) -> list[Drop]:
    return [row for row in found if isinstance(row, Drop)]


def _through(run: Step, name: str, rows: list[QA]) -> tuple[list[QA], list[Drop], Count]:
    """Records through one step, with its count."""
    began = perf_counter()
    found = list(run(rows))
    count = Count(name, len(rows), seconds=perf_counter() - began)
    kept, drops = _split(found, count), _drops(found)
    before = {id(row) for row in rows}
    count.changed = sum(id(row) not in before for row in kept)
    return kept, drops, count


def _sketches(spec: Spec | None, rows: list[QA], counts: list[Count]) -> bytes:
    if spec is None:
        return b""
    began = perf_counter()
    sketches = dedup_of(spec).sketch(rows).tobytes()
    counts.append(Count(spec[0], seconds=perf_counter() - began))
    return sketches


@lru_cache(maxsize=64)
def step(spec: Spec) -> Step:
    """The step of a spec, made once in each process."""
    made: Step = registry.create("steps", spec[0], **dict(spec[1]))
    return made


def dedup_of(spec: Spec) -> Dedup:
    """The step of a spec that is known to be `Dedup`."""
    made = step(spec)
    assert isinstance(made, Dedup)
    return made


def spec_of(name: str, config: Mapping[str, Any]) -> Spec:
    """A step's name and config in a form that can be a key and travel to other processes."""
    return name, tuple(sorted(config.items()))


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def local(work: Callable[[Block], Result], todo: Iterable[Block], workers: int) -> Iterator[Result]:
    """Results in order; with several workers, processes that end when this one does, however it ends."""
    ahead = iter(todo)
    first = list(islice(ahead, 2))
    if workers <= 1 or len(first) < 2:
        yield from map(work, chain(first, ahead))
        return
    # `spawn`: a forked child would keep the lock of the run's folder when this process is killed.
    with ProcessPoolExecutor(workers, get_context("spawn"), _end_with_parent) as pool:
        waiting: deque[Future[Result]] = deque(pool.submit(work, block) for block in first)
        while waiting:
            while len(waiting) < workers * 3 and (block := next(ahead, None)) is not None:
                waiting.append(pool.submit(work, block))
            yield waiting.popleft().result()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_wait, args=(parent.sentinel,), daemon=True).start()


def _wait(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
