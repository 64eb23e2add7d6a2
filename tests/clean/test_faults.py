"""Faults of SAFETY.md 4.2 that touch this stage: kills (F06), two runs (F08), malformed lines (F09)."""

from __future__ import annotations

import gzip
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_stage import clean, outputs, run_folder

from mundap import records
from mundap.records import Line
from mundap.store import Work
from mundap.types import QA, Drop

RUN = """
import sys
from pathlib import Path
from mundap import config, pipeline
from mundap.errors import UserError
from mundap.store import Work
if __name__ == "__main__":
    try:
        list(pipeline.run(config.parse({"name": "t"}, "-"), Work(Path(sys.argv[1])), "clean", "clean"))
    except UserError as error:
        sys.exit(f"mundap: {error}")
"""


def start(work: Work) -> subprocess.Popen[str]:
    script = work.root / "run.py"
    script.write_text(RUN)
    return subprocess.Popen([sys.executable, str(script), str(work.root)], stderr=subprocess.PIPE, text=True)


def test_killed_at_random_moments(tmp_path: Path) -> None:  # F06
    whole, killed = run_folder(tmp_path / "whole", 2500), run_folder(tmp_path / "killed", 2500)
    began = time.perf_counter()
    clean(whole)
    seconds = time.perf_counter() - began
    dice, kills = random.Random(6), 0
    for _ in range(5):
        process = start(killed)
        time.sleep(dice.uniform(0.3, seconds + 0.7))
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert kills
    clean(killed)
    assert outputs(killed) == outputs(whole)
    assert not list((killed.root / "clean").glob(".*"))


def test_a_killed_run_leaves_no_process_and_no_lock(tmp_path: Path) -> None:
    work = run_folder(tmp_path, 20_000)
    process = start(work)
    workers = wait_for(lambda: children(process.pid))
    process.kill()
    process.communicate()
    assert wait_for(lambda: not any(alive(worker) for worker in workers))
    with work.lock():
        pass


def wait_for(condition: object, seconds: float = 20) -> list[int]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():  # type: ignore[operator]
            return found  # type: ignore[no-any-return]
        time.sleep(0.05)
    pytest.fail("it did not happen")


def children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(each) for each in path.read_text().split()] if path.exists() else []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


def test_two_runs_at_once(tmp_path: Path) -> None:  # F08
    work = run_folder(tmp_path, 3000)
    first = start(work)
    wait_for(lambda: (tmp_path / "clean" / ".work").exists())
    second = start(work)
    _, message = second.communicate()
    assert second.returncode != 0
    assert f"in use by process {first.pid}" in message
    first.communicate()
    assert first.returncode == 0


GOOD = b'{"id": "a", "question": "q?", "answer": "w"}'
BAD = {
    b'{"id": "a", "question": "\xff", "answer": "w"}': "not UTF-8 at byte 25",
    b'{"id": "a", "question": "x\x00", "answer": "w"}': "not JSON",
    b'{"id": "a", "question": "q", "answer": NaN}': "NaN is not a JSON value",
    b'{"id": "a", "id": "b", "question": "q", "answer": "w"}': "key 'id' appears twice",
    b'{"id": "a", "question": 3, "answer": "w"}': "question is int, expected text",
    b'{"id": "a", "question": "q", "answer": null}': "answer is NoneType, expected text",
    b'{"id": "a", "question": "q"}': "no key 'answer'",
    b'{"id": "", "question": "q", "answer": "w"}': "id is empty",
    b'{"id": "a", "question": "q", "answer": "w", "colour": "red"}': "unknown key 'colour'",
    b'{"id": "a", "question": "q", "answer": "w", "lang": "fr"}': "lang is 'fr'",
    b'{"id": "a", "question": "q", "answer": "w", "trail": "x"}': "trail is str, expected a list",
    b'{"id": "a", "question": "q", "answer": "w", "fields": [["a"]]}': "fields is NoneType",
    b'["a"]': "expected an object, found list",
    b'{"id": "a", "question": "q", "ans': "not JSON",
    b"[" * 100_000: "nested too deeply",
    b"{}": "no key 'answer'",
}  # fmt: skip


@pytest.mark.parametrize(("data", "reason"), BAD.items(), ids=range(len(BAD)))
def test_a_malformed_line_is_quarantined(data: bytes, reason: str) -> None:
    found = records.parse(Line(7, data), "collect/out.jsonl")
    assert isinstance(found, Drop)
    assert reason in found.reason
    assert (found.record["file"], found.record["line"]) == ("collect/out.jsonl", 7)


@pytest.mark.parametrize("data", [GOOD, b"\xef\xbb\xbf" + GOOD, GOOD + b"\r"])
def test_bom_and_crlf_are_read(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(data + b"\n")
    [line] = records.lines(tmp_path / "a.jsonl")
    assert isinstance(records.parse(line, "a"), QA)


def test_a_truncated_archive_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    noise = b"".join(
        b'{"id": "%d", "question": "%s", "answer": "w"}\n' % (i, os.urandom(40).hex().encode()) for i in range(999)
    )
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(noise)[:-900])
    found = [records.parse(line, "a.jsonl.gz") for line in records.lines(tmp_path / "a.jsonl.gz")]
    assert sum(isinstance(row, QA) for row in found) > 900
    assert isinstance(found[-1], Drop)
    assert "cannot be read further" in found[-1].reason


def test_malformed_file_goes_through_with_bounded_memory(tmp_path: Path) -> None:  # F09
    work = run_folder(tmp_path, 300)
    path = tmp_path / "collect" / "out.jsonl"
    with path.open("ab") as stream:
        stream.write(b"\n\n".join(BAD) + b"\n")
        for _ in range(52):
            stream.write(b'"' + b"x" * (1 << 20))
        stream.write(b'"\n' + GOOD.replace(b'"a"', b'"last"') + b"\n" + b'{"id": "cut')
    total = 300 + len(BAD) + 1 + 1 + 1
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    manifest = clean(work, clean={"workers": 1})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 80 << 10
    assert manifest.kept + sum(manifest.dropped.values()) == total
    dropped = [json.loads(line) for line in outputs(work)[1].decode().splitlines()]
    quarantined = [row for row in dropped if row["step"] == "read"]
    assert len(quarantined) == len(BAD) + 2
    assert all(
        row["record"]["file"] == "collect/out.jsonl" and row["record"]["line"] > 300 and row["reason"]
        for row in quarantined
    )
    assert [row["record"]["line"] for row in quarantined] == sorted(row["record"]["line"] for row in quarantined)
    assert any(row["reason"] == "longer than 4 MiB (52 MiB)" for row in quarantined)
