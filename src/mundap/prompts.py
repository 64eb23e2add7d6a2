"""One renderer for training, evaluation, chat and export: conversations to text, with what is to be learnt marked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from mundap.errors import UnknownName, did_you_mean
from mundap.types import Lang, Message, Role

# Markers by which text could pretend to be a turn, a template's heading or the end of the sources.
# Possessive and bounded repeats keep this linear on hostile text.
_CONTROL = re.compile(
    r"<[|｜][^|｜<>]{0,40}[|｜]>|\[\|\w{1,20}\|\]"
    r"|<\s{0,3}/?\s{0,3}(?:sources|s|system|user|assistant|bos|eos|(?:start|end)_of_turn)\s{0,3}>"
    r"|\[/?INST\]|<</?SYS>>|(?<!#)#{2,}+\s{0,3}[^\s#:：]{1,40}\s{0,3}[:：]",
    re.IGNORECASE,
)
# Characters of earlier conversation that go into a prompt; small models have 2,048 tokens in all.
_HISTORY = 1200


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as one text; `spans` are the (start, end) characters to learn from: answers and what ends them."""

    text: str
    spans: tuple[tuple[int, int], ...]
    stop: tuple[str, ...]


def render(template: str, messages: Sequence[Message], end: str = "") -> Rendered:
    """Lay out messages by a named template. `end` (a tokenizer's EOS) closes each answer and is learnt with it.

    A conversation that ends with the user gets the opening of an answer, ready to be continued.
    """
    roles = _template(template)
    text, spans = "", []
    for message in messages:
        part = roles[message.role]
        start = len(text) + len(part["before"])
        text += part["before"] + message.content
        if message.role == "assistant":
            text += end
            spans.append((start, len(text)))
        text += part["after"]
    if messages and messages[-1].role == "user":
        text += roles["assistant"]["before"]
    return Rendered(text, tuple(spans), tuple(roles["stop"]))


def template_names() -> list[str]:
    """Every template's name."""
    return sorted(_table()["templates"])


def chat(
    history: Sequence[Message], sources: Sequence[str], question: str, lang: Lang, facts: Sequence[str] = ()
) -> list[Message]:
    """The messages a chat model is asked: rules, a little history, then the sources in their own marked channel."""
    words: Mapping[str, str] = _table()["chat"][lang]
    # One sentence a line: small models copy lines more faithfully than they shorten paragraphs (LOG.md).
    numbered = "\n".join(f"[{n}] {line}" for n, text in enumerate(sources, 1) for line in _lines(harmless(text)))
    person = words["person"].format(facts=", ".join(map(harmless, facts))) if facts else ""
    asked = words["question"].format(sources=numbered, person=person, question=harmless(question))
    return [Message("system", words["system"]), *_recent(history), Message("user", asked)]


def _lines(text: str) -> list[str]:
    return [line for line in re.split(r"(?<=[.?!])\s+", text.strip()) if line]


def harmless(text: str) -> str:
    """Text that cannot pose as a turn, a heading or the end of the sources."""
    return _CONTROL.sub(" ", text)


def _recent(history: Sequence[Message]) -> list[Message]:
    """The last whole messages that fit, beginning with the user's; system messages of a caller are left out."""
    kept: list[Message] = []
    room = _HISTORY
    for message in reversed([line for line in history if line.role != "system"]):
        room -= len(message.content)
        if room < 0:
            break
        kept.insert(0, Message(message.role, harmless(message.content)))
    while kept and kept[0].role != "user":
        kept.pop(0)
    return kept


def _template(name: str) -> Mapping[Role | str, Any]:
    templates: Mapping[str, Any] = _table()["templates"]
    if name not in templates:
        raise UnknownName(f"no template is called {name!r}{did_you_mean(name, templates)}")
    found: Mapping[Role | str, Any] = templates[name]
    return found


@cache
def _table() -> dict[str, Any]:
    text = (files("mundap") / "prompts.yaml").read_text("utf-8")
    return dict(yaml.load(text, Loader=yaml.CSafeLoader))
