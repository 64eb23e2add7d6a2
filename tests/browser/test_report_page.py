"""The report as a person meets it: a file opened without a network, on a laptop, on a phone, in the dark, in print."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

sys.path.insert(0, str(Path(__file__).parents[1] / "evaluate"))
from evaluated_run import evaluated, judged, kullm, share, spread

from mundap.evaluate import report
from mundap.store import write_jsonl

pytestmark = pytest.mark.browser
EVIL = "<script>document.title = 'broken'</script><img src='http://127.0.0.1:9/x'>두통이 심하면 119에 전화하십시오."
READ = "p, th, td, small, li, h1, h2, h3, h5, a:not(.skip), .interval, label, strong, summary, figcaption, dt, footer"
CONTRAST = """read => {
  const part = v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = color => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map(part);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ground = e => {
    for (; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor;
      if (!/, 0\\)$/.test(color)) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const ratio = e => {
    const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
    return (a + .05) / (b + .05);
  };
  return [...document.querySelectorAll(read)].filter(e => e.checkVisibility() && e.innerText.trim())
    .map(e => [ratio(e), e.tagName, e.innerText.slice(0, 40)]).filter(each => each[0] < 4.5);
}"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    scores = {
        "base": {"triage.under": share(30), "medical": spread(0, 0.5), "seconds.p50": spread(1, 3), **kullm(0.1)},
        "assistant:tuned": {
            "triage.under": share(4),
            "triage.under:typo": share(4),
            "medical": spread(0.3, 0.8),
            **kullm(0.4),
        },
    }
    run = evaluated(tmp_path_factory.mktemp("report") / "quick", scores, texts={"base": EVIL})
    judged(run, "base")
    write_jsonl(run / "train/log.jsonl", [{"step": n, "loss": 3 - n / 30} for n in range(1, 31)])
    return report.write(run).as_uri()


@pytest.fixture
def look(chromium: Browser, file: str) -> Iterator[Any]:
    """Opens the report; fails on any request but the file itself and on any message in the console."""
    contexts, troubles = [], []

    def look(**options: Any) -> Page:
        context = chromium.new_context(offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: troubles.append(message.text))
        page.on("request", lambda request: request.url == file or troubles.append(request.url))
        page.goto(file)
        return page

    yield look
    for context in contexts:
        context.close()
    assert troubles == []


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("laptop", {"viewport": {"width": 1280, "height": 860}}),
        ("phone", {"viewport": {"width": 390, "height": 844}, "has_touch": True}),
        ("dark", {"viewport": {"width": 1280, "height": 860}, "color_scheme": "dark"}),
    ],
)
def test_it_can_be_read(look: Any, shot: Any, name: str, options: dict[str, Any]) -> None:
    page = look(**options)
    assert page.title() == "평가 보고서 · Evaluation report: quick"
    assert page.get_by_role("heading", name="KULLM 표", exact=True).is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page itself never scrolls sideways"
    assert page.locator("svg.dots").count() > 10
    assert page.evaluate(CONTRAST, READ) == []
    shot(page, f"report-{name}")


def test_without_a_script_the_language_changes_by_mouse_and_by_keyboard(look: Any) -> None:
    page = look(viewport={"width": 1280, "height": 860}, java_script_enabled=False)
    korean, english = (
        page.get_by_role("heading", name="짝지은 차이"),
        page.get_by_role("heading", name="Paired differences"),
    )
    assert korean.is_visible() and not english.is_visible()
    page.get_by_text("English", exact=True).click()
    assert english.is_visible() and not korean.is_visible()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("heading", name="짝지은 차이 Paired differences").is_visible()


def test_what_a_model_wrote_is_only_text(look: Any) -> None:
    page = look()
    assert page.get_by_text("<script>document.title").first.is_visible()
    assert page.title() != "broken"


def test_in_print_nothing_is_hidden_and_the_paper_is_white(look: Any) -> None:
    page = look(viewport={"width": 800, "height": 1000}, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    assert page.evaluate("document.querySelector('details tbody th[scope=row]').checkVisibility()"), "parts are printed"
