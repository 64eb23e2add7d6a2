"""One turn of a conversation: triage, retrieve, write, guard. The only way to a model."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mundap.chat import compose, cues, grounded, translated
from mundap.chat.phrases import say
from mundap.chat.profile import person
from mundap.chat.question import Question
from mundap.chat.subject import Subjects
from mundap.errors import ModelError
from mundap.knowledge import load
from mundap.knowledge.schema import Topic
from mundap.protocols import Model, Retriever
from mundap.safety import replies, triage
from mundap.safety.normalise import visible
from mundap.types import Lang, Level, Message, Options, Profile, Reply, Urgency, Usage

_LOG = logging.getLogger(__name__)

Event = str | Reply


class Engine:
    """Answers conversations. It keeps nothing between turns: the history is the caller's."""

    def __init__(
        self,
        retriever: Retriever,
        topics: Mapping[str, Topic] | None = None,
        model: Model | None = None,
        options: Options | None = None,
        interpreter: translated.Interpreter | None = None,
    ) -> None:
        self.topics = load.topics() if topics is None else topics
        self.retriever = retriever
        self.model = model
        self.options = options or Options()
        self.interpreter = interpreter
        self._subjects = Subjects(self.topics, retriever)

    @property
    def name(self) -> str:
        """`compose` without a model, else the model's name."""
        return "compose" if self.model is None else self.model.name

    def reply(
        self,
        history: Sequence[Message],
        profile: Profile | None = None,
        lang: Lang | None = None,
        sampling: Mapping[str, Any] | None = None,
    ) -> Iterator[Event]:
        """Answer the last message: pieces of text to append, then the finished `Reply` holding all of them.

        `lang` is used when the message itself does not show its language; `sampling` replaces fields of the engine's
        `Options` for a model. Never raises for what a person wrote.
        """
        options = replace(self.options, **(sampling or {}))
        started = time.monotonic()
        history = [Message(line.role, clean(line.content)) for line in history]
        said = [line.content for line in history if line.role == "user"]
        spoken = cues.language(said[-1] if said else "", lang or "ko")
        shown: list[str] = []
        for event in self._turn(history, said, profile, spoken, options):
            if isinstance(event, Reply):
                yield _finished(event, shown, said, spoken, started)
                return
            shown.append(event)
            yield event

    def _turn(
        self, history: Sequence[Message], said: Sequence[str], profile: Profile | None, lang: Lang, options: Options
    ) -> Iterator[Event]:
        urgency = triage.safe_triage(history, profile)
        if urgency.stop:  # 119 or 109 first; the model is never asked
            yield from _fixed(replies.redirect(urgency, lang), urgency, model="fixed")
            return
        try:
            question = self.question(history, said, profile, lang, urgency)
            yield from self._answer(history, question, urgency, options)
        except Exception as error:  # a person must never be left with nothing
            _LOG.error("turn failed: %s at %s", type(error).__name__, _place(error))
            yield from _fixed(say("failed", lang), urgency, finish="error")

    def _answer(
        self, history: Sequence[Message], question: Question | str, urgency: Urgency, options: Options
    ) -> Iterator[Event]:
        if isinstance(question, str):
            yield from _fixed(question, urgency)
            return
        why = ""
        if self.model is not None:
            why = yield from self._written(self.model, options, history, question, urgency)
            if not why:
                return
        yield from _composed(question, urgency, why)

    def _written(
        self, model: Model, options: Options, history: Sequence[Message], question: Question, urgency: Urgency
    ) -> Generator[Event, None, str]:
        """The model's answer as far as its sources carry it. Returns why there is none, or an empty string."""
        between = self.interpreter if question.lang == "ko" else None
        if ("en" if between else question.lang) not in model.languages:
            return say("why.language", question.lang, model=model.name)
        try:
            if between is not None:
                return (yield from translated.write(between, model, options, question, urgency))
            return (yield from grounded.write(model, options, history, question, urgency))
        except ModelError as error:
            _LOG.error("model failed: %s", type(error).__name__)
            return say("why.failed", question.lang, model=model.name)

    def question(
        self, history: Sequence[Message], said: Sequence[str], profile: Profile | None, lang: Lang, urgency: Urgency
    ) -> Question | str:
        """What the turn asks, or the fixed text for one that needs no knowledge (a greeting, nothing found)."""
        text = said[-1] if said else ""
        cue = cues.read(text, lang)
        if not text:
            return say("empty", lang)
        subject = self._subjects.of(said, lang)
        unknown = self._subjects.unknown_medicine(text, cue, lang)
        if cue.social and urgency.level == Level.ROUTINE:
            return say(f"social.{cue.social}", lang)
        if not subject.topics:
            return self._nothing(cue.department, unknown, lang, urgency)
        told = [cues.read(line, lang) for line in said]
        adds = subject.leans and cue.intent == "help"
        return Question(
            text=text,
            said=" ".join(said),
            lang=lang,
            topics=subject.topics,
            cues=replace(cue, intent=told[-2].intent) if adds and cue.groups else cue,
            more=adds and not cue.groups,
            person=person(profile, told),
            level=urgency.level,
            said_before="\n".join(line.content for line in history if line.role == "assistant"),
            unknown_medicine=unknown,
            departments=load.departments(),
        )

    def _nothing(self, department: str, unknown: str, lang: Lang, urgency: Urgency) -> str:
        if unknown:
            return "\n\n".join([say("unknown_medicine", lang, name=unknown), *_urgent(urgency, lang)])
        if not department and urgency.level == Level.ROUTINE:
            return say("not_medical", lang)
        name = load.departments()[department or "family_medicine"][lang]
        return "\n\n".join([*_urgent(urgency, lang), say("no_evidence", lang, departments=name)])


def clean(text: str) -> str:
    """Text that can be encoded: lone surrogates and invisible characters that could hide words are removed."""
    return visible(text).strip()


def _place(error: BaseException) -> str:
    """File and line at which an error arose; its message is left out because it could quote the person."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


def _urgent(urgency: Urgency, lang: Lang) -> list[str]:
    return [say("next.urgent", lang)] if urgency.level == Level.URGENT else []


def _fixed(text: str, urgency: Urgency, model: str = "compose", finish: str = "stop") -> Iterator[Event]:
    yield text
    yield Reply(text="", urgency=urgency, model=model, finish="error" if finish == "error" else "stop")


def _composed(question: Question, urgency: Urgency, why: str) -> Iterator[Event]:
    answer = compose.compose(question)
    for place, paragraph in enumerate(answer.paragraphs):
        yield paragraph if place == 0 else f"\n\n{paragraph}"
    yield Reply(
        text="",
        urgency=urgency,
        citations=answer.citations,
        follow_ups=answer.follow_ups,
        profile_used=answer.profile_used,
        why=why,
    )


def _finished(reply: Reply, shown: Sequence[str], said: Sequence[str], lang: Lang, started: float) -> Reply:
    """Complete a reply with what was really shown and how long it took."""
    text = "".join(shown)
    usage = reply.usage
    if reply.model in ("compose", "fixed"):
        usage = Usage(sum(map(len, said)), len(text), "character")
    return replace(reply, text=text, lang=lang, usage=usage, seconds=time.monotonic() - started)
