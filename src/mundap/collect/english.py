"""iCliniq, HealthCareMagic, HealthTap and eHealthForum: English questions answered by doctors (the last: by members)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

from parsel import Selector

from mundap.collect.html import line, missing, number, page, parameter, query, text
from mundap.collect.record import Provenance, Refused
from mundap.collect.site import Link, Site
from mundap.types import QA, Drop

ICLINIQ = Provenance("icliniq", lang="en")
HEALTHCAREMAGIC = Provenance("healthcaremagic", lang="en")
HEALTHTAP = Provenance("healthtap", lang="en")
EHEALTHFORUM = Provenance("ehealthforum", lang="en")
_REMOVED = "This post has been removed"
_INDENT = re.compile(r"padding-left:\s*(\d+)px")
_THREAD = re.compile(r"-t(\d+)\.html$")
_OFFSET = re.compile(r"_(\d+)_0_(\d+)\.html$")


def _made(provenance: Provenance, url: str, part: str, question: str, answer: str, more: dict[str, str]) -> QA | Drop:
    """A record, or why not. A question without a body is its title."""
    if not question and more.get("title"):
        question, more = more["title"], more | {"question_origin": "title"}
    try:
        return provenance.qa(
            query(url).partition("//")[2].partition("/")[2], part, question, answer, source=url, **more
        )
    except Refused as error:
        return provenance.drop(str(error), url=url, part=part)


def _next(url: str) -> Link:
    """The next page by number; the walk stops at one that brings nothing new."""
    return Link(query(url, page=number(parameter(url, "page"), 1) + 1), paging=True)


def icliniq_links(html: str, url: str) -> Iterator[Link]:
    """Details from a list, in the card layout or the old one of the specialities."""
    if _is_icliniq_detail(url):
        return
    speciality = re.search(r"/qa/specialities/([a-z-]+)", url)
    for href in page(html).css('.card-title a::attr(href), a.biglink[href^="/qa/"]::attr(href)').getall():
        yield Link(urljoin(url, href), specialty=speciality.group(1) if speciality else "")
    yield _next(url)


def _is_icliniq_detail(url: str) -> bool:
    parts = urlsplit(url).path.strip("/").split("/")
    return len(parts) >= 3 and parts[0] == "qa" and parts[1] != "specialities"


def icliniq_records(html: str, url: str) -> Iterator[QA | Drop]:
    """A record for each answer box of a detail page."""
    found = page(html)
    if not _is_icliniq_detail(url):
        if not found.css(".card-title a, a.biglink, .empty"):
            yield missing(ICLINIQ, ".card-title a, a.biglink", url)
        return
    question, answers = text(found.css(".alert.alert-default.border.corner.qContent")), found.css(".ansExtCon")
    if not question or not answers:
        yield missing(ICLINIQ, ".ansExtCon" if question else ".qContent", url)
        return
    more = {
        "title": line(found.css(".article-details-heading")),
        "specialty": urlsplit(url).path.split("/")[2],
        "answered_by": "doctor",
    }
    for count, answer in enumerate(answers, 1):
        body = "\n".join(filter(None, (text(each) for each in answer.css("p"))))
        yield _made(ICLINIQ, url, str(count), question, body, more)


def healthcaremagic_links(html: str, url: str) -> Iterator[Link]:
    """Details from a list of questions."""
    if _is_numbered(url):
        return
    found = [href for href in page(html).css('a[href*="/questions/"]::attr(href)').getall() if _is_numbered(href)]
    yield from (Link(urljoin(url, href)) for href in found)
    yield _next(url)


def _is_numbered(url: str) -> bool:
    return re.search(r"/questions/[^/]+/\d+$", urlsplit(url).path) is not None


def healthcaremagic_records(html: str, url: str) -> Iterator[QA | Drop]:
    """A record for each doctor's answer; users' answers are refused."""
    if not _is_numbered(url):
        return
    found = page(html)
    title, question = line(found.css(".questionDivWrapper h1.OrangeH1")), text(found.css(".postQuestion .paragraph"))
    if not title or not found.css(".answerWrapper"):
        yield missing(HEALTHCAREMAGIC, ".answerWrapper" if title else ".questionDivWrapper h1.OrangeH1", url)
        return
    more = {"title": title, "asked_on": line(found.css("span.greyText b")), "answered_by": "doctor"}
    for count, answer in enumerate(found.css(".answerWrapper .doctorResponse"), 1):
        yield _made(HEALTHCAREMAGIC, url, str(count), question, text(answer.css(".paragraph")), more)
    for count, _ in enumerate(found.css(".answerWrapper .userResponse"), 1):
        yield HEALTHCAREMAGIC.drop("answer by a user, not a doctor", url=url, part=f"user {count}")


def healthtap_links(html: str, url: str) -> Iterator[Link]:
    """Details from a topic or the recent questions."""
    if "/user_questions/" in url:
        return
    topic = re.search(r"/topics/([^/?]+)", url)
    for href in page(html).css('a[href*="/user_questions/"]::attr(href)').getall():
        yield Link(urljoin(url, href), specialty=topic.group(1).lower() if topic else "")
    yield _next(url)


def healthtap_records(html: str, url: str) -> Iterator[QA | Drop]:
    """A record for each answer, in either of the two layouts. The question is the heading."""
    if "/user_questions/" not in url:
        return
    found = page(html)
    question = line(found.css("h1.question-header a")) or line(found.css(".question-text h1"))
    answers = found.css(".answer-section .answer-body") or found.css(
        ".question-container .no-my-question-content .answer_text"
    )
    if not question or not answers:
        selector = ".answer-body, .answer_text" if question else "h1.question-header a, .question-text h1"
        yield missing(HEALTHTAP, selector, url)
    for count, answer in enumerate(answers, 1):
        yield _made(HEALTHTAP, url, str(count), question, text(answer), {"answered_by": "doctor"})


def ehealthforum_links(html: str, url: str) -> Iterator[Link]:
    """Threads from a topic's list, then the list from the next offset."""
    if _THREAD.search(urlsplit(url).path):
        return
    threads = [href for href in page(html).css("a::attr(href)").getall() if _THREAD.search(urlsplit(href).path)]
    yield from (Link(urljoin(url, href)) for href in threads)
    offset = _OFFSET.search(url)
    if threads and offset:
        step = int(offset[2])
        yield Link(_OFFSET.sub(f"_{int(offset[1]) + step}_0_{step}.html", url), paging=True)


def ehealthforum_key(url: str) -> str:
    """The thread's number; else the address."""
    found = _THREAD.search(urlsplit(url).path)
    return f"t{found.group(1)}" if found else query(url)


def ehealthforum_records(html: str, url: str) -> Iterator[QA | Drop]:
    """A record for each reply to the question itself; replies to replies are talk."""
    if not _THREAD.search(urlsplit(url).path):
        return
    found = page(html)
    posts = found.css(".vt_post_body")
    if not posts:
        yield missing(EHEALTHFORUM, ".vt_post_body", url)
        return
    more = {
        "title": line(found.css(".vt_message_subject")),
        "asked_on": line(found.css(".vt_first_timestamp")),
        "answered_by": "member",
    }
    for count, post in enumerate(posts[1:], 1):
        yield _reply(url, count, text(posts[0]), post, more)


def _reply(url: str, count: int, question: str, post: Selector, more: dict[str, str]) -> QA | Drop:
    body, depth = text(post), _depth(post)
    if body.startswith(_REMOVED) or question.startswith(_REMOVED):
        what = "answer" if body.startswith(_REMOVED) else "question"
        return EHEALTHFORUM.drop(f"{what} deleted", url=url, part=str(count))
    if depth > 1:
        return EHEALTHFORUM.drop("reply to a reply", url=url, part=str(count))
    return _made(EHEALTHFORUM, url, str(count), question, body, more)


def _depth(post: Selector) -> int:
    """How deep a reply stands: 50 pixels of indent a level."""
    styles = post.xpath("ancestor-or-self::*/@style").getall()
    return sum(int(found[1]) for style in styles if (found := _INDENT.search(style))) // 50


ICLINIQ_SITE = Site(ICLINIQ, ("www.icliniq.com",), icliniq_links, icliniq_records)
HEALTHCAREMAGIC_SITE = Site(
    HEALTHCAREMAGIC, ("www.healthcaremagic.com",), healthcaremagic_links, healthcaremagic_records
)
HEALTHTAP_SITE = Site(HEALTHTAP, ("www.healthtap.com",), healthtap_links, healthtap_records)
EHEALTHFORUM_SITE = Site(
    EHEALTHFORUM, ("ehealthforum.com",), ehealthforum_links, ehealthforum_records, ehealthforum_key
)
