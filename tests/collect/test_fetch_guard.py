"""Nothing but the site's own hosts at public addresses is connected to."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import pytest

from mundap.collect.guard import Blocked, Guard, public

PRIVATE = [
    "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1",
    "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::",
    "2002:a00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2001:0:0:0:0:0:80ff:fffe", "2001:db8::1",
]  # fmt: skip
BAD = [
    "http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://0x7f000001/", "http://2130706433/", "http://127.1/", "http://0177.0.0.1/",
    "http://169.254.169.254/latest/meta-data/", "http://metadata.google.internal/", "file:///etc/passwd", "data:text/html,x", "gopher://site.test/",
    "ftp://site.test/", "http://user:pw@site.test/", "http://site.test@evil.test/", "http://site.test:22/", "http://site.test.evil.test/",
    "http://evil.test#site.test", "http://site.test\\@evil.test/", "//evil.test/", "http://[site.test/", "http://site.test:99999/", "",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_in_every_wrapping(address: str) -> None:
    assert not public(ip_address(address))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "223.130.195.200", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::"]
)
def test_public_addresses(address: str) -> None:
    assert public(ip_address(address))


@pytest.mark.parametrize("url", BAD)
def test_addresses_that_are_not_the_sites(url: str) -> None:
    with pytest.raises(Blocked):
        Guard(["site.test"], "", {}).check(url)


def test_the_sites_own_addresses_pass() -> None:
    guard = Guard(["site.test"], "", {})
    assert guard.check("https://site.test/x?y=1") == guard.check("http://site.test:80/") == "site.test"


def pin(guard: Guard, host: str, times: int = 1) -> None:
    async def go() -> None:
        for _ in range(times):
            await guard.pin(host)

    asyncio.run(go())


def test_a_name_is_looked_up_once_so_rebinding_changes_nothing() -> None:
    answers = iter([["8.8.8.8"], ["127.0.0.1"]])
    pins: dict[str, str] = {}
    pin(Guard(["site.test"], "", pins, lambda _: next(answers)), "site.test", times=3)
    assert pins == {"site.test": "8.8.8.8"}
    assert next(answers) == ["127.0.0.1"]


@pytest.mark.parametrize("found", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::ffff:169.254.169.254"], []])
def test_one_private_address_blocks_the_name(found: list[str]) -> None:
    pins: dict[str, str] = {}
    with pytest.raises(Blocked):
        pin(Guard(["site.test"], "", pins, lambda _: found), "site.test")
    assert not pins


def test_a_name_that_does_not_resolve() -> None:
    def fail(_: str) -> list[str]:
        raise OSError("no such name")

    with pytest.raises(Blocked, match="cannot be resolved"):
        pin(Guard(["site.test"], "", {}, fail), "site.test")


def test_base_url_is_the_only_way_to_this_machine_and_leads_nowhere_else() -> None:
    pins: dict[str, str] = {}
    pin(Guard(["site.test"], "http://localhost:1/x", pins, lambda _: ["127.0.0.1"]), "localhost")
    assert pins == {"localhost": "127.0.0.1"}
    with pytest.raises(Blocked, match="not on this machine"):
        pin(Guard(["site.test"], "http://localhost:1/x", {}, lambda _: ["8.8.8.8"]), "localhost")


def test_the_resolver_gives_only_what_was_checked() -> None:
    from mundap.collect import crawl

    crawl._PINS["checked.test"] = "8.8.8.8"
    try:
        resolver = object.__new__(crawl.Pinned)
        results: list[object] = []
        resolver.getHostByName("checked.test").addBoth(results.append)
        resolver.getHostByName("127.0.0.1").addErrback(lambda failure: results.append(failure.type))
        assert results == ["8.8.8.8", OSError]
    finally:
        crawl._PINS.clear()
