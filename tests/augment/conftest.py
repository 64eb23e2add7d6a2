from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "asking"))

from asking_fixtures import contexts_of, server

from mundap import registry

__all__ = ["contexts_of", "server", "toy"]


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The augmenter `toy`."""
    monkeypatch.setitem(dict(registry.BUILT_IN)["augmenters"], "toy", "toy_augmenter:Toy")
