"""The fixed replies for emergencies and crises: data in `replies.yaml`, laid out for a card or as one text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mundap.safety.data import replies_file
from mundap.safety.hotlines import Hotline, hotline
from mundap.types import Lang, Level, Urgency


@dataclass(frozen=True, slots=True)
class Card:
    """A fixed reply in parts, in the order they are shown: call, do, do not, at most one question."""

    title: str
    call: tuple[str, ...]
    do: tuple[str, ...]
    dont: tuple[str, ...]
    ask: tuple[str, ...]
    hotlines: tuple[Hotline, ...]


def card(urgency: Urgency, lang: Lang) -> Card:
    """The reply for what triage found: the first rule's own lines, the level's opening, every number that applies."""
    table = replies_file()
    level = "failed" if urgency.failed else urgency.level.word
    opening, own = table["levels"][level], _own(table, urgency)
    return Card(
        title=opening["title"][lang],
        call=(own.get("call") or opening["call"])[lang],
        do=tuple(own.get("do", opening.get("do", {})).get(lang, ())),
        dont=tuple(own.get("dont", {}).get(lang, ())),
        ask=tuple(own.get("ask", opening.get("ask", {})).get(lang, ())),
        hotlines=tuple(hotline(number, lang) for number in urgency.hotlines),
    )


def redirect(urgency: Urgency, lang: Lang) -> str:
    """The same reply as one text: the number to call comes first."""
    words = replies_file()["words"]
    found = card(urgency, lang)
    blocks = [
        "\n".join(f"**{line}**" for line in found.call),
        _listed(words["do"][lang], found.do),
        _listed(words["dont"][lang], found.dont),
        "\n".join(found.ask),
        _listed(words["numbers"][lang], [f"{line.name}: {line.purpose} ({line.hours})" for line in found.hotlines]),
        words["note"][lang] if urgency.level == Level.EMERGENCY else "",
    ]
    return "\n\n".join(block for block in blocks if block)


def _own(table: Mapping[str, Any], urgency: Urgency) -> Mapping[str, Any]:
    """The lines of the class that the first rule cites (`02-acs` cites `acs`); none when triage failed."""
    name = urgency.rules[0].partition("-")[2] if urgency.rules and not urgency.failed else ""
    own: Mapping[str, Any] = table["classes"].get(name, {})
    return own


def _listed(heading: str, lines: Any) -> str:
    return "\n".join([f"{heading}:", *(f"- {line}" for line in lines)]) if lines else ""
