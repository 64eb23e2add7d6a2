"""The sites as sources: what a recipe may say about each, and the process that crawls it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar
from urllib.parse import urlsplit

from mundap.collect import english, hidoc, kin, official
from mundap.collect.record import now
from mundap.collect.site import Site
from mundap.errors import ConfigError, UserError, did_you_mean
from mundap.store import read_jsonl, replacing
from mundap.types import QA, Drop

Tell = Callable[[dict[str, int]], None]
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, kw_only=True)
class Crawl:
    """A site, fetched only with a `permission`: who allowed it, and when. `urls` add starts of your own.

    `delay` is seconds between requests to a host, `parallel` how many may be under way, `timeout` seconds for one page;
    `contact` tells the site's owners whom to write to.
    """

    permission: str = ""
    limit: int | None = None
    pages: int = 10_000
    urls: tuple[str, ...] = ()
    base_url: str = ""
    delay: float | None = None
    timeout: float = 30.0
    parallel: int | None = None
    contact: str = ""
    site: ClassVar[Site]

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise ConfigError(f"source {self.site.name!r}", problems)

    def _problems(self) -> Iterator[str]:
        name = self.site.name
        if not self.permission.strip():
            yield f"nothing is fetched from {name} without a permission; add permission: who allowed it, and when"
        if self.base_url and urlsplit(self.base_url).hostname not in _LOOPBACK:
            yield f"base_url: only a server on this machine can stand in for {name} (found {self.base_url!r})"
        yield from (f"urls: {url} is not on {name}" for url in self.urls if not self.site.knows(url))
        if not self.contact.isprintable() or not self.contact.isascii():
            yield f"contact: printable ASCII only (found {self.contact!r})"
        if self.delay is not None and self.delay < 0.5 and not self.base_url:
            yield f"delay: at least 0.5 seconds between requests to a site (found {self.delay})"
        yield from self.problems()

    def problems(self) -> Iterator[str]:
        """What else is wrong with the config."""
        return iter(())

    def starts(self) -> Iterator[str]:
        """Where the walk begins, besides `urls`."""
        return iter(())

    def read(self) -> Iterator[QA | Drop]:
        """Crawl into a folder that is thrown away."""
        with TemporaryDirectory() as folder:
            yield from self.crawl(Path(folder) / "pages", Path(folder) / "found.jsonl")

    def crawl(self, cache: Path, out: Path, tell: Tell | None = None) -> Iterator[QA | Drop]:
        """Fetch what `cache` lacks, into `out` and its report; then yield what was found, in the walk's order."""
        job = out.with_suffix(".job.json")
        with replacing(job) as stream:
            json.dump(self._job(cache, out), stream, ensure_ascii=False)
        _run(job, self.site.name, tell or (lambda _: None))
        return found(out)

    def _job(self, cache: Path, out: Path) -> dict[str, Any]:
        starts = tuple(dict.fromkeys((*self.urls, *self.starts())))
        if not starts:
            raise UserError(f"source {self.site.name!r}: nothing to start from; add urls")
        delay, parallel = self.delay, self.parallel
        return {
            "source": self.site.name, "starts": starts, "permission": self.permission, "limit": self.limit,
            "pages": self.pages, "base_url": self.base_url, "timeout": self.timeout,
            "delay": (0.0 if self.base_url else 2.0) if delay is None else delay,
            "parallel": (8 if self.base_url else 1) if parallel is None else parallel,
            "contact": self.contact, "cache": str(cache), "out": str(out),
        }  # fmt: skip


def found(out: Path) -> Iterator[QA | Drop]:
    """What a crawl wrote, without its report."""
    for row in read_jsonl(out):
        if "kept" in row:
            yield QA(
                **row["kept"] | {name: tuple(value) for name, value in row["kept"].items() if isinstance(value, list)}
            )
        elif "dropped" in row:
            yield Drop(**row["dropped"])


def report(out: Path) -> dict[str, dict[str, float]]:
    """The report that a crawl ended with, by host."""
    rows: list[dict[str, Any]] = [row for row in read_jsonl(out) if "report" in row]
    return dict(rows[-1]["report"]) if rows else {}


def _run(job: Path, name: str, tell: Tell) -> None:
    command = [sys.executable, "-m", "mundap.collect.crawl", str(job)]
    log, pipe = job.with_suffix(".log"), subprocess.PIPE
    # Leaving the block closes the child's standard input, which ends it.
    with log.open("wb") as errors, subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors) as process:
        assert process.stdout is not None
        for line in process.stdout:
            tell(json.loads(line))
    if process.returncode != 0 or not Path(json.loads(job.read_text("utf-8"))["out"]).exists():
        raise UserError(
            f"the crawl of {name} ended early; the end of {log}:\n{log.read_text('utf-8', 'replace')[-800:]}"
        )


@dataclass(frozen=True, kw_only=True)
class HiDoc(Crawl):
    """HiDoc: all questions, or those of `departments` (codes), `tags` or `search`."""

    departments: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    mobile: bool = False
    site: ClassVar[Site] = hidoc.SITE

    def problems(self) -> Iterator[str]:
        """Departments that do not exist."""
        unknown = [code for code in self.departments if code not in hidoc.DEPARTMENTS]
        yield from (f"departments: no department {code!r}{did_you_mean(code, hidoc.DEPARTMENTS)}" for code in unknown)

    def starts(self) -> Iterator[str]:
        """The lists."""
        return hidoc.starts(tuple(self.departments), tuple(self.tags), tuple(self.search), self.mobile)


@dataclass(frozen=True, kw_only=True)
class Kin(Crawl):
    """지식iN: `search` by the official API (`api: hub` or `legacy`), experts' lists by `folders` (dirId)."""

    search: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    api: str = "hub"
    site: ClassVar[Site] = kin.SITE

    def problems(self) -> Iterator[str]:
        """An API that does not exist."""
        if self.api not in kin.API:
            yield f"api: no API {self.api!r}{did_you_mean(self.api, kin.API)}"

    def starts(self) -> Iterator[str]:
        """API pages, then experts' lists."""
        moment = datetime.fromtimestamp(now(), UTC).strftime("%Y-%m-%d 00:00:00")
        return kin.starts(self.api, tuple(self.search), tuple(self.folders), moment)


@dataclass(frozen=True, kw_only=True)
class ICliniq(Crawl):
    """iCliniq: all questions, or those of `specialities`. Its terms forbid scraping: have a written permission."""

    specialities: tuple[str, ...] = ()
    site: ClassVar[Site] = english.ICLINIQ_SITE

    def starts(self) -> Iterator[str]:
        """The lists."""
        yield from (f"https://www.icliniq.com/qa/specialities/{each}?page=1" for each in self.specialities)
        if not self.specialities and not self.urls:
            yield "https://www.icliniq.com/qa?page=1"


@dataclass(frozen=True, kw_only=True)
class HealthCareMagic(Crawl):
    """HealthCareMagic: the recent questions, or from `urls`."""

    site: ClassVar[Site] = english.HEALTHCAREMAGIC_SITE

    def starts(self) -> Iterator[str]:
        """The list."""
        return iter(() if self.urls else ("https://www.healthcaremagic.com/questions?page=1",))


@dataclass(frozen=True, kw_only=True)
class HealthTap(Crawl):
    """HealthTap: the recent questions, or those of `topics`."""

    topics: tuple[str, ...] = ()
    site: ClassVar[Site] = english.HEALTHTAP_SITE

    def starts(self) -> Iterator[str]:
        """The lists."""
        yield from (f"https://www.healthtap.com/topics/{each}?page=1" for each in self.topics)
        if not self.topics and not self.urls:
            yield "https://www.healthtap.com/marketing/recent?page=1"


@dataclass(frozen=True, kw_only=True)
class EHealthForum(Crawl):
    """eHealthForum: the threads of `topics`."""

    topics: tuple[str, ...] = ("general_health",)
    site: ClassVar[Site] = english.EHEALTHFORUM_SITE

    def starts(self) -> Iterator[str]:
        """The lists."""
        yield from (f"https://ehealthforum.com/health/{each}_medical_questions_0_0_25.html" for each in self.topics)


@dataclass(frozen=True, kw_only=True)
class MedlinePlus(Crawl):
    """MedlinePlus: the health topics found by `terms`. Permission: its web service may be used (NLM KA-04683)."""

    terms: tuple[str, ...] = ()
    site: ClassVar[Site] = official.MEDLINEPLUS_SITE

    def starts(self) -> Iterator[str]:
        """One search a term."""
        return official.medlineplus_starts(tuple(self.terms))


@dataclass(frozen=True, kw_only=True)
class Mfds(Crawl):
    """MFDS e약은요: all products, or those called `names`. The service key is read from MFDS_SERVICE_KEY."""

    names: tuple[str, ...] = ()
    site: ClassVar[Site] = official.MFDS_SITE

    def starts(self) -> Iterator[str]:
        """One list a name."""
        return official.mfds_starts(tuple(self.names))


SITES: tuple[Site, ...] = tuple(
    each.site for each in (HiDoc, Kin, ICliniq, HealthCareMagic, HealthTap, EHealthForum, MedlinePlus, Mfds)
)
SITE_OF = {host: site for site in SITES for host in site.hosts}
