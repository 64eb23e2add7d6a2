"""What models are asked, as data: the messages of a request and the digest that names them in a trail."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml

from mundap.prompts import harmless
from mundap.store import digest
from mundap.types import Lang, Message

Speaker = Literal["doctor", "patient"]


def messages(kind: str, lang: Lang, **values: str | int) -> tuple[Message, ...]:
    """The messages that ask for `kind` (`repair`, `generate`, …); text put in cannot pose as a turn or a heading."""
    words = table()["prompts"][kind][lang]
    filled = {name: harmless(value) if isinstance(value, str) else value for name, value in values.items()}
    return Message("system", words["system"].strip()), Message("user", words["user"].format(**filled).strip())


def prompt_digest(kind: str, lang: Lang) -> str:
    """The digest of a prompt's wording: it changes with every word of it."""
    return digest(table()["prompts"][kind][lang])


def speakers() -> Mapping[str, Speaker]:
    """Every name a speaker goes by in a talk, in lower case, and who that is."""
    found: Mapping[str, Speaker] = table()["speakers"]
    return found


def speaker(role: Speaker, lang: Lang) -> str:
    """The name a speaker goes by in a talk written as text."""
    return str(table()["called"][lang][role])


def shortened(text: str, room: int) -> str:
    """The beginning of a text, cut after the last sentence that fits into `room` characters (or, if none, at a space)."""
    if len(text) <= room:
        return text
    cut = text[:room]
    end = max(cut.rfind(mark) for mark in (". ", ".\n", "? ", "! ", "다.", "요."))
    return cut[: end + 2].rstrip() if end > room // 2 else cut.rsplit(None, 1)[0]


@cache
def table() -> Mapping[str, Any]:
    """`prompts.yaml` as read."""
    text = (files("mundap.augment") / "prompts.yaml").read_text("utf-8")
    return dict(yaml.load(text, Loader=yaml.CSafeLoader))
