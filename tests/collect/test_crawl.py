"""The crawl: permission, robots.txt, what it sends, network faults (F11), robots and SSRF (F12)."""

# ruff: noqa: E501  (rows and pages stand on long lines)

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mundap.collect import sources
from mundap.collect.replica.server import FAULTS, Replica
from mundap.collect.replica.wire import Answer, Request, serving
from mundap.collect.sources import HiDoc, Kin, Mfds
from mundap.errors import ConfigError
from mundap.types import QA, Drop

Crawl = Callable[[Any], tuple[list[QA], list[Drop]]]
REPLICA = "replica written for mundap"


@contextmanager
def canary(port: int = 0) -> Iterator[tuple[int, list[Any]]]:
    """A port that notes whoever connects."""
    with socket.create_server(("127.0.0.1", port)) as server:
        server.settimeout(0.1)
        seen: list[Any] = []
        done = threading.Event()

        def listen() -> None:
            while not done.is_set():
                try:
                    seen.append(server.accept()[1])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield server.getsockname()[1], seen
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize("permission", ["", "  "])
def test_nothing_is_fetched_without_a_permission(permission: str) -> None:
    with pytest.raises(ConfigError, match="without a permission"):
        HiDoc(permission=permission)


def test_config_is_checked_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        HiDoc(base_url="http://evil.test/", delay=0.1, urls=("http://evil.test/x",), departments=("PD00",))
    text = str(error.value)
    assert all(
        part in text for part in ("permission", "base_url", "evil.test/x is not on hidoc", "did you mean 'PD000'")
    )
    with pytest.raises(ConfigError, match=r"at least 0\.5 seconds"):
        HiDoc(permission="x", delay=0.1)
    with pytest.raises(ConfigError, match="did you mean 'hub'"):
        Kin(permission="x", api="hubb")


def test_all_of_hidoc_with_dates_from_the_lists_and_the_report(
    replica: Replica, base: str, crawl: Crawl, tmp_path: Path
) -> None:
    found, refused = crawl(HiDoc(permission=REPLICA, base_url=f"{base}/hidoc"))
    assert (len(found), refused) == (79, [])
    assert Counter(each.state for each in found) == {"whole": 78, "question_deleted": 1}
    assert all(each.asked_on for each in found)
    assert all(each.permission == REPLICA and each.source.startswith(base) and each.licence == "" for each in found)
    report = sources.report(tmp_path / "out.jsonl")["www.hidoc.co.kr"]
    assert (report["fetched"], report["records"], report["failed"]) == (79, 79, 0)
    before = len(replica.asked)
    assert crawl(HiDoc(permission=REPLICA, base_url=f"{base}/hidoc"))[0] == found
    assert len(replica.asked) == before, "parsing again fetched again"
    assert sources.report(tmp_path / "out.jsonl")["www.hidoc.co.kr"]["cached"] == 79


def test_a_limit_gives_the_same_records_every_time(base: str, crawl: Crawl) -> None:
    runs = [
        crawl(HiDoc(permission=REPLICA, base_url=f"{base}/hidoc", limit=10, parallel=parallel))[0]
        for parallel in (8, 1)
    ]
    assert len(runs[0]) == 10
    assert runs[0] == runs[1]


def test_an_endless_list_ends(base: str, crawl: Crawl) -> None:
    found, _ = crawl(HiDoc(permission=REPLICA, base_url=f"{base}/hidoc", tags=("CALENDAR",)))
    assert len(found) == 8


def test_kin_is_only_discovered_because_its_robots_txt_forbids_the_pages(
    replica: Replica, base: str, crawl: Crawl
) -> None:
    found, refused = crawl(Kin(permission=REPLICA, base_url=f"{base}/kin", search=("머리",), folders=("70101",)))
    assert not found
    assert {each.reason for each in refused} == {"forbidden by robots.txt"}
    assert any(each.record.get("title") for each in refused)
    assert not any("/qna/" in asked for asked in replica.asked)


def test_kins_pages_are_parsed_where_robots_txt_allows_them(crawl: Crawl) -> None:
    with Replica(robots="").running() as base:
        found, refused = crawl(Kin(permission=REPLICA, base_url=f"{base}/kin", search=("머리",), folders=("70101",)))
    assert len(found) == 21
    assert Counter(each.reason for each in refused) == {
        "question deleted": 1, "answer deleted": 1, "answer not by a medical professional": 1,
    }  # fmt: skip


def test_keys_are_sent_to_their_host_and_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAVER_API_KEY", "s3cret-key")
    monkeypatch.setenv("MFDS_SERVICE_KEY", "s3cret+key==")
    asked: list[Request] = []
    replica = Replica()

    def note(request: Request) -> Answer:
        asked.append(request)
        return replica(request)

    with serving(note) as base:
        for number, source in enumerate(
            (
                Kin(permission="x", base_url=f"{base}/kin", search=("머리",)),
                Mfds(permission="x", base_url=f"{base}/mfds"),
            )
        ):
            list(source.crawl(tmp_path / "pages", tmp_path / f"{number}.jsonl"))
    with_key = {request.host for request in asked if "s3cret-key" in request.headers.values()}
    assert with_key == {"naverapihub.apigw.ntruss.com"}
    assert {request.query.get("serviceKey") for request in asked if "Drug" in request.path} == {"s3cret+key=="}
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"s3cret" not in written
    assert not any("cookie" in request.headers or "referer" in request.headers for request in asked)
    assert all(request.headers["user-agent"].startswith("mundap") for request in asked)


def test_distance_between_requests_is_kept(crawl: Crawl) -> None:
    times: list[float] = []
    replica = Replica()

    def note(request: Request) -> Answer:
        times.append(time.monotonic())
        return replica(request)

    with serving(note) as base:
        crawl(HiDoc(permission=REPLICA, base_url=f"{base}/hidoc", limit=3, delay=0.3, parallel=4))
    gaps = [after - before for before, after in pairwise(times)]
    assert min(gaps) > 0.25, gaps


def test_network_faults_are_bounded_and_named(tmp_path: Path) -> None:
    """F11, and redirects to this machine and to the metadata address (F12): the canary hears nothing."""
    with canary() as (port, seen):
        replica = Replica(canary=port)
        with replica.running() as base:
            begun = time.monotonic()
            source = HiDoc(permission=REPLICA, base_url=f"{base}/hidoc", tags=("FAULTS",), timeout=2.5, parallel=16)
            found = list(source.crawl(tmp_path / "pages", tmp_path / "out.jsonl"))
            seconds = time.monotonic() - begun
        assert not seen
    reasons = {
        FAULTS[int(str(each.record["url"]).partition("FAULT=")[0][-4:-1])]: each.reason
        for each in found
        if isinstance(each, Drop)
    }
    assert reasons | {"long": ""} == {
        "500": "HTTP 500, 4 times", "404": "HTTP 404", "loopback": "blocked: host is not one of the site's",
        "metadata": "blocked: host is not one of the site's", "file": "blocked: neither http nor https", "loop": "more than 5 redirects",
        "private": "forbidden by robots.txt", "drip": "timed out, 4 times", "bomb": "larger than 5 MB", "large": "larger than 5 MB",
        "short": reasons["short"], "reset": reasons["reset"], "long": "",
    }  # fmt: skip
    assert reasons["short"].endswith("4 times")
    assert reasons["reset"].endswith("4 times")
    assert sum(isinstance(each, QA) for each in found) >= 3  # 429, 503 and the moved one came through
    report = sources.report(tmp_path / "out.jsonl")["www.hidoc.co.kr"]
    assert report["retried"] >= 2 + 4 * 3
    assert report["forbidden"] == 1
    assert not any("calendar" in asked or "private" in asked for asked in replica.asked)
    assert seconds < 30


def test_retry_after_is_honoured(crawl: Crawl) -> None:
    times: list[float] = []
    replica = Replica()

    def slow_down(request: Request) -> Answer:
        if "/view/" in request.path:
            times.append(time.monotonic())
            if len(times) == 1:
                return Answer("", status=429, headers={"Retry-After": "2"})
        return replica(request)

    with serving(slow_down) as base:
        found, _ = crawl(HiDoc(permission=REPLICA, base_url=f"{base}/hidoc", limit=1, parallel=1))
    assert len(found) == 1
    assert times[1] - times[0] >= 2.0


@pytest.mark.parametrize(
    ("status", "text", "fetched"),
    [(500, "", False), (404, "Disallow: /", True), (200, "User-agent: *\nDisallow: /", False)],
)
def test_robots_txt_as_rfc_9309_says(status: int, text: str, fetched: bool, crawl: Crawl) -> None:
    replica = Replica(robots=text, robots_status=status)
    with replica.running() as base:
        found, refused = crawl(HiDoc(permission=REPLICA, base_url=f"{base}/hidoc", limit=2))
    assert bool(found) is fetched
    assert {each.reason for each in refused} == (set() if fetched else {"forbidden by robots.txt"})
    assert any("/healthqna" in asked for asked in replica.asked) is fetched


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_is_not_there_or_speaks_no_tls_forbids_all(scheme: str, base: str, crawl: Crawl) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = base.replace("http:", "https:") if scheme == "https" else f"http://127.0.0.1:{probe.getsockname()[1]}"
    _, refused = crawl(HiDoc(permission=REPLICA, base_url=address, limit=1, timeout=0.5))
    assert [each.reason for each in refused] == ["forbidden by robots.txt"]


def test_a_host_that_wants_peace_for_an_hour_gets_it(crawl: Crawl) -> None:
    replica, asked = Replica(), list[str]()

    def busy(request: Request) -> Answer:
        asked.append(request.path)
        return Answer("", status=429, headers={"Retry-After": "3600"}) if "/view/" in request.path else replica(request)

    with serving(busy) as base:
        _, refused = crawl(
            HiDoc(permission=REPLICA, base_url=f"{base}/hidoc", pages=6, parallel=1, contact="me@example.org")
        )
    assert {each.reason for each in refused} == {"the host asked to come back later than in 300 s"}
    assert sum("/view/" in path for path in asked) == 1


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="ports 80 and 443 need root")
def test_a_sites_name_that_points_to_this_machine_is_never_connected_to(
    tmp_path: Path, crawl: Crawl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F12: DNS is made to lie in the crawl's process; a listener on the real port hears nothing."""
    lie = "import socket\nsocket.getaddrinfo = lambda *_, **__: [(2, 1, 6, '', ('127.0.0.1', 443))]\n"
    lie += "socket.gethostbyname = lambda *_: '127.0.0.1'\n"
    (tmp_path / "sitecustomize.py").write_text(lie)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    with canary(443) as (_, seen), canary(80) as (_, seen_plain):
        _, refused = crawl(HiDoc(permission="a test that connects nowhere", limit=1))
    assert (seen, seen_plain) == ([], [])
    assert [each.reason for each in refused] == ["blocked: address is not public"]


def test_the_crawl_ends_with_its_parent(tmp_path: Path) -> None:
    """F06: killing the parent leaves no orphan that goes on fetching."""
    import subprocess

    replica = Replica(bulk=500)
    with replica.running() as base:
        code = f"from mundap.collect.sources import *; from pathlib import Path; HiDoc(permission='x', base_url='{base}/hidoc', tags=('BULK',),"
        code += f" delay=0.05).crawl(Path('{tmp_path}/pages'), Path('{tmp_path}/out.jsonl'))"
        process = subprocess.Popen([sys.executable, "-c", code])
        while len(replica.asked) < 5:
            time.sleep(0.05)
        process.kill()
        process.wait()
        time.sleep(0.5)
        after = len(replica.asked)
        time.sleep(1)
        assert len(replica.asked) == after
