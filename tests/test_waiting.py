"""What a server asks to wait is kept, whatever form it has; else pauses grow to a limit and differ."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from contextlib import closing
from email.utils import formatdate
from pathlib import Path

import pytest

from mundap.waiting import pause, retry_after, write_ahead


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("3", 3), ("0.5", 0.5), ("-1", 0), ("", None), ("soon", None), ("inf", float("inf")), ("nan", 0)],
)
def test_retry_after(said: str, seconds: float | None) -> None:
    assert retry_after(said) == seconds


def test_retry_after_as_a_date() -> None:
    assert retry_after(formatdate(time.time() + 60, usegmt=True)) == pytest.approx(60, abs=2)
    assert retry_after(formatdate(time.time() - 60, usegmt=True)) == 0
    assert retry_after(None) is None


def test_pauses_grow_to_a_limit_and_differ() -> None:
    dice = random.Random(1)
    pauses = [[pause(attempt, 0.5, 30, dice) for _ in range(50)] for attempt in range(12)]
    assert all(len(set(each)) > 40 for each in pauses)
    assert max(pauses[0]) <= 0.5 and max(pauses[3]) <= 4 and max(map(max, pauses)) <= 30
    assert min(pauses[11]) >= 15


def test_a_file_that_another_process_is_opening(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    with closing(other), closing(sqlite3.connect(path, timeout=0)) as base:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            write_ahead(base, patience=0)
        release = threading.Timer(0.2, other.execute, ["COMMIT"])
        release.start()
        write_ahead(base)
        release.join()
        assert base.execute("PRAGMA journal_mode").fetchone() == ("wal",)
