"""Damaged checkpoints (F03), a full disk (F04), signals (F05), and a loss that went wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from training import Forge, built, recipe

from mundap.store import Work


def truncate(folder: Path) -> str:
    path = folder / "optimizer.pt"
    os.truncate(path, path.stat().st_size - 100)
    return path.name


def flip(folder: Path) -> str:
    path = folder / "adapter_model.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return path.name


def delete(folder: Path) -> str:
    (folder / "rng_state.pth").unlink()
    return "rng_state.pth"


def swap(folder: Path) -> str:
    first, second = folder / "optimizer.pt", folder / "scheduler.pt"
    first.rename(folder / "x")
    second.rename(first)
    (folder / "x").rename(second)
    return first.name


def add(folder: Path) -> str:
    (folder / "model.bin").write_bytes(b"pickle")
    return "model.bin"


@pytest.fixture(scope="module")
def killed(forge: Forge, llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """A training killed at step 11 that has checkpoints of steps 5 and 10."""
    work = built(tmp_path_factory.mktemp("killed"))
    assert forge.run(work, recipe(llama, evaluate_every=50), {"step": 11})["code"] == -9
    return work


@pytest.mark.parametrize("damage", [truncate, flip, delete, swap, add])
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(
    damage: Callable[[Path], str], forge: Forge, killed: Work, llama: Path, tmp_path: Path
) -> None:
    work = Work(Path(shutil.copytree(killed.root, tmp_path / "run")))
    name = damage(work.root / "train/checkpoints/step-10")
    ended = forge.run(work, recipe(llama, evaluate_every=50))
    assert ended["code"] == 0, ended["said"]
    assert f"step-10 is not used: {name}" in ended["said"] and "step-5 is used" in ended["said"]
    manifest = json.loads((work.root / "train/manifest.json").read_text("utf-8"))
    assert manifest["details"]["resumed_from"] == 5 and name in manifest["details"]["ignored"][0]


def test_with_a_full_disk_it_says_so_and_goes_on_when_there_is_room(
    forge: Forge, killed: Work, llama: Path, tmp_path: Path
) -> None:
    work = Work(Path(shutil.copytree(killed.root, tmp_path / "run")))
    full = forge.run(work, recipe(llama, evaluate_every=50), {"size": 16 << 10})
    assert full["code"] == 1 and "Traceback" not in full["said"]
    assert "cannot save the checkpoint of step 12" in full["said"] and "step-10 is whole" in full["said"]
    assert not list((work.root / "train/checkpoints").glob(".*"))
    ended = forge.run(work, recipe(llama, evaluate_every=50))
    assert ended["code"] == 0 and "warning" not in ended["said"]
    assert json.loads((work.root / "train/manifest.json").read_text("utf-8"))["details"]["resumed_from"] == 10


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_after_the_step_saved(
    number: signal.Signals, code: int, forge: Forge, llama: Path, tmp_path: Path
) -> None:
    work, settings = built(tmp_path), recipe(llama, steps=5000, save_every=5000, evaluate_every=5000)
    pid = forge.start(work, settings)
    wait_for_steps(work, 5)
    began = time.monotonic()
    os.kill(pid, number)
    ended = forge.wait()
    assert ended["code"] == code and "run the same command again" in ended["said"], ended["said"]
    assert time.monotonic() - began < 30
    (saved,) = (work.root / "train/checkpoints").glob("*")
    steps = [json.loads(line)["step"] for line in (work.root / "train/log.jsonl").read_text("utf-8").splitlines()]
    assert saved.name == f"step-{steps[-1]}" and not (work.root / "train/manifest.json").exists()
    os.kill(forge.start(work, settings), signal.SIGTERM)  # goes on, and is stopped again
    assert forge.wait()["code"] in (143, -15)


def test_a_second_signal_ends_it_at_once_and_harms_nothing(forge: Forge, llama: Path, tmp_path: Path) -> None:
    work, settings = built(tmp_path), recipe(llama, steps=5000, save_every=3, evaluate_every=5000)
    pid = forge.start(work, settings)
    wait_for_steps(work, 7)
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGINT)
    assert forge.wait()["code"] in (130, 143)
    again = forge.run(work, settings, {"step": 40})
    assert again["code"] == -9 and "warning" not in again["said"]


def wait_for_steps(work: Work, count: int) -> None:
    log, ends = work.root / "train/log.jsonl", time.monotonic() + 60
    while time.monotonic() < ends:
        if log.is_file() and len(log.read_bytes().splitlines()) > count:
            return
        time.sleep(0.02)
    raise AssertionError("no steps were taken")


def test_an_exploding_loss_ends_it_at_once(forge: Forge, llama: Path, tmp_path: Path) -> None:
    work = built(tmp_path)
    ended = forge.run(work, recipe(llama, method="full", steps=60, lr=10.0, warmup=0))
    assert ended["code"] == 1 and "the loss exploded" in ended["said"] and "lower train.lr" in ended["said"]
    assert len((work.root / "train/log.jsonl").read_bytes().splitlines()) < 20
    assert not (work.root / "train/model").exists() and not (work.root / "train/manifest.json").exists()


def test_a_loss_that_is_no_number_never_reaches_the_weights(forge: Forge, llama: Path, tmp_path: Path) -> None:
    work = built(tmp_path)
    ended = forge.run(work, recipe(llama, save_every=2), {"nan": 4})
    assert ended["code"] == 1 and "stopped at step 4: the loss is nan" in ended["said"], ended["said"]
    assert [path.name for path in (work.root / "train/checkpoints").iterdir()] == ["step-2"]
    assert forge.run(work, recipe(llama, save_every=2))["code"] == 0
