"""Triage: what the person says, what rules and a small classifier find in it, how soon help is needed.

The level of a talk is the maximum over the person's own messages and over the last few read together, because people
drip-feed. Nothing an assistant, a tool or a document says is read. No clinician has reviewed the rules.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

from mundap.safety.classifier import ESCALATES, PART_ESCALATES, Opinion, opinion
from mundap.safety.concepts import Reading, concepts, profile_concepts
from mundap.safety.memory import Memory
from mundap.safety.normalise import LIMIT, flatten
from mundap.safety.ruleset import Rule, rules
from mundap.safety.scope import says
from mundap.types import Level, Message, Profile, Urgency

TOGETHER = 5
LONG, SENTENCES = 160, 3
REMEMBERED = 200
_END = re.compile(r"[.!?\n]+(?!\d)")
_LOADING = threading.Lock()
_LOG = logging.getLogger(__name__)
_NOTHING = Profile()
# Whom to call when only the classifier raised the level: no rule says what it is, so both numbers, as in the fail-safe.
_NUMBERS = {Level.URGENT: (), Level.CRISIS: ("109", "112"), Level.EMERGENCY: ("119", "109")}
_MENTION = 0.1
_FIRED: Memory[tuple[Rule, ...]] = Memory()
_JUDGED: Memory[Opinion] = Memory()
FAILED = Urgency(level=Level.EMERGENCY, rules=("failsafe",), hotlines=("119", "109"), failed=True)


def triage(messages: Sequence[Message] | str, profile: Profile | None = None) -> Urgency:
    """How urgent a talk is: the higher of what the rules and the classifier say. May raise; `safe_triage` does not."""
    said = _said(messages)
    return _raised(by_rules(messages, profile), _opinions(said))


def by_rules(messages: Sequence[Message] | str, profile: Profile | None = None) -> Urgency:
    """What the rules alone find. The latest 200 messages of the person are read."""
    said = _said(messages)
    risks, facts = _profile(profile or _NOTHING)
    found = [_message(text, risks, facts) for text in said]
    together = [_assess("\n".join(said[-TOGETHER:]), risks, facts)] if len(said) > 1 else []
    if _corrected(said):
        found, together = [_calm(one) for one in found[:-1]] + found[-1:], [_calm(one) for one in together]
    return _worst(tuple(rule for one in (*found, *together) for rule in one))


def safe_triage(messages: Sequence[Message] | str, profile: Profile | None = None, timeout: float = 2.0) -> Urgency:
    """`triage`, or the fail-safe emergency block when it breaks or takes longer than `timeout` seconds."""
    prepare()  # loading takes its time once and is not part of anybody's two seconds
    result: list[Urgency] = []
    thread = threading.Thread(target=_run, args=(result, messages, profile), daemon=True, name="triage")
    thread.start()
    thread.join(timeout)
    if result:
        return result[0]
    _LOG.error("triage failed: %s", "no result in time" if thread.is_alive() else "it raised")
    return FAILED


def prepare() -> None:
    """Load the rules and the classifier, once. What is wrong with them shows in the triage that follows."""
    with _LOADING, suppress(Exception):
        rules()
        concepts()
        opinion("열이 나요")


def _run(result: list[Urgency], messages: Sequence[Message] | str, profile: Profile | None) -> None:
    """The body of the thread. Only the error's type is logged: its text could quote the person."""
    try:
        result.append(triage(messages, profile))
    except BaseException as error:
        _LOG.error("triage raised %s", type(error).__name__)


def _said(messages: Sequence[Message] | str) -> list[str]:
    if isinstance(messages, str):
        return [messages]
    mine = [message.content for message in messages or () if message.role == "user" and message.content]
    return mine[-REMEMBERED:]


@lru_cache(maxsize=256)
def _profile(profile: Profile) -> tuple[frozenset[str], tuple[tuple[str, float], ...]]:
    """A profile as risks and quantities."""
    risks = set(profile_concepts((*profile.conditions, *profile.medicines, *profile.allergies)))
    if profile.pregnant_weeks is not None:
        risks.add("pregnant")
    facts = {"weeks": profile.pregnant_weeks, "years": profile.age}
    return frozenset(risks), tuple((name, float(value)) for name, value in facts.items() if value is not None)


def _message(text: str, risks: frozenset[str], facts: tuple[tuple[str, float], ...]) -> tuple[Rule, ...]:
    """What one message fires, as a whole and a few sentences at a time, so that chit-chat cannot excuse a red flag."""
    return tuple(rule for part in (text, *_parts(text)) for rule in _assess(part, risks, facts))


def _parts(text: str) -> list[str]:
    """A long message in runs of a few sentences."""
    if len(text) < LONG:
        return []
    ended = [one for one in _END.split(text[: LIMIT // 2] + "\n" + text[LIMIT // 2 :][-LIMIT // 2 :]) if one.strip()]
    return [". ".join(ended[at : at + SENTENCES]) for at in range(0, len(ended), SENTENCES)] if len(ended) > 1 else []


def _assess(text: str, risks: frozenset[str], facts: tuple[tuple[str, float], ...]) -> tuple[Rule, ...]:
    """The rules one text fires."""
    return _FIRED.recall((text, risks, facts), lambda: _fired(text, risks, facts))


def _fired(text: str, risks: frozenset[str], facts: tuple[tuple[str, float], ...]) -> tuple[Rule, ...]:
    reading = Reading(flatten(text), risks, dict(facts))
    if not reading.flat.text:
        return ()
    return tuple(rule for rule in rules() if rule.fires(reading))


def _opinions(said: Sequence[str]) -> list[Opinion]:
    """The classifier's view of each message and of the last few together; after a correction, of the last alone."""
    if _corrected(said):
        calm = [one for one in map(_opinion, said[:-1]) if one.level == Level.CRISIS]
        return [*calm, _opinion(said[-1])]
    together = [_opinion("\n".join(said[-TOGETHER:]), PART_ESCALATES)] if len(said) > 1 else []
    return [*map(_opinion, said), *together]


def _opinion(text: str, escalates: float = ESCALATES) -> Opinion:
    return _JUDGED.recall((text, escalates), lambda: opinion(text, escalates))


def _raised(ruled: Urgency, opinions: Sequence[Opinion]) -> Urgency:
    """The rules' finding, raised to the classifier's where that is higher; rule and numbers then say so."""
    worst = max((one.level for one in opinions), default=Level.ROUTINE)
    if worst > ruled.level:
        numbers = dict.fromkeys((*_NUMBERS[worst], *ruled.hotlines))
        ruled = Urgency(worst, ("classifier", *ruled.rules), tuple(numbers))
    return _mentioned(ruled, max((one.crisis for one in opinions), default=0.0))


def _mentioned(found: Urgency, crisis: float) -> Urgency:
    """109 beside 119 when self-harm is at all likely, whoever saw the emergency: an overdose told as a story is one too."""
    if found.level < Level.CRISIS or crisis <= _MENTION or {"109", "112"} & set(found.hotlines):
        return found
    return replace(found, hotlines=(*found.hotlines, "109"))


def _calm(found: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """What is left of earlier messages after an explicit correction: a crisis is never lowered."""
    return tuple(rule for rule in found if rule.level == Level.CRISIS)


def _corrected(said: Sequence[str]) -> bool:
    """The person said, in so many words, that what they wrote before was about a film, a book or homework."""
    return len(said) > 1 and says("correction", flatten(said[-1]).text)


def _worst(found: tuple[Rule, ...]) -> Urgency:
    """The maximum, every rule that fired at or above urgent, and their numbers with the worst first."""
    ordered = sorted(dict.fromkeys(found), key=lambda rule: -rule.level)
    if not ordered:
        return Urgency()
    lines = dict.fromkeys(number for rule in ordered for number in rule.hotlines if rule.level > Level.URGENT)
    return Urgency(ordered[0].level, tuple(rule.name for rule in ordered), tuple(lines))
