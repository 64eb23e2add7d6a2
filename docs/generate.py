"""Write the generated parts of the docs, or with --check say which are stale. The commands in them are really run.

A generated part stands between `<!-- generated: KIND ARGUMENT -->` and `<!-- end -->`:
`run COMMAND` (the command and what it prints), `help` (every command's help), `tree` (each file's first sentence).
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "README.en.md", "docs/cli.md")
BLOCK = re.compile(r"(<!-- generated: (\w+)(?: (.*?))? -->\n).*?(<!-- end -->)", re.DOTALL)
# Help must not depend on the terminal it is made in.
PLAIN = {"TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "100", "PYTHONIOENCODING": "utf-8"}


def main() -> int:
    """Returns 1 when --check finds a stale page."""
    stale = [page for page in PAGES if not refresh(ROOT / page, write="--check" not in sys.argv)]
    for page in stale:
        print(f"{page} is stale: run `make docs`")
    return 1 if stale and "--check" in sys.argv else 0


def refresh(page: Path, write: bool) -> bool:
    """Whether the page was up to date; with `write` it is afterwards."""
    old = page.read_text("utf-8")
    new = BLOCK.sub(lambda found: f"{found[1]}{make(found[2], found[3] or '')}\n{found[4]}", old)
    if write and new != old:
        page.write_text(new, "utf-8")
    return new == old


def make(kind: str, argument: str) -> str:
    """The text of one generated part."""
    if kind == "run":
        return f"```console\n$ {argument}\n{run(argument)}\n```"
    if kind == "help":
        return "\n\n".join(f"## `{name}`\n\n```text\n{run(f'{name} --help')}\n```" for name in commands())
    if kind == "tree":
        return "```text\n" + "\n".join(tree()) + "\n```"
    raise ValueError(f"no generated part is called {kind!r}")


def run(command: str) -> str:
    """What a `mundap` command of this environment prints. Raises when it fails."""
    program, *arguments = shlex.split(command)
    binary = Path(sys.executable).parent / program
    done = subprocess.run(
        [binary, *arguments], capture_output=True, text=True, env={**os.environ, **PLAIN}, check=True, cwd=ROOT
    )
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def commands() -> list[str]:
    """`mundap` and each of its commands."""
    from typer.main import get_group

    from mundap.cli import app

    return ["mundap", *(f"mundap {name}" for name in sorted(get_group(app).commands))]


def tree() -> Iterator[str]:
    """Each module of the package with the first sentence of its docstring, each folder of data with its size."""
    package = ROOT / "src/mundap"
    for path in sorted(package.rglob("*"), key=lambda path: (path.parent != package, path)):
        name = str(path.relative_to(package))
        if path.suffix == ".py" and path.name != "__init__.py":
            yield f"{name:<26} {first_sentence(path)}"
        elif path.is_dir() and any(path.glob("*.yaml")) and not any(path.glob("*.py")):
            yield f"{name + '/':<26} {len(list(path.glob('*.yaml')))} files of data"


def first_sentence(path: Path) -> str:
    """The first line of a module's docstring, without its full stop."""
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return text.splitlines()[0].rstrip(".") if text else ""


if __name__ == "__main__":
    raise SystemExit(main())
