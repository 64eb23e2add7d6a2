"""Which topics a conversation is about now: what the last message names, or what it leans on."""

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


class Subjects:
    """Finds the topics of a conversation with a retriever and the medicine names of the knowledge."""

    def __init__(self, topics: Mapping[str, Topic], retriever: Retriever) -> None:
        self._topics = topics
        self._retriever = retriever

    def of(self, said: Sequence[str], lang: Lang) -> Subject:
        """What the last of the person's messages is about, read after the ones before it; empty when nothing fits."""
        subject = Subject()
        last: tuple[Topic, ...] = ()
        groups: tuple[str, ...] = ()
        for text in said[-_LOOK_BACK:]:
            groups = (*cues.read(text, lang).groups, *groups)
            subject = self._suited(self._next(text, last, lang), groups)
            last = subject.topics or last
        return subject

    def _next(self, text: str, before: tuple[Topic, ...], lang: Lang) -> Subject:
        own, named = self._found(text, lang), self._named(text)
        if before and self._leans(text, before, lang):
            return Subject(_joined(named, before), leans=True)
        return Subject(_joined(named, () if named else own[:1]))

    def _suited(self, subject: Subject, groups: Sequence[str]) -> Subject:
        """With the topic written for a group of people where there is one: a child's fever rather than fever."""
        return replace(subject, topics=_joined([self._instead(topic, groups) for topic in subject.topics]))

    def _instead(self, topic: Topic, groups: Sequence[str]) -> Topic:
        named = {str(group): other for group, other in topic.instead_for.items()}
        return next((self._topics[named[group]] for group in groups if group in named), topic)

    def _leans(self, text: str, before: Sequence[Topic], lang: Lang) -> bool:
        """Whether a message goes on with what was said before: it has no subject of its own, or the same one."""
        cue = cues.read(text, lang)
        bare = cues.bare(text, lang)
        if not (cue.follow_up or cue.groups or cue.intent != "help" or not bare.strip(" .,!?~")):
            return False
        own = self._found(bare, lang)
        related = {other for topic in before for other in (topic.id, *topic.instead_for.values())}
        return not own or own[0].id in related or bool(set(own[0].instead_for.values()) & related)

    def _found(self, text: str, lang: Lang) -> tuple[Topic, ...]:
        """Topics for a text, sought first without the words that only say who it is about (임신, 아이)."""
        return self._search(cues.impersonal(text, lang), lang) or self._search(text, lang)

    def _search(self, text: str, lang: Lang) -> tuple[Topic, ...]:
        passages = self._retriever.search(text, _MOST_TOPICS, lang)
        return tuple(self._topics[passage.topic] for passage in passages if passage.topic in self._topics)

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
