"""An answer that a model writes: from numbered sources only, each sentence tied to the source that carries it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from mundap import prompts
from mundap.chat.compose import cite, lay_out
from mundap.chat.parts import after_model, before_model, make
from mundap.chat.phrases import say
from mundap.chat.profile import describe
from mundap.chat.question import Question
from mundap.errors import ModelError
from mundap.knowledge.schema import Topic
from mundap.protocols import Model
from mundap.retrieve.tokens import Tokens
from mundap.safety.guard import Guard, sentences
from mundap.types import Finish, Message, Options, Reply, Urgency, Usage

_LOG = logging.getLogger(__name__)
_MARK = re.compile(r"\s*\[\d+(?:\s*,\s*\d+)*\]")
# Shares of a sentence's words, and of its pairs of neighbouring words, that its source must hold. At 0.6 and 0 fourteen
# of 24 made-up sentences passed both this and the guard, at 0.8 four; the pairs keep known words from being recombined.
_CARRIED, _NEIGHBOURS = 0.8, 0.4
_FEWEST_WORDS = 3
_EVIDENCE = 1500  # characters of each source that a prompt holds
_TOKENS = Tokens()


def _as_it_is(sentence: str) -> str:
    return sentence


@dataclass(frozen=True, slots=True)
class Voice:
    """How model and person understand each other: what the model is asked, and what the person is told for a sentence.

    `tell` gives '' for a sentence that must be left out; it may raise `ModelError`, like a model.
    """

    asked: Question
    tell: Callable[[str], str] = _as_it_is


@dataclass
class _Draft:
    """What has been shown so far and which sources carried it."""

    shown: list[str] = field(default_factory=list)
    topics: list[str] = field(default_factory=list)
    finish: Finish = "stop"


def write(
    model: Model,
    options: Options,
    history: Sequence[Message],
    question: Question,
    urgency: Urgency,
    voice: Voice | None = None,
) -> Generator[str | Reply, None, str]:
    """Yield the model's supported sentences, then when to go, then the `Reply`. Returns why nothing was shown, or ''.

    A model that fails after its first sentence ends with the safety lines and `finish="error"`, never as if whole.
    """
    voice = voice or Voice(question)
    draft = _Draft()
    try:
        yield from _sentences(model, options, history, question, voice, draft)
    except ModelError as error:
        if not draft.shown:
            raise
        _LOG.error("model broke off: %s", type(error).__name__)
        draft.finish = "error"
    if not draft.shown:
        return say("why.unsupported", question.lang, model=model.name)
    yield from _ending(model, question, urgency, draft)
    return ""


def evidences(question: Question) -> dict[str, str]:
    """The evidence of each topic, in the question's language."""
    return {topic.id: evidence(topic, question) for topic in question.topics}


def evidence(topic: Topic, question: Question) -> str:
    """The sentences of a topic that fit the question's intent and person, as one numbered source."""
    own = [part for part in make(question) if part.topic == topic.id] if topic is question.topic else []
    texts = [topic.summary[question.lang], *(text for part in own for text in (part.items or (part.lead,)))]
    return " ".join(dict.fromkeys(texts))[:_EVIDENCE]


def _sentences(
    model: Model,
    options: Options,
    history: Sequence[Message],
    question: Question,
    voice: Voice,
    draft: _Draft,
) -> Iterator[str]:
    sources = evidences(voice.asked)
    facts = [*describe(question.person.profile, question.person.groups, voice.asked.lang)]
    asked = prompts.chat(history[:-1], list(sources.values()), voice.asked.text, voice.asked.lang, facts)
    guard = Guard(voice.asked.lang, sources.values())
    pieces: Any = model.generate(asked, options)
    with closing(pieces):
        for sentence in sentences(pieces):
            verdict = guard.check(sentence)
            topic = carrier(sentence, sources) if verdict.shown else ""
            told = voice.tell(_MARK.sub("", sentence)) if topic else ""
            if told:
                yield from _above(question, draft)
                yield _add(draft, told, topic)
            if verdict.stop:
                break


def _above(question: Question, draft: _Draft) -> Iterator[str]:
    """Before the model's first sentence: what must be read before it."""
    if draft.shown:
        return
    above = lay_out(question, before_model(question))
    draft.topics += [citation.topic for citation in above.citations]
    yield from (f"{paragraph}\n\n" for paragraph in above.paragraphs)


def carrier(sentence: str, sources: dict[str, str]) -> str:
    """The source that holds a sentence's words, and most of them beside the same neighbours; '' when none does."""
    words = _TOKENS(_MARK.sub("", sentence))
    if len(set(words)) < _FEWEST_WORDS:
        return ""
    held = {topic: _held(words, _TOKENS(text)) for topic, text in sources.items()}
    best = max(held, key=lambda topic: held[topic])
    words_held, pairs_held = held[best]
    return best if words_held >= _CARRIED and pairs_held >= _NEIGHBOURS else ""


def shared(sentence: str, texts: Iterable[str]) -> float:
    """The share (0 to 1) of a sentence's words that one of the texts holds, at best."""
    words = _TOKENS(sentence)
    return max((_held(words, _TOKENS(text))[0] for text in texts), default=0.0) if words else 0.0


def _held(words: Sequence[str], source: Sequence[str]) -> tuple[float, float]:
    """Shares (0 to 1) of a sentence's words and of its pairs of neighbours that a source holds."""
    known, pairs = set(source), set(pairwise(source))
    beside = list(pairwise(words))
    return (
        sum(word in known for word in words) / len(words),
        sum(pair in pairs for pair in beside) / max(len(beside), 1),
    )


def _add(draft: _Draft, sentence: str, topic: str) -> str:
    """Keep a sentence and give it as it is shown: after a space, with the number of its source."""
    if topic and topic not in draft.topics:
        draft.topics.append(topic)
    mark = f" [{draft.topics.index(topic) + 1}]" if topic else ""
    piece = (" " if draft.shown else "") + sentence + mark
    draft.shown.append(piece)
    return piece


def _ending(model: Model, question: Question, urgency: Urgency, draft: _Draft) -> Iterator[str | Reply]:
    ending = lay_out(question, after_model(question), draft.topics)
    for paragraph in ending.paragraphs:
        yield f"\n\n{paragraph}"
    topics = {topic.id: topic for topic in question.topics}
    order = [citation.topic for citation in ending.citations]
    text = "".join(draft.shown)
    yield Reply(
        text="",
        urgency=urgency,
        citations=tuple(cite(n, topics[topic], evidence(topics[topic], question)) for n, topic in enumerate(order, 1)),
        follow_ups=ending.follow_ups,
        profile_used=ending.profile_used,
        model=model.name,
        finish=draft.finish,
        usage=Usage(len(question.text), len(text), "character"),
    )
