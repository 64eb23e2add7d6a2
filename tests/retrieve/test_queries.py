"""Everyday questions find their topic. The split was drawn before anything was tuned; only `dev` was ever tuned on."""

import json
from pathlib import Path

import pytest

from mundap.knowledge import load
from mundap.knowledge.passages import sections
from mundap.retrieve.lexical import Lexical

ROWS = [json.loads(line) for line in (Path(__file__).parent / "queries.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Lexical:
    return Lexical(sections(load.topics().values()), tmp_path_factory.mktemp("index"))


def test_the_set_is_what_it_says() -> None:
    assert len(ROWS) >= 120
    assert {topic for row in ROWS for topic in row["topics"]} <= set(load.topics())
    assert len({row["query"] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("split", ["dev", "test"])
def test_expected_topics_come_first(index: Lexical, split: str) -> None:
    rows = [row for row in ROWS if row["split"] == split and row["topics"]]
    found = [[passage.topic for passage in index.search(row["query"])] for row in rows]
    first = [set(topics[:1]) & set(row["topics"]) for topics, row in zip(found, rows, strict=True)]
    three = [set(topics[:3]) & set(row["topics"]) for topics, row in zip(found, rows, strict=True)]
    missed = [row["query"] for row, hit in zip(rows, three, strict=True) if not hit] if split == "dev" else []
    assert sum(map(bool, first)) / len(rows) >= 0.85, missed
    assert sum(map(bool, three)) / len(rows) >= 0.95, missed


@pytest.mark.parametrize("split", ["dev", "test"])
def test_what_is_not_here_is_mostly_not_found(index: Lexical, split: str) -> None:
    rows = [row for row in ROWS if row["split"] == split and not row["topics"]]
    found = [row["query"] for row in rows if index.search(row["query"])]
    assert len(found) / len(rows) <= 0.35, found if split == "dev" else len(found)
