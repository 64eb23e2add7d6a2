"""HiDoc (hidoc.co.kr): lists by page, department, tag and search, details with several doctors, FAQ, the mobile pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote, urljoin, urlsplit

from parsel import Selector

from mundap.collect.html import line, missing, number, page, parameter, query, text
from mundap.collect.record import Provenance, Refused
from mundap.collect.site import Link, Site
from mundap.types import QA, Drop

HIDOC = Provenance("hidoc")
DEPARTMENTS = {
    "PF000": "가정의학과", "PD000": "소아청소년과", "PE000": "이비인후과", "PMG00": "소화기내과", "PMP00": "호흡기내과",
    "PMI00": "감염내과", "PMA00": "알레르기내과", "PME00": "내분비내과", "PMC00": "순환기내과", "PMN00": "신장내과",
    "PMR00": "류마티스내과", "PMO00": "혈액종양내과", "PA000": "성형외과", "PO000": "정형외과", "PB000": "신경외과",
    "PGI00": "대장항문", "PC000": "흉부외과", "PG000": "외과", "PS000": "피부과", "PH000": "안과", "PV000": "치과",
    "PU000": "비뇨의학과", "PY000": "산부인과", "PL000": "한방과", "PN000": "신경과", "PR000": "재활의학과",
    "PP000": "정신건강의학과", "PJ000": "응급의학과", "PT000": "마취통증의학과", "PX000": "방사선종양학과", "PK000": "영상의학과",
    "PQL00": "진단검사의학과", "PQ000": "직업환경의학과",
}  # fmt: skip
_DELETED = "본 게시물은 질문자 본인의 요청으로 삭제되었습니다."
_QUOTES = "\"'“”‘’ \n"
_DETAIL = re.compile(r"/view/(C\d{6,12})")
_LIST = re.compile(r"/healthqna/(?:part/)?list$|/integratesearch/searchhealthqnalist$")
_ROLE = re.compile(r"\[([^\]]{1,20})\]$|\s(\S{1,20})$")
_PER_SEARCH_PAGE, _SEARCH_PAGES = 20, 250  # results turn irrelevant after about 250 pages


def starts(departments: tuple[str, ...], tags: tuple[str, ...], search: tuple[str, ...], mobile: bool) -> Iterator[str]:
    """The first page of every list that is asked for; of all questions when none is."""
    root = f"https://{'mobile' if mobile else 'www'}.hidoc.co.kr"
    yield from (f"{root}/healthqna/part/list?code={code}&page=1" for code in departments)
    yield from (f"{root}/healthqna/list?code={code}&page=1" for code in tags)
    yield from (
        f"https://www.hidoc.co.kr/integratesearch/searchhealthqnalist?page=1&query={quote(each)}" for each in search
    )
    if not (departments or tags or search):
        yield f"{root}/healthqna/list?page=1"


def key(url: str) -> str:
    """The question's id for a detail page on any of the hosts and paths; else the address."""
    found = _DETAIL.search(urlsplit(url).path)
    return found.group(1) if found else query(url)


def links(html: str, url: str) -> Iterator[Link]:
    """Details from a list, each with the date that its card shows, then the list's other pages."""
    if not _LIST.search(urlsplit(url).path):
        return
    found = page(html)
    specialty = DEPARTMENTS.get(parameter(url, "code"), "")
    for card in found.css("div.qna_main"):
        for href in card.css(".main_head a::attr(href)").getall():
            clinic = specialty or line(card.css("strong.part .txt_clinic"))
            yield Link(
                urljoin(url, href), date=line(card.css(".txt_time")), specialty=clinic, title=line(card.css(".tit_qna"))
            )
    for href in found.css('ul.list_qna > li > a::attr(href), section.contents a[href^="view"]::attr(href)').getall():
        yield Link(urljoin(url, href), specialty=specialty)
    for href in found.css(".paging_type1 a::attr(href)").getall():
        yield Link(urljoin(url, href), paging=True)
    yield from _next(found, url)


def _next(found: Selector, url: str) -> Iterator[Link]:
    """The next page where the page has no paging of its own: mobile lists and search results."""
    current = number(parameter(url, "page"), 1)
    if found.css("section.contents"):
        yield Link(query(url, page=current + 1), paging=True)
    elif found.css("ul.list_qna"):
        total = number(line(found.css("div.coll_keyword strong.fc_blue")[1:2]))
        if current * _PER_SEARCH_PAGE < total and current < _SEARCH_PAGES:
            yield Link(query(url, page=current + 1), paging=True)


def records(html: str, url: str) -> Iterator[QA | Drop]:
    """A record for each doctor's answer on a detail page."""
    found = page(html)
    if not _DETAIL.search(urlsplit(url).path):
        if not found.css(".container_inner, ul.list_qna, section.contents"):
            yield missing(HIDOC, ".container_inner", url)
    elif urlsplit(url).netloc.startswith("mobile.") or not found.css(".view_question"):
        yield from _mobile(found, url)
    else:
        yield from _desktop(found, url)


def _desktop(found: Selector, url: str) -> Iterator[QA | Drop]:
    title, body = line(found.css(".view_question .tit")), text(found.css(".view_question .desc"))
    if not title:
        yield missing(HIDOC, ".view_question .tit", url)
        return
    more = {"asked_on": line(found.css(".view_question .user_info .txt_time"))}
    more |= {"specialty": line(found.css(".view_question .tag_desc a"))}
    answers = found.css(".hidoc_answer")
    if not answers:
        yield missing(HIDOC, ".hidoc_answer", url)
    for count, answer in enumerate(answers, 1):
        role = _role(line(answer.css(".doctor_clinic a.link_doctor")))
        written = line(answer.css(".answer_head > .txt_time"))
        part = answer.css("input.cid::attr(value)").get() or str(count)
        content = answer.css(".answer_body .cont > .desc")
        if not content:
            yield missing(HIDOC, ".answer_body .cont > .desc", url)
            continue
        own = more | {"answered_by": role, "asked_on": more["asked_on"] or written}
        yield _record(url, part, (title, body), text(content), own)


def _mobile(found: Selector, url: str) -> Iterator[QA | Drop]:
    """The mobile detail: the first `div.desc` is the question, the others answers; the heading holds a box to cut off."""
    heading, boxes = found.css("strong.tit_qna"), found.css("div.desc")
    if not heading or len(boxes) < 2:
        yield missing(HIDOC, ".view_question, strong.tit_qna, div.desc", url)
        return
    info = line(heading.css("div.qna_info"))
    title = line(heading).removesuffix(info).strip()
    roles = [_role(line(each)) for each in found.css("strong.link_doctor")]
    for count, box in enumerate(boxes[1:], 1):
        more = {
            "asked_on": line(found.css("span.date")),
            "answered_by": roles[count - 1] if count <= len(roles) else "",
        }
        yield _record(url, f"mobile {count}", (title, text(boxes[0])), text(box), more)


def _record(url: str, part: str, asked: tuple[str, str], answer: str, more: dict[str, str]) -> QA | Drop:
    title, body = asked
    deleted = body.strip(_QUOTES) == _DELETED and title.strip(_QUOTES) == _DELETED
    more = more | ({"state": "question_deleted"} if deleted else {"title": title})
    if not body:
        more |= {"question_origin": "title"}
    try:
        return HIDOC.qa(key(url), part, "" if deleted else body or title, answer, source=url, **more)
    except Refused as error:
        return HIDOC.drop(str(error), url=url, part=part)


def _role(name: str) -> str:
    """What stands after the doctor's name, which is never kept: `홍길동[전문의]` and `홍길동 전문의` are both 전문의."""
    found = _ROLE.search(name)
    return (found[1] or found[2]) if found else ""


SITE = Site(HIDOC, ("www.hidoc.co.kr", "hidoc.co.kr", "mobile.hidoc.co.kr"), links, records, key)
