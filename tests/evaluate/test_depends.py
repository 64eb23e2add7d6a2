"""What a score depends on: an edit of the report scores nothing anew, one of a metric that metric, no edit is missed."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import mundap
from mundap import registry
from mundap.evaluate.metrics import code

HOME = Path(mundap.__file__).parent
# Not named by any metric: what they hand on is part of a score's key by its content.
KNOWN = ("metrics", "items", "item_sets", "replies", "targets")
RUN = """
import sys; from pathlib import Path
from mundap import config; from mundap.evaluate.stage import run; from mundap.store import Work
run(config.read(Path(sys.argv[1])), Work(Path(sys.argv[2])))
"""


def test_an_edit_scores_anew_what_it_decides_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "source" / "mundap"
    shutil.copytree(HOME, source, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "asked.jsonl").write_text(json.dumps({"id": "q", "question": "머리가 아파요", "answer": "쉬세요."}))
    asked = {
        "sets": [str(tmp_path / "asked.jsonl")],
        "targets": ["said"],
        "metrics": ["form", "speed"],
        "resamples": 100,
    }
    recipe = {"models": {"said": {"use": "scripted", "replies": ["쉬세요."]}}, "evaluate": asked}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))

    def run() -> set[str]:
        command = [sys.executable, "-c", RUN, str(tmp_path / "recipe.json"), str(tmp_path / "run")]
        subprocess.run(command, check=True, env={"PYTHONPATH": str(source.parent)}, timeout=120)
        return {path.name for path in (tmp_path / "run/evaluate/.scores").iterdir()}

    def edit(name: str) -> None:
        with (source / "evaluate" / name).open("a") as stream:
            stream.write("\n# edited\n")

    before, page = run(), (tmp_path / "run/evaluate/report.html").stat().st_mtime_ns
    assert len(before) == 2
    for name in ("report.py", "stage.py", "judge.py"):
        edit(name)
    assert run() == before and (tmp_path / "run/evaluate/report.html").stat().st_mtime_ns > page
    edit("speed.py")
    after = run()
    assert len(after - before) == 1
    edit("words.yaml")
    assert len(run() - after) == 1


@pytest.mark.parametrize("name", registry.names("metrics"))
def test_a_metric_names_every_module_of_ours_that_it_uses(name: str) -> None:
    module, _, made = registry.BUILT_IN["metrics"][name].partition(":")
    metric = getattr(import_module(module), made)
    named = {f"evaluate/{each}.py" for each in KNOWN} | {f"{module.removeprefix('mundap.').replace('.', '/')}.py"}
    depends = getattr(metric, "depends", ())
    assert all((HOME / each).is_file() for each in depends)
    assert used(module) <= named | set(depends)
    assert code(metric.__new__(metric)) != code(registry.create("metrics", "speed")) or name == "speed"


def used(module: str) -> set[str]:
    """The modules of this package, and `overlap`, that are imported somewhere behind a module, those in KNOWN not followed."""
    found, left = set[str](), [module]
    while left:
        path = f"{left.pop().removeprefix('mundap.').replace('.', '/')}.py"
        if path not in found:
            found.add(path)
            left += [each for each in imported(HOME / path) if each.rpartition(".")[2] not in KNOWN]
    return found


def imported(path: Path) -> Iterator[str]:
    """What a module of ours imports of the evaluation's own, and `overlap`; for types only does not count."""
    tree = ast.parse(path.read_text("utf-8"))
    typing = {id(each) for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
              for each in ast.walk(node)}  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in typing:
            for name in [node.module or "", *(f"{node.module}.{each.name}" for each in node.names)]:
                ours = name.startswith("mundap.evaluate.") or name == "mundap.overlap"
                if ours and (HOME.parent / f"{name.replace('.', '/')}.py").is_file():
                    yield name
