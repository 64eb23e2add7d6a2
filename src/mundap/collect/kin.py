"""Naver 지식iN: the official search API for discovery, experts' answer lists and detail pages in three templates.

Naver's robots.txt forbids the pages, so a crawl ends with addresses; pages come from files that a person may use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, quote, urljoin, urlsplit

from parsel import Selector

from mundap.collect.html import line, missing, number, page, parameter, query, text
from mundap.collect.record import Provenance, Refused
from mundap.collect.site import Link, Site
from mundap.types import QA, Drop

KIN = Provenance("kin")
API = {
    "hub": "https://naverapihub.apigw.ntruss.com/search/v1/kin",
    "legacy": "https://openapi.naver.com/v1/search/kin.json",
}
SECRETS = {
    "naverapihub.apigw.ntruss.com": {
        "X-NCP-APIGW-API-KEY-ID": "NAVER_API_KEY_ID", "X-NCP-APIGW-API-KEY": "NAVER_API_KEY",
    },
    "openapi.naver.com": {"X-Naver-Client-Id": "NAVER_CLIENT_ID", "X-Naver-Client-Secret": "NAVER_CLIENT_SECRET"},
}  # fmt: skip
_DISPLAY, _LAST_START = 100, 1000  # the API's own limits
_MEDICAL = ("전문의", "의사", "치과의사", "한의사", "약사", "간호사", "임상병리사", "영양사", "물리치료사")
_ROOT = "https://kin.naver.com"


def starts(api: str, search: tuple[str, ...], folders: tuple[str, ...], now: str) -> Iterator[str]:
    """The first API page of each query, then the experts' list of each folder (`dirId`) as of a moment."""
    for each in search:
        yield f"{API[api]}?display={_DISPLAY}&format=json&query={quote(each)}&sort=sim&start=1"
    for folder in folders:
        yield f"{_ROOT}/qna/expertAnswerList.naver?dirId={folder}&page=1&queryTime={quote(now)}"


def key(url: str) -> str:
    """The question's `docId`, whatever else the address carries; else the address."""
    found = parameter(url, "docId")
    return found if found and "/qna/" in url else query(url)


def detail(url: str) -> str:
    """A detail address with only what names the question."""
    values = dict(parse_qsl(urlsplit(url).query))
    wanted = "&".join(f"{name}={values[name]}" for name in ("d1id", "dirId", "docId") if name in values)
    return f"{_ROOT}/qna/detail.naver?{wanted}"


def links(html: str, url: str) -> Iterator[Link]:
    """Questions from an API answer, an experts' list or a search list, then the next page."""
    path = urlsplit(url).path
    if urlsplit(url).hostname in SECRETS:
        yield from _api(html, url)
    elif path.endswith(("expertAnswerList.naver", "search/list.naver")):
        found = page(html)
        for row in found.css("tbody#au_board_list > tr"):
            for href in row.css("td.title > a::attr(href)").getall():
                yield Link(
                    detail(urljoin(url, href)),
                    specialty=line(row.css("td.field > a")),
                    title=line(row.css("td.title > a")),
                )
        for item in found.css("ul.basic1 > li"):
            for href in item.css("dt > a::attr(href)").getall():
                yield Link(detail(urljoin(url, href)), title=line(item.css("dt > a")), date=line(item.css("dd")))
        yield Link(query(url, page=number(parameter(url, "page"), 1) + 1), paging=True)


def _api(body: str, url: str) -> Iterator[Link]:
    answer = _json(body)
    for item in answer.get("items", ()):
        link = str(item.get("link", ""))
        if parameter(link, "docId"):
            yield Link(detail(link), title=line(page(str(item.get("title", "")))))
    start = number(parameter(url, "start"), 1) + _DISPLAY
    if answer.get("items") and start <= min(_LAST_START, int(answer.get("total") or 0)):
        yield Link(query(url, start=start), paging=True)


def records(html: str, url: str) -> Iterator[QA | Drop]:
    """A record for each medical professional's answer on a detail page."""
    if urlsplit(url).hostname in SECRETS:
        if "items" not in _json(html):
            yield KIN.drop("the search API answered with an error", url=url, text=html)
    elif "detail.naver" in url or "/open100/" in url:
        yield from _detail(page(html), url)
    elif not page(html).css("tbody#au_board_list, ul.basic1"):
        yield missing(KIN, "tbody#au_board_list, ul.basic1", url)


def _detail(found: Selector, url: str) -> Iterator[QA | Drop]:
    if not found.css("title, meta[property='og:title']"):
        yield KIN.drop("question deleted", url=url)
    elif found.css(".endTitleSection"):
        yield from _current(found, url)
    elif found.css("div.c-heading__title-inner"):
        yield from _before_2023(found, url)
    elif found.css("div.end_question"):
        boxes = found.css("div._endContents")
        title = line(found.css("div.end_question .title, div.end_question h3"))
        for count, box in enumerate(boxes[1:], 1):
            yield _record(url, str(count), (title, text(boxes[0])), text(box), {})
    else:
        yield missing(KIN, ".endTitleSection, .c-heading__title-inner, .end_question", url)


def _current(found: Selector, url: str) -> Iterator[QA | Drop]:
    title = re.sub(r"^질문\s*", "", line(found.css(".endTitleSection")))
    infos = [line(each) for each in found.css(".userInfo .infoItem")]
    asked = next((info.removeprefix("작성일") for info in infos if info.startswith("작성일")), "")
    more = {"asked_on": asked, "specialty": line(found.css(".tagList a.tag")).lstrip("#")}
    answers = found.css("div._answer")
    if not answers:
        yield missing(KIN, "div._answer", url)
    for count, answer in enumerate(answers, 1):
        part = answer.css("::attr(id)").get() or f"answer_{count}"
        role, body = line(answer.css(".badge.expert_job")), _answer(answer)
        if not answer.css("div.answerInfo") and "삭제된 답변" in text(answer)[:50]:
            yield KIN.drop("answer deleted", url=url, part=part)
        elif role not in _MEDICAL:
            yield KIN.drop("answer not by a medical professional", url=url, part=part)
        else:
            yield _record(url, part, (title, text(found.css(".questionDetail"))), body, more | {"answered_by": role})


def _answer(answer: Selector) -> str:
    """SmartEditor's text where there is any; in the old editor it stands in the box itself."""
    return text(answer.css(".answerDetail .se-main-container")) or text(answer.css(".answerDetail"))


def _before_2023(found: Selector, url: str) -> Iterator[QA | Drop]:
    title = re.sub(r"^질문\s*", "", line(found.css("div.c-heading__title-inner")))
    answers = found.css("._endContentsText.c-heading-answer__content-user")
    if not answers:
        yield missing(KIN, ".c-heading-answer__content-user", url)
    for count, answer in enumerate(answers, 1):
        yield _record(url, f"answer_{count}", (title, text(found.css("div.c-heading__content"))), text(answer), {})


def _record(url: str, part: str, asked: tuple[str, str], answer: str, more: dict[str, str]) -> QA | Drop:
    title, body = asked
    if not body:
        more = more | {"question_origin": "title"}
    try:
        return KIN.qa(key(url), part, body or title, answer, title=title, source=url, **more)
    except Refused as error:
        return KIN.drop(str(error), url=url, part=part)


def _json(body: str) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


SITE = Site(KIN, ("kin.naver.com", "m.kin.naver.com", *SECRETS), links, records, key, SECRETS)
