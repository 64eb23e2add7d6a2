"""What a model writes, sentence by sentence: what must not be shown is held back, with the reason."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from mundap.safety.hotlines import numbers as hotline_numbers
from mundap.safety.normalise import visible
from mundap.types import Lang

# A sentence ends with its mark (and closing quotes) before a space, or with its line; not after "e.g." or "Dr.".
_END = re.compile(r"(?<=[.!?。！？…])(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bDr\.)[\"'”’)\]]*(?:\s*\[\d+\])*\s+|\n+")
_WHOLE = re.compile(r"[.!?。…:)\]][\"'”’]*$")
_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")
_HANGUL, _LATIN = re.compile(r"[가-힣]"), re.compile(r"[A-Za-zÀ-ɏ]")
_OTHER = re.compile(r"[^\W\d_가-힣A-Za-zÀ-ɏͰ-Ͽµᄀ-ᇿㄱ-ㆎ]")  # letters of further scripts; Greek is used in units
# A sentence longer than this is noise: it is held back rather than waited for.
_LONGEST = 600


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a sentence may be shown, why not, and whether the model should be stopped altogether."""

    shown: bool
    reason: str = ""
    stop: bool = False


def sentences(pieces: Iterable[str]) -> Iterator[str]:
    """Whole sentences from a stream of pieces, without invisible characters; the last one even if it has no end mark.

    The stream is given up when it runs on without an end.
    """
    held = ""
    for piece in pieces:
        held += visible(piece)
        while (end := _END.search(held)) is not None:
            sentence, held = held[: end.end()].strip(), held[end.end() :]
            if sentence:
                yield sentence
        if len(held) > _LONGEST:
            return
    if held.strip():
        yield held.strip()


class Guard:
    """Checks the sentences of one answer against the rules of `output.yaml` and against its own sources."""

    def __init__(self, lang: Lang, sources: Iterable[str]) -> None:
        self._lang: Lang = lang
        text = " ".join(map(_plain, sources))
        self._sources = _squeezed(text)
        self._seen: set[str] = set()
        self._numbers = set(_DIGITS.findall(text))

    def check(self, sentence: str) -> Verdict:
        """The verdict on the next sentence; a repeated one ends the answer."""
        if len(sentence) > _LONGEST:
            return Verdict(False, "too long", stop=True)
        text = _plain(re.sub(r"\[\d+\]", "", sentence))
        key = re.sub(r"\W+", "", text.lower())
        if _table()["roles"].search(text):
            return Verdict(False, "role", stop=True)
        if not key or key in self._seen:
            return Verdict(False, "repeated", stop=bool(key))
        self._seen.add(key)
        reason = next((name for name, broken in self._rules(text) if broken), "")
        return Verdict(not reason, reason)

    def _rules(self, text: str) -> Iterator[tuple[str, bool]]:
        yield "language", not self._in_language(text)
        yield "unfinished", not _WHOLE.search(text)
        for name in ("instructions", "harm", "persona"):
            yield name, bool(_table()[name][self._lang].search(text))
        told = _table()["allowed"][self._lang].sub(" ", text)
        for name in ("diagnosis", "prescription"):
            yield name, bool(_table()[name][self._lang].search(told))
        yield "link", bool(_table()["links"].search(text))
        yield "phone number", bool(_table()["spoken"].search(text)) or not _known_numbers(text)
        yield "amount", any(_squeezed(amount) not in self._sources for amount in _matches("amounts", text))
        yield "number", any(number not in self._numbers for number in _DIGITS.findall(text))

    def _in_language(self, text: str) -> bool:
        hangul, latin, other = (len(letters.findall(text)) for letters in (_HANGUL, _LATIN, _OTHER))
        if self._lang == "ko":
            return hangul > 0 and latin <= hangul * 2 and other * 4 <= hangul
        return latin > 0 and hangul == other == 0


def _plain(text: str) -> str:
    """Text in which nothing hides: no invisible characters, full-width and other look-alike forms made plain."""
    return unicodedata.normalize("NFKC", visible(text)).strip()


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text.lower())


def _matches(name: str, text: str) -> list[str]:
    return [found.group() for found in _table()[name].finditer(text)]


def _known_numbers(text: str) -> bool:
    return all(number in hotline_numbers() for number in _matches("numbers", text))


@cache
def _table() -> dict[str, Any]:
    raw = yaml.load((files("mundap.safety") / "output.yaml").read_text("utf-8"), Loader=yaml.CSafeLoader)
    words: dict[str, str] = raw.pop("words")
    return {name: _compiled(entry, words) for name, entry in raw.items()}


def _compiled(entry: Any, words: Mapping[str, str]) -> Any:
    if isinstance(entry, dict):
        return {lang: _compiled("|".join(patterns), words) for lang, patterns in entry.items()}
    for name, pattern in words.items():
        entry = entry.replace(f"<{name}>", pattern)
    return re.compile(entry, re.IGNORECASE)
