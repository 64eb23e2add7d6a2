"""A site is two pure functions over saved pages, `links(html, url)` and `records(html, url)`; this is what surrounds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from mundap.collect.html import query
from mundap.collect.record import Provenance
from mundap.types import QA, Drop


@dataclass(frozen=True, slots=True)
class Link:
    """An address found on a page. `paging` leads to more of the same list; the rest is what the list says about it."""

    url: str
    paging: bool = False
    date: str = ""
    specialty: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """What there is to know about a site. `key` gives one name to all addresses of one page."""

    provenance: Provenance
    hosts: tuple[str, ...]
    links: Callable[[str, str], Iterator[Link]]
    records: Callable[[str, str], Iterator[QA | Drop]]
    key: Callable[[str], str] = query
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name in recipes."""
        return self.provenance.name

    def knows(self, url: str) -> bool:
        """Whether the address is on one of the site's hosts."""
        return (urlsplit(url).hostname or "") in self.hosts
