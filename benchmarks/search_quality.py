"""How often an everyday question finds its topic, for each set of queries in tests/retrieve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mundap.knowledge import load
from mundap.knowledge.passages import sections
from mundap.retrieve.lexical import Lexical

QUERIES = Path(__file__).resolve().parent.parent / "tests/retrieve"


def main() -> None:
    index = Lexical(sections(load.topics().values()))
    for name, rows in sets().items():
        found = [[passage.topic for passage in index.search(row["query"])] for row in rows]
        pairs = [(topics, row["topics"]) for topics, row in zip(found, rows, strict=True)]
        asked = [(topics, wanted) for topics, wanted in pairs if wanted]
        first = sum(bool(set(topics[:1]) & set(wanted)) for topics, wanted in asked)
        three = sum(bool(set(topics[:3]) & set(wanted)) for topics, wanted in asked)
        absent = [topics for topics, wanted in pairs if not wanted]
        wrong = sum(map(bool, absent))
        print(
            f"{name}: first {first}/{len(asked)}, three {three}/{len(asked)}, found though absent {wrong}/{len(absent)}"
        )


def sets() -> dict[str, list[dict[str, Any]]]:
    """Name of each set to its rows."""
    rows, more = (_rows(QUERIES / name) for name in ("queries.jsonl", "dev_more.jsonl"))
    return {split: [row for row in rows if row["split"] == split] for split in ("dev", "test")} | {"dev_more": more}


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


if __name__ == "__main__":
    main()
