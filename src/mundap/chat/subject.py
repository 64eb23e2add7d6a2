"""Which topics a conversation is about now: what the last message names, or what it leans on.

A message begins a subject when it says so, or when its own topic still scores well in a search together with the
message that began the talk. Otherwise it goes on: what it tells is sought together with what was told before, what it
denies is left out, and a medicine it asks about comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

from mundap.chat import cues
from mundap.chat.cues import Cues
from mundap.knowledge.schema import Topic
from mundap.protocols import Retriever
from mundap.types import Lang

_MOST_TOPICS = 3
# The last messages of the person that are read one after the other.
_LOOK_BACK = 5
# Topics of a search whose scores are compared.
_SOUGHT = 8
# A message has a subject of its own when that, sought together with the message that began the talk, still scores so
# many times what a retriever calls confident; a question needs less than a statement, which mostly answers one.
_ASKED, _TOLD = 1.1, 1.15
# What stands for confident where a retriever does not say: this share of what the subject there was scores.
_SHARE = 0.6
# The subject there was stays while it scores this share of what fits all that was told better.
_HOLDS = 0.85


@runtime_checkable
class Scaled(Protocol):
    """A retriever that tells from which score on a passage is good enough to answer from."""

    @property
    def confident(self) -> float: ...


@runtime_checkable
class Vocabulary(Protocol):
    """A retriever that can tell which words mean anything to it."""

    def knows(self, word: str) -> bool: ...

    def unfamiliar(self, text: str) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Subject:
    """Topics, the main one first; `leans` when they come from what was said before."""

    topics: tuple[Topic, ...] = ()
    leans: bool = False


@dataclass(frozen=True, slots=True)
class _Talk:
    """A conversation read so far: its subject now, the topics and messages of that subject, and whom it is about."""

    subject: Subject = Subject()
    topics: tuple[Topic, ...] = ()
    lines: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class Subjects:
    """Finds the topics of a conversation with a retriever and the medicine names of the knowledge."""

    def __init__(self, topics: Mapping[str, Topic], retriever: Retriever) -> None:
        self._topics = topics
        self._retriever = retriever

    def of(self, said: Sequence[str], lang: Lang) -> Subject:
        """What the last of the person's messages is about, read after the ones before it; empty when nothing fits."""
        talk = _Talk()
        for text in said[-_LOOK_BACK:]:
            talk = self._after(talk, text, lang)
        return talk.subject

    def _after(self, talk: _Talk, text: str, lang: Lang) -> _Talk:
        """The talk with one more message."""
        cue = cues.read(text, lang)
        talk = replace(talk, groups=(*cue.groups, *talk.groups))
        if talk.topics and self._goes_on(talk, text, lang):
            lines = talk.lines if cue.asks else (*talk.lines, cues.claimed(text, lang))
            subject = self._asked(talk, text) if cue.asks else self._told(talk, lines, lang)
        else:
            plain = (talk.topics and cues.claimed(text, lang)) or text
            lines, subject = (plain,), self._begun(plain, lang)
        subject = self._suited(subject, talk.groups)
        if not subject.topics:
            return replace(talk, subject=subject)
        return replace(talk, subject=subject, topics=subject.topics, lines=lines)

    def _begun(self, text: str, lang: Lang) -> Subject:
        named = self._named(text)
        return Subject(named or tuple(self._topics[topic] for topic in [*self._found(text, lang)][:1]))

    def _asked(self, talk: _Talk, text: str) -> Subject:
        """The subject there was, after a medicine that the message asks about."""
        return Subject(_joined(self._named(text), talk.topics), leans=True)

    def _told(self, talk: _Talk, lines: Sequence[str], lang: Lang) -> Subject:
        """The subject there was, or the one that fits all that was told about it clearly better."""
        before = talk.topics[0]
        found = self._found(" ".join(lines), lang)
        best = self._topics[next(iter(found), before.id)]
        if before.medicine or best.medicine or _HOLDS * found.get(best.id, 0.0) <= found.get(before.id, 0.0):
            return Subject(talk.topics, leans=True)
        return Subject(_joined((best,), talk.topics))

    def _suited(self, subject: Subject, groups: Sequence[str]) -> Subject:
        """With the topic written for a group of people where there is one: a child's fever rather than fever."""
        return replace(subject, topics=_joined([self._instead(topic, groups) for topic in subject.topics]))

    def _instead(self, topic: Topic, groups: Sequence[str]) -> Topic:
        named = {str(group): other for group, other in topic.instead_for.items()}
        return next((self._topics[named[group]] for group in groups if group in named), topic)

    def _goes_on(self, talk: _Talk, text: str, lang: Lang) -> bool:
        """Whether a message goes on with what was said before rather than beginning with something else."""
        cue, plain = cues.read(text, lang), cues.claimed(text, lang)
        if cue.refers and not cue.new_subject:
            return True
        particular = cues.particular(plain, lang)
        own = next(iter(self._search(cues.impersonal(particular, lang), lang)), "") if particular else ""
        if not own:
            return not cue.asks or particular != plain or self._is_bare(cue, text, lang)
        return self._is_near(own, talk.topics) or not self._begins(talk, own, cue, plain, lang)

    def _is_near(self, own: str, before: Sequence[Topic]) -> bool:
        """Whether a topic is one of those there were, or one written instead of them for a group of people."""
        related = {other for topic in before for other in (topic.id, *topic.instead_for.values())}
        return own in related or bool(set(self._topics[own].instead_for.values()) & related)

    def _begins(self, talk: _Talk, own: str, cue: Cues, plain: str, lang: Lang) -> bool:
        """Whether a message that has a topic of its own leaves the subject for it."""
        if cue.new_subject or cue.corrects:
            return True
        if not (cue.asks or cue.other_person) and cues.read(plain, lang).answers:
            return False
        return self._stands(own, self._found(f"{talk.lines[0]} {plain}", lang), talk.topics[0].id, cue.asks)

    def _stands(self, own: str, together: Mapping[str, float], before: str, asks: bool) -> bool:
        """Whether a message's own topic is clear even when it is read together with what began the talk."""
        retriever = self._retriever
        scale = retriever.confident if isinstance(retriever, Scaled) else _SHARE * together.get(before, 0.0)
        return together.get(own, 0.0) >= (_ASKED if asks else _TOLD) * scale

    def _is_bare(self, cue: Cues, text: str, lang: Lang) -> bool:
        """Whether a message without a topic shows that it leans on another message."""
        return bool(cue.follow_up or cue.groups or cue.intent != "help" or not cues.bare(text, lang).strip(" .,!?~"))

    def _found(self, text: str, lang: Lang) -> dict[str, float]:
        """Topics for a text and their scores, sought first without words that only say who it is about (임신, 아이)."""
        impersonal = cues.impersonal(text, lang)
        return self._search(impersonal, lang) or (self._search(text, lang) if impersonal != text else {})

    def _search(self, text: str, lang: Lang) -> dict[str, float]:
        passages = self._retriever.search(text, _SOUGHT, lang)
        return {passage.topic: passage.score for passage in passages if passage.topic in self._topics}

    def _named(self, text: str) -> tuple[Topic, ...]:
        """Medicines whose substance or brand stands in the text, in the order they stand."""
        packed = "".join(text.lower().split())
        places = {topic: packed.find(name) for name, topic in self._medicine_names.items() if name in packed}
        return tuple(self._topics[topic] for topic in sorted(places, key=lambda topic: places[topic]))

    @cached_property
    def _medicine_names(self) -> dict[str, str]:
        names: dict[str, str] = {}
        for topic in self._topics.values():
            if topic.medicine is not None:
                substance = topic.medicine.substance
                for name in (substance.ko, substance.en, *topic.medicine.brands):
                    packed = "".join(name.lower().split("(")[0].split())
                    if len(packed) > 1:
                        names[packed] = topic.id
        return names

    def unknown_medicine(self, text: str, cue: Cues, lang: Lang) -> str:
        """A medicine's name in the text that nothing here knows, or an empty string."""
        retriever = self._retriever
        if not isinstance(retriever, Vocabulary):
            return ""
        named = [name for name in cues.medicine_names(text, lang) if not self._familiar(name, retriever)]
        asked = retriever.unfamiliar(text) if cue.intent in ("medicine", "dose") else []
        return next(iter([*named, *asked]), "")

    def _familiar(self, name: str, retriever: Vocabulary) -> bool:
        """Whether a word, with or without its form (정, 캡슐), is known; 타이레놀정 is, 걱정 is, 젤로마딘정 is not."""
        stem = cues.without_form(name)
        return any(known in name for known in self._medicine_names) or retriever.knows(name) or retriever.knows(stem)


def _joined(*groups: Sequence[Topic]) -> tuple[Topic, ...]:
    found = {topic.id: topic for group in groups for topic in group}
    return tuple(found.values())[:_MOST_TOPICS]
