"""Fixed sentences (`phrases.yaml`) with their blanks filled, Korean particles fitted to the word before them."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from mundap.types import Lang

# "약을(를)" -> "약을": the first form follows a syllable with a final consonant, the second one without.
_PARTICLE = re.compile(r"(\w)(\W*)(은|이|을|과)\((는|가|를|와)\)")


def say(path: str, lang: Lang, **blanks: str) -> str:
    """The sentence at a dotted path of `phrases.yaml`, e.g. `say("next.help", "ko", item="쉬세요.")`."""
    node: Any = _table()
    for part in path.split("."):
        node = node[part]
    return particles(str(node[lang]).format(**blanks))


def names(path: str) -> tuple[str, ...]:
    """The keys under a dotted path, in the file's order."""
    node: Any = _table()
    for part in path.split("."):
        node = node[part]
    return tuple(node)


def particles(text: str) -> str:
    """Choose between written-out particle pairs: `타이레놀은(는)` -> `타이레놀은`, `두통은(는)` -> `두통은`."""
    return _PARTICLE.sub(lambda m: m[1] + m[2] + (m[3] if _closed(m[1]) else m[4]), text)


def _closed(letter: str) -> bool:
    """Whether a syllable ends in a consonant; digits and Latin letters by how they are read, roughly."""
    if "가" <= letter <= "힣":
        return (ord(letter) - ord("가")) % 28 != 0
    return letter.lower() in "013678lmnr"


@cache
def _table() -> dict[str, Any]:
    text = (files("mundap.chat") / "phrases.yaml").read_text("utf-8")
    return dict(yaml.load(text, Loader=yaml.CSafeLoader))
