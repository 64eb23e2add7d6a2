"""Which topics a conversation is about now: what the last message names, or what it leans on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from mundap.chat import cues
from mundap.chat.cues import Cues
from mundap.knowledge.schema import Topic
from mundap.protocols import Retriever
from mundap.types import Lang

_MOST_TOPICS = 3
# Earlier messages of the person that a follow-up may lean on.
_LOOK_BACK = 4


class Subjects:
    """Finds the topics of a conversation with a retriever and the medicine names of the knowledge."""

    def __init__(self, topics: Mapping[str, Topic], retriever: Retriever) -> None:
        self._topics = topics
        self._retriever = retriever

    def of(self, said: Sequence[str], cue: Cues, lang: Lang) -> tuple[Topic, ...]:
        """Topics of the last of the person's messages, main one first; empty when nothing is confident."""
        own = self._found(said[-1], lang)
        before = self._before(said[:-1], lang) if cue.follow_up or not own else ()
        named = self._named(said[-1])
        if not before:
            return _joined(own[:1], named)
        if named or (own and own[0].medicine is not None):
            return _joined(named or own[:1], before)
        return before if self._leans(said[-1], own, before) else own[:1]

    def _leans(self, text: str, own: Sequence[Topic], before: Sequence[Topic]) -> bool:
        """A short message without a subject of its own goes on with what was being talked about."""
        return not own or own[0] in before or len("".join(text.split())) <= 8

    def _before(self, said: Sequence[str], lang: Lang) -> tuple[Topic, ...]:
        for text in reversed(said[-_LOOK_BACK:]):
            found = _joined(self._found(text, lang)[:1], self._named(text))
            if found:
                return found
        return ()

    def _found(self, text: str, lang: Lang) -> tuple[Topic, ...]:
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

    def unknown_medicine(self, text: str, lang: Lang) -> str:
        """A word that stands where a medicine's name stands and that nothing here knows, or an empty string."""
        knows = getattr(self._retriever, "knows", None)
        if knows is None:
            return ""
        return next((name for name in cues.medicine_names(text, lang) if not knows(name)), "")


def _joined(*groups: Sequence[Topic]) -> tuple[Topic, ...]:
    found = {topic.id: topic for group in groups for topic in group}
    return tuple(found.values())[:_MOST_TOPICS]
