"""A text as sentences and what stands between them: line breaks, bullets and spaces come through translation as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from mundap.types import Lang

# Titles and Latin abbreviations never end a sentence; "a.m." and "etc." may.
_NEVER = ("Dr", "dr", "Mr", "Mrs", "Ms", "Prof", "St", "Fig", "e.g", "i.e", "vs", "approx", "cf")
_NOT_AFTER = "".join(rf"(?<!\b{re.escape(word)}\.)" for word in _NEVER)
_CLOSED = r"[\"'”’)\]]*(?:\s?\[\d+\])*"
_END = {
    "en": re.compile(rf"(?<=[.!?…]){_NOT_AFTER}{_CLOSED}\s+(?=[\"'“‘(\[]*[A-Z0-9가-힣])"),
    "ko": re.compile(rf"(?<=[.!?。！？…~]){_CLOSED}\s+"),
}
# English that was wrapped by hand goes on in the next line with a small letter. A list may stand in one line.
_LIST = r"[ \t]{2,}(?=[-*•·][ \t])"
_BREAK = {"en": re.compile(rf"(?<=[.!?:;\s])\n|\n(?![a-z])|{_LIST}"), "ko": re.compile(rf"\n|{_LIST}")}
_LEAD = re.compile(r"(?:\s+|(?:[-*•·▪◦○●■□▶※>]|#{1,6}|\(?\d{1,3}[.)]|\(?[가-하A-Za-z][.)])[ \t]+)*")
_LETTER = re.compile(r"[^\W\d_]")
# A longer sentence is cut at a comma or a space: engines have limits (Papago 5,000 characters, NLLB 512 tokens).
_LONGEST = 800
# Korean typed without any full stop is left to Kiwi from this length on; it takes two seconds to load.
_RUN_ON = 200


@dataclass(frozen=True, slots=True)
class Piece:
    """`before` is copied as it is, `text` is one sentence to translate (empty at the end of a text)."""

    before: str
    text: str


def pieces(text: str, lang: Lang) -> list[Piece]:
    """The sentences of a text in order; `before + text` of all pieces, joined, is the text again."""
    found: list[Piece] = []
    held = ""
    for part in _parts(text, lang):
        lead = _LEAD.match(part)
        start = lead.end() if lead else 0
        body = part[start:].rstrip()
        if _LETTER.search(body):
            found.append(Piece(held + part[:start], body))
            held = part[start + len(body) :]
        else:
            held += part
    return [*found, Piece(held, "")] if held else found


def _parts(text: str, lang: Lang) -> Iterator[str]:
    for line in _split(text, _BREAK[lang]):
        for sentence in _split(line, _END[lang]):
            for part in _run_on(sentence) if lang == "ko" and len(sentence) > _RUN_ON else [sentence]:
                yield from _cut(part)


def _split(text: str, end: re.Pattern[str]) -> Iterator[str]:
    """The text in pieces that end where the pattern does."""
    ends = [0, *(found.end() for found in end.finditer(text)), len(text)]
    return (text[start:stop] for start, stop in pairwise(ends) if stop > start)


def _run_on(text: str) -> list[str]:
    starts = [sentence.start for sentence in _kiwi().split_into_sents(text)][1:]
    return [text[start:stop] for start, stop in pairwise([0, *starts, len(text)])]


def _cut(text: str) -> Iterator[str]:
    while len(text) > _LONGEST:
        place = max(text.rfind(", ", 0, _LONGEST), text.rfind("; ", 0, _LONGEST)) + 1 or text.rfind(" ", 0, _LONGEST)
        place = place if place > 0 else _LONGEST
        yield text[:place]
        text = text[place:]
    yield text


@cache
def _kiwi() -> Any:
    from kiwipiepy import Kiwi

    return Kiwi(num_workers=1)
