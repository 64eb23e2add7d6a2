"""A folder of saved HTML pages of any known site, each parsed as the page it was."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit

from mundap.collect.encoding import decode
from mundap.collect.files import limited, paths
from mundap.collect.html import date
from mundap.collect.record import Provenance
from mundap.collect.site import Site
from mundap.collect.sources import SITE_OF, SITES
from mundap.collect.walk import BREAKS
from mundap.errors import ConfigError, did_you_mean
from mundap.types import QA, Drop

_SUFFIXES = (".html", ".htm", ".xhtml", ".xml", ".json")
_LARGEST = 5 * 2**20
# Where a saved page says what it was: browsers' and wget's comment, or the page's own canonical address.
_ADDRESSES = (
    re.compile(r"<!--\s*saved from url=(?:\(\d+\))?(https?://[^\s>]+)", re.IGNORECASE),
    re.compile(r"""<link[^>]{0,200}rel=["']canonical["'][^>]{0,200}href=["'](https?://[^"']+)""", re.IGNORECASE),
    re.compile(r"""<meta[^>]{0,200}property=["']og:url["'][^>]{0,200}content=["'](https?://[^"']+)""", re.IGNORECASE),
)


@dataclass(frozen=True, kw_only=True)
class Saved:
    """Pages that you may use, as files. `site` says whose they are where neither the page nor its path does."""

    path: str
    permission: str = ""
    site: str = ""
    encoding: str = "auto"
    limit: int | None = None
    name: ClassVar[str] = "pages"

    def __post_init__(self) -> None:
        known = [site.name for site in SITES]
        if self.site and self.site not in known:
            raise ConfigError("source 'pages'", [f"site: no site {self.site!r}{did_you_mean(self.site, known)}"])

    @property
    def inputs(self) -> list[Path]:
        """The saved files."""
        return paths(self.path, _SUFFIXES)

    def read(self) -> Iterator[QA | Drop]:
        """What each page holds."""
        return limited(self.limit, (made for path in self.inputs for made in self._page(path)))

    def _page(self, path: Path) -> Iterator[QA | Drop]:
        if path.stat().st_size > _LARGEST:
            yield Provenance(self.name).drop("larger than 5 MB", file=str(path))
            return
        body = path.read_bytes()
        text = decode(body)[0] if self.encoding == "auto" else body.decode(self.encoding, "replace")
        url = self._url(path, text)
        site = SITE_OF.get(urlsplit(url).hostname or "")
        if site is None:
            yield Provenance(self.name).drop("of no known site", file=str(path))
            return
        try:
            yield from self._records(site, text, url, path)
        except BREAKS as error:
            yield site.provenance.drop(f"the page broke the parser: {type(error).__name__}", file=str(path), url=url)

    def _records(self, site: Site, text: str, url: str, path: Path) -> Iterator[QA | Drop]:
        for made in site.records(text, url):
            if isinstance(made, QA):
                asked = date(made.asked_on, path.stat().st_mtime)
                yield replace(made, permission=self.permission, asked_on=asked)
            else:
                yield replace(made, record={**made.record, "file": str(path)})

    def _url(self, path: Path, text: str) -> str:
        """What the page says it was; else the path as `wget --recursive` writes it: the host, then the rest."""
        head = text[:20_000]
        said = next((found.group(1) for pattern in _ADDRESSES if (found := pattern.search(head))), "")
        if said:
            return said.replace("&amp;", "&")
        parts = path.parts
        at = next((index for index, part in enumerate(parts) if part in SITE_OF), None)
        if at is not None:
            return "https://" + unquote("/".join(parts[at:])).removesuffix(".html")
        host = next((site.hosts[0] for site in SITES if site.name == self.site), "")
        return f"https://{host}/{unquote(path.stem).replace('_', '/')}" if host else ""
