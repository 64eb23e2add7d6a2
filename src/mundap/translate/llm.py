"""Any language model as a translator: numbered lines in, the same numbers out, or the answer does not count."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache, partial
from importlib.resources import files
from typing import Any

import yaml

from mundap.errors import ModelError, UserError
from mundap.prompts import harmless
from mundap.protocols import Model
from mundap.store import digest
from mundap.translate.limits import Again, Limits, batches, together
from mundap.types import Lang, Message, Options

_NUMBERED = re.compile(r"\s*(\d+)[.)]\s*(.*\S)\s*")
_FENCE = re.compile(r"^```\w*\n|\n?```$")
# Tokens of an answer: Korean takes up to two a letter in vocabularies that know it badly.
_TOKENS_A_LETTER, _SPARE = 2, 64
# Refusals by a server that asking again does not change.
_FINAL = (400, 401, 403, 404, 422)

Terms = Sequence[tuple[str, str]]


class Llm:
    """A model told to translate. A text whose answer has not the asked form comes back empty, for the shield to judge.

    `batch` texts share a request while they have `room` characters together; `at_once` requests run at a time.
    """

    name = "llm"
    notice = ""

    def __init__(
        self,
        model: Model,
        batch: int = 8,
        room: int = 1200,
        at_once: int = 1,
        requests: float = 0.0,
        characters: float = 0.0,
        tries: int = 2,
        patience: float = 60.0,
    ) -> None:
        if not isinstance(model, Model):
            raise UserError(f"translator 'llm' needs a model, found {model!r}; name one of the recipe's `models`")
        self._model, self._batch, self._room, self._at_once = model, batch, room, at_once
        self._limits = Limits(requests, characters, tries, patience)
        self.model = model.name
        self.version = digest(_words())[:8]

    def __call__(self, texts: Sequence[str], source: Lang, target: Lang) -> list[str]:
        """Translate; one text out for each in. Raises `ModelError` when the model fails."""
        return self.with_terms(texts, source, target, [()] * len(texts))

    def with_terms(self, texts: Sequence[str], source: Lang, target: Lang, terms: Sequence[Terms]) -> list[str]:
        """Translate, and tell the model the glossary terms that occur in the texts of a request."""
        filled = [place for place, text in enumerate(texts) if text.strip()]
        lines = [" ".join(harmless(texts[place]).split()) for place in filled]
        parts = list(batches(lines, self._batch, self._room))
        ask = partial(self._lines, source=source, target=target)
        asked = [([lines[n] for n in part], _joined([terms[filled[n]] for n in part])) for part in parts]
        found = [line for answer in together(lambda each: ask(*each), asked, self._at_once) for line in answer]
        done = dict(zip(filled, found, strict=True))
        return [done.get(place, "") for place in range(len(texts))]

    def _lines(self, lines: Sequence[str], terms: Terms, source: Lang, target: Lang) -> list[str]:
        """Translations of a few lines: together, and one by one when the answer to all of them has another form."""
        if len(lines) > 1:
            numbered = "\n".join(f"{n}. {line}" for n, line in enumerate(lines, 1))
            found = _numbered(self._ask("batch", numbered, terms, source, target), len(lines))
            if found:
                return found
        return [_single(self._ask("single", line, terms, source, target)) for line in lines]

    def _ask(self, form: str, text: str, terms: Terms, source: Lang, target: Lang) -> str:
        messages = _messages(form, text, terms, source, target)
        room = _SPARE + _TOKENS_A_LETTER * len(text)
        options = Options(max_tokens=room, temperature=0.0, top_p=1.0, repeat_penalty=1.0, seed=0)
        return self._limits.call(lambda: self._once(messages, options), len(text), f"the model {self.model}")

    def _once(self, messages: Sequence[Message], options: Options) -> str:
        try:
            return "".join(self._model.generate(messages, options))
        except ModelError as error:
            if getattr(error.__cause__, "status_code", None) in _FINAL:
                raise
            raise Again(str(error)) from error


def _messages(form: str, text: str, terms: Terms, source: Lang, target: Lang) -> list[Message]:
    words = _words()
    names: Mapping[str, str] = words["languages"]
    blanks = {"source": names[source], "target": names[target]}
    system = [words["system"].format(**blanks), words["style"][target]]
    if terms:
        listed = "; ".join(words["term"].format(term=term, approved=approved) for term, approved in terms)
        system.append(words["terms"].format(terms=listed))
    asked = words[form].format(**blanks, lines=text, text=text)
    return [Message("system", " ".join(system)), Message("user", asked)]


def _joined(terms: Sequence[Terms]) -> Terms:
    """The terms of several texts, each once."""
    return list(dict.fromkeys(pair for each in terms for pair in each))


def _numbered(answer: str, count: int) -> list[str]:
    """The lines of an answer when these are numbered 1 to `count`, in order and nothing else; else none."""
    found = [_NUMBERED.fullmatch(line) for line in _FENCE.sub("", answer.strip()).splitlines() if line.strip()]
    if [each and each[1] for each in found] != [str(n) for n in range(1, count + 1)]:
        return []
    return [each[2] for each in found if each]


def _single(answer: str) -> str:
    """An answer of one line; several lines are more than a translation."""
    lines = [line.strip() for line in _FENCE.sub("", answer.strip()).splitlines() if line.strip()]
    return lines[0] if len(lines) == 1 else ""


@cache
def _words() -> dict[str, Any]:
    text = (files("mundap.translate") / "prompts.yaml").read_text("utf-8")
    return dict(yaml.load(text, Loader=yaml.CSafeLoader)["llm"])
