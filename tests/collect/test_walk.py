"""The walk depends on nothing but the pages: order, limits, and where a list ends."""

from __future__ import annotations

from collections.abc import Iterator

from mundap.collect.pages import Failure, Page
from mundap.collect.record import Provenance
from mundap.collect.site import Link, Site
from mundap.collect.walk import Walk
from mundap.types import QA, Drop

TOY = Provenance("toy")


def links(html: str, url: str) -> Iterator[Link]:
    """`p3 q1 q2` is a list with a next page and two questions."""
    for word in html.split():
        yield Link(f"https://toy.test/{word}", paging=word.startswith("p"), date="11시간전")


def records(html: str, url: str) -> Iterator[QA | Drop]:
    if "/q" in url:
        yield TOY.qa(url, "1", "질문", "답변")
        yield TOY.drop("refused", url=url)


SITE = Site(TOY, ("toy.test",), lambda html, url: links(html, url) if "/p" in url else iter(()), records)


def page(url: str, html: str) -> Page:
    return Page(url, url, 200, "text/html", 1_780_887_600.0, 1_780_887_600.0, "", html.encode())


def go(pages: dict[str, str], limit: int | None = None, most: int = 100) -> tuple[list[str], list[QA | Drop]]:
    walk, way, found = Walk(SITE, ["https://toy.test/p1"], "by law", limit, most), [], []
    while ahead := walk.ahead(3):
        name = ahead[0].rpartition("/")[2]
        way.append(name)
        found += list(walk.feed(page(ahead[0], pages[name]) if name in pages else Failure(ahead[0], "HTTP 404")))
    return way, found


def test_breadth_first_each_page_once_and_what_the_crawl_knows_is_added() -> None:
    way, found = go({"p1": "p2 q1 q2", "p2": "p1 q2 q3", "q1": "", "q2": "", "q3": ""})
    assert way == ["p1", "p2", "q1", "q2", "q3"]
    first = found[0]
    assert isinstance(first, QA)
    assert (first.permission, first.asked_on, first.collected_on) == ("by law", "2026-06-07", "2026-06-08")


def test_a_list_that_brings_nothing_new_ends() -> None:
    endless = {f"p{number}": f"p{number + 1} q1" for number in range(1, 99)}
    assert go(endless | {"q1": ""})[0] == ["p1", "p2", "q1"]


def test_an_endless_calendar_is_bounded_by_pages() -> None:
    endless = {f"p{number}": f"p{number + 1} q{number}" for number in range(1, 9999)} | {
        f"q{number}": "" for number in range(9999)
    }
    assert len(go(endless, most=50)[0]) == 50


def test_the_limit_counts_records_and_cuts_exactly() -> None:
    pages = {"p1": "q1 q2 q3 q4", **{f"q{number}": "" for number in range(1, 5)}}
    way, found = go(pages, limit=2)
    assert way == ["p1", "q1", "q2"]
    assert sum(isinstance(each, QA) for each in found) == 2


def test_a_page_that_breaks_the_parser_costs_the_page_and_not_the_crawl() -> None:
    def broken(html: str, url: str) -> Iterator[QA | Drop]:
        raise KeyError(url)
        yield

    walk = Walk(Site(TOY, ("toy.test",), links, broken), ["https://toy.test/p1"], "", None, 10)
    (drop,) = walk.feed(page("https://toy.test/p1", "q1"))
    assert isinstance(drop, Drop)
    assert drop.reason == "the page broke the parser: KeyError"
    assert walk.ahead(1) == ["https://toy.test/q1"]


def test_failures_are_refusals_and_other_hosts_are_never_on_the_way() -> None:
    _, found = go({"p1": "q1"})
    assert [(each.reason, each.record["url"]) for each in found if isinstance(each, Drop)] == [
        ("HTTP 404", "https://toy.test/q1")
    ]
    walk = Walk(SITE, ["https://evil.test/p1", "http://169.254.169.254/"], "", None, 10)
    assert walk.ahead(5) == []
