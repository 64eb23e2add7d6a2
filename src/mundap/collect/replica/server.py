"""All replicas behind one port: `/hidoc/…`, `/kin/…` and so on; and a list of HiDoc pages that break on the way."""

# ruff: noqa: E501  (pages stand on long lines)

from __future__ import annotations

import asyncio
import gzip
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from mundap.collect.replica import english, hidoc, kin, official
from mundap.collect.replica.content import ENGLISH_SITES, korean
from mundap.collect.replica.wire import Answer, Request, listen, serving

SITES = ("hidoc", "kin", *ENGLISH_SITES, "medlineplus", "mfds")
_ROBOTS = {"hidoc": hidoc.ROBOTS, "kin": kin.ROBOTS} | dict.fromkeys(ENGLISH_SITES, english.ROBOTS)
_API_HOSTS = ("naverapihub.apigw.ntruss.com", "openapi.naver.com")
# Where a path without a prefix belongs, so that a person can click from page to page.
_FIRST_PARTS = {
    "healthqna": "hidoc", "integratesearch": "hidoc", "qna": "kin", "qa": "icliniq", "questions": "healthcaremagic",
    "user_questions": "healthtap", "topics": "healthtap", "marketing": "healthtap", "health": "ehealthforum",
}  # fmt: skip
FAULTS = (
    "429", "503", "500", "404", "moved", "loopback", "metadata", "file", "loop", "private", "drip", "bomb", "short", "reset", "long", "large",
)  # fmt: skip


@dataclass
class Replica:
    """The sites. `bulk` adds that many questions to HiDoc (`code=BULK`), `canary` is a port nobody may connect to."""

    bulk: int = 0
    canary: int = 9
    robots: str | None = None
    robots_status: int = 200
    asked: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    def __call__(self, request: Request) -> Answer:
        """Answer a request."""
        site, path = _site(request.path)
        request = replace(request, path=path)
        self.asked.append(
            f"{site} {request.host} {path}?{'&'.join(f'{name}={value}' for name, value in request.query.items())}"
        )
        if not site:
            return Answer(_index())
        if path == "/robots.txt":
            return self._rules(site, request.host)
        if site == "hidoc" and ("FAULT" in request.query or request.query.get("code") == "FAULTS"):
            return self._fault(request)
        return self._page(site, request) or Answer("<title>404</title>", status=404)

    def running(self) -> AbstractContextManager[str]:
        """The address of a server with these pages, for as long as the block runs."""
        return serving(self)

    def _rules(self, site: str, host: str) -> Answer:
        if site not in _ROBOTS or host in _API_HOSTS:
            return Answer("", status=404)
        text = _ROBOTS[site] if self.robots is None else self.robots
        return Answer(text, status=self.robots_status, headers={"Content-Type": "text/plain"})

    def _page(self, site: str, request: Request) -> Answer | None:
        own: dict[str, Callable[[Request], Answer | None]] = {
            "hidoc": lambda asked: hidoc.page(asked, self.bulk), "kin": kin.page,
            "medlineplus": official.medlineplus, "mfds": official.mfds,
        }  # fmt: skip
        return own[site](request) if site in own else english.page(request, site)

    def _fault(self, request: Request) -> Answer:
        """The list of broken pages (`code=FAULTS`), or one of them: what is wrong with it, or the page itself."""
        name = request.query.get("FAULT", "")
        if not name:
            return Answer(
                f'<title>x</title><div class="container_inner">{"".join(map(_card, FAULTS))}<a href="/healthqna/calendar">달력</a></div>'
            )
        question = korean()[FAULTS.index(name) + 20]
        return self._broken(name) or replace(hidoc.detail(question), fault="too long" if name == "long" else "")

    def _broken(self, name: str) -> Answer | None:
        """What the broken page of this name answers; None lets the page through."""
        self.seen[name] += 1
        first = self.seen[name] == 1
        moved = {
            "moved": f"/healthqna/view/{hidoc.identity(korean()[0])}", "loopback": f"http://127.0.0.1:{self.canary}/", "file": "file:///etc/passwd",
            "metadata": "http://169.254.169.254/latest/meta-data/", "loop": "?FAULT=loop",
        }  # fmt: skip
        if name in moved:
            return Answer("", status=302, headers={"Location": moved[name]})
        found: dict[str, Answer | None] = {
            "429": Answer("", status=429, headers={"Retry-After": "1"}) if first else None,
            "503": Answer("", status=503) if first else None,
            "500": Answer("", status=500),
            "404": Answer("", status=404),
            "drip": Answer("x" * 600, fault="drip"),
            "bomb": Answer(gzip.compress(b"\0" * 50_000_000, 1), headers={"Content-Encoding": "gzip"}),
            "short": Answer("<title>x</title>", fault="too short"),
            "reset": Answer("<title>x</title>", fault="reset"),
            "large": Answer(b"x" * 6_000_000),
        }
        return found.get(name)


def _card(name: str) -> str:
    path = f"{'private/' if name == 'private' else ''}view/C{9_000_000 + FAULTS.index(name):010d}?FAULT={name}"
    return f'<div class="qna_main"><div class="main_head"><a href="/healthqna/{path}"><strong class="tit_qna">{name}</strong></a></div></div>'


def _site(path: str) -> tuple[str, str]:
    first, _, rest = path.lstrip("/").partition("/")
    if first in SITES:
        return first, f"/{rest}"
    return _FIRST_PARTS.get(first, ""), path


def _index() -> str:
    starts = {
        "hidoc": "/hidoc/healthqna/list?page=1", "kin": "/kin/qna/expertAnswerList.naver?dirId=70101&page=1", "icliniq": "/icliniq/qa",
        "healthcaremagic": "/healthcaremagic/questions", "healthtap": "/healthtap/marketing/recent",
        "ehealthforum": "/ehealthforum/health/general_health_medical_questions_0_0_25.html",
        "medlineplus": "/medlineplus/ws/query?db=healthTopics&term=all&retstart=0&retmax=100",
        "mfds": "/mfds/1471000/DrbEasyDrugInfoService/getDrbEasyDrugList?pageNo=1&numOfRows=100&type=json",
    }  # fmt: skip
    rows = "".join(f'<li><a href="{path}">{name}</a></li>' for name, path in starts.items())
    return (
        f"<!DOCTYPE html><title>mundap demo sites</title><h1>Replicas: every text here is invented</h1><ul>{rows}</ul>"
    )


def run(port: int = 7870, replica: Replica | None = None) -> None:
    """Serve the replicas until interrupted (`mundap demo-site`)."""

    async def forever() -> None:
        server = await listen(replica or Replica(), port)
        print(f"replica sites at http://127.0.0.1:{server.sockets[0].getsockname()[1]} (Ctrl+C ends)", flush=True)
        await server.serve_forever()

    asyncio.run(forever())
