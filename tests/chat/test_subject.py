"""The subject of a talk: kept while a person answers and asks on, left when they turn to something else."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mundap.chat import cues
from mundap.chat.subject import Subjects
from mundap.knowledge import load
from mundap.retrieve.lexical import Lexical
from mundap.types import Lang, Passage

# `half` is dev or test; the test half was looked at once, after the last change of the rules (LOG.md has the numbers).
TALKS = [json.loads(line) for line in (Path(__file__).parent / "talks.jsonl").read_text("utf-8").splitlines()]
DEV = [talk for talk in TALKS if talk["half"] == "dev"]


@pytest.fixture(scope="module")
def subjects(retriever: Lexical) -> Subjects:
    return Subjects(load.topics(), retriever)


def topics(subjects: Subjects, *turns: str) -> list[str]:
    return [topic.id for topic in subjects.of(turns, cues.language(turns[-1])).topics]


@pytest.mark.parametrize(("lang", "floor"), [("ko", 0.9), ("en", 0.9)])
def test_most_talks_keep_or_change_their_topic_as_they_should(subjects: Subjects, lang: str, floor: float) -> None:
    talks = [talk for talk in DEV if talk["id"].startswith(lang)]
    wrong = [talk["id"] for talk in talks if not _right(subjects, talk)]
    assert len(wrong) <= (1 - floor) * len(talks), wrong


def _right(subjects: Subjects, talk: dict[str, Any]) -> bool:
    return bool(set(topics(subjects, *talk["turns"])[:1]) & set(talk["expected"]))


def test_the_talks_name_topics_there_are_and_no_talk_stands_twice() -> None:
    assert {topic for talk in TALKS for topic in talk["expected"]} <= set(load.topics())
    assert len({tuple(talk["turns"]) for talk in TALKS}) == len(TALKS) == 120


@pytest.mark.parametrize(
    "detail", ["열은 없어요", "어제부터요, 열은 38도예요", "혈압 약 복용 중이에요", "숨은 안 차요", "잘 모르겠어요"]
)
def test_an_answer_to_a_question_back_keeps_the_subject(subjects: Subjects, detail: str) -> None:
    subject = subjects.of(["온몸에 두드러기가 올라왔어요", detail], "ko")
    assert subject.topics[0].id == "hives"
    assert subject.leans


def test_who_it_is_about_is_no_subject_but_chooses_the_topic_written_for_them(subjects: Subjects) -> None:
    assert topics(subjects, "열이 나요", "애가 세 살이에요", "해열제는 먹였어요") == ["child_fever"]


def test_what_is_told_later_makes_the_subject_more_exact(subjects: Subjects) -> None:
    subject = subjects.of(["허리가 아파요", "다리까지 전기 오듯 저리고 당겨요"], "ko")
    assert subject.topics[0].id == "lumbar_disc"
    assert not subject.leans  # it is a new answer, not some more of the old one


def test_a_named_change_a_plain_change_and_a_correction_leave_the_subject(subjects: Subjects) -> None:
    assert topics(subjects, "변비가 있어요", "아 그리고 눈도 뻑뻑한데 왜 그럴까요?") == ["dry_eye"]
    assert topics(subjects, "무릎이 아파요", "방광염은 왜 자꾸 재발해요?") == ["cystitis"]
    assert topics(subjects, "기침이 나요", "아니요, 기침 말고 목이 아픈 거예요") == ["sore_throat"]


def test_a_medicine_comes_first_when_it_is_asked_about_and_not_when_it_was_taken(subjects: Subjects) -> None:
    assert topics(subjects, "머리가 아파요", "타이레놀 먹어도 돼요?")[:1] == ["acetaminophen"]
    assert topics(subjects, "머리가 너무 아파요", "타이레놀은 먹었는데 별로예요")[0] == "headache"


def test_what_is_no_illness_of_ours_does_not_become_the_subject_before(subjects: Subjects) -> None:
    assert topics(subjects, "허리가 아파요", "백혈병 초기 증상이 뭔가요") == []
    assert topics(subjects, "두통이 있어요", "오늘 주식 어때?") == []


def test_a_retriever_with_scores_of_its_own_scale_keeps_and_leaves_subjects_too(retriever: Lexical) -> None:
    subjects = Subjects(load.topics(), Hundredths(retriever))
    assert topics(subjects, "무릎이 욱신거려요", "계단 내려갈 때 특히요. 육십 대예요") == ["knee_pain"]
    assert topics(subjects, "무릎이 아파요", "방광염은 왜 자꾸 재발해요?") == ["cystitis"]


class Hundredths:
    """The same search with scores between 0 and 1, by a retriever that does not tell its scale."""

    def __init__(self, retriever: Lexical) -> None:
        self._retriever = retriever

    def search(self, query: str, k: int = 8, lang: Lang | None = None) -> list[Passage]:
        return [replace(found, score=found.score / 100) for found in self._retriever.search(query, k, lang)]
