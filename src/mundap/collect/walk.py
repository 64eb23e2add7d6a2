"""The way through a site: which page is next, decided only by the pages before it, so that every run goes the same way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from mundap.collect.html import date
from mundap.collect.pages import Failure, Page
from mundap.collect.site import Link, Site
from mundap.types import QA, Drop

# What a page of an unforeseen shape may raise: it costs the page, not the crawl, and is counted by name.
BREAKS = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class _Stop:
    """A place on the way: the link, and the list it descends from."""

    link: Link
    root: int


class Walk:
    """Breadth first from the starts. Ends at `limit` records or `pages` pages; a list ends where it brings nothing new."""

    def __init__(self, site: Site, starts: Sequence[str], permission: str, limit: int | None, pages: int) -> None:
        self.site, self.permission, self.limit, self.pages = site, permission, limit, pages
        self.records, self.at = 0, 0
        self._seen: set[str] = set()
        self._listed: dict[int, set[str]] = {}
        self.way: list[_Stop] = []
        for root, url in enumerate(starts):
            self._add(Link(url, paging=True), root)

    def ahead(self, count: int) -> list[str]:
        """The next addresses on the way, as far as they are known."""
        if self._ended():
            return []
        return [stop.link.url for stop in self.way[self.at : min(self.at + count, self.pages)]]

    def feed(self, outcome: Page | Failure) -> Iterator[QA | Drop]:
        """Take the outcome of the next address; yield its records and refusals. Must be read to the end."""
        stop, self.at = self.way[self.at], self.at + 1
        reason = (
            outcome.reason
            if isinstance(outcome, Failure)
            else f"HTTP {outcome.status}"
            if outcome.status >= 400
            else ""
        )
        if isinstance(outcome, Failure) or reason:
            where = {"url": stop.link.url, "title": stop.link.title}
            yield self.site.provenance.drop(reason, **{name: value for name, value in where.items() if value})
            return
        html, url = outcome.text, self._address(stop, outcome)
        try:
            self._follow(list(self.site.links(html, url)), stop.root)
            yield from self._found(html, url, stop.link, outcome)
        except BREAKS as error:
            yield self.site.provenance.drop(f"the page broke the parser: {type(error).__name__}", url=url)

    def _ended(self) -> bool:
        return self.at >= self.pages or (self.limit is not None and self.records >= self.limit)

    def _found(self, html: str, url: str, link: Link, page: Page) -> Iterator[QA | Drop]:
        for made in self.site.records(html, url):
            if self.limit is not None and self.records >= self.limit:
                return
            self.records += isinstance(made, QA)
            yield self._completed(made, link, page) if isinstance(made, QA) else made

    def _address(self, stop: _Stop, page: Page) -> str:
        """The site's address that the page was found at: after redirects, where they stayed on the site."""
        return page.final if self.site.knows(page.final) else stop.link.url

    def _completed(self, made: QA, link: Link, page: Page) -> QA:
        """What only the crawl knows: the permission, when it was fetched, and what the list said."""
        return replace(
            made,
            permission=self.permission,
            asked_on=date(made.asked_on or link.date, page.served),
            specialty=link.specialty or made.specialty,
            collected_on=datetime.fromtimestamp(page.fetched, UTC).date().isoformat(),
        )

    def _follow(self, links: Sequence[Link], root: int) -> None:
        listed = self._listed.setdefault(root, set())
        items = {self.site.key(link.url) for link in links if not link.paging}
        new = bool(items - listed)
        listed |= items
        for link in links:
            if new or not link.paging:
                self._add(link, root)

    def _add(self, link: Link, root: int) -> None:
        key = self.site.key(link.url)
        if self.site.knows(link.url) and key not in self._seen:
            self._seen.add(key)
            self.way.append(_Stop(link, root))
