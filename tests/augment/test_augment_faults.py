"""Faults of SAFETY.md 4.2 that touch this stage: kills (F06), a second run (F07 is in test_augment_stage), two runs (F08)."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from model_server import ModelServer, Reply, echo
from test_augment_stage import outputs, recipe, run_folder

from mundap.augment import stage
from mundap.store import Work

pytestmark = pytest.mark.usefixtures("toy")
AT_ONCE = 4

RUN = """
import json, signal, sys
from pathlib import Path
from mundap import config, pipeline, registry
from mundap.errors import UserError
from mundap.store import Work
registry.BUILT_IN["augmenters"]["toy"] = "toy_augmenter:Toy"
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
try:
    list(pipeline.run(config.parse(json.loads(sys.argv[2]), "-"), Work(Path(sys.argv[1])), "augment", "augment"))
except UserError as error:
    sys.exit(f"mundap: {error}")
"""


def start(work: Work, server: ModelServer, **augment: Any) -> subprocess.Popen[str]:
    raw = recipe(server, at_once=AT_ONCE, **augment).model_dump(mode="json", exclude_unset=True)
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(work.root), json.dumps(raw)], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )  # fmt: skip


def slowly(body: dict[str, Any], number: int) -> Reply:
    reply = echo(body, number)
    return Reply(body=reply.body, delay=0.02 + 0.03 * (number % 3))


def test_killed_at_random_moments(tmp_path: Path, server: ModelServer) -> None:  # F06
    seed = int(time.time())
    print("seed", seed)
    dice, kills, count = random.Random(seed), 0, 240
    whole, killed = run_folder(tmp_path / "whole", count), run_folder(tmp_path / "killed", count)
    stage.run(recipe(server, tokens=3000), whole)
    server.asked.clear()
    server.behave = slowly
    for _ in range(5):
        asked = len(server.asked)
        process = start(killed, server, tokens=3000)
        while len(server.asked) == asked and process.poll() is None:
            time.sleep(0.01)
        time.sleep(dice.uniform(0, 0.3))
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert kills >= 3
    process = start(killed, server, tokens=3000)
    assert process.wait(60) == 0, process.communicate()
    process.communicate()
    assert outputs(killed) == outputs(whole)
    assert not list((killed.root / "augment").glob(".*"))
    manifest = killed.manifest("augment")
    assert manifest is not None
    texts = [body["messages"][0]["content"] for body in server.asked]
    assert len(texts) - len(set(texts)) <= kills * AT_ONCE
    sent = manifest.details["ledger"]["toy-7b"]["sent"]  # counts what a kill kept from leaving, too
    assert len(texts) <= sent <= len(texts) + kills * AT_ONCE
    assert manifest.details["models"]["helper"]["cached"] > 0


def test_two_runs_at_once(tmp_path: Path, server: ModelServer) -> None:  # F08
    work = run_folder(tmp_path, 60)
    server.behave = slowly
    first = start(work, server)
    while not server.asked and first.poll() is None:
        time.sleep(0.01)
    second = start(work, server)
    _, message = second.communicate()
    assert second.returncode == 1
    assert f"in use by process {first.pid}" in message
    assert first.wait(60) == 0
    first.communicate()


def test_interrupted_by_a_person(tmp_path: Path, server: ModelServer) -> None:
    """Ctrl+C ends at once, leaves no lock and loses nothing."""
    work = run_folder(tmp_path, 200)
    server.behave = slowly
    process = start(work, server)
    while len(server.asked) < 20 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    process.communicate()
    assert time.monotonic() - began < 5
    assert process.returncode not in (0, 1)
    before = len(server.asked)
    stage.run(recipe(server), work)
    assert len(server.asked) - before <= 200 - 20 + AT_ONCE


def test_the_server_dies_and_comes_back(tmp_path: Path) -> None:
    work = run_folder(tmp_path, 40)
    with ModelServer(slowly) as server:
        process = start(work, server, retries=1)
        while len(server.asked) < 10 and process.poll() is None:
            time.sleep(0.01)
    _, message = process.communicate()
    assert process.returncode == 1
    assert "Traceback" not in message and "is it running" in message
    with ModelServer() as server:
        manifest = stage.run(recipe(server), work)
        assert len(server.asked) <= 31 + AT_ONCE
    assert manifest.details["made"] == 40
