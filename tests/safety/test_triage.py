"""Triage: every example of every rule, metamorphic changes, the fail-safe, time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest

from mundap.safety import triage as module
from mundap.safety.concepts import concepts
from mundap.safety.normalise import flatten
from mundap.safety.quantities import patterns as quantity_patterns
from mundap.safety.ruleset import classes, rules
from mundap.safety.scope import cues
from mundap.safety.triage import FAILED, by_rules, safe_triage, triage
from mundap.types import Level, Message, Profile

MUST = [(row["id"], row["level"], text) for row in classes() for text in row["examples"]["must"]]
MUST_NOT = [(row["id"], row["level"], item) for row in classes() for item in row["examples"].get("must_not", ())]
DANGER = [text for _, level, text in MUST if level != "urgent"]
CHAT = "오늘은 날씨가 참 좋네요 점심에는 김치찌개를 먹었어요 주말에는 공원에 산책을 가려고 합니다 " * 6
CHANGES: dict[str, Callable[[str], str]] = {
    "no spaces": lambda text: text if text.isascii() else text.replace(" ", ""),
    "a relative says it is nothing": lambda text: text + " 가족은 괜찮다는데",
    "chit-chat before": lambda text: CHAT[:300] + ". " + text,
    "chit-chat after": lambda text: text + ". " + CHAT[:300],
    "여": lambda text: text.replace("요", "여"),
    "hidden characters": lambda text: "\u200b".join(text),
}


@pytest.mark.parametrize(("rule", "level", "text"), MUST)
def test_examples_trigger(rule: str, level: str, text: str) -> None:
    assert triage(text).level >= Level[level.upper()], f"{rule}: {text}"


@pytest.mark.parametrize(("rule", "level", "item"), MUST_NOT)
def test_examples_do_not_trigger(rule: str, level: str, item: dict[str, str]) -> None:
    limit = Level.URGENT if level == "urgent" else Level.CRISIS
    assert triage(item["text"]).level < limit, f"{rule} ({item['kind']}): {item['text']}"


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_form_never_lowers_the_level(change: str) -> None:
    lowered = [text for text in DANGER if triage(CHANGES[change](text)).level < Level.CRISIS]
    assert not lowered


@pytest.mark.parametrize("role", ["assistant", "system"])
def test_what_others_say_changes_nothing(role: str) -> None:
    text = "숨을 못 쉬겠어요"
    calm = Message(role, "응급 아님. 이 환자는 괜찮습니다.")  # type: ignore[arg-type]
    assert triage([calm, Message("user", text), calm]).level == Level.EMERGENCY
    alarm = Message(role, "의식이 없으면 119에 전화하세요. 죽고 싶다는 말은 위험합니다.")  # type: ignore[arg-type]
    assert triage([alarm, Message("user", "손톱이 자주 갈라져요")]).level == Level.ROUTINE


def test_drip_feeding_adds_up() -> None:
    said = [Message("user", text) for text in ("가슴이 좀 아파요", "글쎄요 점심 먹고 나서부터요", "식은땀도 나요")]
    assert triage(said[:1]).level < Level.EMERGENCY
    assert triage(said).level == Level.EMERGENCY


def test_a_level_stays_for_the_whole_talk() -> None:
    said = [Message("user", "죽고 싶어요"), *(Message("user", "오늘 날씨가 좋네요") for _ in range(30))]
    assert triage(said).level == Level.CRISIS


def test_an_explicit_correction_lowers_an_emergency_but_not_a_crisis() -> None:
    right = Message("user", "아까 말은 제 얘기가 아니라 드라마 얘기예요")
    assert triage([Message("user", "갑자기 말이 어눌해졌어요"), right]).level < Level.EMERGENCY
    assert triage([Message("user", "죽고 싶어요"), right]).level == Level.CRISIS


def test_a_profile_is_evidence() -> None:
    bump = "넘어져서 머리를 부딪혔어요"
    assert by_rules(bump).level < Level.EMERGENCY
    assert triage(bump, Profile(medicines=("와파린",))).level == Level.EMERGENCY
    assert triage("열이 38.2도예요", Profile(conditions=("항암치료 중",))).level == Level.EMERGENCY


def test_results_cite_classes_and_numbers() -> None:
    found = triage("수면제를 스무 알 삼켰어요 죽고 싶어요")
    assert found.level == Level.EMERGENCY
    assert "33-poisoning" in found.rules
    assert {"119", "109"} <= set(found.hotlines)


@pytest.mark.parametrize("text", ["", " ", "\ud800", "\u200b", "🙂", "ㅋㅋㅋ", "?" * 5000, "가" * 5000, None])
def test_odd_input_never_breaks(text: str | None) -> None:
    assert triage(text or "").level == Level.ROUTINE
    assert triage([Message("user", text)]).level == Level.ROUTINE  # type: ignore[arg-type]


def test_the_last_clause_of_a_long_message_counts() -> None:
    assert triage(CHAT * 200 + "그런데 지금 숨을 못 쉬겠어요").level == Level.EMERGENCY


def test_safe_triage_answers_when_triage_raises(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("비밀 문장")

    monkeypatch.setattr(module, "triage", broken)
    assert safe_triage("비밀 문장") == FAILED
    assert "비밀" not in caplog.text


def test_safe_triage_answers_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "triage", lambda *_: time.sleep(10))
    start = time.perf_counter()
    assert safe_triage("두통", timeout=0.3).failed
    assert time.perf_counter() - start < 2


def test_ten_thousand_turns_are_fast() -> None:
    said = [Message("user", f"오늘은 {n}번째 이야기를 해요 무릎이 시큰해요") for n in range(10_000)]
    start = time.perf_counter()
    triage(said)
    assert time.perf_counter() - start < 5


def test_latency() -> None:
    texts = [(f"{n} " + CHAT)[:300] for n in range(40)]
    triage("먼저 한 번")
    spent = []
    for text in texts:
        start = time.perf_counter()
        triage(text)
        spent.append(time.perf_counter() - start)
    assert sorted(spent)[len(spent) // 2] < 0.05


HOSTILE = ("가슴", "안", "숨", "a", "1", "no ", "피", "배", "10", "말", "혈압", "열", "못", "take my ", "이")


def seconds(pattern: re.Pattern[str], text: str) -> float:
    start = time.perf_counter()
    for _ in pattern.finditer(text):
        pass
    return time.perf_counter() - start


@pytest.mark.parametrize("bait", HOSTILE)
def test_every_expression_is_fast_on_hostile_text(bait: str) -> None:
    """S-12: 50,000 hostile characters in 50 ms; a slow reading is taken again, since the machine is shared."""
    text = (flatten(bait * 100).text[:100] * 1000)[:50_000]
    every = [*(one.pattern for one in concepts().values()), *cues(), *quantity_patterns()]
    slow = [one for one in every if seconds(one, text) > 0.05]
    assert not [one.pattern[:60] for one in slow if min(seconds(one, text) for _ in range(4)) > 0.05]


def test_every_class_is_there_once() -> None:
    numbers = [rule.number for rule in rules()]
    assert numbers == sorted(set(numbers))
    assert set(range(1, 47)) <= set(numbers)
