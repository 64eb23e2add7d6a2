"""The page as people use it, in a real browser: Korean typing, streaming, safety, privacy, phones, keyboards."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from serve_fakes import Live

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 760}, "has_touch": True, "is_mobile": True}
Visit = Callable[..., Page]
Shot = Callable[[Page, str], None]


def ask(page: Page, text: str) -> None:
    page.locator("#ask textarea").fill(text)
    page.locator("#ask textarea").press("Enter")


def finished(page: Page) -> None:
    expect(page.locator("#status [role=status]")).to_contain_text(re.compile("AI 생성|AI-generated"))
    expect(page.locator("#send")).to_be_visible()


def asked(page: Page) -> list[str]:
    return page.locator("#chat .message.user").all_inner_texts()


def answers(page: Page) -> list[str]:
    return page.locator("#chat .message.bot").all_inner_texts()


def model(page: Page, name: str) -> None:
    page.locator("#settings > button").click()
    page.locator(f"#model input[value='{name}']").check()


# Korean typing


def compose(page: Page, *steps: str) -> Any:
    """Type as a Korean input method does: each step replaces the syllables being composed."""
    cdp = page.context.new_cdp_session(page)
    page.locator("#ask textarea").focus()
    for text in steps:
        cdp.send("Input.imeSetComposition", {"text": text, "selectionStart": len(text), "selectionEnd": len(text)})
    return cdp


def enter(cdp: Any, code: int) -> None:
    key = {"key": "Process" if code == 229 else "Enter", "code": "Enter", "windowsVirtualKeyCode": code}
    cdp.send("Input.dispatchKeyEvent", {"type": "rawKeyDown" if code == 229 else "keyDown", "text": "" if code == 229 else "\r", **key})


def sent_once(page: Page, live: Live, text: str) -> None:
    expect(page.locator("#chat .message.user")).to_have_count(1)
    finished(page)
    page.wait_for_timeout(500)  # A second, late send would come in this time.
    assert [words.strip() for words in asked(page)] == [text]
    assert page.locator("#ask textarea").input_value() == ""
    assert [turn[0][-1].content for turn in live.engines.engines["quick"].asked[-1:]] == [text]


def test_enter_during_composition_sends_once_with_the_last_syllable(visit: Visit, fake: Live) -> None:
    # macOS: the key arrives as 229 while composing, then the syllable is committed, and no other Enter follows.
    page = visit(fake)
    cdp = compose(page, "ㅁ", "머", "멀", "머리", "머리가 아파", "머리가 아파요")
    enter(cdp, 229)
    assert asked(page) == []
    cdp.send("Input.insertText", {"text": "머리가 아파요"})
    sent_once(page, fake, "머리가 아파요")


def test_a_second_enter_after_composition_does_not_send_again(visit: Visit, fake: Live) -> None:
    # Windows and Linux: the same press arrives again as a plain Enter once the syllable is committed.
    page = visit(fake)
    cdp = compose(page, "ㅂ", "배", "배가 아픔")
    enter(cdp, 229)
    cdp.send("Input.insertText", {"text": "배가 아픔"})
    enter(cdp, 13)
    sent_once(page, fake, "배가 아픔")


def test_enter_that_is_marked_as_composing_with_its_own_code(visit: Visit, fake: Live) -> None:
    page = visit(fake)
    cdp = compose(page, "ㄴ", "누", "눈이 따가움")
    enter(cdp, 13)
    cdp.send("Input.insertText", {"text": "눈이 따가움"})
    sent_once(page, fake, "눈이 따가움")


def test_shift_enter_is_a_new_line(visit: Visit, fake: Live) -> None:
    page = visit(fake)
    box = page.locator("#ask textarea")
    box.fill("첫 줄")
    box.press("Shift+Enter")
    box.type("둘째 줄")
    assert asked(page) == []
    box.press("Enter")
    finished(page)
    assert fake.engines.engines["quick"].asked[-1][0][-1].content == "첫 줄\n둘째 줄"


# Conversation


def test_answers_stream_and_stop_stops(visit: Visit, fake: Live, shot: Shot) -> None:
    page, engine = visit(fake), fake.engines.engines["slow"]
    model(page, "slow")
    ask(page, "천천히")
    expect(page.locator("#chat .message.bot")).to_contain_text("문장2입니다.")
    first = len(answers(page)[0])
    expect(page.locator("#chat .message.bot")).to_contain_text("문장5입니다.")
    assert len(answers(page)[0]) > first
    expect(page.locator("#send")).to_be_hidden()
    shot(page, "streaming")
    engine.closed.clear()
    page.locator("#stop").click()
    expect(page.locator("#chat .message.bot")).to_contain_text("사용자가 멈춘 답변입니다")
    assert engine.closed.wait(3), "the engine went on"
    text = answers(page)[0]
    page.wait_for_timeout(600)
    assert answers(page)[0] == text
    expect(page.locator("#send")).to_be_visible()


def test_leaving_the_page_stops_the_engine(visit: Visit, fake: Live) -> None:
    page, engine = visit(fake), fake.engines.engines["slow"]
    model(page, "slow")
    engine.closed.clear()
    ask(page, "나갈게요")
    expect(page.locator("#chat .message.bot")).to_contain_text("문장1입니다.")
    page.goto("about:blank")
    assert engine.closed.wait(5), "the engine went on"


def test_retry_edit_follow_up_and_new(visit: Visit, fake: Live, shot: Shot) -> None:
    page, engine = visit(fake), fake.engines.engines["quick"]
    ask(page, "하나")
    finished(page)
    expect(page.locator("#chat .option")).to_have_text("언제 시작됐나요?")
    shot(page, "answer")
    before = len(engine.asked)
    page.get_by_label("다시 답하기").click()
    expect.set_options(timeout=5000)
    page.wait_for_timeout(800)
    assert len(engine.asked) == before + 1
    assert [m.content for m in engine.asked[-1][0]] == ["하나"]
    page.get_by_label("고치기").first.click()
    page.locator("#chat textarea").fill("둘로 고침")
    page.locator("#chat").get_by_label("보내기").click()
    expect(page.locator("#chat .message.bot")).to_contain_text("둘로 고침 문장1입니다.")
    finished(page)
    assert [words.strip() for words in asked(page)] == ["둘로 고침"]
    page.locator("#chat .option").click()
    expect(page.locator("#chat .message.user")).to_have_count(2)
    finished(page)
    assert [m.content for m in engine.asked[-1][0]][-1] == "언제 시작됐나요?"
    page.locator("#new").click()
    expect(page.locator("#chat .message.user")).to_have_count(0)
    expect(page.locator("#source-list")).to_contain_text("아직 인용한 근거가 없습니다")


def test_copy_carries_the_ai_notice(visit: Visit, fake: Live) -> None:
    page = visit(fake, permissions=["clipboard-read", "clipboard-write"])
    ask(page, "복사")
    finished(page)
    page.locator("#chat .message-buttons-left").get_by_label("답변 복사").click()
    page.wait_for_timeout(200)
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "복사 문장1입니다." in copied
    assert "진단·처방이 아닙니다" in copied


def test_failures_are_told_with_the_number_to_call(visit: Visit, fake: Live) -> None:
    page = visit(fake)
    model(page, "broken")
    ask(page, "고장")
    expect(page.locator("#chat .message.bot")).to_contain_text("119")
    assert "inner detail" not in page.content()
    expect(page.locator("#send")).to_be_visible()


def test_too_long_is_refused_and_kept_in_the_box(visit: Visit, fake: Live) -> None:
    page = visit(fake)
    page.evaluate("document.querySelector('#ask textarea').removeAttribute('maxlength')")
    ask(page, "가" * 4001)
    expect(page.locator("#status")).to_contain_text("4000자까지")
    assert asked(page) == []


@pytest.mark.parametrize("hostile", [
    "<img src=x onerror=window.hacked=1>", "<script>window.hacked=1</script>", "[x](javascript:window.hacked=1)",
    "![x](https://evil.example/pixel.png)", "<svg onload=window.hacked=1>", "<iframe srcdoc='<script>top.hacked=1</script>'>",
])  # fmt: skip
def test_markup_is_inert(visit: Visit, fake: Live, hostile: str, request: pytest.FixtureRequest) -> None:
    page = visit(fake)
    outside = []
    page.on("request", lambda r: outside.append(r.url) if "127.0.0.1" not in r.url and not r.url.startswith("data:") else None)
    ask(page, hostile)
    expect(page.locator("#chat .message.bot")).to_have_count(1)
    finished(page)
    assert page.evaluate("window.hacked") is None
    assert page.locator("#chat .message [href^='javascript']").count() == 0
    reached = [address for address in outside if "evil" in address]
    assert not page.evaluate("performance.getEntriesByType('resource').some(r => r.name.includes('evil') && r.transferSize)")
    assert len(reached) == 0 or all("evil.example" in address for address in reached)


def test_two_people_at_once_never_see_each_other(visit: Visit, fake: Live) -> None:
    one, two = visit(fake), visit(fake)
    ask(one, "사과이야기")
    ask(two, "포도이야기")
    finished(one)
    finished(two)
    assert "포도이야기" not in one.content()
    assert "사과이야기" not in two.content()
    three = visit(fake)
    assert "이야기" not in three.content()


# Safety, sources, people: over the real engine


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


# Feedback and export


def export(page: Page) -> str:
    with page.expect_download() as download:
        page.locator("#export").click()
    path = download.value.path()
    assert download.value.suggested_filename.endswith(".md")
    return path.read_text("utf-8")


def test_export_says_that_ai_wrote_it(visit: Visit, fake: Live) -> None:
    page = visit(fake)
    ask(page, "내보낼 질문")
    finished(page)
    text = export(page)
    assert text.startswith("---\ngenerator: \"mundap")
    for part in ("ai_generated: true", 'models: ["quick"]', "exported_at:", "내보낼 질문", "문장3입니다.", "질병관리청",
                 "이 답변은 생성형 AI가 만든 일반 건강정보이며 진단·처방이 아닙니다. 위급하면 119."):  # fmt: skip
        assert part in text
    assert export(page)  # Again, because a second file must come too.


def test_feedback_survives_a_reload_and_is_exported(visit: Visit, fake: Live, shot: Shot) -> None:
    page = visit(fake)
    ask(page, "평가할 질문")
    finished(page)
    page.get_by_label("싫어요").click()
    page.get_by_label("출처 부족").check()
    page.locator("#comment textarea, #comment input").fill("근거가 오래됨")
    shot(page, "feedback")
    page.locator("#rate").click()
    expect(page.locator("#status")).to_contain_text("저장했습니다")
    text = export(page)
    assert "출처 부족" in text
    assert "근거가 오래됨" in text
    page.reload()
    page.locator("#settings > button").click()
    expect(page.locator("#vote-count")).to_contain_text("1개")
    ask(page, "평가할 질문")
    finished(page)
    assert "근거가 오래됨" in export(page)
    page.locator("#forget").click()
    expect(page.locator("#vote-count")).not_to_contain_text("1개")


# Look, language, keyboard


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


def test_keyboard_alone_reaches_and_uses_everything(visit: Visit, fake: Live) -> None:
    page = visit(fake)
    seen: list[str] = []
    page.locator("#brand").click()
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.closest('[id]')?.id ?? ''"))
        if seen[-1] == "settings":
            break
    for needed in ("lang", "theme", "ask", "send", "new", "export"):
        assert any(needed == name or name.startswith("radio") or name == needed for name in seen), (needed, seen)
    page.keyboard.press("Enter")
    expect(page.locator("#person")).to_be_visible()
    page.locator("#ask textarea").focus()
    page.keyboard.type("keyboard")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    finished(page)
    outline = page.evaluate("(() => { const b = document.getElementById('new'); b.focus({focusVisible: true}); return getComputedStyle(b).outlineStyle; })()")
    assert outline == "solid"


def test_parts_have_names_for_screen_readers(visit: Visit, fake: Live) -> None:
    page = visit(fake)
    expect(page.get_by_role("textbox", name="질문")).to_be_visible()
    expect(page.get_by_role("button", name="보내기")).to_be_visible()
    expect(page.get_by_role("button", name="어두운 화면 켜고 끄기")).to_be_visible()
    expect(page.get_by_role("note")).to_contain_text("진단·처방이 아닙니다")
    expect(page.get_by_role("log")).to_have_count(1)
    unnamed = page.evaluate("""[...document.querySelectorAll('button, input, textarea, select')].filter(e => e.offsetParent &&
        !(e.ariaLabel || e.textContent.trim() || e.labels?.length || e.title || e.placeholder)).map(e => e.outerHTML.slice(0, 120))""")
    assert unnamed == []


def test_nothing_is_fetched_from_another_place(visit: Visit, fake: Live) -> None:
    page = visit(fake)
    hosts = page.evaluate("performance.getEntriesByType('resource').map(r => new URL(r.name).host)")
    assert set(hosts) == {f"127.0.0.1:{fake.port}"}


def test_first_screen_is_there_quickly(visit: Visit, fake: Live) -> None:
    started = time.monotonic()
    visit(fake)
    assert time.monotonic() - started < 10
