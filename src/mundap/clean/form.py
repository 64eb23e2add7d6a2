"""Intake forms that a site puts into the question (`- 성별 : … - 혈압 : … - 상담내용 : …`) as fields and plain text."""

from __future__ import annotations

import re

from mundap.clean.patterns import pattern

Fields = tuple[tuple[str, str], ...]
_FEWEST = 2
LABEL = "환자 정보"


def parsed(text: str) -> tuple[str, Fields]:
    """The question as asked, with the rest of the form as one line `환자 정보: …`, and the form's fields."""
    items = list(pattern("boilerplate", "form_item").finditer(text))
    known = [item for item in items if pattern("boilerplate", "form_known").search(item["key"])]
    if len(known) < _FEWEST:
        return text, ()
    ends = [*(item.start() for item in items[1:]), len(text)]
    fields = [(_key(item), text[item.end() : end].strip()) for item, end in zip(items, ends, strict=True)]
    return _question(text[: items[0].start()].strip(), fields), tuple((key, value) for key, value in fields if value)


def _key(item: re.Match[str]) -> str:
    return " ".join(item["key"].split())


def _question(before: str, fields: list[tuple[str, str]]) -> str:
    body = [value for key, value in fields if _is_body(key) and value]
    rest = [f"{key} {' '.join(value.split())}" for key, value in fields if value and not _is_body(key)]
    info = f"{LABEL}: {', '.join(rest)}" if rest else ""
    return "\n\n".join(part for part in (before, *body, info) if part)


def _is_body(key: str) -> bool:
    return pattern("boilerplate", "form_body").search(key) is not None
