"""Several processes train what one does, end together, and go on exactly; what cannot be launched is refused at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from training import built, recipe
from typer.testing import CliRunner

from mundap import cli
from mundap.errors import MissingExtra, UserError
from mundap.store import Work, read_jsonl
from mundap.train import launch, stage, worker

TWO = {"dropout": 0, "warmup": 0, "steps": 6, "evaluate_every": 6, "save_every": 3, "samples": 0}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr("mundap.train.curves.find_spec", lambda name: None)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def alone(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Work:
    work = built(tmp_path_factory.mktemp("alone"))
    stage.run(recipe(llama, batch=8, **TWO), work)
    return work


def steps(work: Work) -> list[dict[str, Any]]:
    return [row for row in read_jsonl(work.root / "train/log.jsonl") if "loss" in row]


def adapter(work: Work) -> bytes:
    return (work.root / "train/adapter/adapter_model.safetensors").read_bytes()


def same(work: Work, alone: Work) -> None:
    """The same rows at each step, and their loss and gradient to a millionth."""
    ours, theirs = steps(work), steps(alone)
    assert [row["rows"] for row in ours] == [row["rows"] for row in theirs] and len(ours) == 6
    for key in ("loss", "gradient"):
        assert [row[key] for row in ours] == pytest.approx([row[key] for row in theirs], rel=1e-6)


def test_two_processes_train_what_one_does_and_go_on_exactly(llama: Path, alone: Work, tmp_path: Path) -> None:
    two = {**TWO, "batch": 4, "launch": "ddp", "processes": 2}
    whole, parted = built(tmp_path / "whole"), built(tmp_path / "parted")
    stage.run(recipe(llama, **two), whole)
    same(whole, alone)
    first = stage.run(recipe(llama, **two, budget="0.1s"), parted)
    assert first.details["stopped_by"] == "budget" and first.details["step"] < 6
    assert stage.run(recipe(llama, **two), parted).details["resumed_from"] == first.details["step"]
    assert adapter(parted) == adapter(whole)


def test_a_model_that_is_cut_into_parts(
    llama: Path, alone: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_WORKER", "cut_worker")
    monkeypatch.setattr(launch, "_check", lambda train, gpus: None)
    work = built(tmp_path)
    stage.run(recipe(llama, **{**TWO, "batch": 4, "samples": 1}, launch="fsdp2", processes=2), work)
    same(work, alone)
    assert len(adapter(work)) == len(adapter(alone)) and next(read_jsonl(work.root / "train/samples.jsonl"))["after"]


@pytest.mark.parametrize(("name", "kind"), [("ddp", "MULTI_GPU"), ("fsdp2", "FSDP"), ("zero3", "DEEPSPEED")])
def test_accelerate_reads_the_profiles(name: str, kind: str, tmp_path: Path) -> None:
    from accelerate.commands.config import load_config_from_file

    path = tmp_path / "profile.yaml"
    path.write_text(launch.profile(name), "utf-8")
    found = load_config_from_file(str(path))
    assert found.distributed_type.value == kind and found.num_processes == -1  # the command line says how many
    assert name != "fsdp2" or found.fsdp_config["fsdp_version"] == 2
    assert name != "zero3" or found.deepspeed_config["zero_stage"] == 3


@pytest.mark.parametrize(
    ("settings", "gpus", "said"),
    [
        ({"processes": 2}, 0, "train.launch is not set"),
        ({"launch": "ddp"}, 0, "at least two processes and no GPU was found"),
        ({"launch": "ddp"}, 1, "at least two processes and 1 GPU was found"),
        ({"launch": "fsdp2", "processes": 2}, 0, "across GPUs, and none was found; use ddp"),
        ({"launch": "fsdp2", "method": "qlora"}, 2, "use ddp with method qlora"),
        ({"launch": "fsdp2", "method": "int8"}, 2, "use ddp with method int8"),
    ],
)
def test_what_cannot_be_launched(
    settings: dict[str, Any], gpus: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_gpus", lambda: gpus)
    with pytest.raises(UserError, match=said):
        stage.run(recipe("bundled", **settings), Work(tmp_path))


def test_zero3_without_deepspeed(tmp_path: Path) -> None:
    with pytest.raises(MissingExtra, match="pip install deepspeed; fsdp2"):
        stage.run(recipe("bundled", launch="zero3", processes=2), Work(tmp_path))


def test_as_many_processes_as_gpus_and_they_are_part_of_the_key(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_gpus", lambda: 4)
    settled = launch.settled(recipe(llama, launch="ddp"))
    assert settled.train.processes == 4
    from mundap.train.plan import plan

    work = built(tmp_path)
    assert plan(settled, work).key != plan(launch.settled(recipe(llama, launch="ddp", processes=2)), work).key


def test_what_a_worker_cannot_do_is_said_once(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, job = built(tmp_path / "run", rows=0), tmp_path / "job.json"
    job.write_text(json.dumps({"root": str(work.root), "recipe": recipe(llama).model_dump(mode="json")}), "utf-8")
    monkeypatch.setattr(sys, "argv", ["worker", str(job)])
    with pytest.raises(SystemExit) as ended:
        worker.main()
    problem = launch._problem(tmp_path, RuntimeError("one of the processes failed\nand much more"))
    assert ended.value.code == problem.exit_code == 1 and "nothing to train on" in str(problem)
    (tmp_path / "problem-0.json").unlink()
    assert "a process of the training died (one of" in str(launch._problem(tmp_path, RuntimeError("one of\nmore")))


def test_the_command_line_launches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(cli, "_run", lambda *values: asked.append(values))
    path = tmp_path / "recipe.yaml"
    path.write_text("name: x\n")
    done = CliRunner().invoke(cli.app, ["train", str(path), "-o", "seed=1", "--launch", "ddp", "--processes", "2"])
    assert done.exit_code == 0, done.output
    assert asked == [(path, ["seed=1", "train.launch=ddp", "train.processes=2"], "train", "train")]
