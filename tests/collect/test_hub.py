"""A dataset by its id, fetched for real from a server that speaks the hub's interface."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "train"))
pytest.importorskip("datasets")

from hub import Hub, hub

from mundap.collect.files import HuggingFace
from mundap.errors import UserError

ROWS = [
    {"q": "머리가 아파요", "a": "쉬세요."},
    {"q": "Is fever bad?", "a": "Mostly not."},
    {"q": 1, "a": "no question"},
]
# A process of its own: the library reads the hub's address when it is imported.
READ = """
import json, sys
from dataclasses import asdict
from mundap.collect.files import HuggingFace
from mundap.errors import UserError
try:
    rows = HuggingFace(columns={"question": "q", "answer": "a"}, licence="MIT", **json.loads(sys.argv[1])).read()
    print(json.dumps([asdict(row) for row in rows]))
except UserError as error:
    sys.exit(f"said: {error}")
"""


@pytest.fixture
def server() -> Iterator[Hub]:
    with hub() as found:
        found.repos["me/data"] = {
            "README.md": b"---\nlicense: mit\n---\n",
            "data/train.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS).encode(),
            "data/test.jsonl": b'{"q": "held out", "a": "yes"}\n',
        }
        yield found


def read(server: Hub, home: Path, **settings: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_ENDPOINT": server.address, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", READ, json.dumps({"download": True, "path": "me/data", **settings})]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_a_dataset_is_fetched_by_its_id(server: Hub, tmp_path: Path) -> None:
    done = read(server, tmp_path, revision="main")
    assert done.returncode == 0, done.stderr
    first, second, third = json.loads(done.stdout)
    assert (first["question"], first["answer"], first["licence"]) == ("머리가 아파요", "쉬세요.", "MIT")
    assert second["source"] == "me/data:2"
    assert third["reason"] == "question is int, not text"
    assert any("/datasets/me/data/resolve/" in each for each in server.requests)


def test_another_split_and_a_limit(server: Hub, tmp_path: Path) -> None:
    assert [row["question"] for row in json.loads(read(server, tmp_path, split="test").stdout)] == ["held out"]
    assert len(json.loads(read(server, tmp_path, limit=1).stdout)) == 1


@pytest.mark.parametrize("settings", [{"path": "me/none"}, {"split": "nowhere"}])
def test_what_is_not_there_is_one_message(server: Hub, tmp_path: Path, settings: dict[str, str]) -> None:
    done = read(server, tmp_path, **settings)
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("said: the dataset")
    assert "cannot be fetched" in done.stderr and "Traceback" not in done.stderr


def test_nothing_is_fetched_silently() -> None:
    with pytest.raises(UserError, match="add download: true"):
        list(HuggingFace(path="me/data", columns={"question": "q", "answer": "a"}).read())
