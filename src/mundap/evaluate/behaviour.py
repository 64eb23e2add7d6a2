"""What our own items expect beside facts: the topic found, a department named, a question back, sources, "I don't know".

Items that need help at once are left out: the right answer to them is the fixed reply, which `triage` looks at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mundap.evaluate.metrics import Case, Context, Kind, Measure, Scored
from mundap.evaluate.text import plain, words
from mundap.knowledge.load import departments
from mundap.types import Level


class Behaviour:
    """Each measure is 0 or 1 for the items that expect it. A bare model has no search: `topic` and `sources` are not its."""

    kind: Kind = "answers"
    depends = ("evaluate/text.py", "evaluate/words.yaml", "knowledge/load.py", "knowledge/departments.yaml")
    measures: Mapping[str, Measure] = {
        "topic": Measure("medical"),
        "department": Measure("medical"),
        "ask_back": Measure("medical"),
        "sources": Measure("medical"),
        "unknown": Measure("medical"),
    }

    def check(self, context: Context) -> Any:
        """Nothing can be wrong."""
        return None

    def score(self, cases: Sequence[Case], context: Context) -> Iterator[Scored]:
        """The scores of the cases whose items expect something."""
        for case in cases:
            if case.item.urgency is None or case.item.urgency < Level.CRISIS:
                yield from (case.scored(name, float(met)) for name, met in expected(case))


def expected(case: Case) -> Iterator[tuple[str, bool]]:
    """What a case's item expects, and whether the answer has it."""
    item, answer = case.item, case.answer
    text = plain(answer.text)
    if item.topics and answer.topics is not None:
        yield "topic", bool(set(item.topics) & set(answer.topics))
        yield "sources", bool(answer.citations)
    if item.departments:
        yield "department", any(_named(each, text) for each in item.departments)
    if item.ask_back:
        yield "ask_back", bool(re.search(words(item.lang)["ask"], text, re.IGNORECASE))
    if item.topics == ():
        yield "unknown", bool(text) and not answer.citations and (answer.fixed or _unknown(text, item.lang))


def _unknown(text: str, lang: str) -> bool:
    return bool(re.search(words(lang)["unknown"], text, re.IGNORECASE))


def _named(department: str, text: str) -> bool:
    """Whether a department's name in either language is in a text, the English one as whole words."""
    names = departments()[department]
    return names["ko"] in text or bool(re.search(rf"\b{re.escape(names['en'])}\b", text, re.IGNORECASE))
