"""A server with the replica sites, and a recipe to collect from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mundap import config
from mundap.collect.replica.server import Replica
from mundap.config import Recipe
from mundap.types import QA, Drop

Collected = tuple[list[QA], list[Drop]]


@pytest.fixture
def replica() -> Replica:
    return Replica()


@pytest.fixture
def base(replica: Replica) -> Iterator[str]:
    with replica.running() as address:
        yield address


@pytest.fixture
def recipe() -> Callable[..., Recipe]:
    def make(*sources: dict[str, Any], **more: Any) -> Recipe:
        return config.parse({"name": "test", "collect": {"sources": list(sources), **more}}, "test")

    return make


@pytest.fixture
def crawl(tmp_path: Path) -> Callable[[Any], Collected]:
    """Crawl a source into the test's folder; what it found, records and refusals apart."""

    def run(source: Any) -> Collected:
        found = list(source.crawl(tmp_path / "pages", tmp_path / "out.jsonl"))
        return [each for each in found if isinstance(each, QA)], [each for each in found if isinstance(each, Drop)]

    return run
