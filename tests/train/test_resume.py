"""A training that is killed and started again ends with the very same weights (F01) and no checkpoint is ever half (F02)."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from training import Forge, built, recipe, rows_fed, weights

from mundap.store import Work

SEEDS = (11,)  # benchmarks/resume_kills.py tries twenty, and F02 to F05 too


@pytest.fixture(scope="module")
def long(llama: Path) -> Any:
    """60 steps over 5 epochs, with dropout, shuffling, accumulation and noise on the embeddings."""
    return recipe(llama, steps=60, batch=2, accumulate=2, save_every=7, evaluate_every=9, neftune=5.0, dropout=0.1)


@pytest.fixture(scope="module")
def whole(forge: Forge, long: Any, tmp_path_factory: pytest.TempPathFactory) -> Work:
    work = built(tmp_path_factory.mktemp("whole"))
    ended = forge.run(work, long)
    assert ended["code"] == 0, ended["said"]
    return work


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_anywhere_it_ends_with_the_same_bits(
    seed: int, forge: Forge, long: Any, whole: Work, tmp_path: Path
) -> None:
    chance, work = random.Random(seed), built(tmp_path)
    for step in sorted(chance.sample(range(2, 61), 2)):
        assert forge.run(work, long, {"step": step})["code"] == -9
    ended = forge.run(work, long)
    assert ended["code"] == 0, ended["said"]
    assert rows_fed(work) == rows_fed(whole)
    assert weights(work) == weights(whole)


def test_no_row_is_repeated_or_left_out_in_an_epoch(whole: Work) -> None:
    fed = [name for _, *names in rows_fed(whole) for name in names]
    assert len(fed) == 60 * 4
    for start in range(0, len(fed), 48):
        assert sorted(fed[start : start + 48]) == sorted(f"r{number}" for number in range(48))
    assert fed[:48] != fed[48:96]


def test_killed_at_any_write_of_a_checkpoint_the_one_before_is_used(forge: Forge, llama: Path, tmp_path: Path) -> None:
    settings = recipe(llama, steps=6, save_every=2, evaluate_every=50, samples=0)
    plain = built(tmp_path / "plain")
    assert forge.run(plain, settings)["code"] == 0
    for number in random.Random(5).sample(range(1, 60), 4):
        work = built(tmp_path / str(number))
        assert forge.run(work, settings, {"write": number})["code"] == -9, number
        ended = forge.run(work, settings)
        assert ended["code"] == 0, ended["said"]
        assert "warning" not in ended["said"]  # half a checkpoint never has a checkpoint's name
        assert weights(work) == weights(plain), number
        assert not list((work.root / "train").glob("**/.*"))


def test_a_finished_training_is_skipped_and_a_changed_one_begins_anew(
    forge: Forge, llama: Path, tmp_path: Path
) -> None:
    work = built(tmp_path)
    assert forge.run(work, recipe(llama, steps=4, save_every=2))["code"] == 0
    before = (work.root / "train/manifest.json").read_bytes()
    assert forge.run(work, recipe(llama, steps=4, save_every=2))["code"] == 0
    assert (work.root / "train/manifest.json").read_bytes() == before
    ended = forge.run(work, recipe(llama, steps=4, save_every=2, rank=2))
    assert ended["code"] == 0 and "begins anew" in ended["said"]
    details = json.loads((work.root / "train/manifest.json").read_text("utf-8"))["details"]
    assert details["resumed_from"] == 0 and details["settings"]["rank"] == 2
