"""Composed answers: their form holds for every topic, intent, language, urgency and person."""

import re

import pytest

from mundap.chat import cues
from mundap.chat.compose import LONGEST, SHORTEST, Composed, compose
from mundap.chat.profile import person
from mundap.chat.question import Question
from mundap.knowledge import load
from mundap.safety.hotlines import numbers
from mundap.types import Lang, Level, Profile

TEXTS: dict[Lang, dict[str, str]] = {
    "ko": {
        "help": "어떻게 해요", "cause": "왜 그래요", "medicine": "약 먹어도 돼요?", "dose": "몇 알 먹어요", "test": "검사 받아야 하나요",
        "prevention": "예방하려면", "serious": "심각한가요", "department": "무슨 과 가야 해요",
    },
    "en": {
        "help": "help me", "cause": "why is it", "medicine": "can i take medicine", "dose": "how many pills do i take",
        "test": "what tests", "prevention": "how to prevent it", "serious": "is it serious", "department": "which doctor",
    },
}  # fmt: skip
PEOPLE = [
    None,
    Profile(age=72, conditions=("당뇨", "고혈압", "신부전"), medicines=("와파린",)),
    Profile(age=3),
    Profile(pregnant_weeks=20, age=30, sex="female"),
]


def ask(topic: str, lang: Lang, text: str, profile: Profile | None = None, level: Level = Level.ROUTINE) -> Composed:
    cue = cues.read(text, lang)
    topics = tuple(load.topics()[name] for name in topic.split())
    return compose(
        Question(
            text=text, said=text, lang=lang, topics=topics, cues=cue, person=person(profile, [cue]), level=level,
            departments=load.departments(),
        )
    )  # fmt: skip


@pytest.mark.parametrize("topic", sorted(load.topics()))
def test_every_answer_has_the_right_form(topic: str) -> None:
    for lang, texts in TEXTS.items():
        for text in texts.values():
            for level in (Level.ROUTINE, Level.URGENT):
                for profile in PEOPLE:
                    check_form(ask(topic, lang, text, profile, level), lang)


def check_form(answer: Composed, lang: Lang) -> None:
    text = answer.text
    assert SHORTEST <= len(text) <= LONGEST, (len(text), text)
    assert {int(n) for n in re.findall(r"\[(\d+)\]", text)} == {citation.n for citation in answer.citations}, text
    assert answer.citations
    assert "{" not in text and "(는)" not in text and "(를)" not in text, text
    assert "119" in text, text
    assert text.count("하나만 여쭤볼게요") + text.count("One question:") <= 1, text
    called = re.findall(
        r"(?<![\d,.])(1\d{2,3}(?:-\d{4})?)(?=에 전화|에 신고|로 전화|으로 전화|를 부|을 부)|\b[Cc]all (1[\d-]+)", text
    )
    assert {number for pair in called for number in pair if number} <= numbers(), text
    if lang == "en":
        assert not re.search(r"[가-힣]", text.replace("와파린", "").replace("당뇨", "")), text


@pytest.mark.parametrize("lang", ["ko", "en"])
def test_intents_are_recognised(lang: Lang) -> None:
    assert {intent: cues.read(text, lang).intent for intent, text in TEXTS[lang].items()} == {
        intent: intent for intent in TEXTS[lang]
    }


def test_the_answer_follows_the_intent() -> None:
    topic = load.topics()["headache"]
    assert topic.causes.ko[0] in ask("headache", "ko", "왜 머리가 아플까요").text
    assert topic.medicines[0].note.ko in ask("headache", "ko", "두통에 무슨 약 먹어요").text
    assert topic.prevention is not None
    assert topic.prevention.ko[0] in ask("headache", "ko", "두통 예방").text
    assert ask("headache", "ko", "두통은 무슨 과 가요").text.startswith("이런 증상은 신경과 또는 가정의학과")


def test_urgent_says_a_doctor_today_first() -> None:
    assert ask("headache", "ko", "두통", level=Level.URGENT).text.startswith("먼저, 오늘 안에 진료")
    assert ask("headache", "en", "headache", level=Level.URGENT).text.startswith("First, please see a doctor today")


def test_the_profile_changes_the_answer_and_says_so() -> None:
    plain = ask("headache", "ko", "두통이 있어요")
    pregnant = ask("headache", "ko", "두통이 있어요", Profile(pregnant_weeks=30))
    assert "임신 30주라고 하셔서" in pregnant.text
    assert "임신" not in plain.text
    assert pregnant.profile_used == ("임신 30주",)
    assert plain.profile_used == ()


def test_a_profile_of_somebody_else_is_left_aside() -> None:
    answer = ask("headache", "ko", "우리 아이가 두통이 있어요", Profile(pregnant_weeks=30, age=33))
    assert "임신" not in answer.text
    assert "아이라고 하셔서" in answer.text


def test_an_allergy_comes_before_the_medicine() -> None:
    answer = ask("amoxicillin", "ko", "아목시실린 먹어도 돼요?", Profile(allergies=("페니실린",)))
    assert answer.text.startswith("페니실린 알레르기가 있다고 하셔서")
    assert "페니실린" in answer.profile_used


def test_medicines_that_do_not_go_together() -> None:
    by_profile = ask("ibuprofen", "ko", "부루펜 먹어도 돼요?", Profile(medicines=("와파린",)))
    by_text = ask("ibuprofen", "ko", "와파린 먹는데 부루펜 먹어도 되나요")
    for answer in (by_profile, by_text):
        assert "출혈" in answer.paragraphs[0]
    assert "출혈" not in ask("ibuprofen", "ko", "부루펜 먹어도 돼요?").paragraphs[0]


def test_two_medicines_without_evidence_say_so() -> None:
    answer = ask("levothyroxine steroid_cream", "ko", "씬지로이드랑 더마톱 같이 써도 되나요")
    assert "근거는 제 자료에서 찾지 못했어요" in answer.text


def test_no_dose_is_set_for_a_person() -> None:
    text = ask("acetaminophen", "ko", "타이레놀 몇 알 먹어요").text
    assert "제가 정해 드릴 수 없어요" in text
    assert "설명서" in text


def test_what_was_said_is_not_said_again() -> None:
    topic = load.topics()["headache"]
    question = Question(
        text="네", said="두통 네", lang="ko", topics=(topic,), cues=cues.read("네", "ko"), person=person(None, []), more=True,
        said_before=ask("headache", "ko", "두통이 있어요").text, departments=load.departments(),
    )  # fmt: skip
    answer = compose(question).text
    assert topic.summary.ko not in answer
    assert topic.ask[0].ko not in answer
    assert "알려 주셔서 고맙습니다" in answer


def test_the_numbers_to_call_come_with_mental_health() -> None:
    for topic in load.topics().values():
        if topic.kind == "mental_health":
            assert "109" in ask(topic.id, "ko", "요즘 힘들어요").text
            assert "109" in ask(topic.id, "en", "I feel bad").text
