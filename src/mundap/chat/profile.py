"""Who a question is about: what the profile and the conversation say of age, pregnancy, conditions and medicines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mundap.chat import cues
from mundap.chat.cues import Cues
from mundap.types import Lang, Profile

_CHILD_BELOW, _ELDERLY_FROM = 15, 65
_COMPARED = ("infant", "child", "elderly")


@dataclass(frozen=True, slots=True)
class Person:
    """What is known of the one who is ill: groups (most telling first) and the profile that applies, if one does."""

    groups: tuple[str, ...] = ()
    profile: Profile = field(default_factory=Profile)
    facts: frozenset[str] = frozenset()

    @property
    def words(self) -> str:
        """Medicines and conditions in the person's own words, for matching against interactions."""
        return " ".join((*self.profile.medicines, *self.profile.conditions)).lower()


def person(profile: Profile | None, said: Iterable[Cues]) -> Person:
    """Join the profile with what was said. A profile of somebody else (the text is about a child) is left aside."""
    said = list(said)
    told = [group for cue in reversed(said) for group in cue.groups]
    own = _own(profile) if profile is not None else []
    about_other = any(cue.other_person for cue in said)
    applies = profile is not None and (not about_other or _fits(own, told))
    groups = dict.fromkeys([*told, *(own if applies else [])])
    if "infant" in groups:
        groups.pop("child", None)
    used = profile if applies and profile is not None else Profile()
    return Person(tuple(groups), used, _facts(used, said))


def describe(used: Profile, groups: Iterable[str], lang: Lang) -> tuple[str, ...]:
    """The parts of a profile that changed an answer, in words: "임신 20주", "75세"."""
    groups = set(groups)
    words: list[str] = []
    if used.age is not None and groups & {"infant", "child", "elderly"}:
        words.append(f"{used.age}세" if lang == "ko" else f"age {used.age}")
    if used.pregnant_weeks is not None and "pregnancy" in groups:
        words.append(f"임신 {used.pregnant_weeks}주" if lang == "ko" else f"{used.pregnant_weeks} weeks pregnant")
    if used.breastfeeding and "breastfeeding" in groups:
        words.append("수유 중" if lang == "ko" else "breastfeeding")
    words += [word for word in (*used.conditions, *used.medicines) if groups & set(_groups_of(word))]
    return tuple(words)


def _own(profile: Profile) -> list[str]:
    groups = [group for word in (*profile.conditions, *profile.medicines) for group in _groups_of(word)]
    if profile.pregnant_weeks is not None:
        groups.insert(0, "pregnancy")
    if profile.breastfeeding:
        groups.insert(0, "breastfeeding")
    if profile.age is not None:
        groups += ["infant"] if profile.age < 1 else ["child"] if profile.age < _CHILD_BELOW else []
        groups += ["elderly"] if profile.age >= _ELDERLY_FROM else []
    return groups


def _groups_of(word: str) -> list[str]:
    return [group for lang in cues.LANGS for group in cues.read(word, lang).groups if group not in _COMPARED]


def _fits(own: list[str], told: list[str]) -> bool:
    """Whether a profile can be of the person the text is about: the same of baby, child, elderly."""
    return bool({group for group in told if group in _COMPARED} & set(own))


def _facts(profile: Profile, said: Iterable[Cues]) -> frozenset[str]:
    known = {fact for cue in said for fact in cue.facts}
    given = {
        "age": profile.age is not None,
        "pregnancy": profile.pregnant_weeks is not None or profile.sex == "male" or (profile.age or 30) > 55,
        "medicines": bool(profile.medicines),
        "conditions": bool(profile.conditions),
    }
    return frozenset(known | {fact for fact, is_given in given.items() if is_given})
