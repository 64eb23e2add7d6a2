from __future__ import annotations

import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mundap.errors import UserError
from mundap.translate.cache import Cache, key

WRITER = """
import sys
from pathlib import Path
from mundap.translate.cache import Cache, key
cache = Cache(Path(sys.argv[1]))
print("open", flush=True)
for n in range(int(sys.argv[2]), int(sys.argv[3])):
    cache.put({key(str(n)): f"text {n}"})
    print(n, flush=True)
"""


def started(path: Path, first: int, last: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), str(first), str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_what_was_put_is_found_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "run" / "cache.sqlite")
    one, two = key("a", "text"), key("a", "other")
    assert cache.get([one, two]) == {}
    cache.put({one: "글", two: ""})
    assert cache.get([one, two]) == {one: "글", two: ""}
    assert (cache.hits, cache.misses) == (2, 2)
    cache.close()
    again = Cache(tmp_path / "run" / "cache.sqlite")
    assert again.get([one]) == {one: "글"}
    again.close()
    with sqlite3.connect(tmp_path / "run" / "cache.sqlite") as plain:
        assert sorted(plain.execute("SELECT text, hits FROM translations")) == [(b"", 1), ("글".encode(), 2)]
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    plain.close()


def test_the_key_is_of_all_its_parts() -> None:
    parts = ["papago", "nmt", "en", "ko", "g1", "p1", "0", "text"]
    keys = {key(*parts)} | {key(*parts[:n], parts[n] + "x", *parts[n + 1 :]) for n in range(len(parts))}
    assert len(keys) == len(parts) + 1
    assert key("ab", "c") != key("a", "bc")
    assert len(key("\ud800")) == 32


def test_only_the_owner_reads_it(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache.sqlite")
    cache.put({key("a"): "b"})
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(["cache.sqlite", "cache.sqlite-shm", "cache.sqlite-wal"], 0o600)
    cache.close()


def test_many_keys_at_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache.sqlite")
    texts = {key(str(n)): str(n) for n in range(1200)}
    cache.put(texts)
    assert cache.get(list(texts)) == texts
    cache.close()


@pytest.mark.parametrize("garbage", [b"not a database at all, just text" * 50, b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_broken_file_is_set_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str], garbage: bytes) -> None:
    path = tmp_path / "cache.sqlite"
    path.write_bytes(garbage)
    cache = Cache(path)
    cache.put({key("a"): "b"})
    assert cache.get([key("a")]) == {key("a"): "b"}
    assert "cache.sqlite.broken-1" in capsys.readouterr().err
    assert (tmp_path / "cache.sqlite.broken-1").read_bytes() == garbage
    cache.close()


def test_a_file_that_breaks_while_it_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cache.sqlite"
    cache = Cache(path)
    cache.put({key(str(n)): "text" * 500 for n in range(3000)})  # more than SQLite keeps in memory
    cache.close()
    cache = Cache(path)
    with path.open("r+b") as stream:  # every page but the first
        stream.seek(4096)
        stream.write(b"\xee" * (path.stat().st_size - 4096))
    assert cache.get([key(str(n)) for n in range(3000)]) == {}
    cache.put({key("7"): "new"})
    assert cache.get([key("7")]) == {key("7"): "new"}
    assert "broken" in capsys.readouterr().err
    cache.close()


def test_a_damaged_text_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    cache = Cache(path)
    cache.put({key("a"): "take 5 mg", key("b"): "take 1 mg"})
    cache.close()
    path.write_bytes(path.read_bytes().replace(b"take 5 mg", b"take 9 mg"))
    cache = Cache(path)
    assert cache.get([key("a"), key("b")]) == {key("b"): "take 1 mg"}
    cache.put({key("a"): "take 5 mg"})
    assert cache.get([key("a")]) == {key("a"): "take 5 mg"}
    cache.close()


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache.sqlite").mkdir()
    with pytest.raises((UserError, OSError)):
        Cache(tmp_path / "cache.sqlite")


def test_two_processes_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    writers = [started(path, 0, 150), started(path, 100, 250)]
    assert [process.wait(60) for process in writers] == [0, 0]
    for process in writers:
        process.stdout.close()
    cache = Cache(path)
    assert cache.get([key(str(n)) for n in range(250)]) == {key(str(n)): f"text {n}" for n in range(250)}
    cache.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_was_put_is_there_after_a_kill(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "cache.sqlite"
    process = started(path, 0, 1_000_000)
    process.stdout.readline()
    time.sleep(random.Random(seed).uniform(0.02, 0.2))
    os.kill(process.pid, signal.SIGKILL)
    told = [int(line) for line in process.stdout.read().split() if line.isdigit()][:-1]
    process.stdout.close()
    process.wait()
    cache = Cache(path)
    assert cache.get([key(str(n)) for n in told]) == {key(str(n)): f"text {n}" for n in told}
    cache.close()
