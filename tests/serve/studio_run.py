"""Small runs as the stages leave them, for the run pages to show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from serve_fakes import FakeEngine, FakeEngines, Live, serving

from mundap.evaluate import items
from mundap.records import encode
from mundap.store import Manifest, Work, write_jsonl
from mundap.types import QA, Drop

BAD = "<script>alert(1)</script>"
TARGETS = ("base", "tuned")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs in one folder."""
    found = tmp_path_factory.mktemp("studio") / "runs"
    make(found)
    make(found, "two", 1)
    return found


@pytest.fixture(scope="module")
def studio(root: Path) -> Iterator[Live]:
    """A server with the run pages of these two."""
    with serving(FakeEngines(FakeEngine("quick")), page=False, studio=root) as studio:
        yield studio


def make(root: Path, name: str = "one", seed: int = 0) -> Path:
    """A run up to its evaluation; the second of two has other losses and other answers."""
    work = Work(root / name)
    _records(work)
    _built(work)
    _trained(work, seed)
    _evaluated(work, seed)
    recipe = "name: other\nevaluate: {sets: [own], targets: [base, tuned]}\nexport: {}\n"
    (work.root / "recipe.yaml").write_text(recipe, "utf-8")
    return work.root


def step(run: Path, number: int, loss: float) -> None:
    """The training goes on."""
    with (run / "train" / "log.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"step": number, "loss": loss}) + "\n")


def _records(work: Work) -> None:
    made = [
        QA(
            f"id{n:03d}", f"질문 {n}  입니다 ★", f"답변 {n} {BAD if n == 3 else ''}", specialty="내과" if n % 2 else "피부과",
            trail=(f"collect:{'hidoc' if n < 20 else 'kin'}@1",), flags=("stale",) if n == 5 else (),
            question_origin="asked" if n else "title",
        )
        for n in range(45)
    ]  # fmt: skip
    cleaned = [
        QA(**{**asdict(row), "question": row.question.replace("  ", " ").replace(" ★", "")}) for row in made[:40]
    ]
    gone = [Drop(asdict(row), "quality", "too short") for row in made[40:]]
    for stage, rows, dropped in (("collect", made, []), ("clean", cleaned, gone)):
        folder = work.folder(stage)
        (folder / "out.jsonl").write_bytes(b"".join(map(encode, rows)))
        (folder / "dropped.jsonl").write_bytes(b"".join(map(encode, dropped)))
        counts = {"quality: too short": len(dropped)} if dropped else {}
        work.finish(Manifest(stage, "key", kept=len(rows), dropped=counts, seconds=1.5))


def _built(work: Work) -> None:
    row: dict[str, Any] = {"instruction": "답하세요.", "output": "답", "origin": "asked", "trail": ["collect:hidoc@1"]}
    rows = [{**row, "id": f"id{n}", "input": f"물음 {n}", "split": "test" if n > 7 else "train"} for n in range(10)]
    write_jsonl(work.folder("build") / "out.jsonl", rows)
    work.finish(Manifest("build", "key", kept=10))


def _trained(work: Work, seed: int) -> None:
    rows: list[dict[str, Any]] = [{"step": 0, "val_loss": 3.0, "val_low": 2.8, "val_high": 3.2}]
    rows += [{"step": n, "loss": 3.0 - n / 50 - seed / 10} for n in range(1, 61)]
    rows += [{"step": 60, "val_loss": 2.1 + seed, "val_low": 2.0, "val_high": 2.3}]
    write_jsonl(work.folder("train") / "log.jsonl", rows)


def _evaluated(work: Work, seed: int) -> None:
    folder = work.folder("evaluate")
    for target in TARGETS:
        rows = [
            {"set": "own", "item": item.id, "text": f"{target} {seed} 답 {n} {BAD if n == 0 else ''}", "finish": "stop"}
            for n, item in enumerate(items.load()[:6])
        ]
        write_jsonl(folder / "replies" / f"{target}.jsonl", rows)
    measure = {"set": "own", "metric": "facts", "n": 6, "better": "higher", "group": "facts", "chance": None}
    summary = {
        "targets": [{"name": name, "digests": {"model": f"{name}{seed}"}, "template": "t"} for name in TARGETS],
        "sets": [{"name": "own", "n": 6, "digest": "d"}],
        "measures": [
            {**measure, "target": name, "mean": 0.25 + place / 2, "low": 0.1, "high": 0.9}
            for place, name in enumerate(TARGETS)
        ],
        "paired": [{**measure, "a": "tuned", "b": "base", "difference": 0.5, "low": 0.1, "high": 0.9, "p": 0.03}],
    }
    (folder / "summary.json").write_text(json.dumps(summary), "utf-8")
    (folder / "report.html").write_text("<!doctype html><h1>보고서</h1><script>document.title='run'</script>", "utf-8")
    work.finish(Manifest("evaluate", "key", kept=12))
