"""What the commands over texts read, and how they show what they found."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from mundap.errors import UserError


def rows(text: str, files: bool = True) -> Iterator[dict[str, str]]:
    """`{"text": …}` for each line of standard input or a file (JSON objects or plain text), or for the text itself."""
    if text != "-" and not (files and _is_file(text)):
        yield {"text": text}
        return
    with nullcontext(sys.stdin) if text == "-" else Path(text).open(encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield {"text": _text_of(line.rstrip("\n"), number)}


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def _text_of(line: str, number: int) -> str:
    if not line.lstrip().startswith("{"):
        return line
    try:
        text = json.loads(line)["text"]
    except (ValueError, KeyError, RecursionError, TypeError) as error:
        raise UserError(f'line {number}: expected {{"text": "…"}}, found {line[:80]!r}') from error
    return text if isinstance(text, str) else str(text)


def hit(passage: Any) -> dict[str, Any]:
    """A passage as `mundap search --json` shows it."""
    return {
        "topic": passage.topic, "title": passage.title, "title_en": passage.title_en, "section": passage.section,
        "score": passage.score, "snippet": passage.snippet, "source": passage.source,
    }  # fmt: skip


def table(query: str, found: list[dict[str, Any]]) -> str:
    """Hits as lines for a person."""
    if not found:
        return f"{query}: nothing found that fits"
    return "\n".join(
        f"{hit['score']:>7.2f}  {hit['title']} ({hit['topic']}/{hit['section']})  {hit['snippet']}" for hit in found
    )


def listed(kind: str) -> list[dict[str, str]]:
    """What a recipe or a command can name, of one kind. Raises `UnknownName`."""
    from mundap import prompts, registry
    from mundap.knowledge import load

    if kind == "topics":
        return [
            {"topic": t.id, "title": t.title.ko, "title_en": t.title.en, "kind": t.kind} for t in load.topics().values()
        ]
    if kind == "templates":
        return [{"name": name} for name in prompts.template_names()]
    return [{"name": name} for name in registry.names(kind)]
