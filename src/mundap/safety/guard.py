"""What a model writes, sentence by sentence: what must not be shown is held back, with the reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from mundap.safety.hotlines import numbers as hotline_numbers
from mundap.types import Lang

_END = re.compile(r"(?<=[.!?。…])[\"')\]]*(?:\s*\[\d+\])*\s+|\n+")
_DIGITS = re.compile(r"\d+(?:[.,]\d+)?")
_HANGUL, _LATIN = re.compile(r"[가-힣]"), re.compile(r"[A-Za-z]")
# A sentence longer than this is noise: it is held back rather than waited for.
_LONGEST = 600


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a sentence may be shown, why not, and whether the model should be stopped altogether."""

    shown: bool
    reason: str = ""
    stop: bool = False


def sentences(pieces: Iterable[str]) -> Iterator[str]:
    """Whole sentences from a stream of pieces, the last one even if it has no end mark (it is then marked by …)."""
    held = ""
    for piece in pieces:
        held += piece
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
        self._sources = " ".join(sources).lower()
        self._seen: set[str] = set()
        self._numbers = set(_DIGITS.findall(self._sources))

    def check(self, sentence: str) -> Verdict:
        """The verdict on the next sentence; a repeated one ends the answer."""
        text = re.sub(r"\[\d+\]", "", sentence).strip()
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
        yield "unfinished", not re.search(r"[.!?。…:)\]]\"?$", text)
        for name in ("diagnosis", "prescription", "persona"):
            yield name, bool(_table()[name][self._lang].search(text))
        yield "link", bool(_table()["links"].search(text))
        yield "phone number", any(number not in hotline_numbers() for number in _table()["numbers"].findall(text))
        yield "amount", any(amount.lower() not in self._sources for amount in _table()["amounts"].findall(text))
        yield "number", any(number not in self._numbers for number in _DIGITS.findall(text))

    def _in_language(self, text: str) -> bool:
        hangul, latin = len(_HANGUL.findall(text)), len(_LATIN.findall(text))
        return hangul * 2 >= latin if self._lang == "ko" else hangul == 0 and latin > 0


@cache
def _table() -> dict[str, Any]:
    raw = yaml.load((files("mundap.safety") / "output.yaml").read_text("utf-8"), Loader=yaml.CSafeLoader)
    return {name: _compiled(entry) for name, entry in raw.items()}


def _compiled(entry: Any) -> Any:
    if isinstance(entry, dict):
        return {lang: re.compile("|".join(words), re.IGNORECASE) for lang, words in entry.items()}
    return re.compile(entry, re.IGNORECASE)
