"""The README cannot lie: its generated parts are fresh, its snippets run, its commands exist, its tree is the tree."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", "README.en.md"]


def test_generated_parts_are_fresh() -> None:
    done = subprocess.run([sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"(?:^|`)make (\w+)", (ROOT / page).read_text("utf-8"), re.MULTILINE))
    assert {"chat", "test"} <= named
    assert all(re.search(rf"^{name}:", makefile, re.MULTILINE) for name in named)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    prose = re.sub(r"```.*?```", "", (ROOT / page).read_text("utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_curl_works_as_written(page: str, address: str) -> None:
    command = re.search(r"```sh\n(curl .*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
    assert command is not None
    done = subprocess.run(
        ["bash", "-c", command[1].replace("http://127.0.0.1:7860", address)], capture_output=True, check=True
    )
    answer = json.loads(done.stdout)
    assert answer["mundap"]["urgency"] == "routine" and answer["choices"][0]["message"]["content"]


def test_python_works_as_written(address: str) -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert code is not None
    done = subprocess.run(
        [sys.executable, "-c", code[1].replace("http://127.0.0.1:7860", address)], capture_output=True, text=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "[1]" in done.stdout and "topic" in done.stdout
