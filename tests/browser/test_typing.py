"""Typing and keys: Korean composition sends once and whole, and the page works without a mouse."""

from __future__ import annotations

import time
from typing import Any

import pytest
from page_steps import Visit, asked, finished
from playwright.sync_api import Page, expect
from serve_fakes import Live

pytestmark = pytest.mark.browser


def compose(page: Page, *steps: str) -> Any:
    """Type as a Korean input method does: each step replaces the syllables being composed."""
    cdp = page.context.new_cdp_session(page)
    page.locator("#ask textarea").focus()
    for text in steps:
        cdp.send("Input.imeSetComposition", {"text": text, "selectionStart": len(text), "selectionEnd": len(text)})
    return cdp


def enter(cdp: Any, code: int) -> None:
    key = {"key": "Process" if code == 229 else "Enter", "code": "Enter", "windowsVirtualKeyCode": code}
    cdp.send(
        "Input.dispatchKeyEvent",
        {"type": "rawKeyDown" if code == 229 else "keyDown", "text": "" if code == 229 else "\r", **key},
    )


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
    cdp = compose(page, "ㅁ", "머", "멀", "머리", "머리가 아파", "머리가 아파ㅇ")
    enter(cdp, 229)
    page.wait_for_timeout(300)
    assert asked(page) == []  # Not before the last syllable is whole.
    cdp.send("Input.insertText", {"text": "머리가 아파요"})
    sent_once(page, fake, "머리가 아파요")


def test_a_second_enter_after_composition_does_not_send_again(visit: Visit, fake: Live) -> None:
    # Windows and Linux: the same press arrives again as a plain Enter once the syllable is committed.
    page = visit(fake)
    cdp = compose(page, "ㅂ", "배", "배가 아프")
    enter(cdp, 229)
    cdp.send("Input.insertText", {"text": "배가 아픔"})
    enter(cdp, 13)
    sent_once(page, fake, "배가 아픔")


def test_enter_that_is_marked_as_composing_with_its_own_code(visit: Visit, fake: Live) -> None:
    page = visit(fake)
    cdp = compose(page, "ㄴ", "누", "눈이 따가우")
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


PARTS = "'#lang, #theme, #ask, #send, #new, #export, #sources, #settings'"


def test_keyboard_alone_reaches_and_uses_everything(visit: Visit, fake: Live) -> None:
    page = visit(fake)
    seen: list[str] = []
    page.locator("#brand").click()
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.closest(IDS)?.id ?? ''".replace("IDS", PARTS)))
        if seen[-1] == "settings":
            break
    assert {"lang", "theme", "ask", "send", "new", "export", "sources", "settings"} <= set(seen)
    page.keyboard.press("Enter")
    expect(page.locator("#person")).to_be_visible()
    page.locator("#ask textarea").focus()
    page.keyboard.type("keyboard")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    finished(page)
    outline = page.evaluate("""() => {
        const button = document.getElementById("new");
        button.focus({focusVisible: true});
        return getComputedStyle(button).outlineStyle;
    }""")
    assert outline == "solid"


def test_parts_have_names_for_screen_readers(visit: Visit, fake: Live) -> None:
    page = visit(fake)
    expect(page.get_by_role("textbox", name="질문")).to_be_visible()
    expect(page.get_by_role("button", name="보내기")).to_be_visible()
    expect(page.get_by_role("button", name="어두운 화면 켜고 끄기")).to_be_visible()
    expect(page.get_by_role("note")).to_contain_text("진단·처방이 아닙니다")
    expect(page.get_by_role("log")).to_have_count(1)
    unnamed = page.evaluate("""() => [...document.querySelectorAll("button, input, textarea, select")]
        .filter(e => e.offsetParent && !(e.ariaLabel || e.textContent.trim() || e.labels?.length || e.title))
        .map(e => e.outerHTML.slice(0, 120))""")
    assert unnamed == []


def test_nothing_is_fetched_from_another_place(visit: Visit, fake: Live) -> None:
    page = visit(fake)
    hosts = page.evaluate("performance.getEntriesByType('resource').map(r => new URL(r.name).host)")
    assert set(hosts) == {f"127.0.0.1:{fake.port}"}


def test_first_screen_is_there_quickly(visit: Visit, fake: Live) -> None:
    started = time.monotonic()
    visit(fake)
    assert time.monotonic() - started < 10
