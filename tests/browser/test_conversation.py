"""A conversation: streaming, stop, retry, edit, copy, failures, ratings, export, and nobody else's words."""

from __future__ import annotations

import pytest
from page_steps import Shot, Visit, answers, ask, asked, export, finished, model
from playwright.sync_api import expect
from serve_fakes import Live

pytestmark = pytest.mark.browser


def test_answers_stream_and_stop_stops(visit: Visit, fake: Live, shot: Shot) -> None:
    page, engine = visit(fake), fake.engines.engines["slow"]
    model(page, "slow")
    ask(page, "천천히")
    expect(page.locator("#chat .message.bot")).to_contain_text("문장2입니다.")
    first = answers(page)[0]
    expect(page.locator("#chat .message.bot")).not_to_have_text(first)
    assert answers(page)[0].startswith(first.rstrip())
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


def test_a_new_talk_during_an_answer_stays_empty(visit: Visit, fake: Live) -> None:
    page = visit(fake)
    model(page, "slow")
    ask(page, "천천히")
    expect(page.locator("#chat .message.bot")).to_contain_text("문장2입니다.")
    page.locator("#new").click()
    expect(page.locator("#chat .message")).to_have_count(0)
    page.wait_for_timeout(500)
    assert page.locator("#chat .message").count() == 0
    page.locator("#send").click()  # Nothing to send is nothing sent.
    page.wait_for_timeout(300)
    assert page.locator("#chat .message").count() == 0
    model(page, "quick")
    ask(page, "다시")
    finished(page)
    assert [words.strip() for words in asked(page)] == ["다시"]


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


HOSTILE = (
    "<img src=x onerror=window.hacked=1>",
    "<script>window.hacked=1</script>",
    "[x](javascript:window.hacked=1)",
    "![x](https://evil.example/pixel.png)",
    "<svg onload=window.hacked=1>",
    "<iframe srcdoc='<script>top.hacked=1</script>'>",
    "<form action=https://evil.example><button>x</button></form>",
    "<style>@import 'https://evil.example/x.css'</style>",
)


def test_markup_is_inert(visit: Visit, fake: Live) -> None:
    page = visit(fake)
    reached: list[str] = []
    page.route("https://evil.example/**", lambda route: (reached.append(route.request.url), route.abort()))
    for count, text in enumerate(HOSTILE, start=1):
        ask(page, text)
        expect(page.locator("#chat .message.bot")).to_have_count(count)
        finished(page)
    assert page.evaluate("window.hacked") is None
    assert [words.strip() for words in asked(page)][:2] == list(HOSTILE[:2])  # Shown as they were typed.
    for kind in ("[href^=javascript]", "script", "iframe", "form", "style", "img", "svg"):
        assert page.locator(f"#chat .message {kind}").count() == 0, kind
    assert reached == []


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


def test_export_says_that_ai_wrote_it(visit: Visit, fake: Live) -> None:
    page = visit(fake)
    ask(page, "내보낼 질문")
    finished(page)
    text = export(page)
    assert text.startswith('---\ngenerator: "mundap')
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
