"""Each site's parser on saved pages of the site's shape, with every trap they set. Nothing is fetched here."""

# ruff: noqa: E501  (pages stand on long lines)

from __future__ import annotations

import pytest

from mundap.collect import english, hidoc, kin, official
from mundap.collect.encoding import decode
from mundap.collect.html import date, page, text
from mundap.collect.replica import hidoc as hidoc_pages
from mundap.collect.replica import kin as kin_pages
from mundap.collect.replica.content import ENGLISH_SITES, Question, korean
from mundap.collect.replica.content import english as english_questions
from mundap.collect.replica.server import Replica
from mundap.collect.replica.wire import Request
from mundap.collect.site import Site
from mundap.collect.sources import SITES
from mundap.types import QA, Drop

HIDOC = "https://www.hidoc.co.kr"
SEEN = 1_780_887_600.0  # 2026-06-08 03:00 UTC


def parsed(site: Site, html: str, url: str) -> tuple[list[QA], list[Drop]]:
    found = list(site.records(html, url))
    return [each for each in found if isinstance(each, QA)], [each for each in found if isinstance(each, Drop)]


def served(url: str, replica: Replica | None = None) -> str:
    """What the replica answers at a site's address."""
    from urllib.parse import parse_qsl, urlsplit

    parts = urlsplit(url)
    names = {host: site.name for site in SITES for host in site.hosts}
    request = Request(parts.netloc, f"/{names[parts.netloc]}{parts.path}", dict(parse_qsl(parts.query)), {})
    answer = (replica or Replica())(request)
    body = answer.body if isinstance(answer.body, bytes) else answer.body.encode()
    return decode(body, answer.headers.get("Content-Type", "text/html; charset=utf-8"))[0]


def detail(number: int) -> tuple[list[QA], Question]:
    question = korean()[number - 1]
    url = f"{HIDOC}/healthqna/view/{hidoc_pages.identity(question)}"
    return parsed(hidoc.SITE, served(url), url)[0], question


def test_two_doctors_on_a_question_are_two_records_with_their_own_ids() -> None:
    found, question = detail(5)
    assert len(found) == 2
    assert len({each.id for each in found}) == 2
    assert {each.answered_by for each in found} == {"전문의"}
    assert question.answer in found[0].answer
    assert found[1].answer != found[0].answer


def test_no_doctors_name_is_in_any_field_but_the_answers_own_greeting() -> None:
    from dataclasses import asdict

    from mundap.collect.replica.content import DOCTORS

    for number in range(1, 67):
        for each in detail(number)[0]:
            fields = {name: value for name, value in asdict(each).items() if name != "answer"}
            assert not any(doctor in str(fields) for doctor in DOCTORS)


def test_a_thank_you_box_is_no_answer_and_debris_is_no_text() -> None:
    found, _ = detail(28)  # a multiple of 4 and 7
    assert len(found) == 1
    assert "감사 인사" not in found[0].answer
    assert not any(debris in found[0].answer for debris in ("o:p", "Fragment", "<"))


def test_a_deleted_question_is_a_state_and_the_word_alone_is_not() -> None:
    found, question = detail(13)
    assert (found[0].state, found[0].question, found[0].title) == ("question_deleted", "", "")
    assert question.answer in found[0].answer
    html = served(f"{HIDOC}/healthqna/view/{hidoc_pages.identity(korean()[0])}")
    html = html.replace("한 달에 두 번쯤", "(개인정보 내용 부분은 삭제합니다.) 한 달에 두 번쯤")
    whole, _ = parsed(hidoc.SITE, html, f"{HIDOC}/healthqna/view/C0001000001")
    assert whole[0].state == "whole"
    assert "삭제합니다" in whole[0].question


def test_missing_body_title_as_body_and_empty_dates() -> None:
    missing, question = detail(17)
    assert (missing[0].question, missing[0].question_origin) == (question.title, "title")
    same, question = detail(19)
    assert same[0].question == same[0].title == question.title
    assert detail(3)[0][0].asked_on != ""  # the question's date is empty, the answer's is not
    assert detail(6)[0][0].asked_on == ""  # both are: the list's date is used in a crawl


def test_cp949_pages_and_emoji_survive() -> None:
    assert detail(12)[0][0].question.replace("\n", " ") == korean()[11].body
    assert "😢" in detail(11)[0][0].question
    assert "\ufffd" not in "".join(detail(number)[0][0].answer for number in range(1, 67))


def test_links_of_a_list_are_absolute_and_one_a_question_though_cards_are_one_an_answer() -> None:
    url = f"{HIDOC}/healthqna/part/list?code=PF000&page=1"
    links = list(hidoc.links(served(url), url))
    items = [link for link in links if not link.paging]
    assert all(link.url.startswith(f"{HIDOC}/healthqna/part/view/C000") for link in items)
    assert {link.specialty for link in items} == {"가정의학과"}
    assert len(items) == len({hidoc.key(link.url) for link in items}) + 1
    assert hidoc.key(f"{HIDOC}/healthqna/part/view/C0001000001") == hidoc.key(
        "https://mobile.hidoc.co.kr/healthqna/view/C0001000001?x=1"
    )


def test_a_fresh_cards_date_is_relative() -> None:
    url = f"{HIDOC}/healthqna/list?page=1"
    assert next(hidoc.links(served(url), url)).date == "11시간전"
    assert date("11시간전", SEEN) == "2026-06-07"


def test_paging_goes_on_to_the_next_block() -> None:
    replica = Replica(bulk=200)
    url = f"{HIDOC}/healthqna/list?code=BULK&page=1"
    pages = [link.url for link in hidoc.links(served(url, replica), url) if link.paging]
    assert pages[-1].endswith("page=11")
    assert len(pages) == 11


def test_mobile_search_and_faq_pages() -> None:
    mobile = "https://mobile.hidoc.co.kr/healthqna/view/C0001000005"
    found, refused = parsed(hidoc.SITE, served(mobile), mobile)
    assert (len(found), refused) == (2, [])
    assert "조회" not in found[0].title
    search = f"{HIDOC}/integratesearch/searchhealthqnalist?page=1&query=눈"
    assert [link for link in hidoc.links(served(search), search) if not link.paging]
    faq = f"{HIDOC}/healthqna/faq/view/C0001000002"
    assert len(parsed(hidoc.SITE, served(faq), faq)[0]) == 1


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
def test_a_page_that_no_longer_fits_names_the_selector_and_the_address(site: Site) -> None:
    urls = {
        "hidoc": f"{HIDOC}/healthqna/view/C0001000001", "kin": "https://kin.naver.com/qna/detail.naver?docId=1",
        "icliniq": "https://www.icliniq.com/qa/skin/x", "healthcaremagic": "https://www.healthcaremagic.com/questions/x/1",
        "healthtap": "https://www.healthtap.com/user_questions/1-x", "ehealthforum": "https://ehealthforum.com/health/x-t1.html",
    }  # fmt: skip
    url = urls.get(site.name, f"https://{site.hosts[0]}/x")
    found, refused = parsed(site, "<html><head><title>new design</title></head><body><p>hello</p></body></html>", url)
    assert not found
    assert refused[0].record["url"] == url
    assert "found nothing" in refused[0].reason or refused[0].reason == "not XML"


@pytest.mark.parametrize("number", range(1, 25))
def test_kin_in_all_its_templates(number: int) -> None:
    url = f"https://kin.naver.com{kin_pages.detail_path(number)}"
    found, refused = parsed(kin.SITE, kin_pages.detail(korean()[number - 1]), url)
    reasons = {kin_pages.DELETED: "question deleted", kin_pages.DELETED_ANSWER: "answer deleted"}
    reasons[kin_pages.PAID] = "answer not by a medical professional"
    if number in reasons:
        assert ([each.reason for each in refused], found) == ([reasons[number]], [])
        return
    assert not refused
    assert korean()[number - 1].answer in found[0].answer
    assert "추가 질문" not in found[0].answer
    assert not found[0].title.startswith("질문")
    assert found[0].question_origin == ("title" if number == kin_pages.TITLE_ONLY else "asked")


def test_kins_api_gives_addresses_and_no_records() -> None:
    for url in kin.starts("hub", ("머리",), (), ""):
        body = served(url)
        links = list(kin.links(body, url))
        assert links
        assert all("qb=" not in link.url and "<b>" not in link.title for link in links)
        assert parsed(kin.SITE, body, url) == ([], [])
    assert parsed(kin.SITE, '{"errorCode": "SE01"}', "https://openapi.naver.com/v1/search/kin.json?query=x")[1]


def test_kins_lists_name_questions_once() -> None:
    url = next(kin.starts("hub", (), ("70101",), "2026-06-08 00:00:00"))
    links = list(kin.links(served(url), url))
    assert len({kin.key(link.url) for link in links if not link.paging}) == 20
    assert links[-1].paging


def test_the_english_sites_hold_at_least_160_questions_and_lose_none() -> None:
    assert sum(len(english_questions(site)) for site in ENGLISH_SITES) >= 160
    pages = {
        "icliniq": english.ICLINIQ_SITE,
        "healthtap": english.HEALTHTAP_SITE,
        "healthcaremagic": english.HEALTHCAREMAGIC_SITE,
    }
    pages |= {"ehealthforum": english.EHEALTHFORUM_SITE}
    from mundap.collect.replica.english import _SITES

    for name, site in pages.items():
        for question in english_questions(name):
            url = f"https://{site.hosts[0]}{_SITES[name][0](question)}"
            found, _ = parsed(site, served(url), url)
            assert len(found) == 1, url
            assert question.answer in found[0].answer
            assert question.body in found[0].question


def test_replies_to_replies_and_removed_posts_are_refused() -> None:
    question = english_questions("ehealthforum")[23]  # number 24: both
    url = f"https://ehealthforum.com/health/{question.slug}-t300024.html"
    assert sorted(each.reason for each in parsed(english.EHEALTHFORUM_SITE, served(url), url)[1]) == [
        "answer deleted",
        "reply to a reply",
    ]


def test_each_heading_of_medlineplus_and_each_field_of_mfds_is_a_question() -> None:
    url = next(official.medlineplus_starts(("all",)))
    found, _ = parsed(official.MEDLINEPLUS_SITE, served(url), url)
    assert (found[0].question, found[0].title) == ("What is asthma?", "Asthma")
    assert any(each.question == "What should I know about Eczema?" for each in found)
    url = next(official.mfds_starts(()))
    found, _ = parsed(official.MFDS_SITE, served(url), url)
    assert len(found) == 56
    assert found[6].question.endswith("이 약은 어떻게 보관해야 합니까?")


def test_medlineplus_bulk_file_in_english_only() -> None:
    topic = '<health-topic title="{0}" url="https://medlineplus.gov/{0}.html" language="{1}"><full-summary>{2}</full-summary></health-topic>'
    summary = "&lt;h3&gt;What is gout?&lt;/h3&gt;&lt;p&gt;A painful arthritis.&lt;/p&gt;&lt;ul&gt;&lt;li&gt;one&lt;/li&gt;&lt;/ul&gt;"
    body = f"<health-topics>{topic.format('Gout', 'English', summary)}{topic.format('Gota', 'Spanish', summary)}</health-topics>"
    found, _ = parsed(official.MEDLINEPLUS_SITE, body, "file")
    assert [(each.question, each.answer) for each in found] == [("What is gout?", "A painful arthritis.\none")]


@pytest.mark.parametrize(
    ("given", "expected"),
    [("2026.06.08", "2026-06-08"), ("작성일2024.03.01", "2024-03-01"), ("April 20th, 2012", "2012-04-20"), ("Mon, 2 Mar 2021", "2021-03-02"),
     ("5시간 전", "2026-06-07"), ("3일전", "2026-06-05"), ("2 weeks ago", "2026-05-25"), ("", ""), ("2026.13.40", ""), ("어제", "")],
)  # fmt: skip
def test_dates(given: str, expected: str) -> None:
    assert date(given, SEEN) == expected


def test_text_breaks_lines_where_the_page_does() -> None:
    html = "<div>가<br>나<p>다 \n  라</p><!-- x -->마<script>no()</script><p>바<b>사</b></p></div>"
    assert text(page(html).css("div")) == "가\n나\n다 라\n마\n바사"


@pytest.mark.parametrize(
    ("body", "header", "expected"),
    [("한글".encode("cp949"), "text/html; charset=euc-kr", "한글"), ("뷁".encode("cp949"), "", "뷁"), ("한글".encode(), "", "한글"),
     ('<meta charset="euc-kr">한'.encode("cp949"), "", '<meta charset="euc-kr">한'), ("한글".encode(), "text/html; charset=euc-kr", "한글"),
     (b"\xef\xbb\xbf" + "한".encode(), "", "한"), ("한글".encode("cp949"), "text/html; charset=utf-8", "한글"), ("한".encode(), "charset=nonsense", "한")],
)  # fmt: skip
def test_encoding_is_the_headers_then_the_pages_then_utf8_then_cp949(body: bytes, header: str, expected: str) -> None:
    assert decode(body, header)[0] == expected


def test_hostile_html_is_parsed_quickly() -> None:
    import time

    begun = time.perf_counter()
    for html in ("<div>" * 50_000, "<a href='" + "x" * 50_000, "&" * 50_000, "<!--" * 20_000, "2026." * 10_000):
        for site in SITES:
            list(site.records(html, f"https://{site.hosts[0]}/healthqna/view/C0001000001"))
            list(site.links(html, f"https://{site.hosts[0]}/healthqna/list?page=1"))
        date(html, SEEN)
        text(page(html))
    assert time.perf_counter() - begun < 20
