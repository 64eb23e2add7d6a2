"""What must come through a translation unchanged, as placeholders ⟦0⟧, ⟦1⟧, … that are put back and counted afterwards.

Placeholders: links, e-mail addresses, mask tokens and citations (`[이름1]`, `[1]`), drug names (put back in the other
language), and numbers that a mistake would make dangerous: those with a measuring unit (`500 mg`, `38.5°C`,
`120/80 mmHg`), decimals, ranges, fractions, thousands, and how many or how often of a medicine (`3` of `3 times a day`).
Left in place: other whole numbers (ages, days, dates), because a sentence's grammar hangs on them; the checks count them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from mundap.types import Lang

Kind = Literal["text", "amount", "medicine"]

_NUMBER = r"[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?"
_UNIT = (
    r"(?:mmol|mEq|mOsm|nmol|umol|[µμ]mol|mcg|ug|[µμ]g|mg|ng|pg|kg|g|mIU|IU|kcal|cal|mL|ml|dL|dl|cc|L|mmHg|cmH2O|kPa|bpm"
    r"|mm|cm|km|Gy|mSv|Hz|dB|℃|℉|°\s?[CF]?|%)"
)
_RATE = rf"{_UNIT}(?:\s?/\s?(?:{_UNIT}|day|hour|min|hr|h|d|m²|m2))*(?![A-Za-z])"
_COUNTED = (
    r"[\s-]?(?:(?:times?|tablets?|capsules?|pills?|drops?|puffs?|doses?|tsp|teaspoons?|tablespoons?|units?)\b"
    r"|회|번|알|캡슐|방울|(?:정|포|배)(?![가-힣]{2}))"
)
_PROTECTED = re.compile(
    rf"""(?P<text>⟦\s*\d+\s*⟧|[⟦⟧]
    |(?:https?://|\bwww\.)[!-~]+(?<![.,;:!?)\]'">])
    |[A-Za-z0-9_.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z]{{2,}})+
    |\[[가-힣A-Za-z]*[0-9]+\])
    |(?P<amount>(?<![\w.,-])(?:
    {_NUMBER}(?:(?:\s?[-–—~/x×]\s?|\sto\s){_NUMBER})*\s?{_RATE}
    |{_NUMBER}(?:\s?[-–—~/x×]\s?{_NUMBER})+|[0-9]+(?:,[0-9]{{3}})+(?:\.[0-9]+)?|[0-9]+\.[0-9]+|[½¼¾⅓⅔]
    |[0-9]+(?={_COUNTED}))(?![0-9]))""",
    re.VERBOSE,
)
_PLACE = re.compile(r"⟦\s*(\d+)\s*⟧|[⟦⟧]")
# The form after a consonant and the form after a vowel.
_PARTICLES = {"을": "를", "은": "는", "이": "가", "과": "와", "으로": "로"}
_BOTH = {form: pair for pair in _PARTICLES.items() for form in pair}
_PARTICLE = re.compile(rf"(?:{'|'.join(sorted(_BOTH, key=len, reverse=True))})(?![가-힣])")


@dataclass(frozen=True, slots=True)
class Name:
    """A name found in a text at `start:end`, and what it is called in the other language."""

    start: int
    end: int
    other: str


@dataclass(frozen=True, slots=True)
class Slot:
    """What a placeholder stands for in the source text, and what goes in its place in the translation."""

    kind: Kind
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Shield:
    """A text with placeholders, and their slots by number."""

    text: str
    slots: tuple[Slot, ...] = ()

    @property
    def original(self) -> str:
        """The text as it was."""
        return _PLACE.sub(lambda found: self.slots[int(found[1])].source, self.text)


@dataclass(frozen=True, slots=True)
class Restored:
    """A translation with everything put back, the placeholders in the order they came, and those that went wrong."""

    text: str
    order: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()
    repeated: tuple[int, ...] = ()
    invented: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether every placeholder came back exactly once and no other."""
        return not (self.missing or self.repeated or self.invented)


def protect(text: str, target: Lang, names: Iterable[Name] = ()) -> Shield:
    """The text with placeholders. `names` are drug names to put back in the target language; overlaps give way."""
    slots: list[Slot] = []
    parts: list[str] = []
    place = 0
    for start, end, slot in _found(text, target, names):
        parts += text[place:start], f"⟦{len(slots)}⟧"
        slots.append(slot)
        place = end
    return Shield("".join([*parts, text[place:]]), tuple(slots))


def _found(text: str, target: Lang, names: Iterable[Name]) -> Iterator[tuple[int, int, Slot]]:
    """What to protect, in order, without overlaps: the one that begins first wins."""
    spans = [(name.start, name.end, Slot("medicine", text[name.start : name.end], name.other)) for name in names]
    for found in _PROTECTED.finditer(text):
        kind: Kind = "amount" if found["amount"] else "text"
        other = _between(found.group(), target) if kind == "amount" else found.group()
        spans.append((*found.span(), Slot(kind, found.group(), other)))
    last = 0
    for start, end, slot in sorted(spans, key=lambda span: (span[0], -span[1])):
        if start >= last:
            yield start, end, slot
            last = end


def _between(amount: str, target: Lang) -> str:
    """`5 to 10 mg` as Korean writes it: `5~10 mg`."""
    return amount.replace(" to ", "~") if target == "ko" else amount


def restore(text: str, slots: tuple[Slot, ...]) -> Restored:
    """Put back what the placeholders stand for, with Korean particles that fit the names."""
    order, invented, parts, place = [], [], [], 0
    for found in _PLACE.finditer(text):
        known = found[1] is not None and int(found[1]) < len(slots)
        parts.append(text[place : found.start()])
        place = found.end()
        if not known:
            invented.append(found.group())
            continue
        slot = slots[int(found[1])]
        order.append(int(found[1]))
        parts.append(slot.target)
        if slot.kind == "medicine" and (particle := _PARTICLE.match(text, place)):
            parts.append(_fitting(slot.target, particle.group()))
            place = particle.end()
    count = Counter(order)
    return Restored(
        "".join([*parts, text[place:]]),
        tuple(order),
        tuple(number for number in range(len(slots)) if number not in count),
        tuple(sorted(number for number, times in count.items() if times > 1)),
        tuple(invented),
    )


def _fitting(word: str, particle: str) -> str:
    """The form of a particle after a word: 이부프로펜을, 메트포르민으로, 아스피린과."""
    if not "가" <= word[-1:] <= "힣":
        return particle
    last = (ord(word[-1]) - ord("가")) % 28
    after_consonant, after_vowel = _BOTH[particle]
    open_end = last == 0 or (last == 8 and particle in ("으로", "로"))  # 8: the consonant ㄹ
    return after_vowel if open_end else after_consonant
