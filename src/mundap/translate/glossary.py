"""Medical terms in both languages (`glossary.yaml`): found in a text, and looked for in its translation.

A file of kinds, each `English: Korean`; forms of one term are separated by `|` or listed, the preferred one first. A
form that ends in `-` proves that a term was translated, but is never written or looked up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from mundap.errors import ConfigError
from mundap.store import digest
from mundap.translate.shield import Name
from mundap.types import Lang

MEDICINES = "medicines"
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9'’]*")
_JOINED = re.compile(r"\s?[\s-]?")
_LETTER = re.compile(r"[^\W_]")
_HANGUL_RUN = re.compile(r"[가-힣]+")
# What may follow a Korean noun in the same word: particles, the copula, and verbs that are written together with it.
_AFTER = re.compile(
    r"(?:들|마다|까지|부터|처럼|보다|이?나(?![가-힣])|이?란(?![가-힣])|이?라|이래|이?며|이고|이면|입니|인|이에|예요|이었|였|이?든|만|도|은|는"
    r"|이(?![가-힣])|가(?![가-힣])|을|를|의|에|와|과|으?로|하|되|된|시(?![가-힣]))|[^가-힣]|$"
)
_SHORTEST = 2  # a Korean word of one syllable (간, 위, 배) is part of too many others to be looked up


@dataclass(frozen=True, slots=True)
class Term:
    """One thing and all its approved names, the preferred first."""

    kind: str
    en: tuple[str, ...]
    ko: tuple[str, ...]
    stems: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    def names(self, lang: Lang) -> tuple[str, ...]:
        """The names in a language; the first is the preferred one."""
        return self.en if lang == "en" else self.ko


@dataclass(frozen=True, slots=True)
class Hit:
    """A term where it stands in a text."""

    start: int
    end: int
    term: Term


class Glossary:
    """Terms to look up. `version` changes when any of them does."""

    def __init__(self, terms: Sequence[Term]) -> None:
        self.terms = tuple(terms)
        self.version = digest([[term.kind, term.en, term.ko, term.stems, term.also] for term in self.terms])[:12]

    def terms_in(self, text: str, source: Lang) -> list[Hit]:
        """The terms of a text in order, the longest where several begin; they do not overlap."""
        return list(self._english(text) if source == "en" else self._korean(text))

    def pairs(self, text: str, source: Lang, target: Lang) -> list[tuple[str, str]]:
        """What an engine is told: each term as it stands in the text, with its preferred translation."""
        hits = self.terms_in(text, source)
        return list(dict.fromkeys((text[hit.start : hit.end], hit.term.names(target)[0]) for hit in hits))

    def medicines(self, text: str, source: Lang, target: Lang) -> list[Name]:
        """The drug names of a text, for the shield."""
        hits = (hit for hit in self.terms_in(text, source) if hit.term.kind == MEDICINES)
        return [Name(hit.start, hit.end, hit.term.names(target)[0]) for hit in hits]

    def missing(self, text: str, translation: str, source: Lang, target: Lang) -> list[Term]:
        """Terms of a text none of whose approved translations is in the translation."""
        packed, seen = _packed(translation), dict.fromkeys(hit.term for hit in self.terms_in(text, source))
        return [term for term in seen if not any(name in packed for name in self._approved(term, target))]

    def _approved(self, term: Term, target: Lang) -> Sequence[str]:
        """What proves a translation. A Korean word may stand for several terms: each of their English names counts."""
        if target == "ko":
            return [_packed(name) for name in (*term.ko, *term.stems)]
        return [_packed(name) for name in self._english_names[_packed(term.ko[0])]]

    @cached_property
    def _english_names(self) -> Mapping[str, Sequence[str]]:
        found: dict[str, list[str]] = {}
        for term in self.terms:
            for form in (*term.ko, *term.stems):
                found.setdefault(_packed(form), []).extend((*term.en, *term.also))
        return found

    def _english(self, text: str) -> Iterator[Hit]:
        words = list(_WORD.finditer(text))
        place = 0
        while place < len(words):
            count, term = self._longest(text, words, place)
            if term is not None:
                yield Hit(words[place].start(), words[place + count - 1].end(), term)
            place += count

    def _longest(self, text: str, words: Sequence[re.Match[str]], place: int) -> tuple[int, Term | None]:
        """How many words the longest term that begins here has."""
        for form, term in self._by_word.get(_plain(words[place].group()), ()):
            part = words[place : place + len(form)]
            joined = all(_JOINED.fullmatch(text, one.end(), two.start()) for one, two in pairwise(part))
            if len(part) == len(form) and joined and all(map(_same, form, part)):
                return len(form), term
        return 1, None

    def _korean(self, text: str) -> Iterator[Hit]:
        last = 0
        for run in _HANGUL_RUN.finditer(text):
            rows = self._by_start.get(text[run.start() : run.start() + _SHORTEST], ()) if run.start() >= last else ()
            for pattern, term in rows:
                if (found := pattern.match(text, run.start())) and _AFTER.match(text, found.end()):
                    yield Hit(found.start(), found.end(), term)
                    last = found.end()
                    break

    @cached_property
    def _by_word(self) -> Mapping[str, Sequence[tuple[tuple[str, ...], Term]]]:
        """English forms, singular and plural, by their first word, the longest first."""
        found: dict[str, list[tuple[tuple[str, ...], Term]]] = {}
        for term in self.terms:
            for exact, form in ((name.isupper(), form) for name in term.en for form in _forms(name)):
                words = tuple(word.group() if exact else _plain(word.group()) for word in _WORD.finditer(form))
                found.setdefault(_plain(words[0]), []).append((words, term))
        return {first: sorted(rows, key=lambda row: -len(row[0])) for first, rows in found.items()}

    @cached_property
    def _by_start(self) -> Mapping[str, Sequence[tuple[re.Pattern[str], Term]]]:
        """Preferred Korean forms (of medicines: all), spaces optional, by their first letters, the longest first."""
        found: dict[str, list[tuple[int, re.Pattern[str], Term]]] = {}
        for term in self.terms:
            names = term.ko if term.kind == MEDICINES else term.ko[:1]
            for name in (name for name in names if _HANGUL_RUN.match(name) and len(name) >= _SHORTEST):
                pattern = re.compile(r"\s?".join(map(re.escape, name.replace(" ", ""))))
                found.setdefault(name[:_SHORTEST], []).append((len(name), pattern, term))
        rows = {start: sorted(each, key=lambda row: -row[0]) for start, each in found.items()}
        return {start: [(pattern, term) for _, pattern, term in each] for start, each in rows.items()}


def load(path: Path | None = None) -> Glossary:
    """A glossary from a file of the same form, or our own. Raises `ConfigError` with every problem."""
    return _own() if path is None else _made(path.read_text("utf-8"), str(path))


@cache
def _own() -> Glossary:
    return _made((files("mundap.translate") / "glossary.yaml").read_text("utf-8"), "glossary.yaml")


def _made(text: str, where: str) -> Glossary:
    raw = yaml.load(text, Loader=yaml.CSafeLoader)
    if not isinstance(raw, dict) or not all(isinstance(terms, dict) for terms in raw.values()):
        raise ConfigError(where, ["expected kinds, each with lines `English: Korean`"])
    terms = [_term(kind, en, ko) for kind, rows in raw.items() for en, ko in rows.items()]
    problems = [
        f"{term.kind}: {'|'.join(term.en) or '?'}: no name in one of the languages"
        for term in terms
        if not _whole(term)
    ]
    if problems:
        raise ConfigError(where, problems)
    return Glossary(terms)


def _term(kind: str, en: Any, ko: Any) -> Term:
    english, also = _parted(str(en).split("|"))
    korean, stems = _parted(map(str, ko if isinstance(ko, list) else [ko]))
    return Term(str(kind), english, korean, stems, also)


def _parted(forms: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names, and the stems that end in "-" without it."""
    told = [form.strip() for form in forms]
    names = tuple(form for form in told if not form.endswith("-"))
    return names, tuple(form[:-1] for form in told if form.endswith("-"))


def _whole(term: Term) -> bool:
    sides = (term.en, term.ko)
    return all(names and all(map(_LETTER.search, names)) for names in sides)


def _plain(word: str) -> str:
    return word.lower().removesuffix("'s").removesuffix("’s")


def _same(form: str, word: re.Match[str]) -> bool:
    """An abbreviation in capitals (AIDS, ALS) is no other word in small letters."""
    return form in (word.group(), _plain(word.group()))


def _packed(text: str) -> str:
    return re.sub(r"[\s-]+", "", text.lower())


def _forms(name: str) -> list[str]:
    """A name and its plural."""
    if name.endswith("y") and name[-2:-1] not in "aeou":
        return [name, f"{name[:-1]}ies"]
    return [name, f"{name}es" if name.endswith(("s", "x", "ch", "sh")) else f"{name}s"]
