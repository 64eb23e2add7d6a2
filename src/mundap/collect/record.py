"""How a record or a refusal is made: the id from source, page and answer; texts checked, never changed."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mundap.store import digest
from mundap.types import QA, Drop, Lang

STEP = "collect"
_SHOWN = 200  # characters of a refused row kept beside its reason


class Refused(ValueError):
    """Why a row cannot be a record. The text is a reason to count: it names no values."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What all records of one source share. `parser` ends up in the trail as `collect:hidoc@1`."""

    name: str
    parser: int = 1
    lang: Lang = "ko"
    licence: str = ""
    permission: str = ""

    @property
    def step(self) -> str:
        """The entry in a record's trail."""
        return f"{STEP}:{self.name}@{self.parser}"

    def qa(self, page: str, part: str, question: Any, answer: Any, **more: Any) -> QA:
        """A record; `page` and `part` (which answer on it) make the id. Raises `Refused` for what is not text."""
        question, answer = _text(question, "question"), _text(answer, "answer")
        if not answer:
            raise Refused("answer is empty")
        if more.get("lang", self.lang) not in ("ko", "en"):
            raise Refused("lang is neither ko nor en")
        if not question and more.get("state", "whole") == "whole" and not more.get("title"):
            raise Refused("question is empty")
        return QA(
            id=digest([self.name, page, part]), question=question, answer=answer, trail=(self.step,),
            **{"lang": self.lang, "licence": self.licence, "permission": self.permission, **more},
        )  # fmt: skip

    def drop(self, reason: str, **where: Any) -> Drop:
        """A refusal: `where` says file and line, or the URL, and holds the beginning of the text."""
        return Drop(record=_short(where), step=self.step, reason=reason)


def today() -> str:
    """Today's date (UTC), or the date of SOURCE_DATE_EPOCH where builds are to be reproducible."""
    return datetime.fromtimestamp(now(), UTC).date().isoformat()


def now() -> float:
    """Seconds since 1970, or SOURCE_DATE_EPOCH (reproducible-builds.org) when it is set."""
    return float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise Refused(f"{name} is {type(value).__name__}, not text" if value is not None else f"{name} is missing")
    if "\x00" in value:
        raise Refused(f"{name} contains NUL")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Refused(f"{name} is not valid Unicode") from None
    return value.strip()


def _short(where: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value[:_SHOWN] if isinstance(value, str) else value for key, value in where.items()}
