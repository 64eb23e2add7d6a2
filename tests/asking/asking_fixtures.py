"""What the tests of asking and of what asks share: a model server and contexts over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from model_server import ModelServer

from mundap import config
from mundap.asking.context import Context

Made = Callable[..., Context]


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


@pytest.fixture
def contexts_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    """Makes a context over a server; pauses between tries are short. A second one uses the same ledger."""
    monkeypatch.setattr("mundap.asking.server.FIRST_PAUSE", 0.01)
    made: list[Context] = []

    def make(server: ModelServer | str, timeout: float = 5, key: int = 42, **augment: Any) -> Context:
        url = server if isinstance(server, str) else server.url
        models = {"helper": {"use": "http", "url": url, "name": "toy", "timeout": timeout}}
        recipe = config.parse({"seed": key, "models": models, "augment": augment}, "test")
        made.append(Context(recipe, tmp_path / "augment", "toy"))
        return made[-1]

    yield make
    for each in made:
        each.close()
