"""F06 and F10: killed at any moment and run again, the same bytes; and hardly a page is fetched twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from hashlib import sha256
from pathlib import Path

from mundap.collect.replica.server import Replica
from mundap.store import read_jsonl

KILLS = int(os.environ.get("MUNDAP_KILLS", "4"))  # the gate is 20; CI takes fewer
RUN = "import sys; from pathlib import Path; from mundap import config; from mundap.collect import stage; from mundap.store import Work;"
RUN += "stage.run(config.read(Path(sys.argv[1])), Work(Path(sys.argv[2])))"
ENVIRONMENT = os.environ | {"SOURCE_DATE_EPOCH": "1780887600"}


def start(recipe: Path, work: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(recipe), str(work)], env=ENVIRONMENT, stderr=subprocess.PIPE
    )


def finish(recipe: Path, work: Path) -> None:
    process = start(recipe, work)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()[-2000:]


def digests(work: Path) -> dict[str, str]:
    return {name: sha256((work / "collect" / name).read_bytes()).hexdigest() for name in ("out.jsonl", "dropped.jsonl")}


def test_killed_at_random_moments_the_output_is_the_same_bytes(tmp_path: Path) -> None:
    """F06."""
    rows = [
        {"instruction": f"질문 {number}", "output": "" if number % 7 == 0 else f"답변 {number}"}
        for number in range(8_000)
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows), "utf-8")
    with Replica(bulk=60).running() as base:
        sources = [
            {"use": "hidoc", "base_url": f"{base}/hidoc", "permission": "x"},
            {"use": "alpaca", "path": str(tmp_path / "rows.json")},
            {"use": "healthtap", "base_url": f"{base}/healthtap", "permission": "x", "limit": 20},
            {"use": "hidoc", "base_url": f"{base}/hidoc", "permission": "x", "tags": ["BULK"]},
        ]
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(json.dumps({"name": "faults", "collect": {"sources": sources}}), "utf-8")
        begun = time.monotonic()
        finish(recipe, tmp_path / "whole" / "run")
        whole, seconds = digests(tmp_path / "whole" / "run"), time.monotonic() - begun
        for number in range(KILLS):
            seed = random.SystemRandom().randrange(2**32)
            moment = random.Random(seed).uniform(0.1, 1.1 * seconds)
            work = tmp_path / f"killed{number // 2}" / "run"  # every second kill goes on from the one before
            process = start(recipe, work)
            time.sleep(moment)
            process.kill()
            process.communicate()
            if number % 2:
                finish(recipe, work)
                assert digests(work) == whole, f"seed {seed}, killed after {moment:.2f} s of {seconds:.2f}"
                assert sorted(path.name for path in (work / "collect").iterdir()) == [
                    "dropped.jsonl",
                    "manifest.json",
                    "out.jsonl",
                ]


def test_ctrl_c_ends_soon_and_a_new_run_goes_on(tmp_path: Path) -> None:
    replica = Replica(bulk=500)
    with replica.running() as base:
        source = {
            "use": "hidoc",
            "base_url": f"{base}/hidoc",
            "permission": "x",
            "tags": ["BULK"],
            "delay": 0.05,
            "limit": 40,
        }
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(json.dumps({"name": "faults", "collect": {"sources": [source]}}), "utf-8")
        process = start(recipe, tmp_path / "run")
        while len(replica.asked) < 10:
            time.sleep(0.01)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)  # to the parent alone, as `kill -INT` does
        process.communicate(timeout=10)
        assert time.monotonic() - begun < 4  # half of that on a quiet machine
        assert process.returncode != 0
        finish(recipe, tmp_path / "run")
    assert len(list(read_jsonl(tmp_path / "run" / "collect" / "out.jsonl"))) == 40


def test_a_crawl_of_500_pages_killed_five_times_fetches_next_to_nothing_twice(tmp_path: Path) -> None:
    """F10: union complete, 0 duplicates, extra fetches at most what was under way at each kill."""
    parallel, kills = 8, 5
    replica = Replica(bulk=500)
    with replica.running() as base:
        source = {
            "use": "hidoc",
            "base_url": f"{base}/hidoc",
            "permission": "x",
            "tags": ["BULK"],
            "parallel": parallel,
        }
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(json.dumps({"name": "faults", "collect": {"sources": [source]}}), "utf-8")
        for number in range(kills):
            wanted = len(replica.asked) + 60 + 10 * number
            process = start(recipe, tmp_path / "run")
            ends = time.monotonic() + 30
            while len(replica.asked) < wanted and time.monotonic() < ends and process.poll() is None:
                time.sleep(0.002)
            process.kill()
            process.communicate()
        finish(recipe, tmp_path / "run")
    found = list(read_jsonl(tmp_path / "run" / "collect" / "out.jsonl"))
    assert len(found) == len({each["id"] for each in found}) == 500
    asked = Counter(replica.asked)
    extra = sum(asked.values()) - len(asked)
    print(f"extra fetches: {extra}")
    assert extra <= parallel * kills, asked.most_common(3)
    assert asked.total() >= 500 + 500 // 7
