"""What a model was asked for, out of what it wrote: numbered lists and talks, read strictly, never guessed at."""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import from_json

from mundap.augment.wording import Speaker, speakers

# `3.`, `3)`, `(3)`, `3:`, plain or bold, at the start of a line.
_NUMBERED = re.compile(r"^\s{0,4}\**\(?(\d{1,3})[.):]\**\s+(\S.*?)\s*$")
_WHOLE = re.compile(r"[.?!。？！…]['\"”’)\]*]{0,3}$")
_AROUND = re.compile(r"^[\s\"'“”‘’*]+|[\s\"'“”‘’*]+$")
_TURN = re.compile(r"^\s*\**(?P<who>[^\W\d_]{1,12})\**\s*[:：]\**\s*(?P<text>\S.*?)\s*$")


class Malformed(ValueError):
    """The reply has another shape than was asked for. The text is a reason to count: it quotes nothing."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Questions(_Strict):
    """The structured form of a numbered list."""

    questions: list[str]


@cache
def questions(count: int) -> type[Questions]:
    """The structured form of a list of at most `count`: a small model would go on."""
    return create_model("Questions", __base__=Questions, questions=(Annotated[list[str], Field(max_length=count)], ...))


class Turn(_Strict):
    """One line of a talk."""

    role: Speaker
    text: str


class Talk(_Strict):
    """The structured form of a dialogue."""

    turns: list[Turn]


def numbered(text: str, count: int, cut: bool = False) -> tuple[str, ...]:
    """At most `count` items of a list numbered 1, 2, 3 …, one a line, or of its structured form.

    A line that ends with a colon may stand before the list. Of a text that was `cut` off the last item is dropped, unless
    it has an end mark. Raises `Malformed` for any other shape.
    """
    items = _listed(_structured(Questions, text).questions) if _is_json(text) else _items(text)
    if cut and items and not _WHOLE.search(items[-1]):
        items.pop()
    if not items:
        raise Malformed("empty list")
    return tuple(items[:count])


def _listed(texts: list[str]) -> list[str]:
    """Items without the numbers that some models write inside JSON too."""
    return [_bare(found[2] if (found := _NUMBERED.match(text)) else text) for text in texts]


def _items(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and not _NUMBERED.match(lines[0]) and lines[0].rstrip(" *").endswith((":", "：")):
        lines.pop(0)
    items: list[str] = []
    for line in lines:
        found = _NUMBERED.match(line)
        if found is None:
            raise Malformed("lines without a number" if items else "no numbered list")
        if int(found[1]) != len(items) + 1:
            raise Malformed("numbers do not count up")
        items.append(_bare(found[2]))
    return items


def turns(text: str, cut: bool = False) -> tuple[tuple[Speaker, str], ...]:
    """A talk as (`doctor` or `patient`, text) pairs, from lines such as `의사: …` or from its structured form.

    Of a text that was `cut` off the last turn is dropped, unless it has an end mark. Raises `Malformed` otherwise.
    """
    if _is_json(text):
        found = [(turn.role, " ".join(turn.text.split())) for turn in _structured(Talk, text).turns]
    else:
        found = [_turn(line) for line in text.splitlines() if line.strip()]
    if cut and found and not _WHOLE.search(found[-1][1]):
        found.pop()
    if not found or not all(said for _, said in found):
        raise Malformed("empty talk")
    return tuple(found)


def _turn(line: str) -> tuple[Speaker, str]:
    found = _TURN.match(line)
    if found is None or found["who"].lower() not in speakers():
        raise Malformed("lines without a speaker")
    return speakers()[found["who"].lower()], found["text"]


def _is_json(text: str) -> bool:
    return text.lstrip().startswith(("{", "```"))


def _structured(shape: type[Any], text: str) -> Any:
    """The reply as `shape`; of one cut off in the middle, what is whole."""
    bare = re.sub(r"^\s*```(?:json)?\s*|\s*```\s*$", "", text)
    try:
        return shape.model_validate(_without_half(from_json(bare, allow_partial=True)))
    except ValidationError as error:
        raise Malformed("JSON of another shape") from error
    except ValueError as error:
        raise Malformed("not JSON") from error


def _without_half(data: Any) -> Any:
    """The data without a last turn that was cut off before its text."""
    rows = data.get("turns") if isinstance(data, dict) else None
    if isinstance(rows, list) and rows and isinstance(rows[-1], dict) and set(rows[-1]) < {"role", "text"}:
        rows.pop()
    return data


def _bare(item: str) -> str:
    """An item on one line, without quotation marks around it."""
    return _AROUND.sub("", " ".join(item.split()))
