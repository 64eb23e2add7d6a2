"""The shield around any engine: sentence by sentence, cached, with placeholders put back, checked, asked once more.

An engine is a `protocols.Translator`. What else it has is used: `name`, `model` and `version` (for the cache and the
rows), `notice` and `licence` (of its weights), and `with_terms(texts, source, target, terms)`, to which the glossary
terms of each text are given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass

from mundap.errors import ModelError, UserError, did_you_mean
from mundap.protocols import Translator
from mundap.translate import checks, glossary
from mundap.translate.cache import Cache, key
from mundap.translate.checks import Pair, Problem
from mundap.translate.glossary import Glossary
from mundap.translate.sentences import Piece, pieces
from mundap.translate.shield import Shield, protect, restore
from mundap.types import Lang

_ONCE_MORE = 2  # a sentence is asked for at most so often
_GIVE_UP = 3  # sentences in a row that the engine fails on alone: then it is the engine, not the sentences


@dataclass(frozen=True, slots=True)
class Translation:
    """A translated text. `problems` names the failed checks that make it unfit, `flags` those that are only noted.

    `details` says what each of them found: numbers, units and glossary terms.
    """

    text: str
    problems: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    details: tuple[str, ...] = ()

    @property
    def fit(self) -> bool:
        """Whether it may be used."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class _Sentence:
    """What became of one sentence: its translation and what is wrong with it."""

    text: str
    found: tuple[Problem, ...] = ()


class Shielded:
    """A translator whose work is checked. `terms` is the glossary; `drop` names further checks that make a text unfit.

    `batch` sentences are given to the engine at a time and kept in the cache together. Errors in `final` are let
    through at once; another error of the engine counts against its sentence when the engine goes on after it.
    """

    def __init__(
        self,
        engine: Translator,
        cache: Cache | None = None,
        terms: Glossary | None = None,
        drop: Sequence[str] = (),
        batch: int = 32,
        final: tuple[type[Exception], ...] = (),
    ) -> None:
        self.engine, self.terms = engine, terms or glossary.load()
        self.name = str(getattr(engine, "name", type(engine).__name__.lower()))
        self.model = str(getattr(engine, "model", ""))
        self.version = str(getattr(engine, "version", ""))
        self.notice = str(getattr(engine, "notice", ""))
        self.licence = str(getattr(engine, "licence", ""))
        self.cache, self._batch, self._final = cache, max(batch, 1), final
        self._actions = _actions(drop)

    def __call__(self, texts: Sequence[str], source: Lang, target: Lang) -> list[str]:
        """Translate texts that are all fit. Raises `ModelError` that names the checks which one of them failed."""
        found = self.translate(texts, source, target)
        for one in found:
            if not one.fit:
                raise ModelError(f"{self.name}: a translation failed its checks ({'; '.join(one.details)})")
        return [one.text for one in found]

    def try_one(self, text: str, source: Lang, target: Lang) -> Translation:
        """One text, for a conversation: an error of the engine comes through at once, as `ModelError`."""
        impatient = copy(self)
        impatient._final = (*self._final, ModelError)
        return impatient.translate([text], source, target)[0]

    def translate(self, texts: Sequence[str], source: Lang, target: Lang) -> list[Translation]:
        """Each text with what is wrong with its translation. Raises `UserError` when the engine itself is at its end."""
        split = [pieces(text, source) for text in texts]
        wanted = list(dict.fromkeys(piece.text for text in split for piece in text if piece.text))
        done = self._sentences(wanted, source, target)
        return [self._joined(text, done) for text in split]

    def unchecked(self, texts: Sequence[str], source: Lang, target: Lang) -> list[str]:
        """What the engine makes of texts, sentence by sentence and without any check; empty where it fails."""
        split = [pieces(text, source) for text in texts]
        wanted = list(dict.fromkeys(piece.text for text in split for piece in text if piece.text))
        made = dict(zip(wanted, self._raw(wanted, source, target, 0), strict=True))
        answers = {text: answer if isinstance(answer, str) else "" for text, answer in made.items()}
        return ["".join(piece.before + answers.get(piece.text, "") for piece in text) for text in split]

    def _joined(self, split: Sequence[Piece], done: Mapping[str, _Sentence]) -> Translation:
        """The sentences of a text, between what stood between them."""
        text = "".join(piece.before + (done[piece.text].text if piece.text else "") for piece in split)
        found = list(dict.fromkeys(problem for piece in split if piece.text for problem in done[piece.text].found))
        dropping = [problem.check for problem in found if self._actions[problem.check] == "drop"]
        flags = dict.fromkeys(problem.check for problem in found if problem.check not in dropping)
        return Translation(text, tuple(dict.fromkeys(dropping)), tuple(flags), tuple(map(str, found)))

    def _sentences(self, texts: Sequence[str], source: Lang, target: Lang) -> dict[str, _Sentence]:
        done: dict[str, _Sentence] = {}
        left = list(texts)
        for attempt in range(_ONCE_MORE):
            shields = [self._shield(text, source, target, done.get(text)) for text in left]
            raw = self._raw([shield.text for shield in shields], source, target, attempt)
            for text, shield, answer in zip(left, shields, raw, strict=True):
                judged = self._judged(text, shield, answer, source, target)
                done[text] = min(done.get(text, judged), judged, key=self._badness)
            left = [text for text in left if _again(done[text])]
        return done

    def _badness(self, sentence: _Sentence) -> tuple[int, int]:
        dropping = sum(self._actions[problem.check] == "drop" for problem in sentence.found)
        return dropping, len(sentence.found)

    def _shield(self, text: str, source: Lang, target: Lang, before: _Sentence | None) -> Shield:
        """The sentence with placeholders; as it is, when an engine could not handle them the first time."""
        flat = " ".join(text.split())
        if before and any(problem.check == "placeholders" for problem in before.found):
            return Shield(flat)
        return protect(flat, target, self.terms.medicines(flat, source, target))

    def _judged(self, text: str, shield: Shield, answer: str | Problem, source: Lang, target: Lang) -> _Sentence:
        if isinstance(answer, Problem):
            return _Sentence("", (answer,))
        restored = restore(answer.strip(), shield.slots)
        pair = Pair(" ".join(text.split()), restored.text, source, target, shield, restored)
        return _Sentence(restored.text, tuple(checks.check(pair, self.terms)))

    def _raw(self, texts: Sequence[str], source: Lang, target: Lang, attempt: int) -> list[str | Problem]:
        """What the engine says to each text: together the first time, then one by one."""
        keys = {text: self._key(text, source, target, attempt) for text in texts}
        known = self.cache.get(list(keys.values())) if self.cache else {}
        answers: dict[str, str | Problem] = {text: known[each] for text, each in keys.items() if each in known}
        left = [text for text in keys if text not in answers]
        failures: list[Exception] = []
        for start in range(0, len(left), 1 if attempt else self._batch):
            part = left[start : start + (1 if attempt else self._batch)]
            made = dict(zip(part, self._asked(part, source, target, failures), strict=True))
            if self.cache:
                self.cache.put({keys[text]: answer for text, answer in made.items() if isinstance(answer, str)})
            answers.update(made)
        if failures:  # and nothing went well since: the engine is at its end, or the quota is
            raise _end(self.name, failures[-1]) from failures[-1]
        return [answers[text] for text in texts]

    def _key(self, text: str, source: Lang, target: Lang, attempt: int) -> bytes:
        told = (self.name, self.model, source, target, self.terms.version, self.version, str(attempt), text)
        return key(*told)

    def _asked(
        self, texts: Sequence[str], source: Lang, target: Lang, failures: list[Exception]
    ) -> list[str | Problem]:
        """The engine's answers; when it fails on several texts, those to each of them alone."""
        try:
            answers = self._engine(texts, source, target)
        except Exception as error:
            for each in _causes(error):
                if isinstance(each, self._final):
                    raise each from None
            if isinstance(error, UserError) and not isinstance(error, ModelError):
                raise
            if len(texts) > 1:
                return [answer for text in texts for answer in self._asked([text], source, target, failures)]
            failures.append(error)
            if len(failures) >= _GIVE_UP:
                raise _end(self.name, error) from error
            return [Problem("engine", type(error).__name__)]
        failures.clear()
        return answers

    def _engine(self, texts: Sequence[str], source: Lang, target: Lang) -> list[str | Problem]:
        enforced = getattr(self.engine, "with_terms", None)
        if enforced is None:
            answers = self.engine(texts, source, target)
        else:
            answers = enforced(texts, source, target, [self.terms.pairs(text, source, target) for text in texts])
        if len(answers) != len(texts) or not all(isinstance(answer, str) for answer in answers):
            raise ValueError(f"{len(answers)} answers to {len(texts)} texts")
        return list(answers)


def _again(sentence: _Sentence) -> bool:
    """Whether to ask once more: something is wrong, and the engine did not fail on the sentence alone already."""
    return bool(sentence.found) and all(problem.check != "engine" for problem in sentence.found)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those it was raised from: engines wrap what their model raises."""
    while error is not None:
        yield error
        error = error.__cause__


def _end(name: str, error: Exception) -> UserError:
    """What ends the work: the engine's own words when they are for people."""
    if isinstance(error, UserError):
        return error
    return ModelError(f"translator {name!r} failed and did not recover ({type(error).__name__}: {error})")


def _actions(drop: Sequence[str]) -> dict[str, str]:
    """What each check does, with those in `drop` made stricter. Raises `UserError` for a name that is no check."""
    actions = checks.actions()
    for name in drop:
        if name not in actions:
            raise UserError(f"no check of translations is called {name!r}{did_you_mean(name, actions)}")
        actions[name] = "drop"
    return actions
