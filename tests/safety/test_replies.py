"""The fixed texts: every class has them in both languages, and the numbers come first."""

from __future__ import annotations

import re

import pytest

from mundap.safety.hotlines import numbers
from mundap.safety.replies import card, redirect
from mundap.safety.ruleset import rules
from mundap.safety.triage import FAILED, triage
from mundap.types import Lang, Level, Urgency

CARDS = [Urgency(rule.level, (rule.name,), rule.hotlines) for rule in rules() if rule.level >= Level.CRISIS]
LANGS: tuple[Lang, ...] = ("ko", "en")


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("urgency", CARDS, ids=lambda one: one.rules[0])
def test_every_rule_has_a_card(urgency: Urgency, lang: Lang) -> None:
    shown = card(urgency, lang)
    assert shown.call
    assert len(shown.do) <= 4
    if urgency.level >= Level.EMERGENCY:
        assert shown.do


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("urgency", CARDS, ids=lambda one: one.rules[0])
def test_only_known_numbers_appear(urgency: Urgency, lang: Lang) -> None:
    text = "\n".join((*card(urgency, lang).call, *card(urgency, lang).do))
    shown = re.findall(r"(?<![\d~–-])(?:1\d{2,3}(?:-\d{4})?)(?![\d~–번회])", text)
    assert set(shown) <= {*numbers(), "100", "120"}


def test_an_emergency_begins_with_119() -> None:
    for urgency in CARDS:
        if urgency.level == Level.EMERGENCY:
            assert "119" in redirect(urgency, "ko").splitlines()[0]


def test_a_crisis_begins_with_109_asks_and_stays() -> None:
    found = triage("그만 살고 싶어요")
    shown = card(found, "ko")
    assert "109" in shown.call[0]
    assert shown.ask


def test_violence_shows_112() -> None:
    assert "112" in redirect(triage("아빠가 지금 엄마를 때려요 무서워요"), "ko").splitlines()[0]


def test_an_overdose_shows_119_and_109() -> None:
    text = redirect(triage("수면제 삼십 알 먹었어요"), "ko")
    assert "119" in text
    assert "109" in text


@pytest.mark.parametrize("lang", LANGS)
def test_the_fail_safe_shows_both(lang: Lang) -> None:
    text = redirect(FAILED, lang)
    assert "119" in text
    assert "109" in text
