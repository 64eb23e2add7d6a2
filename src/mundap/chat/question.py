"""What an answer depends on, gathered once for each turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mundap.chat.cues import Cues
from mundap.chat.profile import Person
from mundap.knowledge.schema import Both, Topic
from mundap.types import Lang, Level


@dataclass(frozen=True, slots=True)
class Question:
    """Everything an answer depends on: the topics (main one first), what was said, who it is for, how urgent.

    `text` is the last message, `said` all the person's messages, `said_before` all earlier answers. `more` marks a
    message that only adds something (an age, a date) to a question that was answered already.
    """

    text: str
    said: str
    lang: Lang
    topics: tuple[Topic, ...]
    cues: Cues
    person: Person
    level: Level = Level.ROUTINE
    said_before: str = ""
    unknown_medicine: str = ""
    more: bool = False
    departments: Mapping[str, Both] = field(default_factory=dict)

    @property
    def topic(self) -> Topic:
        """The main topic."""
        return self.topics[0]
