"""The only code that fetches: Scrapy's downloader in a process of its own, along the walk, into the folder of pages.

`python -m mundap.collect.crawl JOB.json` writes what it found to the job's `out` and ends when its parent does.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

import scrapy  # noqa: TID253
from scrapy.crawler import AsyncCrawlerProcess, Crawler  # noqa: TID253
from scrapy.exceptions import (  # noqa: TID253
    DownloadCancelledError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
)
from scrapy.resolver import CachingThreadedResolver  # noqa: TID253
from twisted.internet import defer

from mundap import registry
from mundap.collect.fetch import AGENT, Broken, Fetcher, Response
from mundap.collect.guard import Guard
from mundap.collect.pages import Failure, Page, Pages
from mundap.collect.site import Site
from mundap.collect.walk import Walk
from mundap.store import replacing
from mundap.types import QA, Drop

_PINS: dict[str, str] = {}
_TELL_EVERY = 0.5  # seconds


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the process is to do, as plain data: no secret is in it."""

    source: str
    starts: tuple[str, ...]
    permission: str
    limit: int | None
    pages: int
    base_url: str
    delay: float
    timeout: float
    parallel: int
    contact: str
    cache: str
    out: str


def settings(job: Job) -> dict[str, Any]:
    """Scrapy's settings where its own are unsafe or rude: its defaults wait 180 s, take 1 GB and accept any certificate."""
    return {
        "BOT_NAME": AGENT, "USER_AGENT": f"{AGENT} ({job.contact})" if job.contact else AGENT,
        "ROBOTSTXT_OBEY": False,  # `Fetcher` obeys it as RFC 9309 says; Scrapy lets everything pass after a 5xx
        "REDIRECT_ENABLED": False, "METAREFRESH_ENABLED": False, "RETRY_ENABLED": False,  # `Fetcher` checks each hop
        "COOKIES_ENABLED": False, "REFERER_ENABLED": False, "HTTPPROXY_ENABLED": False, "TELNETCONSOLE_ENABLED": False,
        "DOWNLOAD_VERIFY_CERTIFICATES": True, "DOWNLOAD_FAIL_ON_DATALOSS": True,
        "DOWNLOAD_MAXSIZE": 5 * 2**20, "DOWNLOAD_WARNSIZE": 0, "DOWNLOAD_TIMEOUT": job.timeout,
        "DOWNLOAD_DELAY": 0, "DOWNLOAD_DELAY_JITTER": 0,  # `Fetcher` keeps the distance, crawl-delay and all
        "AUTOTHROTTLE_ENABLED": job.delay > 0, "AUTOTHROTTLE_START_DELAY": 0,
        "CONCURRENT_REQUESTS": job.parallel, "CONCURRENT_REQUESTS_PER_DOMAIN": job.parallel,
        "TWISTED_DNS_RESOLVER": f"{__name__}.Pinned", "DNSCACHE_ENABLED": False,
        "DOWNLOADER_MIDDLEWARES": {"scrapy.downloadermiddlewares.offsite.OffsiteMiddleware": None},
        "LOG_LEVEL": "CRITICAL", "LOG_INSTALL_ROOT_HANDLER": False,
    }  # fmt: skip


class Pinned(CachingThreadedResolver):  # type: ignore[misc, unused-ignore]
    """Gives the address that the guard found and checked, and none for any other name."""

    def getHostByName(self, name: str, timeout: Any = ()) -> defer.Deferred[str]:
        """The pinned address."""
        if name not in _PINS:
            return defer.fail(OSError(f"{name} was not checked"))
        return defer.succeed(_PINS[name])


class Spider(scrapy.Spider):  # type: ignore[misc, unused-ignore]
    """Thin: it goes along the walk with a few pages on the way at once, and takes them in the walk's order."""

    name = AGENT

    def __init__(self, job: Job, site: Site) -> None:
        super().__init__()
        self.job, self.site = job, site

    @classmethod
    def from_crawler(cls, crawler: Crawler, job: Job, site: Site) -> Spider:
        """Made by Scrapy."""
        spider = cls(job, site)
        spider._set_crawler(crawler)
        return spider

    async def start(self) -> AsyncIterator[Any]:
        """Crawl. Nothing is scheduled: requests go to the downloader as the walk wants them."""
        await self._crawl()
        return
        yield

    async def _crawl(self) -> None:
        from twisted.internet import reactor

        if not isinstance(getattr(reactor, "resolver", None), Pinned):
            raise RuntimeError("this Scrapy does not use the checked addresses; install the version that mundap names")
        job = self.job
        guard = Guard(self.site.hosts, job.base_url, _PINS)
        fetcher = Fetcher(
            guard, Pages(Path(job.cache)), self._download, job.permission, job.base_url, job.delay, job.parallel
        )
        walk = Walk(self.site, job.starts, job.permission, job.limit, job.pages)
        with replacing(Path(job.out)) as stream:
            await self._along(walk, fetcher, stream)
            report = {name: asdict(count) for name, count in sorted(fetcher.counts.items())}
            _write(stream, {"report": report})

    async def _along(self, walk: Walk, fetcher: Fetcher, stream: TextIO) -> None:
        tasks: dict[str, asyncio.Task[Page | Failure]] = {}
        news = asyncio.create_task(_tell(walk))
        while ahead := walk.ahead(2 * self.job.parallel):
            for url in ahead:
                if url not in tasks:
                    tasks[url] = asyncio.create_task(fetcher.get(url))
            outcome = await tasks.pop(ahead[0])
            for made in walk.feed(outcome):
                fetcher.count(ahead[0]).records += isinstance(made, QA)
                made = self._honest(made, fetcher, ahead[0])
                _write(stream, {"kept" if isinstance(made, QA) else "dropped": asdict(made)})
        _say(walk)
        for task in (news, *tasks.values()):
            task.cancel()
        await asyncio.gather(news, *tasks.values(), return_exceptions=True)

    def _honest(self, made: QA | Drop, fetcher: Fetcher, url: str) -> QA | Drop:
        """A record from a server that stands in for the site says so: its source is there, the site's licence does not apply."""
        if not self.job.base_url or isinstance(made, Drop):
            return made
        return replace(made, source=fetcher.local(url), licence="")

    async def _download(self, url: str, host: str) -> Response:
        """One request through Scrapy's downloader: its limits on time, size and decompressed size hold."""
        secrets = {name: os.environ.get(key, "") for name, key in self.site.secrets.get(host, {}).items()}
        headers = {"X-Forwarded-Host": host} if self.job.base_url else {}
        if url_key := secrets.pop("serviceKey", ""):
            url = f"{url}{'&' if '?' in url else '?'}serviceKey={quote(url_key, safe='%')}"
        request = scrapy.Request(url, headers=headers | secrets, dont_filter=True)
        assert self.crawler.engine is not None
        try:
            found = await self.crawler.engine.download_async(request)
        except Exception as error:  # Scrapy's and Twisted's errors have no common class
            raise _broken(error) from None
        given = {key.decode().lower(): values[-1].decode("latin-1") for key, values in found.headers.items() if values}
        return Response(found.status, given, found.body)


async def _tell(walk: Walk) -> None:
    """Say how far it is, twice a second even while nothing happens: the parent stops us when it hears and should."""
    while True:
        _say(walk)
        await asyncio.sleep(_TELL_EVERY)


def _say(walk: Walk) -> None:
    print(json.dumps({"pages": walk.at, "known": len(walk.way), "records": walk.records}), flush=True)


def _broken(error: Exception) -> Broken:
    if isinstance(error, DownloadCancelledError | IgnoreRequest):
        return Broken("larger than 5 MB", lasting=True)
    if isinstance(error, DownloadTimeoutError):
        return Broken("timed out")
    if isinstance(error, ResponseDataLossError):
        return Broken("the connection ended before the page did")
    return Broken(f"download failed: {type(error).__name__}")


def _write(stream: TextIO, row: Mapping[str, Any]) -> None:
    stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def _end_with_parent() -> None:
    """Standard input is a pipe from the parent: it ends when the parent does, even killed, and so do we."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main(path: str) -> None:
    """Do the job that a file describes."""
    _end_with_parent()
    raw = json.loads(Path(path).read_text("utf-8"))
    job = Job(**raw | {"starts": tuple(raw["starts"])})
    process = AsyncCrawlerProcess(settings(job))
    source: Any = registry.find("sources", job.source)
    process.crawl(Spider, job=job, site=source.site)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    process.start(install_signal_handlers=False)


if __name__ == "__main__":
    main(sys.argv[1])
