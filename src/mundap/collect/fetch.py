"""One page, politely: robots.txt first, a pause when asked for one, few retries, redirects checked one by one."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit, urlunsplit

from mundap.collect.guard import Blocked, Guard
from mundap.collect.pages import Failure, Page, Pages
from mundap.collect.record import now
from mundap.waiting import retry_after

AGENT = "mundap"
REDIRECTS, RETRIES = 5, 3
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_MOVED = frozenset({301, 302, 303, 307, 308})
_KEPT = frozenset({404, 410})  # besides 2xx: a page that is gone stays gone
_LONGEST_PAUSE = 300.0
_LATER = f"the host asked to come back later than in {_LONGEST_PAUSE:.0f} s"
_ROBOTS_AGE = 86_400  # seconds; RFC 9309, 2.4


@dataclass(frozen=True, slots=True)
class Response:
    """What a download brought. `lasting` in `Broken` says that asking again would not help."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Broken(Exception):
    """A download that failed: why, and whether trying again makes sense."""

    def __init__(self, reason: str, lasting: bool = False) -> None:
        super().__init__(reason)
        self.lasting = lasting


Download = Callable[[str, str], Awaitable[Response]]  # the address to connect to, the site's host


@dataclass(slots=True)
class Count:
    """What happened on a host; `seconds` from the first request to the last answer."""

    fetched: int = 0
    cached: int = 0
    forbidden: int = 0
    retried: int = 0
    failed: int = 0
    records: int = 0
    seconds: float = 0.0


@dataclass
class Fetcher:
    """Gives the page of an address, from the folder of pages if it is there. `base_url` stands in for the site's hosts."""

    guard: Guard
    pages: Pages
    download: Download
    permission: str
    base_url: str = ""
    delay: float = 2.0
    parallel: int = 1
    counts: dict[str, Count] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._robots: dict[str, asyncio.Task[Callable[[str], bool]]] = {}
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._closed: set[str] = set()
        self._free: dict[str, float] = {}
        self._delays: dict[str, float] = {}
        self._begun: dict[str, float] = {}

    def count(self, url: str) -> Count:
        """The counts of an address's host."""
        return self.counts.setdefault(urlsplit(url).hostname or "", Count())

    def local(self, url: str) -> str:
        """The address that is really asked: the site's own, or the one under `base_url`."""
        parts = urlsplit(url)
        return (
            self.base_url.rstrip("/") + urlunsplit(("", "", parts.path or "/", parts.query, ""))
            if self.base_url
            else url
        )

    def _name(self, url: str) -> str:
        """What a page is kept under: the address asked, and the host where `base_url` hides it."""
        return f"{self.local(url)}#{urlsplit(url).hostname}" if self.base_url else url

    async def get(self, url: str) -> Page | Failure:
        """The page, or why there is none."""
        kept, count = self.pages.get(self._name(url)), self.count(url)
        if kept is not None:
            count.cached += 1
            return kept
        begun = self._begun.setdefault(urlsplit(url).hostname or "", time.monotonic())
        try:
            page = await self._fetch(url)
        except (Blocked, Broken) as error:
            forbidden = "robots.txt" in str(error)
            count.forbidden, count.failed = count.forbidden + forbidden, count.failed + (not forbidden)
            return Failure(url, str(error))
        finally:
            count.seconds = time.monotonic() - begun
        count.fetched += 1
        if page.status < 300 or page.status in _KEPT:
            self.pages.put(self._name(url), page)
        return page

    async def _fetch(self, asked: str, robots: bool = True) -> Page:
        url = asked
        for _ in range(REDIRECTS + 1):
            host = self.guard.check(url)
            await self.guard.pin(urlsplit(self.local(url)).hostname or "")
            if robots and not (await self._rules(url, host))(url):
                raise Blocked("forbidden by robots.txt")
            found = await self._persist(url, host)
            if found.status not in _MOVED or "location" not in found.headers:
                return self._page(asked, url, found)
            url = urljoin(url, found.headers["location"])
        raise Broken(f"more than {REDIRECTS} redirects", lasting=True)

    def _page(self, asked: str, url: str, found: Response) -> Page:
        served = _moment(found.headers.get("date", "")) or now()
        content_type = found.headers.get("content-type", "")
        return Page(asked, url, found.status, content_type, now(), served, self.permission, found.body)

    async def _persist(self, url: str, host: str) -> Response:
        """Download, again after a pause where that makes sense. Raises `Broken` when it never worked."""
        for attempt in range(RETRIES + 1):
            found, pause = await self._once(url, host, attempt)
            if isinstance(found, Response):
                return found
            if attempt < RETRIES:
                self.count(url).retried += 1
                await asyncio.sleep(pause)
        raise Broken(f"{found}, {RETRIES + 1} times")

    async def _once(self, url: str, host: str, attempt: int) -> tuple[Response | str, float]:
        """A response to keep, or why there is none and how long to wait. At most `parallel` at a time on a host."""
        async with self._slots.setdefault(host, asyncio.Semaphore(self.parallel)):
            if host in self._closed:
                raise Broken(_LATER, lasting=True)
            await self._turn(host)
            try:
                found = await self.download(self.local(url), host)
            except Broken as error:
                if error.lasting:
                    raise
                return str(error), _backoff(attempt)
            if found.status not in _AGAIN:
                return found, 0.0
            return f"HTTP {found.status}", self._asked_to_wait(found, host, attempt)

    def _asked_to_wait(self, found: Response, host: str, attempt: int) -> float:
        """Seconds to wait; a `Retry-After` holds the whole host back. Raises `Broken` when it is too long to wait."""
        given = retry_after(found.headers.get("retry-after"))
        pause = _backoff(attempt) if given is None else given
        if pause > _LONGEST_PAUSE:
            self._closed.add(host)
            raise Broken(_LATER, lasting=True)
        if given is not None:
            self._free[host] = max(self._free.get(host, 0.0), time.monotonic() + pause)
        return pause

    async def _turn(self, host: str) -> None:
        """Wait for the host's turn: `delay` seconds (or its robots.txt's crawl-delay) after the request before."""
        begun = time.monotonic()
        at = max(begun, self._free.get(host, 0.0))
        self._free[host] = at + self._delays.get(host, self.delay)
        if at > begun:
            await asyncio.sleep(at - begun)

    async def _rules(self, url: str, host: str) -> Callable[[str], bool]:
        if host not in self._robots:
            self._robots[host] = asyncio.create_task(self._read_rules(url, host))
        return await self._robots[host]

    async def _read_rules(self, url: str, host: str) -> Callable[[str], bool]:
        """RFC 9309: a robots.txt that is missing (4xx) allows all; one that cannot be had (5xx, no answer) forbids all."""
        import protego  # type: ignore[import-untyped, unused-ignore]

        address = urlunsplit((urlsplit(url).scheme, urlsplit(url).netloc, "/robots.txt", "", ""))
        page = self.pages.get(self._name(address))
        if page is None or now() - page.fetched > _ROBOTS_AGE:
            try:
                page = await self._fetch(address, robots=False)
            except (Blocked, Broken):
                return lambda _: False
            self.pages.put(self._name(address), page)
        if page.status >= 500:
            return lambda _: False
        rules = protego.Protego.parse(page.text if page.status < 400 else "")
        self._delays[host] = max(self.delay, float(rules.crawl_delay(AGENT) or 0.0))
        return lambda asked: bool(rules.can_fetch(asked, AGENT))


def _backoff(attempt: int) -> float:
    """Half a second, doubled each time, with jitter so that retries do not come together."""
    return random.uniform(0.375, 0.625) * float(2**attempt)


def _moment(value: str) -> float:
    """An HTTP date in seconds since 1970; 0 when it is none."""
    try:
        return float(parsedate_to_datetime(value).timestamp())
    except (ValueError, TypeError):
        return 0.0
