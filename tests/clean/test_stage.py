from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from clean_text import rows

from mundap import config, pipeline
from mundap.clean import stage
from mundap.errors import ConfigError, UserError
from mundap.protocols import Step
from mundap.registry import create, names
from mundap.store import Manifest, Work


def run_folder(folder: Path, count: int = 400, seed: int = 0) -> Work:
    """A run whose collect stage is done."""
    (folder / "collect").mkdir(parents=True)
    with (folder / "collect" / "out.jsonl").open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(count, seed))
    return Work(folder)


def clean(work: Work, **sections: object) -> Manifest:
    return stage.run(config.parse({"name": "t", **sections}, "test"), work)


def outputs(work: Work) -> tuple[bytes, bytes]:
    folder = work.root / "clean"
    return (folder / "out.jsonl").read_bytes(), (folder / "dropped.jsonl").read_bytes()


def test_a_run_says_what_it_did(tmp_path: Path) -> None:
    work = run_folder(tmp_path)
    manifest = clean(work)
    kept, dropped = (data.decode().splitlines() for data in outputs(work))
    assert (len(kept), len(dropped)) == (manifest.kept, sum(manifest.dropped.values()))
    assert len(kept) + len(dropped) == 400
    stage.check_whole(work)
    assert [step["name"] for step in manifest.details["steps"]] == ["read", *stage.STEPS]
    assert {json.loads(line)["step"] for line in dropped} == {"deleted", "dedup"}
    assert not list((tmp_path / "clean").glob(".*"))


def test_processes_do_not_change_a_byte(tmp_path: Path) -> None:
    one, two = run_folder(tmp_path / "one", 1500), run_folder(tmp_path / "two", 1500)
    clean(one, clean={"workers": 1})
    clean(two, clean={"workers": 2})
    assert outputs(one) == outputs(two)


def test_second_run_does_nothing_and_a_change_does(tmp_path: Path) -> None:  # F07
    work = run_folder(tmp_path)
    first = clean(work)
    before = [(path.stat().st_mtime_ns, path.read_bytes()) for path in sorted((tmp_path / "clean").iterdir())]
    began = time.perf_counter()
    assert clean(work, clean={"workers": 2}) == first
    assert time.perf_counter() - began < 1
    assert [(path.stat().st_mtime_ns, path.read_bytes()) for path in sorted((tmp_path / "clean").iterdir())] == before
    changed = clean(work, clean={"steps": ["normalize", {"use": "quality", "min_answer": 90}]})
    assert changed.key != first.key
    assert any(reason == "quality: answer too short" for reason in changed.dropped)


def test_steps_in_any_number_and_order(tmp_path: Path) -> None:
    work = run_folder(tmp_path, 200)
    manifest = clean(work, clean={"steps": ["dedup", "normalize", {"use": "dedup", "threshold": 0.9}, "mask"]})
    assert [step["name"] for step in manifest.details["steps"]] == ["read", "dedup", "normalize", "dedup", "mask"]
    stage.check_whole(work)


def test_every_registered_step_is_a_step() -> None:
    assert set(stage.STEPS) <= set(names("steps"))
    assert all(isinstance(create("steps", name), Step) for name in stage.STEPS)


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run `mundap collect`"):
        clean(Work(tmp_path / "none"))
    work = run_folder(tmp_path / "some", 10)
    with pytest.raises(UserError, match="min_answr"):
        clean(work, clean={"steps": [{"use": "quality", "min_answr": 3}]})
    with pytest.raises((UserError, ConfigError), match="normalize"):
        clean(work, clean={"steps": ["normalise"]})


def test_empty_input(tmp_path: Path) -> None:
    work = run_folder(tmp_path, 0)
    assert clean(work).kept == 0
    assert outputs(work) == (b"", b"")


def test_in_the_pipeline(tmp_path: Path) -> None:
    work = run_folder(tmp_path, 50)
    [manifest] = pipeline.run(config.parse({"name": "t"}, "test"), work, "clean", "clean")
    assert manifest.stage == "clean"
