"""Which encoding bytes are in: what the header says, then what the page says, then UTF-8, and CP949 last."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable

_META = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_-]{2,40})""", re.IGNORECASE)
_XML = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9_-]{2,40})""")
_CHARSET = re.compile(r"""charset\s*=\s*["']?\s*([A-Za-z0-9_-]{2,40})""", re.IGNORECASE)
_HEAD = 4096
# Pages that say euc-kr or ks_c_5601-1987 are written in its superset, as browsers read them (encoding.spec.whatwg.org).
_SUPERSETS = {
    "euc_kr": "cp949",
    "ks_c_5601-1987": "cp949",
    "iso8859-1": "cp1252",
    "latin-1": "cp1252",
    "ascii": "utf-8",
}


def decode(body: bytes, content_type: str = "") -> tuple[str, str]:
    """The text of a page and the encoding it was read in. What does not fit is replaced only when nothing fits."""
    body = body.removeprefix(codecs.BOM_UTF8)
    for name in _candidates(body, content_type):
        try:
            return body.decode(name), name
        except UnicodeDecodeError:
            continue
    name = next(iter(_candidates(body, content_type)))
    return body.decode(name, "replace"), f"{name}, damaged"


def of_lines(lines: Iterable[bytes], limit: int = 64 * 2**20) -> str:
    """UTF-8 or CP949, by what more of the non-ASCII lines are; the others are for the caller to refuse."""
    fits, other, size = 0, 0, 0
    for line in lines:
        size += len(line)
        if not line.isascii():
            fits, other = (fits + 1, other) if _fits(line, "utf-8") else (fits, other + _fits(line, "cp949"))
        if size > limit:
            break
    return "cp949" if other > fits else "utf-8"


def _fits(line: bytes, name: str) -> bool:
    try:
        line.decode(name)
    except UnicodeDecodeError:
        return False
    return True


def _candidates(body: bytes, content_type: str) -> list[str]:
    head = body[:_HEAD]
    meta = _XML.search(head) or _META.search(head)
    declared = _CHARSET.search(content_type)
    names = [declared.group(1) if declared else "", meta.group(1).decode("ascii") if meta else ""]
    return [*dict.fromkeys(found for name in names if (found := _known(name))), "utf-8", "cp949"]


def _known(name: str) -> str:
    try:
        found = codecs.lookup(name).name
    except LookupError:
        return ""
    return _SUPERSETS.get(name.lower(), _SUPERSETS.get(found, found))
