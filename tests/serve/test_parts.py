"""The words, the cut and the rendering, without a server."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mundap.serve import render
from mundap.serve.cut import Cut
from mundap.serve.stream import Desk, last_turns
from mundap.serve.texts import asset, texts
from mundap.serve.web_events import Talk, details, fields, marked, plain, profile_of
from mundap.types import Citation, Level, Message, Reply, Urgency

HOSTILE = "<img src=x onerror=alert(1)>\n\n[x](javascript:1)\n\n\"'&"


def keys(words: dict[str, Any], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for key, value in words.items():
        nested = isinstance(value, dict) and key != "names"  # What Gradio says differs by language.
        found |= keys(value, f"{prefix}{key}.") if nested else {prefix + key}
    return found


def test_both_languages_say_the_same_things_with_the_same_blanks() -> None:
    ko, en = texts("ko"), texts("en")
    assert keys(ko) == keys(en)
    assert len(ko["examples"]) == len(en["examples"])
    for key, value in ko.items():
        if isinstance(value, str):
            assert set(re.findall(r"\{\w+\}", value)) == set(re.findall(r"\{\w+\}", en[key])), key


def test_notices_the_law_asks_for_are_there() -> None:
    assert texts("ko")["label"] == "이 답변은 생성형 AI가 만든 일반 건강정보이며 진단·처방이 아닙니다. 위급하면 119."
    for lang in ("ko", "en"):
        words = texts(lang)  # type: ignore[arg-type]
        assert all("AI" in words[key] for key in ("notice", "label", "watermark", "ai_tag", "export_answer"))
        assert all("119" in words[key] for key in ("notice_call", "label", "watermark", "busy", "failed", "timeout"))


def test_no_korean_in_the_code() -> None:
    for name in ("web.py", "web_wire.py", "web_events.py", "render.py", "api.py", "page.js"):
        code = re.sub(r'"한국어"', "", asset(name))  # A language is named in itself.
        assert not re.findall(r"[가-힣]+", code), name


@given(st.lists(st.text(max_size=30), max_size=8), st.lists(st.text(min_size=1, max_size=5), max_size=3))
def test_stop_cuts_at_the_first_stop_however_the_text_is_split(pieces: list[str], stops: list[str]) -> None:
    text, cut = "".join(pieces), Cut(None, stops)
    given_text = "".join(cut.feed(piece) for piece in pieces) + cut.finish(Reply(text))
    first = min((at for at in (text.find(stop) for stop in stops) if at >= 0), default=len(text))
    assert given_text == text[:first]


@given(
    st.lists(st.text(max_size=30), max_size=8),
    st.integers(1, 30),
    st.lists(st.text(min_size=1, max_size=4), max_size=2),
)
def test_emergency_replies_are_always_whole(pieces: list[str], tokens: int, stops: list[str]) -> None:
    text, cut = "".join(pieces), Cut(tokens, stops)
    reply = Reply(text, urgency=Urgency(Level.EMERGENCY))
    assert "".join(cut.feed(piece) for piece in pieces) + cut.finish(reply) == text
    assert cut.reached is None


@given(st.lists(st.text(max_size=30), max_size=8), st.integers(1, 30))
def test_max_tokens_is_kept_to(pieces: list[str], tokens: int) -> None:
    text, cut = "".join(pieces), Cut(tokens, ())
    got = "".join(cut.feed(piece) for piece in pieces) + cut.finish(Reply(text))
    assert text.startswith(got)
    assert len(got.encode()) <= 4 * tokens
    assert (cut.reached == "length") == (got != text)


def test_only_the_last_turns_are_kept() -> None:
    talk = [Message("user" if n % 2 == 0 else "assistant", str(n)) for n in range(99)]
    kept = last_turns(talk, 20)
    assert kept[0].role == "user"
    assert sum(message.role == "user" for message in kept) == 20
    assert kept[-1] == talk[-1]
    assert last_turns(talk[:5], 20) == tuple(talk[:5])


def card(text: str, number: str = "119") -> Any:
    hotline = SimpleNamespace(number=number, name=text, hours=text)
    return SimpleNamespace(title=text, call=text, do=(text,), dont=(text,), ask=(text,), hotlines=(hotline,))


def test_everything_shown_is_escaped_and_on_one_line() -> None:
    cited = Citation(1, "t", HOSTILE, 'https://x.example/"><b>', HOSTILE, 2025, HOSTILE)
    reply = Reply("x", "ko", Urgency(Level.EMERGENCY), (cited,), profile_used=(HOSTILE,), model=HOSTILE, why=HOSTILE)
    note = render.note(reply)
    for shown in (render.card(card(HOSTILE), reply), render.sources(note, "ko"), render.status(note, "ko")):
        assert "<img" not in shown
        assert "\n" not in shown
        assert '"><b>' not in shown


def test_source_addresses_are_links_only_where_they_are_web_pages() -> None:
    def shown(address: str) -> str:
        return render.sources(render.note(Reply("x", citations=(Citation(1, "t", "제목", address),))), "ko")

    assert 'href="https://kdca.go.kr/' in shown("https://kdca.go.kr/")
    assert "href" not in shown("javascript:alert(1)")


@given(st.text().filter(lambda text: "&lt;" not in text and "&#33;[" not in text))
def test_what_is_shown_holds_no_tag_and_what_was_written_comes_back(text: str) -> None:
    shown = marked([{"role": "user", "content": text}])
    assert not re.search("<[a-zA-Z/!?]", shown[0]["content"])
    assert plain(shown) == [{"role": "user", "content": text}]


@pytest.mark.parametrize("level", list(Level))
def test_card_is_red_from_crisis_on_and_when_triage_failed(level: Level) -> None:
    assert render.alarming(Reply("", urgency=Urgency(level))) == (level >= Level.CRISIS)
    assert render.alarming(Reply("", urgency=Urgency(level, failed=True)))


def test_numbers_in_the_card_dial() -> None:
    html = render.card(card("도움", "1577-0199"), Reply("", urgency=Urgency(Level.CRISIS)))
    assert 'href="tel:15770199"' in html
    assert 'role="alert"' in html
    bare = card("도움")
    bare.hotlines = ("119", "1577-0199")
    assert 'href="tel:15770199"' in render.card(bare, Reply("", urgency=Urgency(Level.CRISIS)))


def test_a_broken_card_still_has_the_numbers() -> None:
    def broken(urgency: Urgency, lang: str) -> Any:
        raise KeyError(urgency)

    talk = Talk(Desk(SimpleNamespace(redirect_card=broken)))  # type: ignore[arg-type]
    failed = Reply("x", urgency=Urgency(Level.EMERGENCY, failed=True))
    assert all(f'href="tel:{number}"' in talk._card(failed) for number in ("119", "109"))
    assert 'href="tel:112"' in talk._card(Reply("x", urgency=Urgency(Level.CRISIS, hotlines=("112",))))


def test_profiles_survive_the_form_and_damaged_ones_are_not_used() -> None:
    stored = details(31, "female", 20, True, "당뇨, 고혈압 ,", "", None)
    assert fields(stored) == [31, "female", 20, True, "당뇨, 고혈압", "", ""]
    profile = profile_of({"active": "me", "people": {"me": stored}})
    assert profile is not None
    assert profile.conditions == ("당뇨", "고혈압")
    assert profile_of({"active": "none", "people": {"me": stored}}) is None
    assert profile_of({"active": "me", "people": {"me": {"age": "x" * 10}}}) is None
    assert profile_of(None) is None
    assert details(200, "none", -3, False, "", "", "") == details(None, "none", None, False, "", "", "")
