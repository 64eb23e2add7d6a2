"""`boilerplate`: greetings with names, closings, disclaimers and adverts around an answer; intake forms become fields.

Everything is anchored (SITES.md C1: an unanchored greeting pattern eats the first clinical sentence): heads match at
the start, tails at the end, disclaimers and adverts are whole sentences.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

from mundap.clean import form
from mundap.clean.patterns import pattern, stable
from mundap.clean.rowstep import RowStep
from mundap.types import QA

_REACH = 500
_END = re.compile(r"[.!?…~]+[\"'”’)\]]*\s+|\n+")
_CORE = re.compile(r"[^가-힣A-Za-z0-9]+")


def boilerplate() -> RowStep:
    """The step. An answer that was nothing but boilerplate is dropped."""
    return RowStep("boilerplate", _row)


def _row(record: QA) -> QA | str:
    answer = core(record.answer)
    if record.answer and not _CORE.sub("", answer):
        return "greeting-only answer"
    question, fields = form.parsed(stable(_polite, record.question))
    return replace(record, question=question, answer=answer, fields=record.fields or fields)


def core(answer: str) -> str:
    """An answer without what surrounds it."""
    return _begun(stable(_once, answer), answer.lstrip())


def _begun(text: str, before: str) -> str:
    """With a capital at the start when a head in front of it went; a word like `pH` or `eGFR` stays."""
    moved = not before.startswith(text[:12]) and text[:1].isascii() and text[:1].islower()
    return text[0].upper() + text[1:] if moved and not any(map(str.isupper, text[1:5])) else text


def _once(text: str) -> str:
    text = _heads(_forehead(text), ("heads", "heads_en"))
    text = pattern("boilerplate", "disclaimers").sub(_whole, text)
    text = pattern("boilerplate", "pointers").sub(_pointer, _adverts(_tails(text, ("tails", "tails_en"))))
    return _neat(text)


def _polite(text: str) -> str:
    """A question without its greeting and thanks. The rest of it is the asker's."""
    text = text.strip()
    found = pattern("boilerplate", "heads").match(text)
    if found and text.startswith(("안녕", "반갑", "반가")):
        text = text[found.end() :]
    return _tails(text, ("thanks",)).strip() if text.rstrip(" .!~^").endswith(("다", "요")) else text


def _heads(text: str, keys: tuple[str, ...]) -> str:
    """Without any number of heads at the start."""
    text = text.lstrip()
    for key in keys:
        while (found := pattern("boilerplate", key).match(text)) and found.end():
            text = text[found.end() :].lstrip(" \n.,!~”’")
    return text


def _forehead(text: str) -> str:
    """Without a first sentence that says nothing but who answers where, in whatever order and spelling."""
    end = _END.search(text, 0, 120)
    if end is None or not pattern("boilerplate", "heads_marks").search(text, 0, end.start()):
        return text
    left = pattern("boilerplate", "heads_words").sub("", text[: end.start()])
    return text[end.end() :] if len(_CORE.sub("", left)) <= 4 else text


def _tails(text: str, keys: tuple[str, ...]) -> str:
    """Without any number of tails, each of which begins where a sentence begins."""
    text = text.rstrip()
    for key in keys:
        while found := _tail(text, key):
            text = text[: found.start()].rstrip()
    return text


def _tail(text: str, key: str) -> re.Match[str] | None:
    for start in _starts(text):
        if found := pattern("boilerplate", key).fullmatch(text, start):
            return found
    return None


def _starts(text: str) -> list[int]:
    """Where sentences begin in the last part of the text, the earliest first."""
    reach = max(0, len(text) - _REACH)
    after = [found.end() for found in re.finditer(r"[.!?~…)\]>\"'”’]\s*|\n+|(?<=[다요죠까]) ", text[reach:])]
    return [reach + place for place in ([0] if reach == 0 else []) + after if reach + place < len(text)]


def _whole(found: re.Match[str]) -> str:
    """Nothing, when the match is a whole sentence."""
    before = found.string[: found.start()].rstrip(" ")
    return "" if not before or before[-1] in ".!?~…\n)]" or before.endswith(("다", "요")) else found.group()


def _adverts(text: str) -> str:
    """Without advertising sentences among the last four; one that holds a clinical amount stays."""
    places = [0, *(found.end() for found in _END.finditer(text)), len(text)]
    for start, end in reversed(list(pairwise(places))[-4:]):
        sentence = text[start:end]
        if _is_advert(sentence):
            text = text[:start] + text[end:]
    return text


def _is_advert(sentence: str) -> bool:
    found = pattern("boilerplate", "adverts").match(sentence.strip())
    return found is not None and not pattern("boilerplate", "clinical").search(sentence)


def _pointer(found: re.Match[str]) -> str:
    """A full stop where the pointer ended the sentence."""
    return "." if found.string[found.end() : found.end() + 1] in ("", "\n") else ""


def _neat(text: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", re.sub(r" {2,}", " ", re.sub(r" *\n *", "\n", text))).strip()
