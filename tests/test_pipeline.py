"""The pipeline as the README shows it: demo site, run, run again, show, trace; and what is wrong is said."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mundap import config, pipeline
from mundap.errors import MissingExtra
from mundap.pipeline import STAGES
from mundap.store import Work

ROOT = Path(__file__).parent.parent
MUNDAP = Path(sys.executable).parent / "mundap"


def mundap(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    plain = {**os.environ, "NO_COLOR": "1", "COLUMNS": "160"}
    return subprocess.run([MUNDAP, *arguments], capture_output=True, text=True, cwd=cwd, timeout=200, env=plain)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the demo recipe has been run against the demo site."""
    folder = tmp_path_factory.mktemp("demo")
    with subprocess.Popen([MUNDAP, "demo-site"], stdout=subprocess.PIPE, text=True) as site:
        try:
            assert site.stdout is not None
            assert "7870" in site.stdout.readline()
            done = mundap("run", str(ROOT / "recipes/demo.yaml"), cwd=folder)
            assert done.returncode == 0, done.stderr
            yield folder
        finally:
            site.send_signal(signal.SIGTERM)
            site.wait(20)


def test_rows_in_are_rows_out_and_drops(ran: Path) -> None:
    collected, cleaned = (
        json.loads((ran / f"runs/demo/{name}/manifest.json").read_text()) for name in ("collect", "clean")
    )
    assert collected["kept"] >= 300
    assert cleaned["kept"] + sum(cleaned["dropped"].values()) == collected["kept"]
    assert len((ran / "runs/demo/clean/out.jsonl").read_text("utf-8").splitlines()) == cleaned["kept"]


def test_a_second_run_does_nothing(ran: Path) -> None:
    before = (ran / "runs/demo/clean/manifest.json").stat().st_mtime_ns
    done = mundap("run", str(ROOT / "recipes/demo.yaml"), cwd=ran)
    assert done.returncode == 0, done.stderr
    assert (ran / "runs/demo/clean/manifest.json").stat().st_mtime_ns == before


def test_a_record_is_followed_back_to_its_page(ran: Path) -> None:
    first = json.loads((ran / "runs/demo/clean/out.jsonl").read_text("utf-8").splitlines()[0])
    lines = [json.loads(line) for line in mundap("trace", first["id"][:12], cwd=ran).stdout.splitlines()]
    assert {line["stage"] for line in lines} == {"collect", "clean"}
    assert all(line["source"].startswith("http://127.0.0.1") and line["permission"] for line in lines)
    assert mundap("trace", "no-such-id", cwd=ran).returncode == 1


def test_what_a_stage_did_is_shown(ran: Path) -> None:
    done = mundap("show", "runs/demo/clean", cwd=ran)
    assert done.returncode == 0, done.stderr
    assert "boilerplate" in done.stdout and "kept" in done.stdout


def test_a_site_without_permission_is_not_fetched(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("name: r\ncollect: {sources: [{use: hidoc, limit: 1}]}\n", "utf-8")
    done = mundap("collect", str(recipe), cwd=tmp_path)
    assert done.returncode == 1
    assert "permission" in done.stderr and "Traceback" not in done.stderr


def test_stages_have_commands_and_unknown_ones_are_said(tmp_path: Path) -> None:
    helped = mundap("--help", cwd=tmp_path).stdout
    assert all(stage.name in helped for stage in STAGES)
    done = mundap("run", str(ROOT / "recipes/demo.yaml"), "--from", "claen", cwd=tmp_path)
    assert done.returncode == 1 and "did you mean 'clean'" in done.stderr


def test_mask_keeps_values_and_hotlines(tmp_path: Path) -> None:
    done = mundap("mask", "환자 김철수(900101-1234567) 010-1234-5678, 혈압 120/80, 119에 전화", "--json", cwd=tmp_path)
    row = json.loads(done.stdout)
    assert "김철수" not in row["text"] and "010" not in row["text"]
    assert "120/80" in row["text"] and "119" in row["text"]
    assert {span["type"] for span in row["spans"]} == {"NAME", "RRN", "PHONE"}
    assert set(row["spans"][0]) == {"start", "end", "type"}


def test_a_stage_whose_library_is_missing_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "parsel", None)
    for name in [name for name in sys.modules if name.startswith("mundap.collect")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(
        MissingExtra, match=r"`mundap collect` needs the package 'parsel': pip install 'mundap\[collect\]'"
    ):
        list(pipeline.run(config.parse({}, "-"), Work(tmp_path), "collect", "collect"))
