"""The run pages in a real Chromium: on a laptop, in the dark, by keyboard, live."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from page_steps import PHONE, Shot
from playwright.sync_api import Browser, Page, expect
from serve_fakes import Live
from studio_run import step

from mundap.evaluate.people import Queue

pytestmark = pytest.mark.browser
LAPTOP = {"viewport": {"width": 1366, "height": 768}, "locale": "ko-KR"}
Look = Callable[..., Page]


@pytest.fixture
def look(chromium: Browser, studio: Live) -> Iterator[Look]:
    """Opens a run page; fails the test on any error in the console, such as a script or style that was kept out."""
    contexts, errors = [], list[str]()

    def look(path: str, **options: Any) -> Page:
        context = chromium.new_context(**(LAPTOP | options))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{studio.url}/studio{path}")
        return page

    yield look
    for context in contexts:
        context.close()
    assert not errors


def no_sideways(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_runs_data_and_changes_can_be_read_on_a_laptop(look: Look, shot: Shot) -> None:
    page = look("")
    shot(page, "studio-runs")
    assert no_sideways(page)
    page.get_by_role("link", name="one", exact=True).click()
    expect(page.locator("#stage-clean .n").first).to_have_text("40")
    shot(page, "studio-run")
    assert no_sideways(page)
    page.locator("#stage-clean").get_by_role("link", name="out").click()
    page.get_by_label("진료과").select_option("내과")
    page.get_by_role("button", name="거르기").click()
    expect(page.locator("article.row")).to_have_count(20)
    expect(page.get_by_label("진료과")).to_have_value("내과")
    shot(page, "studio-data")
    page.go_back()
    page.goto(page.url.partition("/data")[0] + "/changes")
    expect(page.locator("del").first).to_be_visible()
    shot(page, "studio-changes")


def test_curves_go_on_by_themselves(look: Look, root: Path, shot: Shot) -> None:
    page = look("/curves?run=one&run=two")
    expect(page.locator("polyline")).to_have_count(2)
    page.wait_for_timeout(3500)  # read once, so that the next reading can differ
    step(root / "one", 99, 1.4)
    expect(page.locator("figcaption")).to_contain_text("스텝 99", timeout=8000)
    shot(page, "studio-curves")


def colours(page: Page) -> tuple[str, str]:
    found: list[str] = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    return found[0], found[1]


def test_dark_as_the_system_is_and_as_chosen(look: Look, shot: Shot) -> None:
    page = look("/compare?run=one&run=two", color_scheme="dark")
    assert colours(page) == ("rgb(20, 25, 26)", "rgb(228, 233, 230)")
    expect(page.get_by_text("[0.100, 0.900]").first).to_be_visible()
    shot(page, "studio-compare-dark")
    page.locator("#dark").click()
    assert colours(page)[0] == "rgb(250, 247, 240)"
    page.reload()
    assert colours(page)[0] == "rgb(250, 247, 240)"
    page.get_by_role("link", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Compare")


def test_rating_by_keys_alone(look: Look, root: Path, shot: Shot) -> None:
    page = look("/runs/two/people")
    page.get_by_label("여럿이 볼 비율 (%)").fill("0")
    page.get_by_role("button", name="줄에 넣기").click()
    page.get_by_role("link", name="답변 평가하기").click()
    page.get_by_label("가명").type("수달")
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_contain_text("0 / 6")
    assert "two/base" not in page.content() and "two/tuned" not in page.content()
    shot(page, "studio-rate")
    page.get_by_label("의견").fill("1번보다 2번")  # digits that are typed are no choice
    expect(page.locator("#state")).to_contain_text("0 / 6")
    page.locator("#left input[name='left-score:correct'][value='4']").focus()
    page.keyboard.press("Space")
    left = page.locator("#left .answer").inner_text().split()[0]
    page.keyboard.press("1")
    expect(page.locator("#state")).to_contain_text("1 / 6")
    (kept,) = Queue(root / "two").judgements()
    assert kept.choice != "tie"
    assert Queue(root / "two").pairs()[kept.pair].name(kept.choice) == f"two/{left}"
    assert kept.mark(kept.choice).scores == {"correct": 4} and kept.comment == "1번보다 2번"
    for done, key in enumerate("020", 2):
        page.wait_for_load_state()
        page.keyboard.press(key)
        expect(page.locator("#state")).to_contain_text(f"{done} / 6")
    page.wait_for_load_state()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.goto(page.url.partition("/rate")[0] + "/people")
    expect(page.locator("#strengths tbody tr")).to_have_count(2)
    shot(page, "studio-people")


def test_rating_and_runs_on_a_phone(look: Look, shot: Shot) -> None:
    page = look("", **PHONE)
    assert no_sideways(page)
    page.goto(f"{page.url}/runs/two/rate?rater=여우")
    expect(page.locator(".choices button").first).to_be_in_viewport()
    assert no_sideways(page)
    shot(page, "studio-rate-phone")


def test_the_report_opens_without_running_its_scripts(chromium: Browser, studio: Live) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{studio.url}/studio/runs/one/report")
    expect(page.get_by_role("heading")).to_have_text("보고서")
    assert page.title() != "run"
    context.close()
