"""The nouns of mundap: frozen records that flow from one part to the next. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal

Lang = Literal["ko", "en"]
Role = Literal["system", "user", "assistant"]
Origin = Literal["asked", "title", "generated", "translated"]
State = Literal["whole", "question_deleted"]
Finish = Literal["stop", "length", "error", "cancelled"]


class Level(IntEnum):
    """How soon a person needs help. The order is the meaning: a conversation's level is the maximum.

    `EMERGENCY` is 119 now, `CRISIS` is 109 or 112 now, `URGENT` is a doctor today.
    """

    ROUTINE = 0
    URGENT = 1
    CRISIS = 2
    EMERGENCY = 3

    @property
    def word(self) -> str:
        """The lower-case name used in JSON: `routine`, `urgent`, `crisis`, `emergency`."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class QA:
    """One question and its answer, with where it came from and what changed it, in order (`trail`).

    `flags` mark what a reader may want to leave out (`stale`, `oriental`, …), `group` holds together what must not
    straddle splits, `fields` are the answers of a site's intake form.
    """

    id: str
    question: str
    answer: str
    title: str = ""
    source: str = ""
    licence: str = ""
    permission: str = ""
    lang: Lang = "ko"
    specialty: str = ""
    answered_by: str = ""
    asked_on: str = ""
    collected_on: str = ""
    question_origin: Origin = "asked"
    state: State = "whole"
    trail: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    group: str = ""
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Drop:
    """What a step yields instead of a record: nothing vanishes, rows in = rows out + drops."""

    record: Mapping[str, Any]
    step: str
    reason: str


@dataclass(frozen=True, slots=True)
class Message:
    """One line of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Example:
    """One training or evaluation row in Alpaca's form, with the split and the group that must not straddle splits.

    `id` is its record's. `turns` are those of a dialogue, of which `input` is the talk so far and `output` the last.
    """

    id: str
    instruction: str
    input: str
    output: str
    split: str = "train"
    group: str = ""
    origin: Origin | Literal["general"] = "asked"
    lang: Lang = "ko"
    specialty: str = ""
    source: str = ""
    licence: str = ""
    permission: str = ""
    trail: tuple[str, ...] = ()
    turns: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """What a person chose to say about whoever the question is for. All optional; never stored by the server."""

    age: int | None = None
    sex: Literal["female", "male"] | None = None
    pregnant_weeks: int | None = None
    breastfeeding: bool = False
    conditions: tuple[str, ...] = ()
    medicines: tuple[str, ...] = ()
    allergies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Urgency:
    """What triage found: the level, the rules that fired (each cites its class), the numbers to show.

    `failed` is true when triage itself broke: then the generic emergency block is shown and no model text.
    """

    level: Level = Level.ROUTINE
    rules: tuple[str, ...] = ()
    hotlines: tuple[str, ...] = ()
    failed: bool = False

    @property
    def stop(self) -> bool:
        """Whether the fixed reply is given and no model is asked."""
        return self.failed or self.level >= Level.CRISIS


@dataclass(frozen=True, slots=True)
class Section:
    """One part of one topic in one language, as it goes into an index.

    `names` are the words people use for the topic, `terms` those that belong in a tokenizer's user dictionary.
    """

    id: str
    topic: str
    name: str
    lang: Lang
    title: str
    title_en: str
    text: str
    names: tuple[str, ...]
    terms: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of knowledge found for a query: one section of one topic in one language, with its score and source."""

    id: str
    topic: str
    section: str
    lang: Lang
    title: str
    title_en: str
    text: str
    score: float
    source: str
    snippet: str = ""


@dataclass(frozen=True, slots=True)
class Citation:
    """A numbered source under an answer. `n` is the number in the text, as in `[1]`."""

    n: int
    topic: str
    title: str
    source: str
    publisher: str = ""
    year: int | None = None
    snippet: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of a reply; characters where no tokenizer was involved (`unit` says which)."""

    prompt: int = 0
    completion: int = 0
    unit: Literal["token", "character"] = "token"


@dataclass(frozen=True, slots=True)
class Reply:
    """A finished answer. `text` is everything that was shown; `why` says why a chosen model did not write it."""

    text: str
    lang: Lang = "ko"
    urgency: Urgency = field(default_factory=Urgency)
    citations: tuple[Citation, ...] = ()
    follow_ups: tuple[str, ...] = ()
    profile_used: tuple[str, ...] = ()
    model: str = "compose"
    finish: Finish = "stop"
    why: str = ""
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Options:
    """How a model generates. `max_tokens` and `stop` are enforced for every model; `seed` where it supports one."""

    max_tokens: int = 400
    temperature: float = 0.2
    top_p: float = 0.9
    repeat_penalty: float = 1.1
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """One metric's value for one example in one run, with the reason a judge gave."""

    example: str
    run: str
    metric: str
    value: float
    reason: str = ""
