"""What a message tells beside its subject: intent, feeling, facts, and whether it leans on what was said before."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from mundap.types import Lang

LANGS: tuple[Lang, ...] = ("ko", "en")
_HANGUL = re.compile(r"[가-힣ㄱ-ㅎㅏ-ㅣ]")
_HALF = 1000
_LETTER = re.compile(r"[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Cues:
    """Signs read from one text. Names are those of `cues.yaml`; `department` is set when the text is medical at all."""

    intent: str
    groups: tuple[str, ...]
    other_person: bool
    facts: frozenset[str]
    emotion: str
    social: str
    follow_up: bool
    asks: bool
    answers: bool
    new_subject: bool
    refers: bool
    corrects: bool
    long: bool
    department: str


def read(text: str, lang: Lang) -> Cues:
    """Match a message against `cues.yaml`. Never raises; an empty text gives empty cues and the intent `help`."""
    text = _cut(text).lower().strip()
    table = _table(lang)
    groups = tuple(table.matches("groups", text))
    return Cues(
        intent=next(table.matches("intents", text), "help"),
        groups=groups,
        other_person=bool(set(groups) & set(raw()["others"])) or table.has("other_people", text),
        facts=frozenset(table.matches("facts", text)),
        emotion=next(table.matches("emotions", text), ""),
        social=next(table.matches("social", text), ""),
        follow_up=table.has("follow_up", text),
        asks=table.has("asks", text),
        answers=table.has("answers", text),
        new_subject=table.has("new_subject", text),
        refers=table.has("refers", text),
        corrects=table.has("corrects", text) and table.has("put_aside", text),
        long=table.has("long_duration", text),
        department=next(table.matches("medical", text), ""),
    )


def bare(text: str, lang: Lang) -> str:
    """A message without the words of its intent, person and time: what is left is its subject, if it has one."""
    table = _table(lang)
    without_time = table.without("facts", _cut(text).lower(), only=("onset",))
    return table.without("follow_up", table.without("groups", table.without("intents", without_time)))


def claimed(text: str, lang: Lang) -> str:
    """A message without what it denies or puts aside, and without the words that announce a new subject."""
    text = _cut(text)
    for section in ("new_subject", "put_aside", "denied"):
        text = _table(lang).without(section, text)
    return text.strip(" .,!?~")


def particular(text: str, lang: Lang) -> str:
    """A message without what can be asked of any illness."""
    return _table(lang).without("common", _cut(text)).strip(" .,!?~")


def impersonal(text: str, lang: Lang) -> str:
    """A message without the words that say who it is about, so that they do not decide what it is about."""
    kept = [
        word for word in text.split() if not set(raw()["people"]) & set(_table(lang).matches("groups", word.lower()))
    ]
    return " ".join(kept)


def language(text: str, otherwise: Lang = "ko") -> Lang:
    """Korean as soon as there is Hangul, English when there are only Latin letters, else `otherwise`."""
    if _HANGUL.search(text):
        return "ko"
    return "en" if _LETTER.search(text) else otherwise


def medicine_names(text: str, lang: Lang) -> list[str]:
    """Words that stand where a medicine's name stands; most are no medicine at all."""
    return re.findall(raw()["medicine_name"][lang], _cut(text).lower())


def _cut(text: str) -> str:
    """The beginning and the end of a very long text: what is asked stands in one of them."""
    return text if len(text) <= 2 * _HALF else f"{text[:_HALF]} {text[-_HALF:]}"


def without_form(name: str) -> str:
    """A medicine's name without its form: 젤로마딘정 -> 젤로마딘."""
    return re.sub(raw()["medicine_form"], "", name)


@cache
def raw() -> dict[str, Any]:
    """`cues.yaml` as it is."""
    text = (files("mundap.chat") / "cues.yaml").read_text("utf-8")
    return dict(yaml.load(text, Loader=yaml.CSafeLoader))


class _Table:
    """The patterns of one language, compiled once: section -> name -> pattern; a nameless section has the name ''."""

    def __init__(self, sections: Mapping[str, Any], lang: Lang) -> None:
        self._patterns = {name: dict(_named(section, lang)) for name, section in sections.items()}

    def matches(self, section: str, text: str) -> Iterator[str]:
        """Names of the section whose pattern is in the text, in the file's order."""
        return (name for name, pattern in self._patterns[section].items() if pattern.search(text))

    def without(self, section: str, text: str, only: Collection[str] = ()) -> str:
        """The text with everything taken out that the section's patterns (or those of these names only) match."""
        for name, pattern in self._patterns[section].items():
            text = pattern.sub(" ", text) if not only or name in only else text
        return text

    def has(self, section: str, text: str) -> bool:
        """Whether anything of the section is in the text."""
        return any(True for _ in self.matches(section, text))


def _named(section: Any, lang: Lang) -> Iterable[tuple[str, re.Pattern[str]]]:
    if not isinstance(section, dict):
        return
    entries = {"": section} if lang in section else section
    for name, entry in entries.items():
        words = [entry[lang]] if isinstance(entry[lang], str) else entry[lang]
        yield name, re.compile("|".join(f"(?:{word})" for word in words), re.IGNORECASE)


@cache
def _table(lang: Lang) -> _Table:
    return _Table(raw(), lang)
