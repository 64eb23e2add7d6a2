"""The page over the real engine: emergencies, sources, people, phones, dark, English."""

from __future__ import annotations

import re

import pytest
from page_steps import PHONE, Shot, Visit, answers, ask, finished
from playwright.sync_api import expect
from serve_fakes import Live

pytestmark = pytest.mark.browser


def test_emergency_card_dials_119(visit: Visit, real: Live, shot: Shot) -> None:
    page = visit(real, **PHONE)
    ask(page, "아버지가 갑자기 말이 어눌하고 한쪽 팔에 힘이 없어요")
    card = page.get_by_role("alert")
    expect(card).to_be_visible()
    expect(card.locator("a[href='tel:119']")).to_be_visible()
    expect(page.locator("#chat .message.bot")).to_contain_text("119")
    finished(page)
    shot(page, "emergency-phone")
    expect(page.locator("#ask textarea")).to_be_in_viewport()
    page.locator("#new").click()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_crisis_shows_109_and_keeps_the_talk_open(visit: Visit, real: Live, shot: Shot) -> None:
    page = visit(real)
    ask(page, "그만 살고 싶어요")
    expect(page.get_by_role("alert").locator("a[href='tel:109']")).to_be_visible()
    finished(page)
    shot(page, "crisis")
    page.locator("#card summary").click()
    shot(page, "crisis-open")
    expect(page.locator("#ask textarea")).to_be_enabled()


def test_sources_panel_lists_what_is_cited(visit: Visit, real: Live, shot: Shot) -> None:
    page = visit(real)
    ask(page, "어제부터 머리가 지끈지끈 아파요")
    finished(page)
    text = answers(page)[0]
    shown = page.locator("#source-list li")
    assert shown.count() >= 1
    cited = set(re.findall(r"\[(\d+)\]", text))
    assert {item.get_attribute("value") for item in shown.all()} == cited
    shot(page, "answer-real")


def test_profile_changes_the_answer_and_stays_in_the_browser(visit: Visit, real: Live, shot: Shot) -> None:
    page = visit(real)
    question = "이부프로펜 먹어도 되나요?"
    ask(page, question)
    finished(page)
    without = answers(page)[0]
    page.locator("#settings > button").click()
    page.get_by_label("나", exact=True).check()
    page.locator("#age input").fill("31")
    page.locator("#weeks input").fill("20")
    page.locator("#sex").get_by_label("여성").check()
    page.locator("#save").click()
    expect(page.locator("#person-status")).to_contain_text("동의에 표시")
    page.locator("#consent input").check()
    page.locator("#save").click()
    expect(page.locator("#person-status")).to_contain_text("저장했습니다")
    shot(page, "profile")
    page.locator("#new").click()
    expect(page.locator("#chat .message")).to_have_count(0)
    ask(page, question)
    expect(page.locator("#status")).to_contain_text("이 정보를 반영했어요")
    finished(page)
    assert answers(page)[0] != without
    assert "임신" in page.locator("#status").inner_text()
    shot(page, "profile-answer")
    page.reload()
    page.locator("#settings > button").click()
    expect(page.locator("#weeks input")).to_have_value("20")
    page.locator("#delete").click()
    expect(page.locator("#person-status")).to_contain_text("지웠습니다")
    page.reload()
    page.locator("#settings > button").click()
    page.get_by_label("나", exact=True).check()
    expect(page.locator("#weeks input")).to_have_value("")
    other = visit(real)
    other.locator("#settings > button").click()
    other.get_by_label("나", exact=True).check()
    expect(other.locator("#person-status")).to_contain_text("아직 없습니다")


def test_people_can_be_added_by_name(visit: Visit, fake: Live) -> None:
    page = visit(fake)
    page.locator("#settings > button").click()
    page.locator("#new-person textarea, #new-person input").fill("할머니")
    page.locator("#add").click()
    expect(page.get_by_label("할머니")).to_be_checked()
    expect(page.locator("#form")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_has_no_sideways_scroll_and_shows_the_box(visit: Visit, real: Live, shot: Shot, scheme: str) -> None:
    page = visit(real, color_scheme=scheme, **PHONE)
    expect(page.locator("#ask textarea")).to_be_in_viewport()
    expect(page.locator("#notice a[href='tel:119']")).to_be_in_viewport()
    shot(page, f"phone-start-{scheme}")
    ask(page, "배가 아픈데 어느 과에 가야 하나요?")
    finished(page)
    page.locator("#settings > button").click()
    page.get_by_label("아이", exact=True).check()
    expect(page.locator("#form")).to_be_visible()
    width = page.evaluate("[document.documentElement.scrollWidth, document.body.scrollWidth, innerWidth]")
    assert width == [390, 390, 390]
    assert page.locator("body.dark").count() == (1 if scheme == "dark" else 0)
    page.evaluate("scrollTo(0, 0)")
    shot(page, f"phone-answer-{scheme}")
    page.locator("#settings").scroll_into_view_if_needed()
    shot(page, f"phone-settings-{scheme}")


def test_dark_follows_the_system_and_the_choice_is_kept(visit: Visit, fake: Live, shot: Shot) -> None:
    page = visit(fake, color_scheme="dark")
    expect(page.locator("body.dark")).to_have_count(1)
    shot(page, "dark")
    page.locator("#theme").click()
    expect(page.locator("body.dark")).to_have_count(0)
    page.reload()
    page.locator("#chat .example").first.wait_for()
    expect(page.locator("body.dark")).to_have_count(0)


def test_english_switches_everything_and_is_kept(visit: Visit, real: Live, shot: Shot) -> None:
    page = visit(real)
    page.locator("#lang").get_by_label("English").check()
    expect(page.locator("#brand h1")).to_have_text("mundap")
    expect(page.locator("#send")).to_have_text("Send")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.locator("#settings > button").click()
    page.get_by_label("Child", exact=True).check()
    shot(page, "english")
    korean = re.findall("[가-힣]+", page.locator("body").inner_text())
    assert set(korean) <= {"한국어"}
    page.locator("#chat .example").first.click()
    finished(page)
    assert not re.search("[가-힣]{3}", answers(page)[0])
    shot(page, "english-answer")
    page.reload()
    expect(page.locator("#send")).to_have_text("Send")
