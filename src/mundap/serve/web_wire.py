"""Connects the page's parts to what they do. Handlers return `{component: update}`, so each names only what changes."""

from __future__ import annotations

import html
import json
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from functools import wraps
from typing import Any

import gradio as gr  # noqa: TID253 - the page itself; app.py imports it only when a page is served

from mundap.serve import render
from mundap.serve.stream import Desk
from mundap.serve.texts import texts
from mundap.serve.web_events import (
    NOBODY,
    VOTES,
    Settings,
    Talk,
    Updates,
    cleared,
    details,
    fields,
    marked,
    person_choices,
    person_name,
    plain,
    unmarked,
    vote,
)
from mundap.types import Lang

Parts = dict[str, Any]
Changes = dict[Any, Any]
Table = dict[str, Callable[[dict[str, Any]], dict[str, Any]]]

# Private events are left out of the API description, which is not served either; no event is shown as loading,
# because the page says in words what it does.
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
FORM = ("age", "sex", "weeks", "nursing", "conditions", "medicines", "allergies")
# What an answer changes.
SHOWN = ("chat", "ask", "send", "stop", "card", "status", "sources", "notes", "feedback")


def wire(blocks: gr.Blocks, parts: Parts, desk: Desk, table: Table) -> None:
    """Attach every event of the page."""
    talk = Talk(desk)
    _asking(parts, talk)
    _stopping(parts, talk)
    _rating(parts)
    _profiles(parts)
    _exporting(parts)
    _languages(blocks, parts, desk, table)


def _lang(value: Any) -> Lang:
    return "en" if value == "en" else "ko"


def _updates(parts: Parts, updates: Updates) -> Changes:
    """Turn `{name: value}` into what Gradio takes; `busy` swaps the send button for the stop button."""
    busy = updates.pop("busy", None)
    if "chat" in updates:
        updates["chat"] = marked(updates["chat"])
    feedback = {parts["feedback"]: gr.update(visible=updates.pop("feedback"))} if "feedback" in updates else {}
    given = {parts[name]: gr.update(value=value) if name != "notes" else value for name, value in updates.items()}
    given |= feedback
    if busy is not None:
        given |= {parts["send"]: gr.update(visible=not busy), parts["stop"]: gr.update(visible=busy)}
    return given


def _asking(parts: Parts, talk: Talk) -> None:
    """Send, retry, edit, examples and follow-ups: all are a question after some part of the conversation."""
    chosen = [parts[name] for name in ("chat", "notes", "model", "people", "lang")]
    shown = [parts[name] for name in SHOWN]

    async def ask(
        session: str, text: str, chat: Any, notes: Any, model: str, people: Any, lang: str
    ) -> AsyncIterator[Changes]:
        settings = Settings(model, people or {}, _lang(lang))
        async for updates in talk.send(session, text or "", chat, notes or [], settings):
            yield _updates(parts, updates)

    def send(request: gr.Request, text: str, chat: Any, *rest: Any) -> AsyncIterator[Changes]:
        return ask(_session(request), text, plain(chat), *rest)

    def retry(request: gr.Request, data: gr.RetryData, chat: Any, *rest: Any) -> AsyncIterator[Changes]:
        before = plain(chat)[: _index(data.index) + 1]
        return ask(_session(request), before[-1]["content"], before[:-1], *rest)

    def edit(request: gr.Request, data: gr.EditData, chat: Any, *rest: Any) -> AsyncIterator[Changes]:
        return ask(_session(request), unmarked(str(data.value)), plain(chat)[: _index(data.index)], *rest)

    def example(request: gr.Request, data: gr.SelectData, chat: Any, *rest: Any) -> AsyncIterator[Changes]:
        return ask(_session(request), data.value["text"], plain(chat), *rest)

    def follow(request: gr.Request, data: gr.SelectData, chat: Any, *rest: Any) -> AsyncIterator[Changes]:
        return ask(_session(request), str(data.value), plain(chat), *rest)

    box, chat = parts["ask"], parts["chat"]
    gr.on([parts["send"].click, box.submit], _generator(send), [box, *chosen], shown, trigger_mode="once", **QUIET)
    chat.retry(_generator(retry), chosen, shown, **QUIET)
    chat.edit(_generator(edit), chosen, shown, **QUIET)
    chat.example_select(_generator(example), chosen, shown, **QUIET)
    chat.option_select(_generator(follow), chosen, shown, **QUIET)


def _generator(start: Callable[..., AsyncIterator[Changes]]) -> Callable[..., AsyncIterator[Changes]]:
    """The same as an async generator function with the same signature, which is what Gradio streams from."""

    @wraps(start)
    async def run(*given: Any) -> AsyncIterator[Changes]:
        async for changes in start(*given):
            yield changes

    return run


def _session(request: gr.Request) -> str:
    return str(request.session_hash)


def _index(index: Any) -> int:
    return int(index[0] if isinstance(index, (list, tuple)) else index)


def _stopping(parts: Parts, talk: Talk) -> None:
    shown = [parts[name] for name in SHOWN]

    def stop(request: gr.Request) -> None:
        talk.stop(_session(request))

    def new(request: gr.Request, lang: str) -> Changes:
        # An answer under way clears the page itself, or its next sentence would come back after this.
        return {} if talk.stop(_session(request), drop=True) else _updates(parts, cleared(_lang(lang)))

    parts["stop"].click(stop, None, None, **QUIET)
    parts["new"].click(new, [parts["lang"]], shown, **QUIET)


def _rating(parts: Parts) -> None:
    panel = [parts[name] for name in ("feedback", "feedback_title", "reasons", "comment", "pending")]

    def rate(data: gr.LikeData, lang: str) -> Changes:
        if data.liked is None or data.liked == "":  # The thumb was taken back.
            return {parts["feedback"]: gr.update(visible=False)}
        words = texts(_lang(lang))
        title = words["feedback_like"] if data.liked else words["feedback_dislike"]
        return {
            parts["feedback"]: gr.update(visible=True),
            parts["feedback_title"]: f"<p>{render.escape(title)}</p>",
            parts["reasons"]: gr.update(value=[], visible=not data.liked),
            parts["comment"]: "",
            parts["pending"]: {"index": _index(data.index), "liked": bool(data.liked)},
        }

    def save(pending: Any, reasons: Any, comment: Any, votes: Any, chat: Any, notes: Any, lang: str) -> Changes:
        words = texts(_lang(lang))
        if pending:
            votes = [*(votes or []), vote(plain(chat), notes or [], pending, reasons or [], comment or "")][-VOTES:]
        return _counted(parts, votes, _lang(lang)) | {
            parts["votes"]: votes,
            parts["feedback"]: gr.update(visible=False),
            parts["status"]: render.say(render.escape(words["feedback_saved"])),
        }

    def forget(lang: str) -> Changes:
        return _counted(parts, [], _lang(lang)) | {parts["votes"]: []}

    count = [parts["vote_count"], parts["forget"]]
    given = [parts[name] for name in ("pending", "reasons", "comment", "votes", "chat", "notes", "lang")]
    parts["chat"].like(rate, [parts["lang"]], panel, **QUIET)
    parts["rate"].click(save, given, [parts["votes"], parts["feedback"], parts["status"], *count], **QUIET)
    parts["close"].click(lambda: gr.update(visible=False), None, parts["feedback"], **QUIET)
    parts["forget"].click(forget, [parts["lang"]], [parts["votes"], *count], **QUIET)


def _counted(parts: Parts, votes: Sequence[Any] | None, lang: Lang) -> Changes:
    text = render.escape(texts(lang)["feedback_count"].format(count=len(votes))) if votes else ""
    return {parts["vote_count"]: f"<p>{text}</p>" if text else "", parts["forget"]: gr.update(visible=bool(votes))}


def _profiles(parts: Parts) -> None:
    form = [parts[name] for name in FORM]
    changed = [parts["people"], parts["person"], parts["person_status"], parts["form"], parts["consent"], *form]

    def show(people: Any, person: str, lang: Lang, said: str) -> Changes:
        stored = people["people"].get(person)
        values = dict(zip(form, fields(stored), strict=True))
        return values | {
            parts["people"]: people,
            parts["person"]: gr.update(choices=person_choices(people, lang), value=person),
            parts["form"]: gr.update(visible=person != NOBODY),
            parts["consent"]: bool(stored),
            parts["person_status"]: render.say(render.escape(said)),
        }

    def choose(person: str, people: Any, lang: str) -> Changes:
        # The stored details go with the choice: whom the person means is whose details are used.
        people = _people(people) | {"active": person}
        words = texts(_lang(lang))
        key = (
            "person_unused" if person == NOBODY else "person_stored" if people["people"].get(person) else "person_empty"
        )
        return show(people, person, _lang(lang), words[key].format(name=person_name(person, _lang(lang))))

    def add(name: str, people: Any, lang: str) -> Changes:
        people, name = _people(people), " ".join((name or "").split())[:20]
        if not name or name == NOBODY:
            return {}
        people["people"].setdefault(name, {})
        return choose(name, people, lang) | {parts["new_person"]: ""}

    def save(person: str, people: Any, consent: bool, lang: str, *values: Any) -> Changes:
        words = texts(_lang(lang))
        if not consent or person == NOBODY:
            return {parts["person_status"]: render.say(render.escape(words["consent_needed"]))}
        age, sex, weeks, nursing, *lists = values
        people = _people(people)
        people = {"active": person, "people": people["people"] | {person: details(age, sex, weeks, nursing, *lists)}}
        return show(people, person, _lang(lang), words["saved"].format(name=person_name(person, _lang(lang))))

    def delete(person: str, people: Any, lang: str) -> Changes:
        kept = {name: stored for name, stored in _people(people)["people"].items() if name != person}
        said = texts(_lang(lang))["deleted"].format(name=person_name(person, _lang(lang)))
        return show({"active": NOBODY, "people": kept}, NOBODY, _lang(lang), said)

    common = [parts["person"], parts["people"]]
    parts["person"].input(choose, [*common, parts["lang"]], changed, **QUIET)
    parts["save"].click(save, [*common, parts["consent"], parts["lang"], *form], changed, **QUIET)
    parts["delete"].click(delete, [*common, parts["lang"]], changed, **QUIET)
    named = [parts["new_person"], parts["people"], parts["lang"]]
    gr.on([parts["add_person"].click, parts["new_person"].submit], add, named, [*changed, parts["new_person"]], **QUIET)


def _people(people: Any) -> dict[str, Any]:
    """What the browser stored, or nothing where it is not what this page stores."""
    if isinstance(people, dict) and isinstance(people.get("people"), dict):
        return {"active": people.get("active", NOBODY), "people": dict(people["people"])}
    return {"active": NOBODY, "people": {}}


def _exporting(parts: Parts) -> None:
    def export(chat: Any, notes: Any, votes: Any, lang: str) -> str:
        if not chat:
            return ""
        text = render.export(plain(chat), notes or [], votes or [], _lang(lang))
        stamp = datetime.now()
        name = f"{texts(_lang(lang))['export_name']}-{stamp:%Y%m%d-%H%M%S}.md"
        # The browser makes the file from this text (page.js): nothing is written on the server's disk.
        data = html.escape(json.dumps({"name": name, "text": text, "stamp": stamp.isoformat()}))
        return f'<div hidden data-export="{data}"></div>'

    given = [parts[name] for name in ("chat", "notes", "votes", "lang")]
    parts["export"].click(export, given, parts["file"], **QUIET)


def _languages(blocks: gr.Blocks, parts: Parts, desk: Desk, table: Table) -> None:
    pieces = ("brand", "notice", "footer", "model", "person", "sources", "status", "vote_count", "forget", "lang_store")
    worded = [parts[name] for name in dict.fromkeys((*table, *pieces))]
    engines = desk.engines

    def switch(value: str, people: Any, votes: Any, notes: Any) -> Changes:
        lang = _lang(value)
        given = {parts[name]: gr.update(**make(texts(lang))) for name, make in table.items()}
        models = [(engines.label(name, lang), name) for name in engines.names()]
        given[parts["model"]] = gr.update(choices=models, **table["model"](texts(lang)))
        given[parts["person"]] = gr.update(
            choices=person_choices(_people(people), lang), **table["person"](texts(lang))
        )
        latest = notes[-1] if notes else None
        return (
            given
            | _counted(parts, votes, lang)
            | {
                parts["brand"]: render.brand(lang),
                parts["notice"]: render.notice(lang),
                parts["footer"]: render.footer(lang),
                parts["sources"]: render.sources(latest, lang),
                parts["status"]: render.status(latest, lang) if latest else render.say(""),
                parts["lang_store"]: lang,
            }
        )

    def restore(stored: Any, people: Any, votes: Any) -> Changes:
        lang, people = _lang(stored), _people(people)
        person = people["active"]
        given = switch(lang, people, votes, None)
        for late in ("status", "sources"):  # A first question may be answered before this arrives.
            given.pop(parts[late])
        given[parts["person"]] = gr.update(
            choices=person_choices(people, lang), value=person, **table["person"](texts(lang))
        )
        form = dict(zip([parts[name] for name in FORM], fields(people["people"].get(person)), strict=True))
        form[parts["sex"]] = gr.update(value=form[parts["sex"]], **table["sex"](texts(lang)))
        for name in ("age", "weeks", "nursing", "conditions", "medicines", "allergies"):
            form[parts[name]] = gr.update(value=form[parts[name]], **table[name](texts(lang)))
        return (
            given
            | form
            | {
                parts["lang"]: gr.update(value=lang, **table["lang"](texts(lang))),
                parts["form"]: gr.update(visible=person != NOBODY),
                parts["consent"]: gr.update(value=bool(people["people"].get(person)), **table["consent"](texts(lang))),
            }
        )

    stores = [parts[name] for name in ("people", "votes")]
    parts["lang"].input(switch, [parts["lang"], *stores, parts["notes"]], worded, **QUIET)
    blocks.load(restore, [parts["lang_store"], *stores], [*worded, parts["form"]], **QUIET)
