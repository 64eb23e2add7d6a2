"""What a made question or answer must pass: each check gives the reason it fails, or ''. What they look for is data."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from mundap.augment.lexicon import unsupported
from mundap.chat.grounded import carrier
from mundap.safety import privacy
from mundap.safety.guard import Guard, sentences
from mundap.safety.normalise import flatten
from mundap.safety.quantities import amounts
from mundap.types import QA, Lang

SHORTEST, LONGEST = 10, 300
_TITLE = 6  # letters
# A copy is a run of so many Korean letters (spaces and signs aside) or English words.
_RUN: Mapping[Lang, int] = {"ko": 12, "en": 8}
# Shares of the letters: Korean questions hold drug names and units in Latin letters, English ones no Hangul.
_OWN_LETTERS: Mapping[Lang, float] = {"ko": 0.5, "en": 0.9}
_TOKEN = re.compile(r"\[[가-힣]+\d+\]")
_NUMBER = re.compile(r"\d+(?:,\d{3}(?!\d))*(?:\.\d+)*")
_SENTENCE = re.compile(r"(?<=[.!?。])\s+|\n+")
_WORD = re.compile(r"[^\W_]+")
_CAPITAL = re.compile(r"(?<=[a-z,;'’] )[A-Z][a-z]{2,}|\b(?:[A-Z]{2,}|[A-Z]+\d+)\b")
# Quantities people give in words as well as in digits (서른다섯 살, 사흘): all that triage knows, by their names in its data.
_SPOKEN = ("years", "months", "weeks", "days")
Check = Callable[[str, QA], str]


def question(text: str, seed: QA) -> str:
    """Why a question made from `seed` must not be kept; '' when nothing is wrong with it."""
    return next((reason for reason in (check(text, seed) for check in QUESTION) if reason), "")


def length(text: str, seed: QA) -> str:
    """10 to 300 characters."""
    size = len(text.strip())
    return "too short" if size < SHORTEST else "too long" if size > LONGEST else ""


def language(text: str, seed: QA) -> str:
    """Written in the language of its seed."""
    letters = [letter for letter in text if letter.isalpha()]
    own = sum("가" <= letter <= "힣" if seed.lang == "ko" else letter.isascii() for letter in letters)
    return "" if letters and own >= _OWN_LETTERS[seed.lang] * len(letters) else "another language"


def asks(text: str, seed: QA) -> str:
    """Ends as a question or a request."""
    return "" if _found("asks", seed.lang, text.strip()) else "not a question"


def greeting(text: str, seed: QA) -> str:
    """No greeting and no thanks."""
    return "greeting" if _found("greeting", seed.lang, text) else ""


def leftover(text: str, seed: QA) -> str:
    """Nothing of the prompt, no talk about the text it was made from, no refusal."""
    return "speaks of its prompt" if _found("leftover", seed.lang, text) else ""


def repeats(text: str, seed: QA) -> str:
    """No sentence twice."""
    lines = [line.strip().lower() for line in _SENTENCE.split(text) if line.strip()]
    return "repeats itself" if len(set(lines)) < len(lines) else ""


def private(text: str, seed: QA) -> str:
    """Nobody is named: no person, hospital, address or number of one."""
    found = privacy.find(unicodedata.normalize("NFC", text)) or _TOKEN.search(text)
    return "names somebody" if found else ""


def copied(text: str, seed: QA) -> str:
    """No long run of words from what the answer advises; its title may be repeated."""
    parts = re.split(re.escape(seed.title), text, flags=re.IGNORECASE) if seed.title else [text]
    own = {run for part in parts for run in _runs(part, seed.lang)}
    told = (line for line in _SENTENCE.split(seed.answer) if not _found("restates", seed.lang, line))
    return "copies the answer" if any(own & _runs(line, seed.lang) for line in told) else ""


def invented(text: str, seed: QA) -> str:
    """No illness, complaint, medicine, name, number, age or sex that the seed does not speak of."""
    return added(text, " \n".join((seed.title, seed.question, seed.answer)), seed.lang)


QUESTION: tuple[Check, ...] = (length, language, greeting, leftover, asks, repeats, private, copied, invented)


def added(text: str, source: str, lang: Lang) -> str:
    """What kind of fact a text adds to its source; '' for none."""
    if _numbers(text) - _numbers(source):
        return "a number its source lacks"
    if _persons(text, lang) - _persons(source, lang):
        return "an age or sex its source lacks"
    if lang == "en" and any(name.lower() not in source.lower() for name in _CAPITAL.findall(text)):
        return "a name its source lacks"
    return "a medical term its source lacks" if unsupported(text, source, lang) else ""


def answer(text: str, seed: QA) -> str:
    """Why an answer written from the seed's must not be kept: each of its sentences needs the doctor's words for it."""
    guard, lines = Guard(seed.lang, [seed.answer, seed.title]), list(sentences([text]))
    for line in lines:
        verdict = guard.check(line)
        if not verdict.shown:
            return f"must not be said: {verdict.reason}"
        if not carrier(line, {"source": seed.answer}):
            return "a sentence its source does not carry"
    return added(text, f"{seed.title}\n{seed.answer}", seed.lang) if lines else "empty"


def title(record: QA) -> bool:
    """Whether a title can stand for a lost question: words of somebody who asks, naming nobody, and not a notice."""
    letters = sum(letter.isalpha() for letter in record.title)
    lost = _found("gone", record.lang, record.title) or private(record.title, record)
    return letters >= _TITLE and len(record.title) <= LONGEST and not lost


def advises(text: str, lang: Lang) -> bool:
    """Whether a text says what to do."""
    return _found("advises", lang, text)


def _runs(text: str, lang: Lang) -> set[Sequence[str]]:
    """Every run of 12 letters (Korean) or 8 words (English)."""
    words, size = _WORD.findall(text.lower()), _RUN[lang]
    units: Sequence[str] = "".join(words) if lang == "ko" else tuple(words)
    return {units[place : place + size] for place in range(len(units) - size + 1)}


def _numbers(text: str) -> set[str]:
    """Every number, 1,000 and 1000 being the same; ages and times also when written as words."""
    plain = unicodedata.normalize("NFKC", text).lower()
    digits = {found.replace(",", "") for found in _NUMBER.findall(plain)}
    words = {str(_table()["numbers"][word]) for word in _WORD.findall(plain) if word in _table()["numbers"]}
    return words | {f"{float(number):g}" if number.count(".") < 2 else number for number in digits} | _spoken(plain)


def _spoken(text: str) -> set[str]:
    folded = flatten(text).text
    return {f"{amount.value:g}" for name in _SPOKEN for amount in amounts(name, folded)}


def _persons(text: str, lang: Lang) -> set[str]:
    """Which kinds of person a text speaks of: a woman, a child, somebody pregnant …"""
    return {name for name, patterns in _patterns()["persons"].items() if patterns[lang].search(text)}


def _found(name: str, lang: Lang, text: str) -> bool:
    return _patterns()[name][lang].search(text) is not None


@cache
def _patterns() -> Mapping[str, Any]:
    return {name: _compiled(entry) for name, entry in _table().items() if name != "numbers"}


def _compiled(entry: Any) -> Any:
    if isinstance(entry, dict):
        return {name: _compiled(each) for name, each in entry.items()}
    return re.compile("|".join(f"(?:{pattern})" for pattern in entry), re.IGNORECASE)


@cache
def _table() -> Mapping[str, Any]:
    text = (files("mundap.augment") / "filters.yaml").read_text("utf-8")
    return dict(yaml.load(text, Loader=yaml.CSafeLoader))
