"""The medical words the filters know, from the knowledge and the glossary: which terms a text has, and which mean the same."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import yaml

from mundap.knowledge import load
from mundap.knowledge.passages import LANGS, sections
from mundap.retrieve.tokens import Tokens
from mundap.translate import glossary
from mundap.types import Lang

# A name: its terms, and the topic it belongs to.
Name = tuple[frozenset[str], str]
# Kinds of the glossary that say something medical about a person, and those that are medicines.
_MEDICINES = ("medicines", "drug_kinds")
_KINDS = ("symptoms", "diseases", "tests", "body", *_MEDICINES)
_SEVERAL = 3  # topics: a word that so many of them are called by is an everyday one
_LONGEST_ENGLISH = 2  # longer English names are sentences ("woke up with toe agony"), not names


@cache
def tokens() -> Tokens:
    """One tokenizer for all filters, with the medicine names of the knowledge in its dictionary."""
    return Tokens(term for section in sections(load.topics().values()) for term in section.terms)


@lru_cache(maxsize=1 << 14)
def words(text: str) -> tuple[str, ...]:
    """A text's search terms in order, kept for the texts that are looked at again."""
    return tuple(tokens()(text))


def medical(text: str, lang: Lang) -> frozenset[str]:
    """The terms of a text that say something medical."""
    known, forms = _terms()[lang], _rules()["forms"]
    return frozenset(term for term in words(text) if term in known or (lang == "en" and forms.search(term)))


def unsupported(text: str, source: str, lang: Lang) -> frozenset[str]:
    """Medical terms of a text that its source has neither as they are nor by another name for the same."""
    there = frozenset(words(source))
    missing = {term for term in medical(text, lang) - there if not _written(term, source) and not _alike(term, there)}
    return frozenset(missing - _same_topics(frozenset(words(text)), there, lang) if missing else missing)


def _written(term: str, source: str) -> bool:
    """Whether a Korean noun stands inside a longer word of the source (혈압 in 고혈압약)."""
    form, _, kind = term.rpartition("/")
    return kind == "N" and len(form) > 1 and form in re.sub(r"\s+", "", source)


def _alike(term: str, there: frozenset[str]) -> bool:
    return any(term in group and group & there for group in _rules()["alike"])


def _same_topics(text: frozenset[str], there: frozenset[str], lang: Lang) -> frozenset[str]:
    """The terms of those names in a text whose topic the source calls by another name (머리 아프다, 두통).

    A name that shares a word with the source is not another name: it adds something (통풍, 맥주 통풍).
    """
    told = {topic for _, topic in _named(there, lang)} - {""}
    return frozenset(term for name, topic in _named(text, lang) if topic in told and not name & there for term in name)


def _named(text: frozenset[str], lang: Lang) -> set[Name]:
    index = _names()[lang]
    return {name for term in text for name in index.get(term, ()) if name[0] <= text}


@cache
def _names() -> Mapping[Lang, Mapping[str, tuple[Name, ...]]]:
    """For each language, each term to the names that hold it; general words make no name.

    A medicine is no name of the illness it is for: it belongs to a topic of its own, or to nothing.
    """
    found: dict[Lang, dict[str, dict[Name, None]]] = {"ko": {}, "en": {}}
    for topic, lang, name in dict.fromkeys((*_known(), *_listed())):
        terms = frozenset(term for term in words(name) if not term[0].isdigit()) - _rules()["general"]
        if terms and (lang == "ko" or len(terms) <= _LONGEST_ENGLISH):
            of = topic if _is_medicine(topic) or not terms & _medicine_terms() else ""
            for term in terms:
                found[lang].setdefault(term, {})[terms, of] = None
    return {lang: {term: tuple(names) for term, names in index.items()} for lang, index in found.items()}


def _known() -> Iterator[tuple[str, Lang, str]]:
    """Topic, language and name, of every name in the knowledge."""
    return ((s.topic, s.lang, name) for s in sections(load.topics().values()) for name in s.names)


def _listed() -> Iterator[tuple[str, Lang, str]]:
    """The same of the glossary's terms: `medicines:gout` and the like stand for topics."""
    for term in glossary.load().terms:
        if term.kind in _KINDS:
            yield from ((f"{term.kind}:{term.en[0]}", lang, name) for lang in LANGS for name in term.names(lang))


def _is_medicine(topic: str) -> bool:
    kind, colon, _ = topic.partition(":")
    return kind in _MEDICINES if colon else load.topics()[topic].medicine is not None


@cache
def _medicine_terms() -> frozenset[str]:
    """Terms of medicine names, without the words by which several other things go too (pain in pain killer)."""
    named: dict[str, set[str]] = {}
    for topic, _, name in (*_known(), *_listed()):
        named.setdefault(topic, set()).add(name)
    common = Counter(term for topic, names in named.items() if not _is_medicine(topic) for term in _all_terms(names))
    own = _all_terms(name for topic, _, name in _listed() if _is_medicine(topic))
    own |= _all_terms(
        name
        for t in load.topics().values()
        if t.medicine
        for name in (*t.medicine.brands, *t.title.model_dump().values())
    )
    return frozenset(term for term in own if common[term] < _SEVERAL)


def _all_terms(names: Iterable[str]) -> set[str]:
    return {term for name in names for term in words(name)}


def _spoken_of() -> Mapping[str, set[str]]:
    """The names of each topic that is not a medicine."""
    found: dict[str, set[str]] = {}
    for section in sections(topic for topic in load.topics().values() if topic.medicine is None):
        found.setdefault(section.topic, set()).update(section.names)
    return found


@cache
def _terms() -> Mapping[Lang, frozenset[str]]:
    """Korean nouns, and the verbs of complaints, that names are made of; English words of short names."""
    korean = {term for term in _names()["ko"] if term.endswith("/N") or "/" not in term}
    return {"ko": frozenset(korean | _rules()["complaints"]), "en": frozenset(_names()["en"])}


@cache
def _rules() -> Mapping[str, Any]:
    raw = yaml.load((files("mundap.augment") / "lexicon.yaml").read_text("utf-8"), Loader=yaml.CSafeLoader)
    return {
        "general": _set(raw["general"]["ko"]) | _stems(raw["general"]["en"]),
        "complaints": _set(raw["complaints"]),
        "alike": [_set(group["ko"]) | _stems(group["en"]) for group in raw["alike"]],
        "forms": re.compile(raw["forms"]),
    }


def _set(rows: Iterable[str]) -> frozenset[str]:
    return frozenset(rows)


def _stems(rows: Iterable[str]) -> frozenset[str]:
    """English words as the tokenizer stems them."""
    return frozenset(term for row in rows for term in tokens().english(row))
