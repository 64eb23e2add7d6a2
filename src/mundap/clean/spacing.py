"""Spaces between sentences that were glued together: found by their endings; without a mark, confirmed by Kiwi."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from typing import Any

# Endings that finish a sentence in polite or plain style. 다 alone does not (보다가, 아니다싶으면).
_ENDING = (
    r"(?:니다|세요|셔요|[어아해져려겨여워와러라래돼되봐줘춰쳐켜파퍼커써꺼빠뻐싸차께]요|[예에]요|네요|까요|나요|가요|데요|대요|지요|게요|거든요|군요|"
    r"(?<=[는한었았였했된있없겠])다|니까|습니까|십시오|시죠|겠죠|있죠|하죠|되죠)"
)
_MARKED = re.compile(rf"{_ENDING}[.!?]+(?=[가-힣A-Za-z\d“‘(])")
# Without a mark: not before what continues the word (합니다만, 하세요라고, 한다고, 하니까요).
_BARE = re.compile(
    rf"(?<=[가-힣])(?:(?:니다|요)(?![만라는요])|{_ENDING}(?<!니다)(?<!요)(?![고면는니던가만라며지네거구기시더음까다요도나군죠야뿐]))(?=[가-힣A-Za-z\d“‘(])"
)
_ENDS = re.compile(rf"{_ENDING}$")
_ENGLISH = re.compile(r"(?<=[a-z]{3})([.!?])(?=[A-Z][a-z]+\s)")
_ADDRESS = re.compile(r"\S*(?:://|www\.|@|\.(?:com|net|org|kr))\S*", re.IGNORECASE)
_SEGMENT = re.compile(r"[^.!?\n]+")
# What may begin a sentence; particles, endings and suffixes (-만, -라고, -요) continue the one before.
_BEGINS = ("NN", "NP", "NR", "MA", "MM", "VV", "VA", "IC", "SN", "SL", "XR", "SW", "SS")
_LONGEST = 300


def respaced(text: str) -> str:
    """The text with a space after each sentence end that certainly is one; nothing else changes."""
    text = _ENGLISH.sub(_after_mark, _MARKED.sub(_after_mark, text))
    return _SEGMENT.sub(_segment, text) if _BARE.search(text) else text


def _after_mark(found: re.Match[str]) -> str:
    return found.group() if _in_address(found.string, found.end()) else f"{found.group()} "


def _in_address(text: str, place: int) -> bool:
    """Whether the word around `place` is an address of the web or of mail."""
    start = max(text.rfind(" ", 0, place), text.rfind("\n", 0, place)) + 1
    found = _ADDRESS.match(text, start)
    return found is not None and found.end() > place


def _segment(found: re.Match[str]) -> str:
    """One piece between marks. It alone is what Kiwi reads, so that changes elsewhere do not change the reading."""
    text = found.group()
    places = (
        [each.end() for each in _BARE.finditer(text) if _ENDS.search(text, 0, each.end())]
        if len(text) <= _LONGEST
        else []
    )
    for place in reversed(_certain(text, places) if places else []):
        text = f"{text[:place]} {text[place:]}"
    return text


def _certain(text: str, places: list[int]) -> list[int]:
    """The places where Kiwi reads a final ending, a new sentence, and a word that can begin one."""
    tokens = _kiwi().tokenize(text)
    starts = {token.start: (before, token) for before, token in pairwise(tokens)}
    return [place for place in places if place in starts and _begins(*starts[place], place)]


def _begins(before: Any, after: Any, place: int) -> bool:
    apart = before.end <= place and before.sent_position != after.sent_position
    return bool(apart and str(before.tag) in ("EF", "JX") and str(after.tag).startswith(_BEGINS))


@cache
def _kiwi() -> Any:
    from kiwipiepy import Kiwi

    return Kiwi(num_workers=1)
