"""What people do on the page, for the tests to do."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

PHONE = {"viewport": {"width": 390, "height": 760}, "has_touch": True, "is_mobile": True}
Visit = Callable[..., Page]
Shot = Callable[[Page, str], None]


def ask(page: Page, text: str) -> None:
    page.locator("#ask textarea").fill(text)
    page.locator("#ask textarea").press("Enter")


def finished(page: Page) -> None:
    expect(page.locator("#status [role=status]")).to_contain_text(
        re.compile("AI 생성|AI-generated|안전 안내|Fixed safety")
    )
    expect(page.locator("#send")).to_be_visible()


def asked(page: Page) -> list[str]:
    return page.locator("#chat .message.user").all_inner_texts()


def answers(page: Page) -> list[str]:
    return page.locator("#chat .message.bot").all_inner_texts()


def model(page: Page, name: str) -> None:
    if not page.locator("#model").is_visible():
        page.locator("#settings > button").click()
    page.locator(f"#model input[value='{name}']").check()


def export(page: Page) -> str:
    with page.expect_download() as download:
        page.locator("#export").click()
    path = download.value.path()
    assert download.value.suggested_filename.endswith(".md")
    return path.read_text("utf-8")
