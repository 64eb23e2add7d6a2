"""What a translation of one sentence must pass: each check is a small function that says what is wrong, or nothing.

The words they look for, and whether a failure drops a text or flags it, are data (`checks.yaml`). They are cautious: a
check fails only on what a right translation hardly ever does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from mundap.translate.amounts import alike, hard, measured, numbers, table, units
from mundap.translate.glossary import MEDICINES, Glossary
from mundap.translate.shield import Restored, Shield, protect
from mundap.types import Lang

_HANGUL, _LATIN = re.compile("[가-힣]"), re.compile("[A-Za-z]")
_OTHER = re.compile(r"[^\W\d_가-힣A-Za-zÀ-ɏͰ-Ͽµᄀ-ᇿㄱ-ㆎ]")
_WORD = re.compile(r"[^\W\d_]+")
_CAPITALS = re.compile(r"\b[A-Z][A-Z0-9]+s?\b")
_SPECIAL = re.compile(r"https?://\S+|www\.\S+|\S+@\S+|\[[^\]]*\d\]")


@dataclass(frozen=True, slots=True)
class Problem:
    """A check that failed, and on what. `detail` holds numbers, units and glossary terms, never other text."""

    check: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.check}: {self.detail}" if self.detail else self.check


@dataclass(frozen=True, slots=True)
class Pair:
    """A sentence and its translation, both whole, with the shield that was around the first and what came back."""

    source: str
    target: str
    source_lang: Lang
    target_lang: Lang
    shield: Shield = field(default_factory=lambda: Shield(""))
    restored: Restored = field(default_factory=lambda: Restored(""))


def check(pair: Pair, glossary: Glossary) -> list[Problem]:
    """Everything that is wrong with a translation, in the order of `CHECKS`."""
    if not pair.target.strip():
        return [Problem("empty")]
    found = [problem for one in CHECKS for problem in one(pair)]
    return [*found, *_terms(pair, glossary)]


def actions() -> dict[str, str]:
    """`drop` or `flag` for each check."""
    return dict(table()["actions"])


def limit(name: str) -> Any:
    """A threshold of `checks.yaml`."""
    return table()["limits"][name]


def placeholders(pair: Pair) -> Iterator[Problem]:
    """Every placeholder came back exactly once; links and tokens are there even when the engine was asked without any."""
    told, slots = pair.restored, pair.shield.slots
    kept = [slot.source for slot in protect(pair.source, pair.target_lang).slots if slot.kind == "text"]
    lost = [slots[number].source for number in told.missing]
    lost += [text for text in dict.fromkeys(kept) if pair.target.count(text) < kept.count(text) and text not in lost]
    twice = [slots[number].source for number in told.repeated]
    for words, listed in (("missing", lost), ("more than once", twice), ("never sent", list(told.invented))):
        if listed:
            yield Problem("placeholders", f"{', '.join(listed)} {words}")


def order(pair: Pair) -> Iterator[Problem]:
    """Amounts of one unit come in the order of the source; names may move, which is only noted."""
    here, there = _by_unit(pair.source), _by_unit(pair.target)
    for unit, came in there.items():
        if sorted(came) == sorted(here.get(unit, ())) and came != here[unit]:
            yield Problem("order", f"{', '.join(f'{value:g}' for value in came)} {unit}")
    slots = pair.shield.slots
    back = [slots[number].source for number in pair.restored.order if slots[number].kind == "medicine"]
    away = [slot.source for slot in slots if slot.kind == "medicine"]
    if sorted(back) == sorted(away) and back != away:
        yield Problem("names_order", " / ".join(back))


def _by_unit(text: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for value, unit in measured(text):
        found.setdefault(unit, []).append(value)
    return found


def same_numbers(pair: Pair) -> Iterator[Problem]:
    """The same numbers on both sides, as often; one written as a word may stand for one in digits."""
    here, there = numbers(pair.source, pair.source_lang), numbers(pair.target, pair.target_lang)
    lost = [value for value in here.digits - there.digits if value not in there.words]
    new = [value for value in there.digits - here.digits if value not in here.words]
    lost += [value for value in here.firm if value not in there.words and not there.digits[value]]
    new += [value for value in there.firm if value not in here.words and not here.digits[value]]
    changed = sorted(there.codes - here.codes) if here.codes - there.codes else []
    if lost or new or changed:
        told = [*(f"{value:g} missing" for value in lost), *(f"{value:g} new" for value in new), *changed]
        yield Problem("numbers", "; ".join(told))


def same_units(pair: Pair) -> Iterator[Problem]:
    """No number has another unit; a measure has not lost or got one."""
    here, there = units(pair.source), units(pair.target)
    for value in here.keys() | there.keys():
        one, two = here.get(value, set()), there.get(value, set())
        if any(alike(a, b) for a in one for b in two):
            continue
        if ((one and two) or any(map(hard, one | two))) and not _in_words(value, pair, one):
            yield Problem("units", f"{value:g} {_listed(one)} became {_listed(two)}")


def _in_words(value: float, pair: Pair, one: set[str]) -> bool:
    """Whether the side without the unit has the number in words, where units are not looked for."""
    text, lang = (pair.target, pair.target_lang) if one else (pair.source, pair.source_lang)
    found = numbers(text, lang)
    return value in found.words and not found.digits[value]


def _listed(names: Iterable[str]) -> str:
    return "/".join(sorted(names)) or "none"


def polarity(pair: Pair) -> Iterator[Problem]:
    """A sentence that denies something still does, and one that does not still does not.

    Languages deny in many ways ("avoid", 피하세요), so a missing "not" counts only when such words do not stand for it.
    One that was added is judged more mildly: natural Korean denies where English has a single word for it.
    """
    here, there = _polarity(pair.source, pair.source_lang), _polarity(pair.target, pair.target_lang)
    if here.denies and not there.denies and not there.idioms and (not there.near or there.near <= here.near):
        yield Problem("negation", "lost")
    if there.denies and not here.denies and not here.idioms and not here.near:
        yield Problem("negation", "new")


@dataclass(frozen=True, slots=True)
class _Polarity:
    denies: bool
    idioms: bool
    near: int


def _polarity(text: str, lang: Lang) -> _Polarity:
    text = text.lower()
    plain = _words("negation", lang, "idioms").sub(" ", text)
    near = sum(bool(pattern.search(plain)) for pattern in _near(lang))
    return _Polarity(bool(_words("negation", lang, "not").search(plain)), plain != text, near)


def refusal(pair: Pair) -> Iterator[Problem]:
    """The engine translated, instead of talking about itself or its task."""
    said = any(_words("refusal", lang).search(pair.target.lower()) for lang in ("en", "ko"))
    if said and not any(_words("refusal", lang).search(pair.source.lower()) for lang in ("en", "ko")):
        yield Problem("refusal")


def untranslated(pair: Pair) -> Iterator[Problem]:
    """The translation is in the language asked for."""
    text = _SPECIAL.sub(" ", pair.target)
    words = _CAPITALS.sub(" ", text) if pair.target_lang == "ko" else text  # MRI is Korean, too
    hangul, latin, other = (len(letters.findall(words)) for letters in (_HANGUL, _LATIN, _OTHER))
    # A Hangul syllable holds about as much as two Latin letters.
    own, foreign = (hangul * 2, latin) if pair.target_lang == "ko" else (latin, hangul * 2)
    if own < limit("letters") * (own + foreign) or other > limit("foreign") * (hangul + latin + other):
        yield Problem("untranslated")
    elif pair.target_lang == "ko" and _latin_run().search(text):
        yield Problem("untranslated", "in part")


@cache
def _latin_run() -> re.Pattern[str]:
    return re.compile(rf"\b[a-z]+(?:[ ,]+[a-z]+){{{limit('run') - 1},}}")


def repetition(pair: Pair) -> Iterator[Problem]:
    """No phrase goes round and round that does not in the source."""
    if _loops(pair.target) and not _loops(pair.source):
        yield Problem("repetition")


def _loops(text: str) -> bool:
    """A phrase of 2 to 60 characters with a letter in it, again and again."""
    more = limit("repeats") - 1
    return any(_WORD.search(found[1]) for found in re.finditer(rf"(.{{2,60}}?)(?:\s?\1){{{more},}}", text, re.DOTALL))


def length(pair: Pair) -> Iterator[Problem]:
    """Neither much shorter nor much longer than the source."""
    (low, high), slack = limit("ratio"), limit("slack")
    here, there = len(pair.source), len(pair.target)
    if not low * here - slack <= there <= high * here + slack:
        yield Problem("length", f"{there / max(here, 1):.2f}")


def _terms(pair: Pair, glossary: Glossary) -> Iterator[Problem]:
    """The glossary's terms are there in an approved form; drug names count by themselves."""
    missing = glossary.missing(pair.source, pair.target, pair.source_lang, pair.target_lang)
    for name, terms in (
        ("medicines", [term for term in missing if term.kind == MEDICINES]),
        ("glossary", [term for term in missing if term.kind != MEDICINES]),
    ):
        if terms:
            yield Problem(name, ", ".join(term.names(pair.source_lang)[0] for term in terms))


@cache
def _near(lang: Lang) -> tuple[re.Pattern[str], ...]:
    return tuple(map(re.compile, table()["negation"][lang]["near"]))


@cache
def _words(name: str, lang: str, part: str = "") -> re.Pattern[str]:
    found = table()[name][lang]
    return re.compile("|".join(found[part] if part else found))


CHECKS: tuple[Callable[[Pair], Iterator[Problem]], ...] = (
    placeholders, order, refusal, untranslated, same_numbers, same_units, polarity, repetition, length,
)  # fmt: skip
