"""What may be connected to: the site's own hosts at public addresses, each name looked up once and kept (SSRF, rebinding)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Lookup = Callable[[str], Iterable[str]]
_PATIENCE = 20.0  # seconds for looking up a name
_PORTS = {None, 80, 443}
_NAT64 = int(IPv6Address("64:ff9b::")) >> 32


class Blocked(Exception):
    """An address that must not be fetched. The text is a reason to count: it names no values."""


def look_up(host: str) -> list[str]:
    """The addresses of a name, by the system's resolver."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


class Guard:
    """Checks addresses. `local` is the recipe's `base_url`, the only way to this machine."""

    def __init__(self, hosts: Iterable[str], local: str, pins: dict[str, str], lookup: Lookup = look_up) -> None:
        self.hosts, self.lookup, self.pins = frozenset(hosts), lookup, pins
        self.local = urlsplit(local).hostname or ""
        self._looking: dict[str, asyncio.Task[None]] = {}

    def check(self, url: str) -> str:
        """The host, if the site's address may be asked at all. Raises `Blocked`."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise Blocked("blocked: not an address") from None
        if parts.scheme not in ("http", "https"):
            raise Blocked("blocked: neither http nor https")
        if parts.username is not None or parts.password is not None:
            raise Blocked("blocked: name or password in the address")
        if host not in self.hosts:
            raise Blocked("blocked: host is not one of the site's")
        if port not in _PORTS:
            raise Blocked("blocked: port is neither 80 nor 443")
        return host

    async def pin(self, host: str) -> None:
        """Look the name up, once; every one of its addresses must be public. Raises `Blocked`."""
        if host not in self._looking:
            self._looking[host] = asyncio.create_task(self._pin(host))
        await self._looking[host]

    async def _pin(self, host: str) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                found = [ip_address(each) for each in await asyncio.to_thread(lambda: list(self.lookup(host)))]
        except (OSError, ValueError):
            raise Blocked("the host's name cannot be resolved") from None
        if host != self.local and not all(public(each) for each in found):
            raise Blocked("blocked: address is not public")
        if host == self.local and not all(each.is_loopback for each in found):
            raise Blocked("blocked: base_url is not on this machine")
        if not found:
            raise Blocked("the host's name cannot be resolved")
        self.pins[host] = str(min(found, key=lambda each: each.version))


def public(address: Address) -> bool:
    """Whether an address is public unicast, and so is the IPv4 address that an IPv6 one may wrap."""
    inner = _wrapped(address)
    return address.is_global and not address.is_multicast and (inner is None or public(inner))


def _wrapped(address: Address) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    if int(address) >> 32 == _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
