"""`dialogue`: a question and its answer as a talk in which the doctor asks first, one thing at a time, and then concludes.

A talk is stored in one record: `fields` holds the turns as ("doctor", …) and ("patient", …), `question` the talk until
the last turn, `answer` the last turn, and `flags` the word `dialogue`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from mundap.asking.ask import Answer
from mundap.augment import filters, wording
from mundap.augment.generate import Seeds, grouped, made_from
from mundap.augment.lexicon import medical
from mundap.augment.novelty import Novelty
from mundap.augment.parse import Malformed, Talk, turns
from mundap.augment.prompted import Prompted, between, chunks
from mundap.augment.wording import Speaker
from mundap.types import QA, Drop, Lang

if TYPE_CHECKING:
    from mundap.asking.context import Context

FLAG = "dialogue"
_STEP = "dialogue"
_TOKENS = 80  # for each turn
_FEWEST = 3  # turns: the doctor asks, the patient answers, the doctor concludes
_QUESTION = 200  # characters of one of the doctor's questions
Turns = Sequence[tuple[Speaker, str]]


class Dialogue:
    """The augmenter: one talk of at most `turns` turns for each seed, all or `seeds` of them drawn by the recipe's seed."""

    def __init__(
        self, context: Context, model: str, turns: int = 9, seeds: int | None = None, max_tokens: int | None = None,
        temperature: float = 0.7, room: int = 3000, structured: bool = True,
    ) -> None:  # fmt: skip
        between("turns", turns, _FEWEST, 41)
        tokens = turns * _TOKENS if max_tokens is None else max_tokens
        self._turns, self._seeds = turns, Seeds(seeds, context.seed)
        self._prompt = Prompted(context, model, _STEP, Talk, tokens, temperature, room, structured)

    def __call__(self, records: Iterable[QA]) -> Iterator[QA | Drop]:
        """Every record, followed by the talk made from it, or by the drop that says why there is none."""
        records = list(records) if iter(records) is records else records
        chosen, kept = self._seeds.choice(records), Novelty()
        for chunk in chunks(records, chosen):
            replies = self._prompt.ask(self._prompt.request(row, turns=self._turns) for row in chunk if chosen(row))
            for record in chunk:
                made = self._made(record, next(replies), kept) if chosen(record) else None
                yield grouped(record) if isinstance(made, QA) else record
                if made is not None:
                    yield made

    def _made(self, seed: QA, reply: Answer, kept: Novelty) -> QA | Drop | None:
        if reply.error:
            return None if reply.unasked else Drop({"seed": seed.id, "reply": ""}, _STEP, "the model failed")
        try:
            talk = turns(reply.texts[0], reply.cut)
        except Malformed as error:
            return Drop({"seed": seed.id, "reply": reply.texts[0]}, _STEP, f"reply: {error}")
        row = self._row(seed, talk)
        reason = "too many turns" if len(talk) > self._turns else check(talk, seed)
        if reason or kept.taken(row.question):
            return Drop({"seed": seed.id, "turns": talk}, _STEP, reason or "like another talk")
        kept.add(row.question)
        return row

    def _row(self, seed: QA, talk: Turns) -> QA:
        return made_from(
            seed, self._prompt.origin(seed.lang), question=written(talk[:-1], seed.lang), answer=talk[-1][1],
            fields=tuple(talk), flags=tuple(sorted({*seed.flags, FLAG})),
        )  # fmt: skip


def written(talk: Turns, lang: Lang) -> str:
    """A talk as text, one turn a line."""
    return "\n".join(f"{wording.speaker(who, lang)}: {text}" for who, text in talk)


def check(talk: Turns, seed: QA) -> str:
    """Why a talk must not be kept; '' when nothing is wrong with it."""
    reason = _order(talk)
    if reason:
        return reason
    asked, told, end = _said(talk[:-1], "doctor"), _said(talk[:-1], "patient"), talk[-1][1]
    return _manners(talk, seed) or _asking(asked, seed) or _telling(told, seed) or _ending(end, seed)


def _order(talk: Turns) -> str:
    if len(talk) < _FEWEST:
        return "too few turns"
    if talk[0][0] != "doctor" or talk[-1][0] != "doctor":
        return "the doctor does not begin and end"
    alternates = all(first[0] != second[0] for first, second in pairwise(talk))
    return "" if alternates else "two turns of one speaker"


def _manners(talk: Turns, seed: QA) -> str:
    """No greeting, no names, no talk about the text, in the seed's language."""
    checks = (filters.language, filters.greeting, filters.leftover, filters.private)
    return next((reason for _, text in talk for check in checks if (reason := check(text, seed))), "")


def _asking(asked: Sequence[str], seed: QA) -> str:
    """The doctor asks one thing at a time and begins knowing nothing."""
    if any(filters.asks(text, seed) for text in asked):
        return "the doctor does not ask"
    if any(text.count("?") + text.count("？") > 1 or len(text) > _QUESTION for text in asked):
        return "the doctor asks several things at once"
    return "the doctor knows before asking" if medical(asked[0], seed.lang) else ""


def _telling(told: Sequence[str], seed: QA) -> str:
    """The patient says what the question and its answer hold, and nothing else."""
    reasons = (filters.invented(text, seed) for text in told)
    return next((f"the patient says {reason}" for reason in reasons if reason), "")


def _ending(text: str, seed: QA) -> str:
    """The doctor concludes with what to do, on the words of the answer."""
    if not filters.asks(text, seed) or not filters.advises(text, seed.lang):
        return "the end says not what to do"
    reason = filters.answer(text, seed)
    return f"the end: {reason}" if reason else ""


def _said(talk: Turns, who: Speaker) -> list[str]:
    return [text for speaker, text in talk if speaker == who]
