"""`mundap clean`: the collected records through the steps of the recipe, each dropped row with its reason.

Order: `normalize`, `boilerplate`, `deleted`, `mask`, `quality`, `dedup`, unless the recipe says otherwise. Output
does not depend on the engine, on how many processes work, or on when a run was killed and started again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path
from time import perf_counter
from typing import IO, Any

import numpy as np

from mundap.clean import engine
from mundap.clean.dedup import SKETCH, Dedup, Sketches
from mundap.clean.engine import Block, Count, Result, Spec
from mundap.config import Recipe
from mundap.errors import UserError
from mundap.progress import Progress
from mundap.records import Line, encode, lines, parse
from mundap.store import Manifest, Work, digest, file_digest, versions
from mundap.types import QA, Drop

STEPS = ("normalize", "boilerplate", "deleted", "mask", "quality", "dedup")
_SOURCE, _WORK = "collect/out.jsonl", ".work"
_LIBRARIES = ("ftfy", "kiwipiepy", "rensa", "numpy")
Results = Callable[[Callable[[Block], Result], Iterable[Block]], Iterator[Result]]


def run(recipe: Recipe, work: Work) -> Manifest:
    """Clean `collect/out.jsonl` of the run. Raises `UserError` when there is none or a step cannot be made."""
    source = work.root / _SOURCE
    if not source.is_file():
        raise UserError(f"no file {source}; run `mundap collect` for this recipe first")
    specs = specs_of(recipe)
    inputs = {_SOURCE: file_digest(source)}
    key = digest({"steps": specs, "inputs": inputs, "code": code(), "versions": versions(*_LIBRARIES)})
    done = work.fresh("clean", key)
    return done or _Cleaning(recipe, work, specs, Manifest("clean", key, inputs=inputs, seed=recipe.seed)).run(source)


def specs_of(recipe: Recipe) -> tuple[Spec, ...]:
    """The steps a recipe names, or all of them, made once to find what is wrong with them before any work."""
    named = [(each.use, each.config) for each in recipe.clean.steps] or [(name, {}) for name in STEPS]
    specs = tuple(engine.spec_of(name, config) for name, config in named)
    for spec in specs:
        engine.step(spec)
    return specs


def code() -> str:
    """Digest of the source and data of this stage: when they change, its results may."""
    parts = [*_sources("mundap.clean", ""), *_sources("mundap.safety", "privacy")]
    return digest([[name, blake2b(data, digest_size=16).hexdigest()] for name, data in sorted(parts)])


def _sources(package: str, start: str) -> Iterator[tuple[str, bytes]]:
    for item in files(package).iterdir():
        if item.name.startswith(start) and item.name.endswith((".py", ".yaml")):
            yield f"{package}/{item.name}", item.read_bytes()


@dataclass
class _Cleaning:
    """One run of the stage. All files are made in a folder of their own and moved into place at the end."""

    recipe: Recipe
    work: Work
    specs: tuple[Spec, ...]
    manifest: Manifest
    counts: dict[int, Count] = field(default_factory=dict)

    def run(self, source: Path) -> Manifest:
        """Clean, then move the results into place, the manifest last."""
        began = perf_counter()
        folder = self._empty()
        with (folder / "dropped").open("wb") as dropped:
            last = source
            for number, (before, whole) in enumerate(segments(self.specs)):
                last = self._segment(last, folder / f"rows{number}", before, whole, dropped)
        self._place(last, "out.jsonl")
        self._place(folder / "dropped", "dropped.jsonl")
        shutil.rmtree(folder)
        return self.work.finish(self._manifest(perf_counter() - began))

    def _empty(self) -> Path:
        """The folder to work in, without what a killed run left; the old manifest no longer holds."""
        stage = self.work.folder("clean")
        (stage / "manifest.json").unlink(missing_ok=True)
        for old in stage.glob(".*"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        folder = stage / _WORK
        folder.mkdir()
        return folder

    def _segment(
        self, source: Path, out: Path, before: tuple[Spec, ...], whole: Spec | None, dropped: IO[bytes]
    ) -> Path:
        """Row steps, then the step that needs all rows."""
        rows = out.with_name(f"{out.name}-before") if whole else out
        place = len(self.counts)
        sketched = whole is not None and isinstance(engine.step(whole), Dedup)
        self._rows(source, rows, before, whole if sketched else None, dropped)
        if whole is None:
            return rows
        with out.open("wb") as stream:
            count = self._count(place + len(before) + (place == 0), Count(whole[0]))
            began = perf_counter()
            for row in self._whole(rows, whole, sketched):
                count.rows += 1
                self._write(row, count, stream, dropped)
            count.seconds += perf_counter() - began
        rows.unlink()
        return out

    def _rows(self, source: Path, out: Path, specs: tuple[Spec, ...], whole: Spec | None, dropped: IO[bytes]) -> None:
        """The blocks of a file through the row steps, in order."""
        first = len(self.counts)
        where = _SOURCE if not first else source.name
        work, done = partial(engine.clean_block, specs=specs, sketcher=whole), 0
        with (
            out.open("wb") as kept,
            _sketch_file(out).open("wb") as sketches,
            Progress("clean", source.stat().st_size) as bar,
        ):
            for result in self._results()(work, engine.blocks(source, where)):
                kept.write(result.kept)
                dropped.write(result.dropped)
                sketches.write(result.sketches)
                bar.advance(result.size)
                done += result.size
                for place, count in enumerate(result.counts[1:] if first else result.counts):
                    self._count(first + place, count)
        if done != source.stat().st_size:
            raise UserError(f"{source} changed while it was read; run again")

    def _results(self) -> Results:
        if self.recipe.engine == "ray":
            from mundap.clean import cluster

            return cluster.results
        return partial(engine.local, workers=self.recipe.clean.workers or engine.cores())

    def _whole(self, path: Path, spec: Spec, sketched: bool) -> Iterator[tuple[bytes, QA | Drop | None]]:
        """Each line with what became of it; None: it stays as it is."""
        if sketched:
            yield from self._deduped(path, engine.dedup_of(spec))
            return
        rows = (row for row in (parse(line, path.name) for line in lines(path)) if isinstance(row, QA))
        for row in engine.step(spec)(rows):
            yield encode(row), row

    def _deduped(self, path: Path, dedup: Dedup) -> Iterator[tuple[bytes, QA | Drop | None]]:
        sketches = _sketches(_sketch_file(path))
        why, groups = dedup.verdicts(sketches, *self._labels(dedup, sketches))
        before = np.array(sketches["group"])
        with path.open("rb") as stream:
            for place, line in enumerate(stream):
                if not why[place] and groups[place] == before[place]:
                    yield line, None
                    continue
                row = parse(Line(place + 1, line), path.name)
                assert isinstance(row, QA), row
                found = dedup.judged(row, int(why[place]), int(groups[place]), int(before[place]))
                yield encode(found), found

    def _labels(self, dedup: Dedup, sketches: Sketches) -> Any:
        if self.recipe.engine == "ray":
            from mundap.clean import cluster

            return cluster.labels(sketches, dedup.threshold)
        return dedup.labels(sketches)

    def _write(self, found: tuple[bytes, QA | Drop | None], count: Count, kept: IO[bytes], dropped: IO[bytes]) -> None:
        data, row = found
        if isinstance(row, Drop):
            count.dropped[row.reason] += 1
            dropped.write(data)
        else:
            count.changed += row is not None
            kept.write(data)

    def _count(self, place: int, count: Count) -> Count:
        """Add to the count of the step at this place."""
        if place in self.counts:
            self.counts[place].add(count)
        else:
            self.counts[place] = count
        return self.counts[place]

    def _place(self, path: Path, name: str) -> None:
        """Move a finished file to its name."""
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(path, self.work.folder("clean") / name)

    def _manifest(self, seconds: float) -> Manifest:
        steps = [self.counts[place] for place in sorted(self.counts)]
        dropped = {f"{step.name}: {reason}": count for step in steps for reason, count in sorted(step.dropped.items())}
        kept = steps[0].rows - sum(dropped.values())
        shown = [
            {**asdict(step), "dropped": dict(sorted(step.dropped.items())), "seconds": round(step.seconds, 3)}
            for step in steps
        ]
        return Manifest(
            "clean", self.manifest.key, kept, dropped, self.manifest.inputs, self.manifest.seed, round(seconds, 3),
            versions(*_LIBRARIES), {"rows": steps[0].rows, "steps": shown, "engine": self.recipe.engine},
        )  # fmt: skip


def segments(specs: tuple[Spec, ...]) -> Iterator[tuple[tuple[Spec, ...], Spec | None]]:
    """Runs of row steps, each with the step after it that needs all rows."""
    before: tuple[Spec, ...] = ()
    for spec in specs:
        if getattr(engine.step(spec), "rowwise", False):
            before = (*before, spec)
        else:
            yield before, spec
            before = ()
    if before or not specs:
        yield before, None


def _sketch_file(rows: Path) -> Path:
    return rows.with_name(f"{rows.name}-sketches")


def _sketches(path: Path) -> Sketches:
    """The sketches on disk, mapped into memory."""
    if not path.stat().st_size:
        return np.empty(0, SKETCH)
    return np.memmap(path, SKETCH, "r")


def check_whole(work: Work) -> None:
    """Raise `UserError` unless the rows in are the rows kept and dropped, counted in the files themselves."""
    manifest = work.manifest("clean")
    if manifest is None:
        raise UserError(f"{work.root} has no finished clean stage")
    kept, dropped = (_count_lines(work.root / "clean" / name) for name in ("out.jsonl", "dropped.jsonl"))
    if (kept, kept + dropped) != (manifest.kept, manifest.details["rows"]):
        raise UserError(
            f"{work.root}/clean: {kept} kept and {dropped} dropped rows, but the manifest says {manifest.kept}"
        )


def _count_lines(path: Path) -> int:
    with path.open("rb") as stream:
        return sum(1 for _ in stream)
