"""Make a message comparable: clean it, fold common misspellings, drop unreliable spaces, remember clause ends.

Invisible characters are removed because they hide words from a filter (SAFETY.md 3.1 and 7). Spacing is unreliable
in typed Korean, so matching runs on a form without it; one space is kept between two ASCII words, for English.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from mundap.safety.data import language

LIMIT = 4000
_INVISIBLE = re.compile(
    "[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff\U000e0000-\U000e007f\ud800-\udfff]"
)
_NOT_JAMO = re.compile("[^\u3131-\u318e]+")
_REPEAT = re.compile(r"([^\W\d_])\1{2,}")
_SENTENCE, _STRONG, _WEAK = "\x01", "\x02", "\x03"
_CHUNK = re.compile("[\x01\x02\x03]|[^\\W_]+|[^\x01\x02\x03\\w]+|_+")
_DECIMAL = re.compile(r"(?<=\d)\s*[.,/:]\s*(?=\d)")
_CODA = {"ㅆ": "ㅅ", "ㄶ": "ㄴ", "ㅀ": "ㄹ", "ㄲ": "ㄱ"}
_CODAS = ("", *"ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ")
_ONSETS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_SYLLABLE = 0xAC00


@dataclass(frozen=True, slots=True)
class Flat:
    """A message without spaces, and the offsets at which sentences, contrasting clauses and clauses end."""

    text: str
    sentences: tuple[int, ...] = ()
    strong: tuple[int, ...] = ()
    weak: tuple[int, ...] = ()

    def around(self, ends: tuple[int, ...], start: int, end: int) -> tuple[int, int]:
        """The part between two of `ends` that holds `start:end`."""
        left = bisect_right(ends, start)
        right = bisect_right(ends, end - 1)
        return (ends[left - 1] if left else 0, ends[right] if right < len(ends) else len(self.text))


def clean(text: str | None) -> str:
    """Visible, lower-case, compatibility-normalised text with repeats collapsed and misspellings repaired."""
    shown = _INVISIBLE.sub("", text or "")
    shown = _NOT_JAMO.sub(lambda found: unicodedata.normalize("NFKC", found.group()), shown).lower()
    shown = _DECIMAL.sub(lambda found: found.group().strip(), _REPEAT.sub(r"\1", shown))
    shown = shown.translate(_folds())
    for pattern, new in _repairs():
        shown = pattern.sub(new, shown)
    return shown


def fold(text: str) -> str:
    """The same folding of look- and sound-alike syllables for a pattern as for a message."""
    return text.translate(_folds())


def flatten(text: str | None) -> Flat:
    """The form the rules read. Long text keeps its beginning and its end, where the red flag often is."""
    raw = text or ""
    if len(raw) > LIMIT:
        raw = raw[: LIMIT // 2] + "\n" + raw[-LIMIT // 2 :]
    marked = clean(raw)
    for pattern, mark in _ends():
        marked = pattern.sub(mark, marked)
    return _squeeze(marked)


def _squeeze(marked: str) -> Flat:
    """Drop spaces and signs, turning the marks into offsets."""
    parts: list[str] = []
    ends: dict[str, list[int]] = {_SENTENCE: [], _STRONG: [], _WEAK: []}
    size, gap, last = 0, "", ""
    for chunk in _CHUNK.findall(marked):
        if chunk in ends:
            ends[chunk].append(size)
        elif not chunk[0].isalnum():
            gap = chunk
        else:
            piece = _glue(gap, last, chunk[0]) + chunk
            parts.append(piece)
            size, gap, last = size + len(piece), "", chunk[-1]
    return _flat("".join(parts), ends)


def _flat(text: str, ends: dict[str, list[int]]) -> Flat:
    """Each weaker kind of end contains the stronger ones."""
    sentences = sorted(set(ends[_SENTENCE]))
    strong = sorted({*sentences, *ends[_STRONG]})
    return Flat(text, tuple(sentences), tuple(strong), tuple(sorted({*strong, *ends[_WEAK]})))


def _glue(gap: str, last: str, first: str) -> str:
    """What stays between two words: a decimal point or slash between digits, a space between ASCII words."""
    if gap in {".", "/", ":"} and last.isdigit() and first.isdigit():
        return gap
    return " " if gap and last.isascii() and first.isascii() and last else ""


@cache
def _repairs() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(fold(row["find"])), fold(row["put"])) for row in language()["repairs"])


@cache
def nieun() -> str:
    """A character class of every syllable that ends in ㄴ, as before 데 (아픈데)."""
    return "[" + "".join(chr(code) for code in range(_SYLLABLE + 4, 0xD7A4, 28)) + "]"


@cache
def _ends() -> tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]:
    """Compiled clause ends; the text that ends a clause stays, a mark follows it."""
    marks = (("sentence", _SENTENCE), ("strong", _STRONG), ("weak", _WEAK))
    rows = language()["ends"]
    return tuple(
        (re.compile("(?:" + "|".join(fold(one).replace("<ㄴ>", nieun()) for one in rows[name]) + ")"), r"\g<0>" + mark)
        for name, mark in marks
    )


@cache
def _folds() -> dict[int, str]:
    """Syllable folds for endings people misspell: 겠/겟, 졌/젔, 됐/됬, 않/안, 잃/일."""
    table: dict[int, str] = {}
    for code in range(_SYLLABLE, 0xD7A4):
        folded = _folded(code - _SYLLABLE)
        if folded != code:
            table[code] = chr(folded)
    return table


def _folded(index: int) -> int:
    onset, vowel, coda = index // 588, index % 588 // 28, index % 28
    sound, heart = _CODAS[coda], _VOWELS[vowel]
    final = _CODAS.index(_CODA.get(sound, sound))
    if _ONSETS[onset] in "ㅈㅉㅊ" and heart == "ㅕ":
        heart = "ㅓ"
    if _ONSETS[onset] == "ㄷ" and heart == "ㅙ":
        heart = "ㅚ"
    return _SYLLABLE + onset * 588 + _VOWELS.index(heart) * 28 + final


def visible(text: str | None) -> str:
    """The text as a person sees it: without lone surrogates and the invisible characters that could hide words."""
    return unicodedata.normalize("NFC", _INVISIBLE.sub("", text or "")).replace("\x00", "")
