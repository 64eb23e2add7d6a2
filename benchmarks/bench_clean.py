"""The clean stage on generated rows: rows/s and peak memory, against a plain loop and against datasketch.

    python benchmarks/bench_clean.py [rows …]      default: 10000 100000 1000000
    python benchmarks/bench_clean.py --dedup [rows …]

The plain loop is what one would write without this stage: read a line, take it through the same row steps, write it,
then the same dedup, in one process. Peak memory is that of all processes, sampled twice a second, without the
pages that they share.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from mundap import config
from mundap.clean import engine, stage
from mundap.records import encode, lines, parse
from mundap.store import Work
from mundap.types import QA, Drop

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "clean"))
rows = import_module("clean_text").rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", type=int)
    parser.add_argument("--dedup", action="store_true")
    parser.add_argument("--steps", nargs="+", default=list(stage.STEPS), help="these steps only")
    parser.add_argument("--plain-up-to", type=int, default=100_000)
    given = parser.parse_args()
    for count in given.rows or ([20_000] if given.dedup else [10_000, 100_000, 1_000_000]):
        with tempfile.TemporaryDirectory(prefix="bench-clean-") as folder:
            work = Work(Path(folder) / "run")
            made(work, count)
            against_datasketch(work) if given.dedup else whole(work, count, given.plain_up_to, given.steps)


def made(work: Work, count: int) -> None:
    """The collect stage's file."""
    with (work.folder("collect") / "out.jsonl").open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(count))


def whole(work: Work, count: int, plain_up_to: int, steps: list[str]) -> None:
    recipe = config.parse({"name": "bench", "clean": {"steps": steps}}, "bench")
    seconds, memory = measured(lambda: stage.run(recipe, work))
    manifest = work.manifest("clean")
    assert manifest is not None
    told(f"{count:>9,} rows  stage", count, seconds, memory, f"kept {manifest.kept:,}")
    if count > plain_up_to:
        return
    kept = (work.folder("clean") / "out.jsonl").read_bytes()
    shutil.rmtree(work.root / "clean")
    plain_seconds, plain_memory = measured(lambda: plain(work, steps))
    same = (work.folder("clean") / "out.jsonl").read_bytes() == kept
    told(f"{'':>15}  plain", count, plain_seconds, plain_memory, f"ratio {plain_seconds / seconds:.2f}  same {same}")


def told(what: str, count: int, seconds: float, peak: float, rest: str) -> None:
    print(f"{what} {count / seconds:>8,.0f} rows/s  {seconds:7.1f} s  peak {peak:6,.0f} MiB  {rest}", flush=True)


def plain(work: Work, names: list[str]) -> None:
    """The same steps, one record after another."""
    folder = work.folder("clean")
    steps = [engine.step(engine.spec_of(name, {})) for name in names]
    with (folder / "out.jsonl").open("wb") as kept, (folder / "dropped.jsonl").open("wb") as dropped:
        stream: Iterable[QA | Drop] = (parse(line, "out.jsonl") for line in lines(work.root / "collect" / "out.jsonl"))
        for step in steps:
            stream = step(_kept(stream, dropped.write))
        for row in _kept(stream, dropped.write):
            kept.write(encode(row))


def _kept(stream: Iterable[QA | Drop], write: Callable[[bytes], object]) -> Iterator[QA]:
    for row in stream:
        if isinstance(row, QA):
            yield row
        else:
            write(encode(row))


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and the peak of the memory of this process and its children in MiB."""
    done, peak = threading.Event(), [0.0]

    def watch() -> None:
        while not done.wait(0.5):
            peak[0] = max(peak[0], memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    done.set()
    watcher.join()
    return seconds, peak[0]


def memory() -> float:
    total = 0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            total += process.memory_full_info().uss
        except psutil.Error:
            continue
    return total / (1 << 20)


def against_datasketch(work: Work) -> None:
    """Near duplicates of one column (question and answer together) by both, from texts to clusters."""
    texts = sorted({f"{row['question']} {row['answer']}" for row in _raw(work)})
    ours, seconds = timed(lambda: _ours(texts))
    theirs, their_seconds = timed(lambda: _theirs(texts))
    rates = f"ours {len(texts) / seconds:,.0f}/s, datasketch {len(texts) / their_seconds:,.0f}/s"
    print(f"{len(texts):,} texts: {rates}, {their_seconds / seconds:.1f} times; survivors {ours:,} and {theirs:,}")


def _raw(work: Work) -> Iterator[dict[str, str]]:
    with (work.root / "collect" / "out.jsonl").open(encoding="utf-8") as stream:
        yield from map(json.loads, stream)


def timed(work: Callable[[], int]) -> tuple[int, float]:
    began = time.perf_counter()
    return work(), time.perf_counter() - began


def _ours(texts: list[str]) -> int:
    import numpy as np

    from mundap.clean.clusters import labels
    from mundap.clean.dedup import _letters, _signatures

    batches = [texts[place : place + 512] for place in range(0, len(texts), 512)]
    signatures = np.concatenate([_signatures([_letters(text) for text in batch]) for batch in batches])
    return len(set(labels(signatures, 0.8).tolist()))


def _theirs(texts: list[str]) -> int:
    from datasketch import MinHash, MinHashLSH

    from mundap.clean.clusters import BANDS, PERMUTATIONS, ROWS, Union
    from mundap.clean.dedup import _letters

    index = MinHashLSH(num_perm=PERMUTATIONS, params=(BANDS, ROWS))
    hashes: list[Any] = []
    union = Union(len(texts))
    for place, text in enumerate(texts):
        plain_text = _letters(text)
        found = MinHash(PERMUTATIONS, seed=42)
        found.update_batch([plain_text[at : at + 5].encode() for at in range(max(1, len(plain_text) - 4))])
        for other in index.query(found):
            if hashes[other].jaccard(found) >= 0.8:
                union.join(other, place)
        index.insert(place, found)
        hashes.append(found)
    return len(set(union.labels().tolist()))


if __name__ == "__main__":
    main()
