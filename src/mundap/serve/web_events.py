"""What the page does: send, stop, retry, edit, rate, export, and keep people's details in the browser."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from mundap.serve import render
from mundap.serve.schema import MESSAGE_CHARS, TURNS, ProfileIn
from mundap.serve.stream import Broken, Busy, Desk, Stopped, TimedOut, Turn, last_turns, log, where
from mundap.serve.texts import texts
from mundap.types import Lang, Message, Profile, Reply

Chat = list[dict[str, Any]]
Updates = dict[str, Any]

TAG = re.compile(r"<(?=[a-zA-Z/!?])")
IMAGE = "&#33;["
NOBODY = "none"
KNOWN = ("me", "child", "parent")
FOLLOW_UPS = 3
VOTES = 200


@dataclass(frozen=True, slots=True)
class Settings:
    """What the person chose before asking."""

    model: str
    people: Mapping[str, Any]
    lang: Lang


def plain(chat: Sequence[Mapping[str, Any]] | None) -> Chat:
    """The conversation as roles and texts, whatever form the browser sent it in."""
    spoken = (message for message in chat or () if message["role"] in ("user", "assistant"))
    return [{"role": message["role"], "content": unmarked(_text(message["content"]))} for message in spoken]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content if isinstance(part, Mapping))


def marked(chat: Chat) -> Chat:
    """The conversation as it is shown: tags are made text and images links, so that no form, style or fetch gets in."""
    return [message | {"content": TAG.sub("&lt;", message["content"]).replace("![", IMAGE)} for message in chat]


def unmarked(text: str) -> str:
    """The text a person wrote, from the text that was shown."""
    return text.replace("&lt;", "<").replace(IMAGE, "![")


class Talk:
    """Answers questions asked on the page. It keeps no words: each call gets the whole conversation.

    A talk that is stopped ends its own answer. Two events that write to the same conversation would overtake each other.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._running: dict[str, asyncio.Event] = {}
        self._dropped: set[str] = set()

    def stop(self, session: str, drop: bool = False) -> bool:
        """End the answer under way in `session`, keeping what there is unless `drop`; False where there is none."""
        event = self._running.get(session)
        if event is not None:
            self._dropped |= {session} if drop else set()
            event.set()
        return event is not None

    async def send(
        self, session: str, text: str, chat: Chat, notes: list[render.Note], chosen: Settings
    ) -> AsyncIterator[Updates]:
        """Ask `text` after `chat`; yields what changes on the page, sentence by sentence."""
        text, words = text.strip(), texts(chosen.lang)
        if not text or session in self._running:
            return
        if len(text) > MESSAGE_CHARS:
            yield {"status": render.say(render.escape(words["too_long"].format(limit=MESSAGE_CHARS)))}
            return
        chat = [*chat, {"role": "user", "content": text}]
        notes = notes[: sum(message["role"] == "assistant" for message in chat)]
        thinking = render.say(render.escape(words["thinking"]), busy=True)
        stop = self._running[session] = asyncio.Event()
        try:
            yield {"chat": chat, "ask": "", "busy": True, "notes": notes, "status": thinking}
            async for updates in self._answer(chat, notes, chosen, stop):
                yield cleared(chosen.lang) if session in self._dropped else updates
        finally:
            self._running.pop(session, None)
            self._dropped.discard(session)

    async def _answer(
        self, chat: Chat, notes: list[render.Note], chosen: Settings, stop: asyncio.Event
    ) -> AsyncIterator[Updates]:
        words, shown = texts(chosen.lang), chat
        writing = render.say(render.escape(words["writing"]), busy=True)
        try:
            async with aclosing(self.desk.ask(_turn(chat, chosen), stop)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Reply):
                        yield self._finished(chat, notes, piece, chosen.lang)
                        continue
                    text = piece if shown is chat else shown[-1]["content"] + piece
                    shown = [*chat, {"role": "assistant", "content": text}]
                    yield {"chat": shown, "status": writing}
        except Stopped:
            yield stopped(shown, chosen.lang)
        except Busy:
            yield _excuse(chat, words["busy"])
        except TimedOut:
            yield _excuse(chat, words["timeout"])
        except Broken as error:
            yield _excuse(chat, words["failed"], str(error))

    def _finished(self, chat: Chat, notes: list[render.Note], reply: Reply, lang: Lang) -> Updates:
        given = render.note(reply)
        message: dict[str, Any] = {"role": "assistant", "content": reply.text}
        if reply.follow_ups:
            message["options"] = [{"value": text, "label": text} for text in reply.follow_ups[:FOLLOW_UPS]]
        return {
            "chat": [*chat, message],
            "notes": [*notes, given],
            "card": self._card(reply) if render.alarming(reply) else "",
            "sources": render.sources(given, lang),
            "status": render.status(given, lang),
            "busy": False,
        }

    def _card(self, reply: Reply) -> str:
        try:
            return render.card(self.desk.engines.redirect_card(reply.urgency, reply.lang), reply)
        except Exception as error:  # Whatever is wrong with the texts, the numbers must be there.
            log.error("no card: %s", where(error))
            return render.card(render.bare_card(reply), reply)


def _excuse(chat: Chat, words: str, detail: str = "") -> Updates:
    said = f"{words}\n\n{detail}" if detail else words
    return {
        "chat": [*chat, {"role": "assistant", "content": said}],
        "status": render.say(render.escape(words)),
        "busy": False,
    }


def _turn(chat: Chat, chosen: Settings) -> Turn:
    # A page may be altered to send more than it shows, so the limits hold here as they do in the API.
    messages = [Message(m["role"], m["content"][:MESSAGE_CHARS]) for m in chat]
    return Turn(chosen.model, last_turns(messages, TURNS), profile_of(chosen.people), chosen.lang)


def cleared(lang: Lang) -> Updates:
    """A page with nothing said on it."""
    empty = {"chat": [], "ask": "", "card": "", "status": render.say(""), "notes": [], "busy": False}
    return empty | {"sources": render.sources(None, lang), "feedback": False}


def stopped(chat: Chat, lang: Lang) -> Updates:
    """Mark an answer that was stopped, so that half a sentence is never read as a whole one."""
    mark = texts(lang)["stopped_mark"]
    if chat[-1]["role"] == "assistant":
        chat = [*chat[:-1], {"role": "assistant", "content": f"{chat[-1]['content'].rstrip()}\n\n{mark}"}]
    else:
        chat = [*chat, {"role": "assistant", "content": mark}]
    return {"chat": chat, "status": render.say(render.escape(texts(lang)["stopped"])), "busy": False}


def profile_of(people: Mapping[str, Any] | None) -> Profile | None:
    """The stored details of the chosen person, or None."""
    stored = (people or {}).get("people", {}).get((people or {}).get("active", NOBODY))
    if not stored:
        return None
    try:
        return ProfileIn.model_validate(stored).profile()
    except ValidationError:  # Altered or from another version: better no details than wrong ones.
        return None


def details(age: float | None, sex: str, weeks: float | None, nursing: bool, *lists: str | None) -> dict[str, Any]:
    """The form's fields as a stored person; out-of-range numbers are brought into range by leaving them out."""
    items = [[part.strip()[:100] for part in (text or "").split(",") if part.strip()][:20] for text in lists]
    return {
        "age": int(age) if age is not None and 0 <= age <= 130 else None,
        "sex": sex if sex in ("female", "male") else None,
        "pregnant_weeks": int(weeks) if weeks is not None and 0 <= weeks <= 45 else None,
        "breastfeeding": bool(nursing),
        "conditions": items[0],
        "medicines": items[1],
        "allergies": items[2],
    }


def fields(stored: Mapping[str, Any] | None) -> list[Any]:
    """A stored person as the form's values, in the order of the form."""
    person = stored or {}
    lists = [", ".join(person.get(name, ())) for name in ("conditions", "medicines", "allergies")]
    sex = person.get("sex") or NOBODY
    return [person.get("age"), sex, person.get("pregnant_weeks"), bool(person.get("breastfeeding")), *lists]


def person_name(person: str, lang: Lang) -> str:
    """How a person is called on the page: a fixed word, or the name that was typed."""
    return str(texts(lang)["people"].get(person, person))


def person_choices(people: Mapping[str, Any] | None, lang: Lang) -> list[tuple[str, str]]:
    """The picker's entries: nobody, the usual three, and those added by name."""
    added = [name for name in (people or {}).get("people", {}) if name not in KNOWN and name != NOBODY]
    return [(person_name(person, lang), person) for person in (NOBODY, *KNOWN, *added)]


def vote(
    chat: Chat, notes: Sequence[render.Note], pending: Mapping[str, Any], reasons: list[str], comment: str
) -> dict[str, Any]:
    """A rating as it is kept in the browser: the question, the answer, what wrote it, and what the person said."""
    index = int(pending["index"])
    answers = [at for at, message in enumerate(chat) if message["role"] == "assistant"]
    place = answers.index(index) if index in answers else -1
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "question": chat[index - 1]["content"] if 0 < index < len(chat) else "",
        "answer": chat[index]["content"] if 0 <= index < len(chat) else "",
        "model": notes[place]["model"] if 0 <= place < len(notes) else "",
        "liked": bool(pending["liked"]),
        "reasons": list(reasons),
        "comment": comment[:1000],
    }
