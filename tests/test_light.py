"""Importing a part of mundap does no work and brings in nothing heavy: that happens inside the function that needs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mundap

SOURCE = Path(mundap.__file__).parent
HEAVY = (
    "torch", "transformers", "peft", "trl", "datasets", "gradio", "ray", "kiwipiepy", "tantivy", "xllamacpp", "openai", "scrapy",
    "pandas",
)  # fmt: skip
# The one place that owns a heavy library may import it when it is itself imported: the page, the spider.
OWNERS = ("mundap.serve.web", "mundap.collect.crawl", "mundap.train.trainer", "mundap.evaluate.harness")

PROBE = """
import importlib, json, sys, time
heavy, names = json.loads(sys.argv[1])
for name in names:
    before = set(sys.modules)
    importlib.import_module(name)
    print(json.dumps([name, sorted(set(heavy) & (set(sys.modules) - before))]))
"""


def modules() -> list[str]:
    """Every module of mundap but the owners, from the tree."""
    paths = (path.relative_to(SOURCE.parent).with_suffix("") for path in sorted(SOURCE.rglob("*.py")))
    names = (".".join(path.parts).removesuffix(".__init__") for path in paths)
    return [name for name in names if not name.startswith(OWNERS) and not name.endswith("__main__")]


def test_importing_brings_in_nothing_heavy() -> None:
    names = modules()
    assert len(names) > 30
    done = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps([HEAVY, names])],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE.parent), os.environ.get("PYTHONPATH", "")])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = dict(json.loads(line) for line in done.stdout.splitlines())
    assert list(found) == names
    assert {name: heavy for name, heavy in found.items() if heavy} == {}


@pytest.mark.parametrize(
    "name", ["mundap.cli", "mundap.types", "mundap.registry", "mundap.config", "mundap.safety.triage"]
)
def test_each_by_itself_brings_in_nothing_heavy(name: str) -> None:
    code = f"import sys; import {name}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE.parent), os.environ.get("PYTHONPATH", "")])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
