"""The small parts of a training by themselves: its clock, its health, its order, its log, its checkpoints, its curves."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from mundap.errors import UserError
from mundap.train import budget, curves
from mundap.train.budget import Budget
from mundap.train.checkpoints import Checkpoints
from mundap.train.data import IGNORED, Order, check_batch
from mundap.train.health import trouble
from mundap.train.log import Log


@pytest.mark.parametrize(("text", "wanted"), [("90s", 90), ("45m", 2700), ("1.5h", 5400)])
def test_a_budget_s_length(text: str, wanted: float) -> None:
    assert budget.seconds(text) == wanted


def test_a_budget_is_over_while_there_is_time_to_save() -> None:
    clock = Budget(limit=100.0)
    assert not clock.over()
    clock.took(60)
    assert not clock.over()
    clock.reserves("saving", 20)
    assert clock.over()  # 90 for a slow step, 22 to finish: more than is left
    assert not Budget(None, step=1e9).over()


@pytest.mark.parametrize(
    ("losses", "gradient", "word"),
    [
        ([2.0, float("nan")], None, "nan"),
        ([2.0, float("inf")], None, "inf"),
        ([2.0, 0.0], None, "exactly zero"),
        ([2.0, 1.9], float("nan"), "gradient"),
        ([2.0, 30.0], None, "exploded"),
        ([2.0] * 15 + [5.5] * 5, None, "exploded"),
    ],
)
def test_what_stops_a_training(losses: list[float], gradient: float | None, word: str) -> None:
    assert word in trouble(losses, gradient)


@pytest.mark.parametrize(
    "losses", [[2.3], [0.05] * 10 + [2.0], [10.4, 10.2, 9.9], [2.0] * 20 + [4.9], list(np.linspace(3, 0.01, 50))]
)
def test_what_does_not(losses: list[float]) -> None:
    assert not trouble(losses, 1.0)


@settings(deadline=None, max_examples=60)
@given(
    some.lists(some.integers(1, 500), min_size=1, max_size=300),
    some.integers(1, 9),
    some.integers(0, 5),
    some.booleans(),
)
def test_an_epoch_has_each_row_once_and_is_the_same_again(
    lengths: list[int], batch: int, epoch: int, grouped: bool
) -> None:
    order, again = Order(lengths, 7, batch, grouped), Order(lengths, 7, batch, grouped)
    order.epoch = again.epoch = epoch
    assert sorted(order) == list(range(len(lengths))) and list(order) == list(again)


def test_rows_of_like_length_share_a_batch() -> None:
    lengths = np.random.default_rng(0).integers(10, 500, 800)
    grouped, mixed = (np.array(list(Order(lengths, 1, 8, how))).reshape(-1, 8) for how in (True, False))

    def waste(batches: np.ndarray) -> float:
        return 1 - lengths[batches].sum() / (lengths[batches].max(1) * 8).sum()

    assert waste(grouped) < 0.1 < 0.4 < waste(mixed) + 0.05
    assert lengths[grouped].mean(1).tolist() != sorted(lengths[grouped].mean(1).tolist(), reverse=True)


def test_the_first_batch_must_end_what_it_teaches() -> None:
    ids, end = np.array([[5, 6, 7, 2]]), frozenset([2])
    check_batch(ids, np.array([[IGNORED, IGNORED, 7, 2]]), end)
    for labels, said in (
        ([[IGNORED, IGNORED, 7, IGNORED]], "never stop"), ([[IGNORED] * 4], "nothing to learn"),
        ([[IGNORED, 7, 6, 2]], "not its tokens"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=said):
            check_batch(ids, np.array(labels), end)


def test_the_log_is_cut_back_to_the_checkpoint(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    log.begin(0)
    for step in range(1, 6):
        log.add(step=step, loss=1.0)
        log.add(step=step, val_loss=abs(3 - step) + 1.0)
    assert log.best() == {"step": 3, "val_loss": 1.0} and log.waited() == 2
    log.close()
    with log.path.open("a") as stream:
        stream.write('{"step": 6, "lo')  # killed in the middle of a line
    log.begin(4)
    log.add(step=5, loss=2.0)
    assert [row["step"] for row in log.steps] == [1, 2, 3, 4, 5]
    assert [json.loads(line) for line in log.path.read_text("utf-8").splitlines()] == log.rows
    log.close()


def checkpoint(checkpoints: Checkpoints, step: int) -> Path:
    with checkpoints.writing(step) as folder:
        (folder / "weights").write_bytes(b"x" * step)
    return checkpoints.path(step)


def test_checkpoints_of_another_key_are_not_used(tmp_path: Path) -> None:
    checkpoint(Checkpoints(tmp_path, "one"), 5)
    other = Checkpoints(tmp_path, "two")
    assert other.latest() == 0 and "another recipe" in other.ignored[0]


def test_the_newest_two_and_the_best_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "key")
    for step in (1, 2, 3, 4, 10):
        checkpoint(checkpoints, step)
    checkpoints.rotate(best=2)
    assert checkpoints.steps() == [2, 4, 10] and checkpoints.latest() == 10


def test_an_error_while_writing_leaves_nothing_half(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "key")
    checkpoint(checkpoints, 1)

    def fails() -> None:
        with checkpoints.writing(2) as folder:
            (folder / "half").write_text("x")
            raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"No space left.*; step-1 is whole"):
        fails()
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]


ROWS = [
    {"step": 0, "val_loss": 2.5, "val_low": 2.4, "val_high": 2.6},
    *({"step": step, "loss": 2.5 - step / 100, "rows": ["id"]} for step in range(1, 30)),
]


def test_the_curves_are_a_picture(tmp_path: Path) -> None:
    curves.draw(ROWS, tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG") and len(list(tmp_path.iterdir())) == 1


def test_the_curves_are_in_trackio_s_database_inside_the_run(tmp_path: Path) -> None:
    """In a process of its own: trackio writes to one folder for as long as it is imported."""
    pytest.importorskip("trackio")
    code = "import json, sys; from pathlib import Path; from mundap.train.curves import track\n"
    code += "print(track(json.loads(sys.argv[1]), Path(sys.argv[2]), 'demo', {'rank': 4}))"
    command = [sys.executable, "-c", code, json.dumps(ROWS), str(tmp_path / "trackio")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
    with sqlite3.connect(tmp_path / "trackio" / "demo.db") as database:
        assert database.execute("select count(*) from metrics").fetchone() == (30,)
