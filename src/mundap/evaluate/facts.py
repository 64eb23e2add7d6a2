"""Facts: which must-have and nice-to-have statements an answer says, which it contradicts, which wrong ones it makes.

As in K-QA (Manes et al. 2024): completeness is the share of must-haves that the answer entails, and what contradicts a
statement is counted. A statement of `must_not` counts against an answer that affirms it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mundap.errors import UserError
from mundap.evaluate import metrics, rubrics
from mundap.evaluate.agreement import criterion
from mundap.evaluate.entailment import Entailment, check
from mundap.evaluate.items import Item
from mundap.evaluate.judge import (
    DEPENDS,
    Panel,
    Ruling,
    check_alone,
    check_sets,
    combined,
    judged_cases,
    listed,
    reasons,
    ruled,
)
from mundap.evaluate.metrics import Case, Context, Measure, Scored
from mundap.evaluate.rubrics import Line
from mundap.evaluate.targets import fingerprint
from mundap.evaluate.verdicts import Verdict, failed
from mundap.progress import Progress

_RUBRIC = "facts"
_MEASURES: Mapping[str, Measure] = {
    "facts.completeness": Measure("facts"),
    "facts.nice": Measure("facts"),
    "facts.contradictions": Measure("facts", "lower", "statements", scale=None),
    "facts.harmful": Measure("facts", "lower", "statements", scale=None),
}


class Facts:
    """The metric `facts`, by a judge (`model`, one or several of the recipe's) or an `entailment` model.

    An entailment model is a folder or a hub id (with a `revision`). Items without statements are passed over; `sets` are
    those to look at, all unless given.
    """

    kind: metrics.Kind = "answers"
    depends = (*DEPENDS, "evaluate/judge.py", "evaluate/entailment.py")
    measures = _MEASURES

    def __init__(
        self, model: str | Sequence[str] | None = None, entailment: str | None = None, revision: str | None = None,
        structured: bool | None = None, max_tokens: int | None = None, batch: int = 16,
        sets: Sequence[str] = (),
    ) -> None:  # fmt: skip
        if (model is None) == (entailment is None):
            raise UserError(
                "facts are judged by `model` (one of the recipe's) or by an `entailment` model: name one of the two"
            )
        if isinstance(batch, bool) or not 1 <= batch <= 1024:
            raise UserError(f"batch is {batch!r}; it must be from 1 to 1024")
        self._panel = None if model is None else Panel(model, _RUBRIC, structured=structured, max_tokens=max_tokens)
        self._sets = listed("sets", sets)
        self._path, self._revision, self._batch = entailment or "", revision, batch
        self._entailment: Entailment | None = None

    def check(self, context: Context) -> Any:
        """Raises `UserError` when there is no such judge, no entailment model, or no set with statements."""
        check_sets(self._sets, context)
        check_alone("facts", "facts", lambda config: "facts", context)
        if not any(self._asks(each.name, item) for each in context.sets for item in each.items):
            raise UserError(
                "no set has statements (`must`, `nice`, `must_not`); add `own` to evaluate.sets or leave `facts` out"
            )
        if self._panel is not None:
            return self._panel.check(context.recipe)
        check(self._path, self._revision)
        return {"entailment": fingerprint(self._path), "revision": self._revision}

    def score(self, cases: Sequence[Case], context: Context) -> Iterator[Scored]:
        """The scores of one target's answers."""
        kept = [case for case in cases if self._asks(case.set, case.item)]
        rulings = ruled(self._panel, kept, context) if self._panel else self._entailed(kept)
        judges = self._panel.models if self._panel else (self._path,)
        for case, ruling in zip(kept, rulings, strict=True):
            assert ruling.sheet is not None
            lines = ruling.sheet.lines
            found = [values(lines, verdict.scores) for verdict in ruling.verdicts]
            for name in found[0]:
                why = reasons(ruling, [line.id for line in lines])
                each = [one[name] for one in found]
                yield from combined(case, name, judges, each, why if None in each else "")

    def _asks(self, set_name: str, item: Item) -> bool:
        return bool(item.must or item.nice or item.must_not) and set_name in (self._sets or (set_name,))

    def _entailed(self, cases: Sequence[Case]) -> Iterator[Ruling]:
        self._entailment = self._entailment or Entailment(self._path, self._revision, self._batch)
        rubric = rubrics.rubric(_RUBRIC)
        with Progress("entailment", len(cases)) as bar:
            for given in judged_cases(cases):
                sheet = rubrics.sheet(rubric, given)
                assert sheet is not None
                yield Ruling(given, sheet, (self._verdict(given.response, given.error, sheet.lines),))
                bar.advance(1)

    def _verdict(self, response: str, error: str, lines: Sequence[Line]) -> Verdict:
        if error:
            return failed(self._path, error, lines)
        assert self._entailment is not None
        found = self._entailment.relations(response, [line.asks for line in lines])
        return Verdict(self._path, {line.id: score for line, score in zip(lines, found, strict=True)}, {})


def values(lines: Sequence[Line], scores: Mapping[str, int]) -> dict[str, float | None]:
    """What the relations to an item's statements (1 said, 0 open, -1 contradicted) come to, by the measure's name.

    None where one of the statements that count has no score; left out where the item has no such statements.
    """
    ids = {kind: [line.id for line in lines if criterion(line.id) == kind] for kind in ("must", "nice", "must_not")}
    said = {kind: _count(names, scores, 1) for kind, names in ids.items()}
    against = _count([*ids["must"], *ids["nice"]], scores, -1)
    found: dict[str, float | None] = {}
    for kind, name in (("must", "facts.completeness"), ("nice", "facts.nice")):
        if ids[kind]:
            count = said[kind]
            found[name] = None if count is None else count / len(ids[kind])
    if ids["must_not"]:
        found["facts.harmful"] = said["must_not"]
    wrong = said["must_not"]
    found["facts.contradictions"] = None if against is None or wrong is None else against + wrong
    return found


def _count(names: Sequence[str], scores: Mapping[str, int], value: int) -> int | None:
    """How many of the lines have that score; None when one of them has none."""
    return None if any(name not in scores for name in names) else sum(scores[name] == value for name in names)
