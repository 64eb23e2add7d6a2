"""`mask`: what identifies a person becomes a typed token, the same one everywhere in a record (safety/privacy.py)."""

from __future__ import annotations

from dataclasses import replace

from mundap.clean.rowstep import RowStep
from mundap.safety.privacy import mask_all
from mundap.types import QA


def mask() -> RowStep:
    """The step. Doctors' names go as well; help lines, values, doses and dates stay."""
    return RowStep("mask", _row)


def _row(record: QA) -> QA:
    keys = [key for key, _ in record.fields]
    texts = (record.title, record.question, record.answer, *(value for _, value in record.fields))
    title, question, answer, *values = (masked.text for masked in mask_all(texts))
    fields = tuple(zip(keys, values, strict=True))
    return replace(record, title=title, question=question, answer=answer, fields=fields)
