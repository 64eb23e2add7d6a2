"""One Chromium and one server of each kind for all browser tests."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "serve"))
from serve_fakes import FakeEngine, FakeEngines, Live, serving
from studio_run import root, studio  # noqa: F401  fixtures

SHOTS = Path(__file__).parents[2] / "artifacts" / "screenshots"
ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
CHROMIUM = os.environ.get("MUNDAP_CHROMIUM") or shutil.which("chromium")

# What a browser reports where a person leaves during an answer, and where the policy keeps an image out.
EXPECTED = ("AbortError", "Connection errored out", "img-src 'self'")

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.fail("no Chromium: install one (Debian: chromium) or set MUNDAP_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def fake() -> Iterator[Live]:
    """A server whose engines' timing is known."""
    engines = FakeEngines(
        FakeEngine("quick"), FakeEngine("slow", 200, 0.15), FakeEngine("broken", fails="inner detail")
    )
    with serving(engines) as live:
        yield live


@pytest.fixture(scope="session")
def real() -> Iterator[Live]:
    """A server over the real engines, without a language model."""
    from mundap.chat.engines import Engines

    with serving(Engines()) as live:
        yield live


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Open]:
    """Opens a page as a person of their own; fails the test on any error in the browser's console."""
    contexts, errors = [], []

    def note(kind: str, text: str) -> None:
        if kind == "error" and not any(part in text for part in EXPECTED):
            errors.append(text)

    def visit(live: Live, **options: Any) -> Page:
        given: dict[str, Any] = {
            "viewport": {"width": 1280, "height": 860},
            "locale": "ko-KR",
            "accept_downloads": True,
        }
        context = chromium.new_context(**(given | options))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: note(message.type, message.text))
        page.on("pageerror", lambda error: note("error", str(error)))
        page.goto(live.url)
        page.locator("#ask textarea").wait_for()
        page.locator("#chat .example").first.wait_for()
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not errors


@pytest.fixture
def shot() -> Callable[[Page, str], None]:
    """Saves what a person would see, for a person to look at."""
    SHOTS.mkdir(parents=True, exist_ok=True)

    def shot(page: Page, name: str) -> None:
        page.wait_for_timeout(250)
        page.screenshot(path=SHOTS / f"{name}.png")

    return shot
