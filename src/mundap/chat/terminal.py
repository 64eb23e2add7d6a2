"""A conversation in the terminal, or one question and its answer."""

from __future__ import annotations

import json
import sys
from typing import Any

from mundap.chat.engines import Engines
from mundap.types import Message, Profile, Reply

_NOTICE = (
    "문답은 AI가 찾아 주는 일반 건강정보이며 진단·처방이 아닙니다. 위급하면 119. (끝내기: Ctrl-D)\n"
    "General health information found by an AI, not a diagnosis. No clinician has reviewed it yet.\n"
)


def one(engines: Engines, question: str, profile: Profile, as_json: bool) -> None:
    """Answer one question on standard output, as text with its sources or as one JSON object."""
    reply = _answer(engines, [Message("user", question)], profile, show=not as_json)
    if as_json:
        print(json.dumps(as_dict(reply), ensure_ascii=False))


def talk(engines: Engines, profile: Profile) -> None:
    """Ask and answer until the input ends."""
    print(_NOTICE)
    history: list[Message] = []
    while (line := _ask()) is not None:
        if line.strip():
            history.append(Message("user", line))
            reply = _answer(engines, history, profile, show=True)
            history.append(Message("assistant", reply.text))


def as_dict(reply: Reply) -> dict[str, Any]:
    """The reply as `mundap chat --json` writes it."""
    return {
        "text": reply.text,
        "urgency": reply.urgency.level.word,
        "rules": list(reply.urgency.rules),
        "citations": [{"n": each.n, "title": each.title, "source": each.source} for each in reply.citations],
        "model": reply.model,
        "finish": reply.finish,
        "seconds": round(reply.seconds, 3),
        "ai_generated": True,
        "why": reply.why,
        "profile_used": list(reply.profile_used),
    }


def _answer(engines: Engines, history: list[Message], profile: Profile, show: bool) -> Reply:
    reply = Reply("")
    for event in engines.get(engines.default).reply(history, profile):
        if isinstance(event, Reply):
            reply = event
        elif show:
            print(event, end="", flush=True)
    if show:
        print(
            "\n"
            + "".join(f"\n[{c.n}] {c.source}" for c in reply.citations)
            + (f"\n({reply.why})" if reply.why else "")
            + "\n"
        )
    return reply


def _ask() -> str | None:
    try:
        return input("> ") if sys.stdin.isatty() else next(sys.stdin).rstrip("\n")
    except (EOFError, StopIteration):
        return None
