"""Five faults (F01 to F05) befall trainings, each with many seeds, which are printed: what is resumed is the same.

Tiny trainings (60 steps with dropout, shuffling, noise and accumulation; one thread) in processes of their own. F01: killed
three times, at a step, at a file operation on a checkpoint and at a moment; F02: killed at one file operation on a checkpoint
(60 seeds are all of them); F03: a file of the newest checkpoint damaged; F04: files that cannot grow, as on a full disk (a
limit of the process, not a real disk); F05: told to stop by a signal, every other time by two. After each the training is
resumed, and must end with the weights, bit by bit, and with the rows, in order, of one that nothing befell.

`python benchmarks/resume_kills.py [F01 … F05] [--seeds 20] [--first 0] [--precision bf16]` ends with 1 when anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "train"))

from tiny import tiny  # type: ignore[import-not-found]
from training import Forge, built, recipe, rows_fed, weights  # type: ignore[import-not-found]

from mundap.config import Recipe
from mundap.progress import Progress
from mundap.store import Work

STEPS, ROWS, EVERY = 60, 48, 7


class Wrong(Exception):
    """Something that a fault must not lead to."""


def main() -> int:
    """One line a fault and seed, then how many of each went well."""
    parser = argparse.ArgumentParser()
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=", ".join(FAULTS))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    asked = parser.parse_args()
    faults, seeds, bad = asked.faults or list(FAULTS), range(asked.first, asked.first + asked.seeds), 0
    if unknown := set(faults) - FAULTS.keys():
        parser.error(f"no fault is called {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    with tempfile.TemporaryDirectory(prefix="mundap-kills-") as folder, forge() as made:
        bench = Bench(Path(folder), made, asked.precision)
        with Progress("faults", len(seeds) * len(faults)) as bar:
            for fault in faults:
                good = sum(tried(bench, fault, seed, bar) for seed in seeds)
                bad += len(seeds) - good
                print(f"{fault}: {good} of {len(seeds)} seeds went well", flush=True)
    return 1 if bad else 0


def tried(bench: Bench, fault: str, seed: int, bar: Progress) -> bool:
    """One fault with one seed, told in a line."""
    began, wrong, told = monotonic(), "", ""
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        try:
            told = FAULTS[fault](bench, random.Random(seed), seed, Path(folder) / "run")
        except Wrong as error:
            wrong = str(error)
    row = {"fault": fault, "seed": seed, "well": not wrong, "told": wrong or told}
    print(json.dumps({**row, "seconds": round(monotonic() - began, 1)}, ensure_ascii=False), flush=True)
    bar.advance(1, f"{fault} seed {seed}")
    return not wrong


class Bench:
    """A tiny base, the process that trains, and trainings that nothing befell, by seed."""

    def __init__(self, folder: Path, made: Forge, precision: str) -> None:
        self.folder, self.forge, self._precision = folder, made, precision
        self._base = tiny(folder / "base")
        self._whole: dict[int, tuple[Work, float]] = {}

    def settings(self, seed: int) -> Recipe:
        """60 steps over 5 epochs."""
        found: Recipe = recipe(
            self._base,
            steps=STEPS,
            batch=2,
            accumulate=2,
            save_every=EVERY,
            evaluate_every=9,
            neftune=5.0,
            dropout=0.1,
            precision=self._precision,
        )
        return found.model_copy(update={"seed": seed})

    def whole(self, seed: int) -> tuple[Work, float]:
        """A training that nothing befell, and its seconds."""
        if seed not in self._whole:
            began, work = monotonic(), built(self.folder / f"whole-{seed}", ROWS)
            self.ends(work, seed)
            self._whole[seed] = work, monotonic() - began
        return self._whole[seed]

    def run(self, work: Work, seed: int, fault: Mapping[str, Any] | None = None) -> tuple[int, str]:
        """How a training ended, and what it said."""
        ended = self.forge.run(work, self.settings(seed), dict(fault or {}))
        return ended["code"], ended["said"]

    def ends(self, work: Work, seed: int) -> str:
        """Train to the end; what was said."""
        code, said = self.run(work, seed)
        must(code == 0, f"ended with {code}: {said[-300:]}")
        return said

    def same(self, work: Work, seed: int) -> None:
        """The weights and rows of a resumed training are those of one that nothing befell, and nothing half is left."""
        whole, _ = self.whole(seed)
        fed = rows_fed(work)
        must(weights(work) == weights(whole), "the weights differ")
        must(fed == rows_fed(whole), "the rows differ")
        names = [name for _, *row in fed for name in row]
        epochs = [sorted(names[start : start + ROWS]) for start in range(0, len(names), ROWS)]
        must(epochs == [sorted(f"r{number}" for number in range(ROWS))] * 5, "a row is repeated or skipped")
        must(not list((work.root / "train").glob("**/.*")), "something half written is left")


def kills(bench: Bench, chance: random.Random, seed: int, root: Path) -> str:
    """F01: three kills of three kinds, in any order; the training goes on after each."""
    work, told = built(root, ROWS), []
    for kind in chance.sample(("step", "write", "moment"), 3):
        done = max(saved(work), default=0)
        if kind == "moment":
            after = chance.uniform(0.1, 0.9) * bench.whole(seed)[1] * (1 - 0.6 * done / STEPS)
            code = killed_after(bench, work, seed, after)
        else:
            after = chance.randint(min(done + 1, STEPS), STEPS) if kind == "step" else chance.randint(1, 90)
            code, _ = bench.run(work, seed, {kind: after})
        must(code in (-9, 0), f"killed at {kind} {after}, it ended with {code}")
        told.append(f"{kind} {after:.3g}" + (f" (from {done})" if done else "") + ("" if code else ": had ended"))
    must("warning" not in bench.ends(work, seed), "a checkpoint was damaged")
    bench.same(work, seed)
    return "; ".join(told)


def killed_after(bench: Bench, work: Work, seed: int, seconds: float) -> int:
    """Kill a training after so many seconds, wherever it is; how it ended."""
    process = bench.forge.start(work, bench.settings(seed))
    sleep(seconds)
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    return int(bench.forge.wait()["code"])


def half_written(bench: Bench, chance: random.Random, seed: int, root: Path) -> str:
    """F02: killed at a file operation on a checkpoint; at most what was done since the one before is lost."""
    work, number = built(root, ROWS), random.Random(0).sample(range(1, 61), 60)[seed % 60]
    code, _ = bench.run(work, 0, {"write": number})
    must(code == -9, f"there is no operation {number}")
    reached, left = rows_fed(work)[-1][0], max(saved(work), default=0)
    must(reached - left <= EVERY, f"of {reached} steps {left} are left")
    must("warning" not in bench.ends(work, 0), "half a checkpoint has a checkpoint's name")
    bench.same(work, 0)
    return f"operation {number}, in step {reached}, resumed from {left}"


def damaged(bench: Bench, chance: random.Random, seed: int, root: Path) -> str:
    """F03: a file of the newest checkpoint is cut, changed by a bit, gone or another's; it is named, the one before used."""
    work, last, before = stopped(bench, root)
    files = sorted(path.name for path in last.iterdir() if path.name != "files.json")
    name, kind = chance.choice(files), chance.choice(list(DAMAGES))
    DAMAGES[kind](last / name, chance)
    said = bench.ends(work, 0)
    must(f"{last.name} is not used: " in said and f"{before.name} is used" in said, f"{kind} of {name}: {said}")
    must(kind == "swap" or f"not used: {name} " in said, f"{name} is not named: {said}")
    bench.same(work, 0)
    return f"{kind} of {name}"


def cut(path: Path, chance: random.Random) -> None:
    os.truncate(path, path.stat().st_size - min(100, path.stat().st_size // 2))


def flip(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def swap(path: Path, chance: random.Random) -> None:
    other = chance.choice(
        sorted(found for found in path.parent.iterdir() if found not in (path, path.parent / "files.json"))
    )
    data = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(data)


DAMAGES: Mapping[str, Callable[[Path, random.Random], None]] = {
    "cut": cut, "flip": flip, "swap": swap, "delete": lambda path, _: path.unlink(),
}  # fmt: skip


def full(bench: Bench, chance: random.Random, seed: int, root: Path) -> str:
    """F04: no file can grow over a size: a clear message, the checkpoints as they were, and resumed when there is room."""
    work, last, before = stopped(bench, root)
    kept, size = contents(last) | contents(before), chance.randint(4 << 10, 80 << 10)
    code, said = bench.run(work, 0, {"size": size})
    must(code not in (0, -9) and "Traceback" not in said and "mundap: " in said, f"{size}: {code}, {said[-300:]}")
    must(contents(last) | contents(before) == kept, "a checkpoint was changed")
    bench.ends(work, 0)
    bench.same(work, 0)
    return f"{size} bytes: {said.strip().splitlines()[-1]}".replace(str(root), "…")


def contents(folder: Path) -> dict[str, bytes]:
    return {f"{folder.name}/{path.name}": path.read_bytes() for path in folder.iterdir()}


def told_to_stop(bench: Bench, chance: random.Random, seed: int, root: Path) -> str:
    """F05: a signal ends it after the step, saved, with the shell's code; a second one ends it at once and harms nothing."""
    work, at, number = built(root, ROWS), chance.randint(1, 40), chance.choice((signal.SIGTERM, signal.SIGINT))
    second = chance.uniform(0, 0.05) if seed % 2 else None
    process = bench.forge.start(work, bench.settings(seed))
    reach(work, at)
    began = monotonic()
    os.kill(process, number)
    if second is not None:
        sleep(second)
        with suppress(ProcessLookupError):
            os.kill(process, number)
    ended = bench.forge.wait()
    took = monotonic() - began
    must(
        ended["code"] == 128 + number and took < 30,
        f"{number.name}: {ended['code']} after {took:.1f} s: {ended['said']}",
    )
    steps, left = rows_fed(work)[-1][0], max(saved(work), default=0)
    must(second is not None or steps == left, f"{steps} steps were taken, {left} saved")
    must("warning" not in bench.ends(work, seed), "a checkpoint was damaged")
    bench.same(work, seed)
    twice = "" if second is None else f", twice in {second:.3f} s"
    return f"{number.name} after step {at}{twice}: ended in {took:.2f} s with {ended['code']}, step {left} saved"


FAULTS: Mapping[str, Callable[[Bench, random.Random, int, Path], str]] = {
    "F01": kills, "F02": half_written, "F03": damaged, "F04": full, "F05": told_to_stop,
}  # fmt: skip


def stopped(bench: Bench, root: Path) -> tuple[Work, Path, Path]:
    """A training of seed 0 killed at step 25, with its last two checkpoints that count."""
    ready = bench.folder / "stopped"
    if not ready.exists():
        code, said = bench.run(built(ready, ROWS), 0, {"step": 25})
        must(code == -9, said)
    shutil.copytree(ready, root)
    work = Work(root)
    before, last = sorted(saved(work))[-2:]
    return work, root / f"train/checkpoints/step-{last}", root / f"train/checkpoints/step-{before}"


def saved(work: Work) -> list[int]:
    """The steps that have a checkpoint."""
    return [int(path.name[5:]) for path in (work.root / "train/checkpoints").glob("step-*")]


def reach(work: Work, step: int) -> None:
    """Wait until a training has logged a step."""
    log, ends = work.root / "train/log.jsonl", monotonic() + 120
    while monotonic() < ends:
        if log.is_file() and f'{{"step": {step}, "epoch"' in log.read_text("utf-8"):
            return
        sleep(0.005)
    raise Wrong(f"step {step} was not reached in two minutes")


def must(holds: bool, otherwise: str) -> None:
    """Raise `Wrong` unless it holds."""
    if not holds:
        raise Wrong(otherwise)


@contextmanager
def forge() -> Iterator[Forge]:
    """The process that the trainings are forked from."""
    command = [sys.executable, str(Path(__file__).parents[1] / "tests" / "train" / "forge.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Forge(process)
        assert process.stdin is not None
        process.stdin.close()


if __name__ == "__main__":
    raise SystemExit(main())
