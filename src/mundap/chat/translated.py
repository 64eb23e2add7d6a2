"""Korean in, an English model, Korean out: each sentence is translated, checked in both languages, then shown."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Protocol

from mundap.chat.grounded import Voice, evidences, shared
from mundap.chat.grounded import write as write_grounded
from mundap.chat.phrases import say
from mundap.chat.question import Question
from mundap.errors import ModelError
from mundap.protocols import Model
from mundap.safety.guard import Guard
from mundap.safety.privacy import mask
from mundap.types import Lang, Options, Reply, Urgency

_LOG = logging.getLogger(__name__)
# The share of a Korean sentence's words that the Korean side of its evidence must hold. Eight of nine right translations,
# in other words than ours, reach it, and 16 % of 1,000 sentences about other topics (at 0.25 all nine, and 25 %).
_SHARED = 0.3


class Translation(Protocol):
    """A translated text and, when a check of the shield failed, which."""

    @property
    def text(self) -> str: ...

    @property
    def problems(self) -> Sequence[object]: ...


class Interpreter(Protocol):
    """A shielded translator: `mundap.translate.shielded` makes one around any engine."""

    @property
    def name(self) -> str: ...

    def try_one(self, text: str, source: Lang, target: Lang) -> Translation: ...


class _Silent(ModelError):
    """The translator itself failed; what it was given is nobody's fault."""


def write(
    interpreter: Interpreter, model: Model, options: Options, question: Question, urgency: Urgency
) -> Generator[str | Reply, None, str]:
    """As `grounded.write`, for a Korean question and a model that is asked in English about this message alone.

    Returns why nothing was shown, or ''. No emergency comes here: triage read the person's own words before.
    """
    try:
        english = _translated(interpreter, mask(question.text).text, "ko", "en")
        if not english:
            return say("why.untranslated", question.lang, translator=interpreter.name)
        asked = replace(question, text=english, lang="en")
        told = _Told(interpreter, tuple(evidences(question).values()), tuple(evidences(asked).values()))
        why = yield from _named(interpreter, write_grounded(model, options, (), question, urgency, Voice(asked, told)))
        return say("why.untranslated", question.lang, translator=interpreter.name) if why and told.refused else why
    except _Silent:
        return say("why.translator", question.lang, translator=interpreter.name)


def _named(interpreter: Interpreter, events: Generator[str | Reply, None, str]) -> Generator[str | Reply, None, str]:
    """The same events; the finished reply says that a translator had a part in it."""
    with closing(events):
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                return str(end.value)
            yield replace(event, model=f"{event.model} + {interpreter.name}") if isinstance(event, Reply) else event


class _Told:
    """Makes the Korean sentence for an English one; '' for one that is not fit to be shown, which it counts.

    Numbers and amounts may come from the evidence in either language, words must come from the Korean one.
    """

    def __init__(self, interpreter: Interpreter, korean: Sequence[str], english: Sequence[str]) -> None:
        self.refused = 0
        self._interpreter, self._korean = interpreter, korean
        self._guard = Guard("ko", [*korean, *english])

    def __call__(self, sentence: str) -> str:
        korean = _translated(self._interpreter, sentence, "en", "ko")
        if korean and self._guard.check(korean).shown and shared(korean, self._korean) >= _SHARED:
            return korean
        self.refused += 1
        return ""


def _translated(interpreter: Interpreter, text: str, source: Lang, target: Lang) -> str:
    """A translation that passed the shield's checks, or ''. Raises `_Silent` when the translator fails."""
    try:
        found = interpreter.try_one(text, source, target)
    except Exception as error:  # a plugin's engine may raise anything; a turn must not break on it
        _LOG.error("translator failed: %s", type(error).__name__)
        raise _Silent("the translator failed") from error
    if found.problems:
        # Only the names of the checks: the rest of a problem may quote the text.
        _LOG.info("translation held back: %s", ", ".join(str(each).partition(":")[0] for each in found.problems))
        return ""
    return " ".join(found.text.split())
