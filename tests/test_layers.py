"""Imports go down only: the contracts of pyproject.toml hold, and would notice if they did not."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import mundap

ROOT = Path(__file__).parents[1]
SOURCE = Path(mundap.__file__).parent
STANDARD_ONLY = ("types.py", "errors.py")


def lint(folder: Path, source: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-W", "ignore", "-c", code, "--no-cache", "--config", str(folder / "pyproject.toml")]
    return subprocess.run(
        command,
        env={"PYTHONPATH": str(source), "COLUMNS": "200"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_contracts_hold() -> None:
    done = lint(ROOT, SOURCE.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_the_contracts_notice_an_import_that_goes_up(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text("utf-8"), "utf-8")
    for path in SOURCE.rglob("*.py"):
        copy = tmp_path / "src" / "mundap" / path.relative_to(SOURCE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    safety, face = tmp_path / "src/mundap/safety/__init__.py", tmp_path / "src/mundap/serve/__init__.py"
    safety.write_text(safety.read_text("utf-8") + "\nimport mundap.models.llama\nimport mundap.chat.engine\n", "utf-8")
    face.write_text(face.read_text("utf-8") + "\nimport mundap.models.http\n", "utf-8")
    done = lint(tmp_path, tmp_path / "src")
    assert done.returncode == 1
    for broken in (
        "mundap.safety -> mundap.models.llama",
        "mundap.safety -> mundap.chat.engine",
        "mundap.serve -> mundap.models.http",
    ):
        assert broken in done.stdout


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield node.module or ""


def test_the_nouns_need_the_standard_library_alone() -> None:
    for name in STANDARD_ONLY:
        roots = {module.partition(".")[0] for module in imported(SOURCE / name)}
        assert roots <= sys.stdlib_module_names, (name, roots - sys.stdlib_module_names)


def test_every_import_is_absolute() -> None:
    for path in SOURCE.rglob("*.py"):
        assert "" not in set(imported(path))


def test_the_contracts_are_the_ones_of_the_design() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers, faces = contracts
    assert layers["type"] == "layers"
    assert layers["exhaustive"] is True
    places = {name.strip(" ()"): depth for depth, row in enumerate(layers["layers"]) for name in row.split("|")}
    order = ("cli", "serve", "pipeline", "collect", "chat", "models", "config", "store", "protocols", "types")
    assert [places[name] for name in order] == sorted(places[name] for name in order)
    assert len({places[name] for name in ("models", "retrieve", "safety", "knowledge")}) == 1
    assert faces["forbidden_modules"] == ["mundap.models"]
    assert set(faces["source_modules"]) >= {"mundap.cli", "mundap.serve"}
