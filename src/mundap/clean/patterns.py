"""Load the patterns of the cleaning steps, once, when first needed: importing the package reads nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def table(name: str) -> Mapping[str, Any]:
    """`<name>.yaml` as read."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    raw = (files("mundap.clean") / f"{name}.yaml").read_text("utf-8")
    return dict(yaml.load(raw, Loader=loader))


@cache
def pattern(name: str, key: str) -> re.Pattern[str]:
    """The patterns under `key` of `<name>.yaml` as alternatives; `<word>` stands for an entry of its `words`."""
    found = table(name)[key]
    rows = [found] if isinstance(found, str) else found
    return re.compile("|".join(f"(?:{_expanded(name, row)})" for row in rows), re.IGNORECASE)


@cache
def patterns(name: str, key: str) -> tuple[re.Pattern[str], ...]:
    """The patterns under `key`, each by itself."""
    return tuple(re.compile(_expanded(name, row), re.IGNORECASE) for row in table(name)[key])


def _expanded(name: str, text: str) -> str:
    """Words may use words above them."""
    words: Mapping[str, str] = table(name).get("words", {})
    for word, meaning in reversed(list(words.items())):
        text = text.replace(f"<{word}>", f"(?:{meaning})")
    return text


def stable(change: Callable[[str], str], text: str) -> str:
    """`change` applied until nothing changes any more, so that a second cleaning finds nothing to do."""
    for _ in range(50):
        changed = change(text)
        if changed == text:
            break
        text = changed
    return text
