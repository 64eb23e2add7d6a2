"""The parts of the page and of an exported file that are made from a reply: card, sources, status, Markdown."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mundap.serve.api import package_version
from mundap.serve.texts import texts
from mundap.types import Lang, Level, Reply

Note = dict[str, Any]


def escape(text: str) -> str:
    """`text` for use inside HTML, on one line: a blank line would end an HTML block and begin Markdown."""
    return html.escape(" ".join(text.split()))


def note(reply: Reply) -> Note:
    """What the page keeps about an answer for its panels and its export. It holds nothing the person wrote."""
    return {
        "lang": reply.lang,
        "level": reply.urgency.level.word,
        "model": reply.model,
        "why": reply.why,
        "profile_used": list(reply.profile_used),
        "seconds": round(reply.seconds, 1),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "sources": [
            {
                "n": c.n,
                "title": c.title,
                "source": c.source,
                "publisher": c.publisher,
                "year": c.year,
                "snippet": c.snippet,
            }
            for c in reply.citations
        ],
    }


def notice(lang: Lang) -> str:
    """The strip above the conversation: what this is, and the number to call."""
    words = texts(lang)
    call = f'<a href="tel:119">{escape(words["notice_call"])}</a>'
    return f'<p role="note"><span>{escape(words["notice"])}</span> {call}</p>'


def brand(lang: Lang) -> str:
    """The name and what it does."""
    words = texts(lang)
    names = f'data-lang="{lang}" data-theme-label="{escape(words["theme_button"])}" '
    names += f'data-names="{escape(json.dumps(words["names"], ensure_ascii=False))}"'
    return f"<h1 {names}>{escape(words['title'])}</h1><p>{escape(words['tagline'])}</p>"


def footer(lang: Lang) -> str:
    """The line at the end of the page."""
    return f"<p>{escape(texts(lang)['footer'])}</p>"


@dataclass(frozen=True, slots=True)
class BareCard:
    """What is shown when the real card cannot be had: the numbers alone."""

    hotlines: tuple[str, ...]
    title: str = ""
    call: tuple[str, ...] = ()
    do: tuple[str, ...] = ()
    dont: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()


def bare_card(reply: Reply) -> BareCard:
    """The numbers triage gave, or those for any emergency."""
    return BareCard(reply.urgency.hotlines or tuple(texts(reply.lang)["any_numbers"]))


def card(content: Any, reply: Reply) -> str:
    """The red card of an emergency or crisis, with numbers that dial when touched."""
    words = texts(reply.lang)
    buttons = "".join(_call(hotline, words, reply.lang) for hotline in content.hotlines)
    lists = "".join(
        (
            _list("", content.ask),
            _list(words["card_do"], content.do),
            _list(words["card_dont"], content.dont),
        )
    )
    more = f"<details><summary>{escape(words['card_more'])}</summary>{lists}</details>" if lists else ""
    # The first line is the heading, whether the card has a title of its own or begins with whom to call.
    heads = [line for line in (*_lines(content.title), *_lines(content.call)) if line]
    title, *calls = heads or [words["levels"][Level.EMERGENCY.word]]
    lead = "".join(f"<p>{escape(line)}</p>" for line in calls)
    small = escape(getattr(content, "notice", ""))
    body = f'<h2>{escape(title)}</h2>{lead}<div class="calls">{buttons}</div>{more}<small>{small}</small>'
    return f'<section class="card {reply.urgency.level.word}" role="alert">{body}</section>'


def _call(hotline: Any, words: Mapping[str, Any], lang: Lang) -> str:
    """A button that dials. A hotline is a number, or a record that also has a name and hours, for one or each language."""
    number = str(getattr(hotline, "number", hotline))
    about = (_in(getattr(hotline, name, ""), lang) for name in ("name", "hours"))
    small = escape(" · ".join(filter(None, about)))
    digits = "".join(character for character in number if character.isdigit())
    label = escape(words["call"].format(number=number))
    return f'<a href="tel:{digits}"><strong>{label}</strong>{f"<small>{small}</small>" if small else ""}</a>'


def _in(text: str | Mapping[str, str], lang: Lang) -> str:
    return text if isinstance(text, str) else text[lang]


def _list(title: str, items: Sequence[str]) -> str:
    rows = "".join(f"<li>{escape(item)}</li>" for item in _lines(items))
    return f"{f'<h3>{escape(title)}</h3>' if title else ''}<ul>{rows}</ul>" if rows else ""


def _lines(text: str | Sequence[str]) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)


def sources(given: Note | None, lang: Lang) -> str:
    """The cited sources of the latest answer, with number, title, publisher, year and what was read."""
    words = texts(lang)
    if given is None:
        return f'<p class="quiet">{escape(words["sources_none"])}</p>'
    if not given["sources"]:
        empty = "" if given["level"] in ("crisis", "emergency") else words["sources_empty"]
        return f'<p class="quiet">{escape(empty or words["sources_none"])}</p>'
    return "<ol>" + "".join(_source(source, words) for source in given["sources"]) + "</ol>"


def _source(source: Mapping[str, Any], words: Mapping[str, Any]) -> str:
    year = words["year"].format(year=source["year"]) if source["year"] else ""
    about = escape(" · ".join(filter(None, (source["publisher"], year))))
    snippet = f"<blockquote>{escape(source['snippet'])}</blockquote>" if source["snippet"] else ""
    return (
        f'<li value="{source["n"]}"><b class="n">{source["n"]}</b><div><strong>{escape(source["title"])}</strong>'
        f"<small>{about}</small>{snippet}{_link(source, words)}</div></li>"
    )


def _link(source: Mapping[str, Any], words: Mapping[str, Any]) -> str:
    address = source["source"]
    if not address.startswith(("https://", "http://")):
        # Not a page but a description; it mostly repeats the publisher, title and year above.
        return "" if source["publisher"] else f"<small>{escape(address)}</small>"
    name = escape(f"{words['open_source']}: {source['title']}")
    text = escape(words["open_source"])
    return f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer" aria-label="{name}">{text} ↗</a>'


def status(given: Note, lang: Lang) -> str:
    """The line under the conversation: how urgent, what was taken into account, how many sources, who wrote it."""
    words, level = texts(lang), given["level"]
    parts = [f'<b class="{level}">{escape(words["levels"][level])}</b>'] if words["levels"][level] else []
    if given["profile_used"]:
        used = words["profile_used"].format(items=", ".join(given["profile_used"]))
        parts.append(f'<span class="used">{escape(used)}</span>')
    if given["sources"]:
        count = words["source_count"].format(count=len(given["sources"]))
        parts.append(f'<a href="#sources" data-open="sources">{escape(count)}</a>')
    if given["why"]:
        parts.append(f'<span class="why">{escape(words["why"].format(why=given["why"]))}</span>')
    parts.append(f"<span>{escape(writer(given['model'], lang))}</span>")
    return say("".join(parts), done=words["done"])


def writer(model: str, lang: Lang) -> str:
    """Who wrote an answer, as it is told under it."""
    words = texts(lang)
    return str(words["writers"].get(model, words["writer"].format(model=model)))


def say(inner: str, done: str = "", busy: bool = False) -> str:
    """A status line that screen readers speak; `inner` is HTML."""
    spoken = f'<span class="sr">{escape(done)}</span>' if done else ""
    return f'<div role="status" class="{"busy" if busy else ""}">{spoken}{inner}</div>'


def export(messages: Sequence[Mapping[str, str]], notes: Sequence[Note], votes: Sequence[Note], lang: Lang) -> str:
    """The conversation as a Markdown file that says, to people and to machines, that AI wrote it."""
    words = texts(lang)
    models = list(dict.fromkeys(given["model"] for given in notes))
    head = {
        "generator": f"mundap {package_version()}",
        "ai_generated": True,
        "models": models,
        "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "notice": words["label"],
    }
    # JSON values are YAML too, so quoting is right whatever they hold.
    front = "\n".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items())
    parts = [f"---\n{front}\n---", f"# {words['export_title']}", f"> {words['label']}"]
    answers = iter(notes)
    for message in messages:
        parts += _exported(message, next(answers, None) if message["role"] == "assistant" else None, words)
    asked = {message["content"] for message in messages}
    parts += _exported_votes([vote for vote in votes if vote.get("answer") in asked], words)
    return "\n\n".join([*parts, f"> {words['label']}"]) + "\n"


def _exported(message: Mapping[str, str], given: Note | None, words: Mapping[str, Any]) -> list[str]:
    if message["role"] != "assistant":
        return [f"## {words['export_you']}", message["content"]]
    parts = [f"## {words['export_answer']}", message["content"]]
    if given:
        parts += ["\n".join(_exported_source(source) for source in given["sources"])] if given["sources"] else []
        parts.append(f"*{words['ai_tag']} · {given['model']} · {given['time']}*")
    return parts


def _exported_source(source: Mapping[str, Any]) -> str:
    about = ", ".join(str(part) for part in (source["title"], source["publisher"], source["year"]) if part)
    return f"- [{source['n']}] {about} — {source['source']}"


def _exported_votes(votes: Sequence[Note], words: Mapping[str, Any]) -> list[str]:
    if not votes:
        return []
    rows = []
    for vote in votes:
        kind = words["export_liked"] if vote["liked"] else words["export_disliked"]
        reasons = ", ".join(words["reasons"].get(reason, reason) for reason in vote["reasons"])
        about = " · ".join(filter(None, (kind, reasons, " ".join(vote["comment"].split()))))
        rows.append(f"- {vote['time']} · {about} — “{' '.join(vote['answer'].split())[:60]}…”")
    return [f"## {words['export_feedback']}", "\n".join(rows)]


def alarming(reply: Reply) -> bool:
    """Whether the red card is shown for this reply."""
    return reply.urgency.failed or reply.urgency.level >= Level.CRISIS
