"""Raw pages as they came, one file each, written whole or not at all: parsing again never fetches again."""

from __future__ import annotations

import json
import os
import zlib
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from secrets import token_hex
from urllib.parse import urlsplit

from mundap.collect.encoding import decode


@dataclass(frozen=True, slots=True)
class Page:
    """A response: the address asked for and the one that answered; when, by our clock and by the server's."""

    url: str
    final: str
    status: int
    content_type: str
    fetched: float
    served: float
    permission: str
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return decode(self.body, self.content_type)[0]


@dataclass(frozen=True, slots=True)
class Failure:
    """An address that gave no page, and why."""

    url: str
    reason: str


class Pages:
    """A folder of pages: `<host>/<2 digits>/<digest>.page`, a line of JSON and the body behind it, compressed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, url: str) -> Path:
        """Where the page of an address is, or would be."""
        name = blake2b(url.encode(), digest_size=16).hexdigest()
        return self.folder / (urlsplit(url).netloc.replace(":", "_") or "none") / name[:2] / f"{name}.page"

    def get(self, address: str) -> Page | None:
        """The page kept under this address; None when there is none, or when its file is damaged."""
        with suppress(OSError, ValueError, TypeError, KeyError, zlib.error):
            head, _, packed = self.path(address).read_bytes().partition(b"\n")
            fields = json.loads(head)
            body, check = zlib.decompress(packed), fields.pop("check")
            if check == _check(body):
                return Page(body=body, **fields)
        return None

    def put(self, address: str, page: Page) -> None:
        """Keep a page. A process killed in the middle leaves no page and no harm."""
        path = self.path(address)
        path.parent.mkdir(parents=True, exist_ok=True)
        fields = {name: getattr(page, name) for name in Page.__slots__ if name != "body"} | {"check": _check(page.body)}
        temporary = path.with_name(f".{path.name}.{token_hex(4)}")
        temporary.write_bytes(json.dumps(fields, ensure_ascii=False).encode() + b"\n" + zlib.compress(page.body, 1))
        os.replace(temporary, path)


def _check(body: bytes) -> str:
    return blake2b(body, digest_size=8).hexdigest()
