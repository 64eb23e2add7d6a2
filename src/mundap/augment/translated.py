"""`translate`: rows of the other language in the language of the dataset, by an engine whose work is checked.

A row whose translation fails a check twice is dropped with the name of the check, or flagged, as the data of the checks
says (translate/checks.yaml). Rows that are in the language already pass as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from mundap import registry
from mundap.asking.ask import OverBudget
from mundap.config import Use
from mundap.errors import UserError
from mundap.translate import roundtrip
from mundap.translate.cache import Cache
from mundap.translate.shielded import Shielded, Translation
from mundap.types import QA, Drop, Lang

if TYPE_CHECKING:
    from mundap.asking.context import Context

_STEP = "translate"
_CACHE = "translations.sqlite"
_CHUNK = 16  # rows whose sentences go to the engine together


class Translated:
    """The augmenter. `engine` is a translator (`papago`, or `{use: nmt, path: …}`) or the name of one of the `models`.

    `keep` leaves the original beside the translation; `drop` names flagging checks that shall drop rows; `round_trip`
    (true, or an engine for the way back) flags rows that come back as something else.
    """

    def __init__(
        self, context: Context, engine: str | Mapping[str, Any], to: Lang = "ko", keep: bool = False,
        drop: Sequence[str] = (), round_trip: bool | str | Mapping[str, Any] = False, batch: int = 32,
    ) -> None:  # fmt: skip
        if to not in ("ko", "en"):
            raise UserError(f"`to` is {to!r}; expected ko or en")
        self._to, self._keep, self._path = to, keep, context.folder / _CACHE
        use = _engine(engine)
        final = (OverBudget,)
        self._shielded = Shielded(context.translator(use), None, None, drop, batch, final)
        self._back = self._shielded if round_trip is True else None
        if round_trip:
            roundtrip.ready()
        if round_trip and round_trip is not True:
            self._back = Shielded(context.translator(_engine(round_trip)), batch=batch, final=final)
        # A budget counts what the ledger knows too; answers from a second memory would let more rows through after a kill.
        budgeted = (context.budget.requests, context.budget.tokens) != (None, None)
        self._cached = not (use.use == "llm" and budgeted)
        self._over = self._told = False

    def __call__(self, records: Iterable[QA]) -> Iterator[QA | Drop]:
        """Every record in the language: as it was, translated, or as a drop."""
        source = iter(records)
        with closing(Cache(self._path)) if self._cached else nullcontext() as cache:
            for one in (self._shielded, self._back):
                if one is not None:
                    one.cache = cache
            while chunk := list(islice(source, _CHUNK)):
                yield from self._chunk(chunk)

    def _chunk(self, records: Sequence[QA]) -> Iterator[QA | Drop]:
        foreign = [record for record in records if record.lang != self._to]
        made = iter(self._translated(foreign))
        for record in records:
            if record.lang == self._to or self._over:
                yield record
                continue
            if self._keep:
                yield replace(record, group=record.group or record.id)
            yield next(made)

    def _translated(self, records: Sequence[QA]) -> list[QA | Drop]:
        """A row or a drop for each record; nothing, once the budget is used up: then they pass on as they are."""
        if not records or self._over:
            return []
        self._notice()
        source: Lang = "en" if self._to == "ko" else "ko"
        texts = [text for record in records for text in (record.title, record.question, record.answer)]
        try:
            done = self._shielded.translate(texts, source, self._to)
            doubtful = self._doubtful(texts, done, source)
        except OverBudget:
            self._over = True
            return []
        parts = [slice(start, start + 3) for start in range(0, len(texts), 3)]
        return [self._row(record, done[part], doubtful[part]) for record, part in zip(records, parts, strict=True)]

    def _doubtful(self, texts: Sequence[str], done: Sequence[Translation], source: Lang) -> list[bool]:
        if self._back is None:
            return [False] * len(texts)
        return roundtrip.doubtful(texts, [one.text for one in done], self._back, source, self._to)

    def _row(self, record: QA, done: Sequence[Translation], doubtful: Sequence[bool]) -> QA | Drop:
        problems = [problem for one in done for problem in one.problems]
        if problems:
            details = [detail for one in done for detail in one.details]
            return Drop({**asdict(record), "problems": details}, _STEP, problems[0])
        noted = dict.fromkeys(f"{_STEP}:{flag}" for one in done for flag in one.flags)
        if any(doubtful):
            noted[f"{_STEP}:round_trip"] = None
        title, question, answer = (one.text for one in done)
        engine = self._shielded
        return replace(
            record, id=f"{record.id}-{self._to}", title=title, question=question, answer=answer, lang=self._to,
            question_origin="translated", licence="; ".join(filter(None, (record.licence, engine.licence))),
            trail=(*record.trail, ":".join(filter(None, (_STEP, engine.name, engine.model, engine.version)))),
            flags=(*record.flags, "translated", *noted), group=record.group or record.id,
        )  # fmt: skip

    def _notice(self) -> None:
        """The licence of the engine's weights, once, before they are used."""
        told = {one.notice: None for one in (self._shielded, self._back) if one is not None and one.notice}
        for notice in told if not self._told else ():
            print(f"{_STEP}: {notice}", file=sys.stderr)
        self._told = True


def _engine(named: str | Mapping[str, Any]) -> Use:
    """A translator by its name or config; any other name is that of a model, which is told to translate."""
    if not isinstance(named, str):
        if not isinstance(named, Mapping) or not isinstance(named.get("use"), str):
            raise UserError(f"the engine is {named!r}; expected a name, or its config with `use`")
        return Use.model_validate(named)
    known = named in registry.names("translators")
    return Use(use=named) if known else Use.model_validate({"use": "llm", "model": named})
