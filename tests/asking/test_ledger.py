"""The ledger: nothing answered is lost, nothing broken is used, nobody else reads it."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mundap.asking.ledger import Ledger, Outcome
from mundap.errors import UserError

GOOD = Outcome(("하나", "둘\ud800"), 12, 5, 0.25, True)


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.sqlite")
    assert ledger.get("a") is None
    assert not ledger.begin("a", "m")
    assert ledger.get("a") is None
    ledger.settle("a", GOOD)
    assert ledger.get("a") == GOOD
    ledger.close()
    assert Ledger(tmp_path / "l.sqlite").get("a") == GOOD


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.sqlite")
    ledger.begin("a", "m")
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_request_that_was_on_its_way_is_known(tmp_path: Path) -> None:
    first = Ledger(tmp_path / "l.sqlite")
    first.begin("a", "m")
    first.begin("b", "m")
    first.settle("b", Outcome(error="HTTP 500"))
    first.close()
    second = Ledger(tmp_path / "l.sqlite")
    assert second.begin("a", "m")
    assert not second.begin("b", "m")  # it failed, which is known: nothing was lost
    second.settle("b", GOOD)
    assert second.totals() == {
        "m": {"answered": 1, "sent": 4, "failed": 0, "prompt_tokens": 12, "completion_tokens": 5, "seconds": 0.25}
    }


@pytest.mark.parametrize("harm", ["text", "cut", "flipped"])
def test_a_broken_file_is_set_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str], harm: str) -> None:
    path = tmp_path / "l.sqlite"
    ledger = Ledger(path)
    for n in range(500):
        ledger.begin(f"key {n}", "m")
        ledger.settle(f"key {n}", Outcome((f"text {n} " * 20,)))
    ledger.close()
    data = bytearray(path.read_bytes())
    flipped = data[:4096] + os.urandom(4096) + data[8192:]
    path.write_bytes({"text": b"no database" * 500, "cut": data[:-9000], "flipped": flipped}[harm])
    again = Ledger(path)
    assert again.get("key 3") is None
    again.begin("key 3", "m")
    again.settle("key 3", GOOD)
    assert again.get("key 3") == GOOD
    assert len(list(tmp_path.glob("*.broken-*"))) == 1
    assert "the ledger was broken" in capsys.readouterr().err


def test_a_ledger_of_another_version(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    base = sqlite3.connect(path)
    base.execute("PRAGMA user_version = 9")
    base.close()
    with pytest.raises(UserError, match=r"another version of mundap \(9\)"):
        Ledger(path)


WRITER = """
import sys
from pathlib import Path
from mundap.asking.ledger import Ledger, Outcome
ledger = Ledger(Path(sys.argv[1]))
for n in range(10**6):
    ledger.begin(f"key {n}", "m")
    ledger.settle(f"key {n}", Outcome((f"text {n}",)))
    print(n, flush=True)
"""


def test_what_was_settled_outlives_a_kill(tmp_path: Path) -> None:
    seed = int(time.time())
    print("seed", seed)
    dice = random.Random(seed)
    for round_ in range(3):
        path = tmp_path / f"{round_}.sqlite"
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(dice.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        told = [int(line) for line in process.communicate()[0].splitlines() if line.strip()]
        last = max(told, default=0)
        ledger = Ledger(path)
        assert [ledger.get(f"key {n}") for n in range(last)] == [Outcome((f"text {n}",)) for n in range(last)]
        ledger.close()
