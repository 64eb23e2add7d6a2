"""`mundap build`: the cleaned (or augmented) records into a dataset: splits that cannot leak, formats, a card.

Three passes over the records: what each row shares with others, which questions are held out, and then the writing, in
which what overlaps with an evaluation set leaves the training rows. Memory holds numbers for each row, and the held-out questions.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

from mundap import overlap, prompts
from mundap.config import Recipe
from mundap.dataset import card, mix, report, sets
from mundap.dataset.formats import Writer
from mundap.dataset.lengths import Lengths
from mundap.dataset.rows import STEP, Rules, questions, source_name
from mundap.dataset.split import LEFT_OUT, SPLITS, Rows, Split, split
from mundap.errors import UserError
from mundap.overlap import Hit, Questions
from mundap.progress import Progress
from mundap.store import Manifest, Work, code_digest, digest, file_digest, versions
from mundap.types import Drop, Example

_LIBRARIES = ("rensa", "numpy", "transformers")
_WORK, _BATCH = ".work", 256
_FACETS = ("source", "licence", "permission", "origin", "lang", "specialty")


def run(recipe: Recipe, work: Work) -> Manifest:
    """Build the dataset of a run. Raises `UserError` for what is missing before any work."""
    source, settings = _source(recipe, work), recipe.build
    overlap.check()
    found = sets.found(recipe)
    paths = [source, *(Path(each.path).expanduser() for each in settings.mix), *(each.path for each in found)]
    mix.check(settings.mix)
    inputs = {f"{place} {_shown(path, work)}": file_digest(path) for place, path in enumerate(paths)}
    code = [
        code_digest("mundap.dataset"),
        file_digest(Path(overlap.__file__)),
        prompts.digest(settings.template),
        prompts.instructions(),
    ]
    key = digest(
        [settings.model_dump(mode="json"), recipe.seed, recipe.train.base, inputs, code, versions(*_LIBRARIES)]
    )
    if done := work.fresh(STEP, key):
        return done
    mix.check_rows(settings.mix)
    try:
        manifest = _Building(recipe, work, source, found).run(Manifest(STEP, key, inputs=inputs, seed=recipe.seed))
    except OSError as error:
        raise UserError(f"{work.root / STEP} cannot be written ({error}); make room and run it again") from error
    report.show(manifest)
    return manifest


def _source(recipe: Recipe, work: Work) -> Path:
    """The records of the stage before: augmented ones where the recipe has that section."""
    before = "augment" if "augment" in recipe.model_fields_set else "clean"
    path = work.root / before / "out.jsonl"
    if not path.is_file() or work.manifest(before) is None:
        raise UserError(f"{work.root} has no finished {before} stage; run `mundap {before}` for this recipe first")
    return path


def _shown(path: Path, work: Work) -> str:
    return str(path.relative_to(work.root)) if path.is_relative_to(work.root) else path.name


@dataclass
class _Counts:
    """What went in and out."""

    rows: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    by: dict[str, dict[str, Counter[str]]] = field(default_factory=lambda: {facet: {} for facet in _FACETS})
    splits: Counter[str] = field(default_factory=Counter)

    def add(self, row: Example) -> None:
        """Count a row that stays."""
        self.splits[row.split] += 1
        values = {"source": source_name(row), **{name: getattr(row, name) for name in _FACETS[1:]}}
        for facet, value in values.items():
            self.by[facet].setdefault(value or "not stated", Counter())[row.split] += 1

    def drop(self, drop: Drop) -> Drop:
        """Count a row that goes."""
        self.dropped[f"{drop.step}: {drop.reason}"] += 1
        return drop


class _Building:
    """One run of the stage. All files are made in a folder of their own and moved into place at the end."""

    def __init__(self, recipe: Recipe, work: Work, source: Path, found: Sequence[sets.Set]) -> None:
        self.recipe, self.work, self.source, self.sets = recipe, work, source, found
        self.rules, self.counts = Rules(recipe.build), _Counts()
        self.questions, self.overlaps = Questions(), Counter[tuple[str, str, str]]()

    def run(self, manifest: Manifest) -> Manifest:
        """Build, then move the files into place, the manifest last."""
        began, folder = perf_counter(), self._empty()
        try:
            details = self._files(folder)
            made = replace(
                manifest, kept=self.counts.splits.total(), dropped=dict(sorted(self.counts.dropped.items())),
                seconds=round(perf_counter() - began, 2), versions=versions(*_LIBRARIES), details=details,
            )  # fmt: skip
            (folder / "README.md").write_text(card.text(self.recipe, self.work, made), "utf-8")
            self._place(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return self.work.finish(made)

    def _files(self, folder: Path) -> dict[str, Any]:
        """All files but the card; what is to be said of them."""
        settings = self.recipe.build
        for each in self.sets:
            each.into(self.questions)
        with Writer(folder, settings.template) as out:
            splits = self._split(out)
            self._hold(splits)
            lengths = Lengths(self.recipe.train.base, settings.template, settings.length)
            self._write(self._rows(splits), out, lengths)
            mixed = self._mix(out, lengths)
        self._check()
        prompts.save(settings.template, folder)
        return self._details(splits, lengths, mixed)

    def _empty(self) -> Path:
        """The folder to work in, without what a killed run left."""
        stage = self.work.folder(STEP)
        for old in stage.glob(".*"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        folder = stage / _WORK
        folder.mkdir()
        return folder

    def _split(self, out: Writer) -> Split:
        """The first pass: drops are written, rows are noted and then split."""
        rows, settings = Rows(), self.recipe.build
        with Progress("build: groups", self.source.stat().st_size) as bar:
            for each in self.rules.read(self.source):
                self.counts.rows += 1
                if isinstance(each, Drop):
                    out.drop(self.counts.drop(each))
                else:
                    rows.add(each, source_name(each))
                    bar.advance(len(each.input) + len(each.output))
        if not len(rows):
            reasons = (
                ", ".join(f"{reason} ({count})" for reason, count in self.counts.dropped.items()) or "no rows at all"
            )
            raise UserError(f"nothing to build from in {self.source}: {reasons}")
        return split(rows, settings.val, settings.test, self.recipe.seed)

    def _rows(self, splits: Split) -> Iterator[Example]:
        """The rows with their splits; a row made up in a held-out group has none."""
        kept = (each for each in self.rules.read(self.source) if isinstance(each, Example))
        for each, place in zip(kept, splits.of.tolist(), strict=True):
            yield replace(each, split=SPLITS[place] if place != LEFT_OUT else "")

    def _hold(self, splits: Split) -> None:
        """The second pass: our own held-out questions are an evaluation set too."""
        for row in self._rows(splits):
            if row.split in SPLITS[1:]:
                self.questions.add(row.split, row.id, row.input)
        self.questions.seal()

    def _write(self, rows: Iterable[Example], out: Writer, lengths: Lengths) -> None:
        """The third pass: each row to its files, unless an evaluation set has its question."""
        with Progress("build: rows", self.counts.rows) as bar:
            for batch in _batches(rows):
                hits = self.questions.match(list(map(questions, batch)))
                kept = [row for row, found in zip(batch, hits, strict=True) if self._stays(row, found, out)]
                made = [(row.split, pair) for row in kept for pair in out.row(row)]
                lengths.add([where for where, _ in made], [pair for _, pair in made])
                for row in kept:
                    self.counts.add(row)
                bar.advance(len(batch))

    def _stays(self, row: Example, found: Sequence[Hit], out: Writer) -> bool:
        """Whether a row is in the dataset. What may not be like it: for training every set, for `val` only `test`."""
        if not row.split:
            out.drop(self.counts.drop(Drop(asdict(row), STEP, "made by a model in a held-out group")))
            return False
        own = SPLITS[SPLITS.index(row.split) + 1 :]
        relevant = [hit for hit in found if hit.set in own or hit.set not in SPLITS]
        for hit in relevant:
            self.overlaps[hit.set, hit.kind, row.split] += 1
            out.overlap({"id": row.id, "split": row.split, **asdict(hit)})
        against = [hit for hit in relevant if hit.set in own or row.split == "train"]
        if against:
            reason = f"question in evaluation set {against[0].set} ({against[0].kind})"
            out.drop(self.counts.drop(Drop(asdict(row), "overlap", reason)))
        return not against

    def _check(self) -> None:
        if not self.counts.splits["train"]:
            why = ", ".join(f"{reason} ({count})" for reason, count in self.counts.dropped.items())
            raise UserError(
                f"no row is left to train on in {self.source}: {why}; see build.val, test and contamination"
            )

    def _mix(self, out: Writer, lengths: Lengths) -> list[dict[str, Any]]:
        """General rows after the medical ones, so many that they are their share of what is trained on."""
        settings, medical = self.recipe.build, self.counts.splits["train"]
        whole = medical / (1 - sum(each.share for each in settings.mix))
        told = []
        for each in settings.mix:
            wanted, before = round(each.share * whole), self.counts.splits["train"]
            drawn, read = mix.draw(each, wanted, self.recipe.seed, self.rules)
            self.counts.rows += len(drawn)
            self._write(drawn, out, lengths)
            taken = self.counts.splits["train"] - before
            told.append({"name": mix.name(each), "rows": read, "share": each.share, "wanted": wanted, "taken": taken})
        return told

    def _details(self, splits: Split, lengths: Lengths, mixed: list[dict[str, Any]]) -> dict[str, Any]:
        by = {
            facet: {value: dict(self.counts.by[facet][value]) for value in sorted(self.counts.by[facet])}
            for facet in _FACETS
        }
        groups = {"all": splits.groups, "largest": splits.largest, "too_large_to_hold_out": splits.too_large,
                  "rows_in_those": splits.in_too_large}  # fmt: skip
        return {
            "rows": self.counts.rows, "splits": {name: self.counts.splits[name] for name in SPLITS}, "groups": groups,
            "template": self.recipe.build.template, "template_digest": prompts.digest(self.recipe.build.template),
            "by": by, "lengths": lengths.report(), "overlap": self._overlap(), "mix": mixed,
        }  # fmt: skip

    def _overlap(self) -> list[dict[str, Any]]:
        """For each evaluation set how many rows of each split are in it."""
        found: dict[str, dict[str, Any]] = {
            each.name: {"set": each.name, "questions": each.questions} for each in self.sets
        }
        held = {name: self.counts.splits[name] for name in SPLITS[1:] if self.counts.splits[name]}
        found |= {name: {"set": name, "questions": count} for name, count in held.items()}
        for each in found.values():
            each.update({name: {} for name in SPLITS})
        for (name, kind, where), count in sorted(self.overlaps.items()):
            found[name][where][kind] = count
        return list(found.values())

    def _place(self, folder: Path) -> None:
        """Move the finished files to their names, once they are on the disk; then the old manifest no longer holds."""
        made = sorted(folder.iterdir())
        for path in made:
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
        (folder.parent / "manifest.json").unlink(missing_ok=True)
        for path in made:
            os.replace(path, folder.parent / path.name)


def _batches(rows: Iterable[Example]) -> Iterator[list[Example]]:
    left = iter(rows)
    while batch := list(islice(left, _BATCH)):
        yield batch
