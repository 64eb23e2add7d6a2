"""`deleted`: questions and answers that are no longer there; a good title stands in for a missing question.

A question its asker took back is dropped unless the recipe says otherwise (`asker: keep`), and then kept without its
title for the repair stage, flagged.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import Literal

from mundap.clean.patterns import pattern
from mundap.clean.rowstep import RowStep
from mundap.types import QA

Choice = Literal["drop", "keep"]
_LETTERS = re.compile(r"[^가-힣A-Za-z]+")
_SIGNS = re.compile(r"[\W_]+")
_GOOD_TITLE = 6


def deleted(asker: Choice = "drop", missing: Choice = "drop") -> RowStep:
    """The step. `asker`: questions deleted at the asker's request; `missing`: questions lost with no title either."""
    return RowStep("deleted", partial(_row, asker=asker, missing=missing))


def _row(record: QA, asker: Choice, missing: Choice) -> QA | str:
    if not record.answer.strip() or pattern("deleted", "answer").search(record.answer):
        return "answer deleted" if record.answer.strip() else "no answer"
    if _taken_back(record):
        return _without(record, "question_deleted") if asker == "keep" else "question deleted by its asker"
    if not _is_lost(record.question):
        return _titled(record)
    if _is_good(record.title):
        return replace(record, question=record.title, question_origin="title")
    return _without(record, "no_question") if missing == "keep" else "no question"


def _taken_back(record: QA) -> bool:
    marks = pattern("deleted", "asker")
    return record.state == "question_deleted" or bool(marks.search(record.question) or marks.search(record.title))


def _is_lost(text: str) -> bool:
    gone = not _SIGNS.sub("", text) or pattern("deleted", "damage").match(text)
    return bool(gone or pattern("deleted", "removed").search(text))


def _is_good(title: str) -> bool:
    return len(_LETTERS.sub("", title)) >= _GOOD_TITLE and not _is_lost(title)


def _titled(record: QA) -> QA:
    """A body that only repeats the title is a title."""
    same = record.question_origin == "asked" and _SIGNS.sub("", record.question) == _SIGNS.sub("", record.title)
    return replace(record, question_origin="title") if same else record


def _without(record: QA, flag: str) -> QA:
    """The answer alone, flagged for the repair stage; what the asker wrote is not kept."""
    flags = tuple(sorted({*record.flags, flag}))
    return replace(record, question="", title="", fields=(), flags=flags)
