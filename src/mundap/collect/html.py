"""What the site parsers share: text with its line breaks, addresses, dates, and the report of a selector that found nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from xml.etree import ElementTree

from parsel import Selector, SelectorList

from mundap.collect.record import Provenance, Refused
from mundap.types import Drop

_BLOCKS = frozenset(
    {"p", "div", "li", "ul", "ol", "tr", "table", "h1", "h2", "h3", "h4", "h5", "dl", "dt", "dd", "section"}
)
_SILENT = frozenset({"script", "style", "template", "noscript"})
_SPACES = re.compile(r"[ \t\r\f\v]+")
_BLANKS = re.compile(r"\n{3,}")
_DATE = re.compile(r"(19|20)(\d\d)[.\-/년]\s*(\d{1,2})[.\-/월]\s*(\d{1,2})")
_AGO = re.compile(r"(\d{1,4})\s*(분|시간|일|주|개월|minute|hour|day|week|month)s?\s*(?:전|ago)")
_AGES = {"분": 1 / 1440, "시간": 1 / 24, "일": 1, "주": 7, "개월": 30}
_AGES |= {"minute": 1 / 1440, "hour": 1 / 24, "day": 1, "week": 7, "month": 30}
_ENGLISH = re.compile(
    r"([A-Z][a-z]{2})[a-z]* (\d{1,2})(?:st|nd|rd|th)?,? (\d{4})|(\d{1,2})(?:st|nd|rd|th)? ([A-Z][a-z]{2})[a-z]* (\d{4})"
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def page(html: str) -> Selector:
    """The page, ready for CSS selectors. Nothing outside it is ever loaded."""
    return Selector(text=html or "<html></html>", type="html")


def text(found: Selector | SelectorList[Selector]) -> str:
    """The text of the first element found: line breaks where the page breaks lines, no script, no runs of spaces."""
    first = found if isinstance(found, Selector) else next(iter(found), None)
    if first is None:
        return ""
    joined = "".join(_pieces(first.root))
    lines = (_SPACES.sub(" ", line).strip() for line in joined.split("\n"))
    return _BLANKS.sub("\n\n", "\n".join(lines)).strip()


def line(found: Selector | SelectorList[Selector]) -> str:
    """The text of the first element found, on one line."""
    return " ".join(text(found).split())


def _pieces(root: Any) -> Iterator[str]:
    """The text in document order; not recursive, because pages may be nested deeper than Python may call."""
    from lxml import etree  # type: ignore[import-untyped, unused-ignore]

    silent = 0
    for event, node in etree.iterwalk(root, events=("start", "end", "comment", "pi")):
        opens, name = event == "start", node.tag if isinstance(node.tag, str) else ""
        silent += (opens - (event == "end")) * (name in _SILENT)
        if name in _BLOCKS or (name == "br" and opens):
            yield "\n"
        # A line break in the source is a space, as browsers show it; <br> and blocks break lines.
        piece = node.text if opens else node.tail if node is not root else ""
        if not silent and piece:
            yield piece.replace("\n", " ")


def missing(provenance: Provenance, selector: str, url: str) -> Drop:
    """The page no longer fits its parser."""
    return provenance.drop(f"selector {selector} found nothing", url=url)


def query(url: str, **changes: object) -> str:
    """The address with these query parameters set, in the order of their names, and no fragment."""
    parts = urlsplit(url)
    values = dict(parse_qsl(parts.query, keep_blank_values=True)) | {key: str(value) for key, value in changes.items()}
    return urlunsplit(parts._replace(query=urlencode(sorted(values.items())), fragment=""))


def parameter(url: str, name: str, default: str = "") -> str:
    """One query parameter of an address."""
    return dict(parse_qsl(urlsplit(url).query)).get(name, default)


def number(value: str, default: int = 0) -> int:
    """The first number in a text, thousands separators and all: `산부인과 12,345` is 12345."""
    found = re.search(r"\d[\d,]{0,12}", value)
    return int(found.group().replace(",", "")) if found else default


def date(value: str, seen: float) -> str:
    """`2026.06.08`, `April 20th, 2012` or `11시간전` (counted from `seen`, in seconds since 1970) as 2026-06-08; else empty."""
    if found := _DATE.search(value):
        return _iso(int(found[1] + found[2]), int(found[3]), int(found[4]))
    if found := _AGO.search(value):
        return (datetime.fromtimestamp(seen, UTC) - timedelta(days=int(found[1]) * _AGES[found[2]])).date().isoformat()
    if found := _ENGLISH.search(value):
        month, day, year = (found[1], found[2], found[3]) if found[1] else (found[5], found[4], found[6])
        return _iso(int(year), _MONTHS.index(month) + 1, int(day)) if month in _MONTHS else ""
    return ""


def _iso(year: int, month: int, day: int) -> str:
    try:
        return datetime(year, month, day, tzinfo=UTC).date().isoformat()
    except ValueError:
        return ""


def xml(data: bytes) -> ElementTree.Element:
    """The root of an XML document. One that defines entities is refused, so none can be expanded or fetched."""
    if b"<!ENTITY" in data:
        raise Refused("XML that defines entities")
    try:
        return ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise Refused("not XML") from error
