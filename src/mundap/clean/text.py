"""`normalize`: decode what was damaged, remove what is not language, put spaces back where they are certain."""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import replace
from functools import partial
from importlib import import_module

from mundap.clean import spacing
from mundap.clean.patterns import pattern, stable
from mundap.clean.rowstep import RowStep
from mundap.types import QA

_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_PLAIN = re.compile(r"[\t\n\x20-\x7e가-힣ㄱ-ㆎ℃°·…“”‘’~→※★☆○●□■◆▶①-⑳㎎㎖㎝㎏㎡±×÷≤≥µμ]*")
_DAMAGED = re.compile(r"[\x80-\xff]{4,}(?:[\x20-\x7e]{0,3}[\x80-\xff]{2,})*")
_REPEATS = (
    (re.compile(r"([!?~♡♥★☆=_*#-])\1{3,}"), r"\1\1\1"),
    (re.compile(r"\.{4,}"), "..."),
    (re.compile(r"…{2,}"), "…"),
)
_LINES = ((re.compile(r" *\n *"), "\n"), (re.compile(r"\n{3,}"), "\n\n"))


def normalize(respace: bool = True) -> RowStep:
    """The step. `respace` puts back the space between sentences that a removed line break glued together."""
    import_module("ftfy")
    return RowStep("normalize", partial(_row, respace=respace))


def _row(record: QA, respace: bool) -> QA:
    """A record is spaced once: later steps cut sentences, and Kiwi might read the rest differently."""
    respace = respace and "normalize" not in record.trail
    question, answer, title = (normal(text, respace) for text in (record.question, record.answer, record.title))
    return replace(record, question=question, answer=answer, title=title.replace("\n", " "))


def normal(text: str, respace: bool = True) -> str:
    """Text in NFC without invisible characters, tags, entities or runs of laughter; the words are the same."""
    text = stable(_once, text)
    spaced = spacing.respaced(text) if respace else text
    return text if spaced == text else normal(spaced)


def _once(text: str) -> str:
    text = _decoded(text)
    text = pattern("text", "breaks").sub("\n", text)
    text = pattern("text", "debris").sub("", text)
    text = pattern("text", "invisible").sub("", text)
    text = unicodedata.normalize("NFC", text)
    text = pattern("text", "marks").sub("", text)
    return _tidy(_calm(pattern("text", "spaces").sub(" ", text)))


def _decoded(text: str) -> str:
    """Mojibake, entities and odd line ends; most Korean text is plain and passes at once."""
    text = _ENTITY.sub(lambda found: html.unescape(found.group()), text)
    if _PLAIN.fullmatch(text):
        return text
    import ftfy

    text = _DAMAGED.sub(_korean, text)
    return ftfy.fix_text(text, unescape_html=False, fix_character_width=True, uncurl_quotes=False, explain=False)


def _korean(found: re.Match[str]) -> str:
    """CP949 read as Latin-1 (`¾È³ç` -> `안녕`), which ftfy does not know; only when all of it becomes Hangul."""
    try:
        read = found.group().encode("latin-1").decode("cp949")
    except UnicodeError:
        return found.group()
    letters = [letter for letter in read if ord(letter) > 127]
    return read if letters and all("가" <= letter <= "힣" for letter in letters) else found.group()


def _calm(text: str) -> str:
    """Without faces, laughter and tears; runs of one mark are shortened."""
    text = pattern("text", "jamo").sub(" ", text)
    text = pattern("text", "faces").sub(" ", text)
    for runs, short in _REPEATS:
        text = runs.sub(short, text)
    return text


def _tidy(text: str) -> str:
    text = re.sub(r" {2,}", " ", text)
    for lines, new in _LINES:
        text = lines.sub(new, text)
    return text.strip()
