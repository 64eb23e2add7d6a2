"""Whether a mention is meant: not negated, not past, not supposed, not from the news or a film.

After ConText (Harkema et al. 2009): cues with a direction and a reach. Korean negation stands to the right of what it
negates, English negation to the left. Symptoms that are themselves negative (숨을 못 쉬다) are concepts, not negations.
"""

from __future__ import annotations

import re
from functools import cache

from mundap.safety.data import language
from mundap.safety.normalise import Flat, fold

Span = tuple[int, int]
_RIGHT, _LEFT = 26, 60


def free(flat: Flat, span: Span, mode: str = "") -> bool:
    """Whether the mention counts. "*": always; "+": unless negated; "=": unless supposed, past or told; "": all."""
    if mode == "*":
        return True
    if mode != "=" and negated(flat, span):
        return False
    return mode == "+" or not (past(flat, span) or supposed(flat, span) or told(flat, span))


def says(cue: str, text: str) -> bool:
    """Whether a flattened text holds a cue."""
    return bool(_cue(cue).search(text))


def negated(flat: Flat, span: Span) -> bool:
    """True negation that reaches the mention, on the side its language puts it."""
    start, end = flat.around(flat.strong, *span)
    right = flat.text[span[1] : min(end, span[1] + _RIGHT + 8)]
    if _denied_after(right) or _cue("negation_prefix").search(flat.text[max(start, span[0] - 4) : span[0]]):
        return True
    low = max(start, span[0] - _LEFT)
    return _denied_before(flat.text[low : span[0]], [at - low for at in flat.weak if low < at <= span[0]])


def _denied_after(right: str) -> bool:
    """Korean: 통증은 없어요, 아프지 않아요; nothing else may be said in between, but 조이거나 숨찬 건 없어요."""
    if _cue("negation_list").search(right):
        return True
    found = _cue("negation_after").search(right)
    if not found or found.start() >= _RIGHT:
        return False
    return not _cue("negation_break").search(right[: found.start()])


def _denied_before(left: str, ends: list[int]) -> bool:
    """English: no, denies, without; not across "but I", nor across a comma unless a list with "or" goes on."""
    cues = [found.end() for found in _cue("negation_before").finditer(left)]
    if not cues or _cue("negation_before_break").search(left[cues[-1] :]):
        return False
    commas = [at for at in ends if at > cues[-1] and not left[:at].endswith("and")]
    return not commas or bool(_cue("negation_before_list").search(left[cues[-1] :]))


def past(flat: Flat, span: Span) -> bool:
    """Said of another time, and neither of now nor "just like then"."""
    start, end = flat.around(flat.strong, *span)
    here = flat.text[start:end]
    if _cue("now").search(here):
        return False
    if not _gone(here, span[0] - start) and not _lasting(here):
        return False
    return not _cue("again").search(flat.text)


def _gone(here: str, at: int) -> bool:
    """A past cue in the clause, unless it only dates a person's illness or an operation before the mention."""
    found = _cue("past").search(here)
    return bool(found) and not _cue("past_break").search(here[found.end() if found else 0 : max(at, 0)])


def _lasting(here: str) -> bool:
    return bool(_cue("chronic").search(here)) and not _cue("sudden").search(here)


def supposed(flat: Flat, span: Span) -> bool:
    """A condition, a request for general information, homework."""
    start, end = flat.around(flat.strong, *span)
    here = flat.text[start:end]
    if _cue("now").search(here):
        return False
    if _cue("info").search(here) and not _cue("sudden").search(here):
        return True
    if _cue("condition").search(flat.text[span[1] : min(end, span[1] + 44)]):
        return True
    low, high = flat.around(flat.sentences, *span)
    if _cue("supposition").search(flat.text[low : span[0]]):
        return True
    return bool(_cue("homework").search(flat.text)) and not _cue("person").search(flat.text[low:high])


def told(flat: Flat, span: Span) -> bool:
    """News, fiction or family history rather than the person."""
    start, end = flat.around(flat.strong, *span)
    here = flat.text[start:end]
    if _cue("family").search(here) and not _cue("now").search(here):
        return True
    if _cue("story").search(here):
        return not _cue("present").search(here)
    before = flat.text[max(0, start - 60) : start]
    return bool(_cue("story").search(before) and _cue("retold").search(here) and not _cue("person").search(here))


@cache
def _cue(name: str) -> re.Pattern[str]:
    """One cue list of `language.yaml`, compiled."""
    return re.compile("|".join(fold(one) for one in language()["cues"][name]))


def cues() -> tuple[re.Pattern[str], ...]:
    """Every compiled cue list, for the test that times them."""
    return tuple(_cue(name) for name in language()["cues"])
