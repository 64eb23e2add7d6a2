"""The clean services: MedlinePlus (NLM, XML) and MFDS e약은요 (식약처, JSON), whose fields are questions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from mundap.collect.html import number, page, parameter, query, text, xml
from mundap.collect.record import Provenance, Refused
from mundap.collect.site import Link, Site
from mundap.types import QA, Drop

MEDLINEPLUS = Provenance("medlineplus", lang="en", licence="public domain (name MedlinePlus.gov as source)")
MFDS = Provenance("mfds", licence="공공데이터 (data.go.kr/data/15075057)")
_SEARCH = "https://wsearch.nlm.nih.gov/ws/query"
_DRUGS = "https://apis.data.go.kr/1471000/DrbEasyDrugInfoService/getDrbEasyDrugList"
_PER_PAGE = 100
FIELDS = {
    "efcyQesitm": "이 약의 효능은 무엇입니까?",
    "useMethodQesitm": "이 약은 어떻게 사용합니까?",
    "atpnWarnQesitm": "이 약을 사용하기 전에 반드시 알아야 할 내용은 무엇입니까?",
    "atpnQesitm": "이 약의 사용상 주의사항은 무엇입니까?",
    "intrcQesitm": "이 약을 사용하는 동안 주의해야 할 약 또는 음식은 무엇입니까?",
    "seQesitm": "이 약은 어떤 이상반응이 나타날 수 있습니까?",
    "depositMethodQesitm": "이 약은 어떻게 보관해야 합니까?",
}


def medlineplus_starts(terms: tuple[str, ...]) -> Iterator[str]:
    """The first page of each search."""
    yield from (f"{_SEARCH}?db=healthTopics&retmax={_PER_PAGE}&retstart=0&term={quote(term)}" for term in terms)


def medlineplus_links(body: str, url: str) -> Iterator[Link]:
    """The next page of the same search."""
    root = _root(body)
    total = number(root.findtext("count") or "") if root is not None else 0
    start = number(parameter(url, "retstart")) + number(parameter(url, "retmax"), _PER_PAGE)
    if start < total:
        yield Link(query(url, retstart=start), paging=True)


def medlineplus_records(body: str, url: str) -> Iterator[QA | Drop]:
    """A record for each question that heads a part of a topic's summary; the title where there is no heading."""
    root = _root(body)
    if root is None:
        yield MEDLINEPLUS.drop("not XML", url=url, text=body)
        return
    found = list(_topics(root))
    if not found and root.find("count") is None:
        yield MEDLINEPLUS.drop("selector //document, //health-topic found nothing", url=url)
    for title, address, summary in found:
        for count, (question, answer) in enumerate(_parts(title, summary), 1):
            try:
                yield MEDLINEPLUS.qa(address or title, str(count), question, answer, title=title, source=address or url)
            except Refused as error:
                yield MEDLINEPLUS.drop(str(error), url=address or url, part=str(count))


def _root(body: str) -> ElementTree.Element | None:
    try:
        return xml(body.encode())
    except Refused:
        return None


def _topics(root: ElementTree.Element) -> Iterator[tuple[str, str, str]]:
    """Title, address and summary (HTML) of each topic: from a search, or from the bulk file in English."""
    for document in root.iter("document"):
        content = {each.get("name", ""): "".join(each.itertext()) for each in document.iter("content")}
        yield text(page(content.get("title", ""))), document.get("url", ""), content.get("FullSummary", "")
    for topic in root.iter("health-topic"):
        if topic.get("language", "English") == "English":
            yield topic.get("title", ""), topic.get("url", ""), topic.findtext("full-summary") or ""


def _parts(title: str, summary: str) -> Iterator[tuple[str, str]]:
    """`<h3>What is asthma?</h3>` and the text up to the next heading; all of it under the title when there is none."""
    found = page(f"<div id='summary'>{summary}</div>")
    headings = found.css("#summary h3")
    for heading in headings:
        rest = heading.xpath("following-sibling::*[not(self::h3)]")
        own = [each for each in rest if each.xpath("preceding-sibling::h3[1]")[0].root is heading.root]
        yield text(heading), "\n".join(text(each) for each in own)
    if not headings:
        yield f"What should I know about {title}?", text(found.css("#summary"))


def mfds_starts(names: tuple[str, ...]) -> Iterator[str]:
    """The first page for each product name; of all products when none is given."""
    for name in names or ("",):
        asked = f"&itemName={quote(name)}" if name else ""
        yield f"{_DRUGS}?{asked.lstrip('&')}{'&' if asked else ''}numOfRows={_PER_PAGE}&pageNo=1&type=json"


def mfds_links(body: str, url: str) -> Iterator[Link]:
    """The next page of the same list."""
    found = _body(body)
    current = number(parameter(url, "pageNo"), 1)
    if current * number(parameter(url, "numOfRows"), _PER_PAGE) < int(found.get("totalCount") or 0):
        yield Link(query(url, pageNo=current + 1), paging=True)


def mfds_records(body: str, url: str) -> Iterator[QA | Drop]:
    """A record for each field that a product has."""
    found = _body(body)
    if "totalCount" not in found:
        yield MFDS.drop("selector body.totalCount found nothing", url=url, text=body)
    for item in found.get("items") or ():
        item = item.get("item", item) if isinstance(item, dict) else {}
        for field, question in FIELDS.items():
            if item.get(field):
                yield _drug(item, field, question, url)


def _drug(item: Mapping[str, Any], field: str, question: str, url: str) -> QA | Drop:
    name, number_ = str(item.get("itemName", "")), str(item.get("itemSeq", ""))
    more = {
        "title": name,
        "source": query(url, itemSeq=number_, pageNo=1),
        "answered_by": "식품의약품안전처",
        "asked_on": "",
    }
    try:
        return MFDS.qa(number_ or name, field, f"{name}: {question}", text(page(str(item[field]))), **more)
    except Refused as error:
        return MFDS.drop(str(error), url=url, part=f"{number_} {field}")


def _body(body: str) -> dict[str, Any]:
    try:
        found = json.loads(body)["body"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


MEDLINEPLUS_SITE = Site(MEDLINEPLUS, ("wsearch.nlm.nih.gov",), medlineplus_links, medlineplus_records)
MFDS_SITE = Site(
    MFDS,
    ("apis.data.go.kr",),
    mfds_links,
    mfds_records,
    secrets={"apis.data.go.kr": {"serviceKey": "MFDS_SERVICE_KEY"}},
)
