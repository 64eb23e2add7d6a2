"""A judge on this machine: it fills in the form (or the schema) it is given, well or as badly as a test wants."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "asking"))

from model_server import ModelServer, Reply, refused, said

from mundap import config
from mundap.evaluate.item_sets import Set
from mundap.evaluate.items import Item
from mundap.evaluate.metrics import Case, Context
from mundap.evaluate.replies import Answer
from mundap.store import Work
from mundap.types import Message

__all__ = ["ModelServer", "Reply", "asked_lines", "case", "context", "filled", "recipe", "refused", "said", "schema"]
_LINE = re.compile(r"^- (.+) \((-?\d+)(?: - |, 0, )(-?\d+)\):$", re.MULTILINE)
Score = Callable[[str, int, int], Any]


def best(label: str, low: int, high: int) -> int:
    return high


def asked_lines(body: dict[str, Any]) -> list[tuple[str, int, int]]:
    """The lines of the form that a judge is to fill in."""
    return [(label, int(low), int(high)) for label, low, high in _LINE.findall(body["messages"][-1]["content"])]


def schema(body: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of the form, when structured output is asked for."""
    found: dict[str, Any] | None = body.get("response_format", {}).get("json_schema", {}).get("schema")
    return found


def filled(score: Score = best, prompt: int = 100) -> Callable[[dict[str, Any], int], Reply]:
    """A judge that gives each line the score, as JSON where that is asked for and else as the form."""

    def behave(body: dict[str, Any], number: int) -> Reply:
        form = schema(body)
        if form is None:
            text = "\n".join(f"- {line[0]} ({line[1]} - {line[2]}): {score(*line)}" for line in asked_lines(body))
        else:
            found = {key: each.get("enum", [each.get("const")]) for key, each in form["properties"].items()}
            text = json.dumps({key: score(key, scores[0], scores[-1]) for key, scores in found.items()})
        return Reply(body=said(text, prompt=prompt, completion=20))

    return behave


def recipe(*servers: ModelServer, timeout: float = 5, **evaluate: Any) -> config.Recipe:
    """A recipe with a judge a server, called `judge`, `judge2`, …"""
    models = {
        f"judge{n if n > 1 else ''}": {"use": "http", "url": server.url, "name": f"toy{n}", "timeout": timeout}
        for n, server in enumerate(servers, 1)
    }
    return config.parse({"models": models, "evaluate": {"retries": 1, **evaluate}}, "test")


def case(number: int, text: str = "", **item: Any) -> Case:
    """An item with an answer to it."""
    given = {"turns": (Message("user", f"질문 {number}"),), **item}
    return Case("own", Item(f"item-{number}", **given), Answer(text or f"답변 {number}입니다."))


def context(tmp_path: Path, found: config.Recipe, cases: list[Case], target: str = "base") -> Context:
    """What the stage gives to a metric."""
    sets = [Set("own", tuple(each.item for each in cases))]
    folder = tmp_path / "run" / "evaluate" / "judge"
    folder.mkdir(parents=True, exist_ok=True)
    named: Any = SimpleNamespace(name=target)
    return Context(found, Work(tmp_path / "run"), folder, sets, named)
