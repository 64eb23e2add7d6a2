"""MedlinePlus's XML and e약은요's JSON."""

# ruff: noqa: E501  (pages stand on long lines)

from __future__ import annotations

import json
from html import escape

from mundap.collect.official import FIELDS
from mundap.collect.replica.content import load
from mundap.collect.replica.wire import Answer, Request


def medlineplus(request: Request) -> Answer | None:
    """A page of a search for health topics; `all` finds every one."""
    term, start, most = (request.query.get(name, "0") for name in ("term", "retstart", "retmax"))
    found = [(title, parts) for title, parts in load("medlineplus").items() if term.lower() in ("all", title.lower())]
    documents = "".join(_document(rank, *each) for rank, each in enumerate(found[int(start) : int(start) + int(most)]))
    xml = f"<nlmSearchResult><term>{escape(term)}</term><count>{len(found)}</count><retstart>{start}</retstart><retmax>{most}</retmax>"
    body = f'<?xml version="1.0" encoding="UTF-8"?>{xml}<list num="{len(found)}" start="{start}" per="{most}">{documents}</list></nlmSearchResult>'
    return Answer(body, headers={"Content-Type": "text/xml"}) if request.path == "/ws/query" else None


def _document(rank: int, title: str, parts: list[list[str]]) -> str:
    summary = "".join(f"<h3>{escape(question)}</h3><p>{escape(answer)}</p>" for question, answer in parts)
    summary = summary or f"<p>{escape(title)} is described here without headings.</p>"
    marked = f'<span class="qt0">{escape(title)}</span>'
    return (
        f'<document rank="{rank}" url="https://medlineplus.gov/{title.lower().replace(" ", "")}.html"><content name="title">{escape(marked)}</content>'
        f'<content name="FullSummary">{escape(summary)}</content></document>'
    )


def mfds(request: Request) -> Answer | None:
    """A page of the list of products."""
    wanted, current, rows = (
        request.query.get("itemName", ""),
        int(request.query["pageNo"]),
        int(request.query["numOfRows"]),
    )
    every = [(number, name, texts) for number, (name, texts) in enumerate(load("drugs").items(), 1) if wanted in name]
    items = [
        {"itemName": name, "itemSeq": str(200_000_000 + number), "entpName": "모의제약"}
        | dict(zip(FIELDS, texts, strict=True))
        for number, name, texts in every[(current - 1) * rows : current * rows]
    ]
    body = {"pageNo": current, "totalCount": len(every), "numOfRows": rows, "items": items}
    found = {"header": {"resultCode": "00", "resultMsg": "NORMAL SERVICE."}, "body": body}
    return Answer(json.dumps(found, ensure_ascii=False), headers={"Content-Type": "application/json;charset=UTF-8"})
