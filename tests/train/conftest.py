"""A tiny model, and a process that runs trainings which may be killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from training import Forge


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny import tiny

    return tiny(tmp_path_factory.mktemp("bases") / "llama")


@pytest.fixture(scope="session")
def forge() -> Iterator[Forge]:
    command = [sys.executable, Path(__file__).parent / "forge.py"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Forge(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)
