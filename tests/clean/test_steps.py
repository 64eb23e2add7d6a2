from __future__ import annotations

import time

import pytest
from clean_text import DEPARTMENTS, HEADS, NAMES, TAILS

from mundap.clean.boilerplate import boilerplate, core
from mundap.clean.deleted import deleted
from mundap.clean.mask import mask
from mundap.clean.quality import quality
from mundap.clean.text import normal
from mundap.types import QA, Drop

LONG = "물을 충분히 드시고 사흘 이상 열이 나면 진료를 받으세요."


def one(step: object, **fields: object) -> QA | Drop:
    record = QA(**{"id": "a", "question": "열이 나면 어떻게 하나요?", "answer": LONG, **fields})  # type: ignore[arg-type]
    [found] = step([record])  # type: ignore[operator]
    return found  # type: ignore[no-any-return]


def reason(step: object, **fields: object) -> str:
    found = one(step, **fields)
    return found.reason if isinstance(found, Drop) else ""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("머리가 아파요.병원에 가보세요.약을 드세요", "머리가 아파요. 병원에 가보세요. 약을 드세요"),
        ("증상이 있습니다그러므로 진료를 받으세요", "증상이 있습니다 그러므로 진료를 받으세요"),
        ("37.5도입니다.타이레놀 500mg을 드세요.", "37.5도입니다. 타이레놀 500mg을 드세요."),
        ("필요합니다만 합니다라고 좋습니다요 아니다싶으면", "필요합니다만 합니다라고 좋습니다요 아니다싶으면"),
        ("하이닥.com 네이버.요 https://a.kr/가요.나", "하이닥.com 네이버.요 https://a.kr/가요.나"),
        ("<o:p></o:p>혈압 <b>120/80</b>&nbsp;<3개월 아기&gt;", "혈압 120/80 <3개월 아기>"),
        ("a < b 이고 b > c, 체온<38", "a < b 이고 b > c, 체온<38"),
        ("<!--StartFragment-->online --> 가세요<!EndFragment>", "online --> 가세요"),
        ("하\u200b루\u00a0두\u3000번\ufeff", "하루 두 번"),
        ("ì•ˆë…•í•˜ì„¸ìš”", "안녕하세요"),
        ("¾È³çÇÏ¼¼¿ä", "안녕하세요"),
        ("아파요ㅠㅠㅠ 진짜ㅋㅋ 3ㅡ5일 ㅈㅎ 10^5 ^^", "아파요 진짜 3ㅡ5일 ㅈㅎ 10^5"),
        ("１２０／８０ ㎎ ℃ µg", "120/80 ㎎ ℃ µg"),
        ("\u1100\u1161\u11a8 각", "각 각"),
        ("a&amp;amp;lt;3", "a<3"),
    ],
)
def test_normal_text(text: str, wanted: str) -> None:
    assert normal(text) == wanted
    assert normal(wanted) == wanted


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("tail", TAILS)
def test_wrappings_are_cut(head: str, tail: str) -> None:
    for name, department in zip(NAMES, DEPARTMENTS, strict=True):
        assert core((head + LONG + tail).format(n=name, d=department)) == LONG


@pytest.mark.parametrize(
    "text",
    [
        "인후염입니다. 물을 드세요.", "피부과 전문의 진료가 필요한 상황입니다.", "외과 고혈압입니다.", "전문의약품입니다. 하루 2회",
        "의심됩니다. 3일", "약사 상담이 필요합니다.", "신경과 진료입니다.", "위암 의심입니다.", "정신과 상담의 경우 3회입니다.",
        "담배를 끊으시면 도움이 됩니다.", "걷기는 건강에 도움이 됩니다.", "피부과는 가지 마세요.", "두통입니다.",
        "저희 병원에서는 하루 500mg 이상 처방하지 않습니다.", "온라인으로 3cm 결절을 판단하기는 한계가 있습니다.",
        "Let me know if you have fever.", "Take care to avoid salt and 5 mg tablets.", "This is Addison disease.",
        "Thanks to aspirin 75 mg the clot is gone.",
    ],
)  # fmt: skip
def test_clinical_sentences_stay(text: str) -> None:
    assert core(text) == text
    assert core(f"안녕하세요. {text}") == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"{LONG} 저희 병원에 내원하시면 친절히 상담해 드립니다.", LONG),
        (f"{LONG} 예약문의 02-123-4567.", LONG),
        (f"{LONG} 강남역 7번 출구 앞에 위치하고 있습니다.", LONG),
        (
            "Hello, Welcome to iCliniq.com. Take 400 mg twice. Hope this helps. "
            "For further information consult a dermatologist online --> https://a.com/b",
            "Take 400 mg twice.",
        ),
        (
            "Hi, thanks for your query. Avoid salt. See a surgeon online --> https://x.com and do not stop.",
            "Avoid salt. See a surgeon and do not stop.",
        ),
        ('"DASH" stands for a diet.', '"DASH" stands for a diet.'),
        ("Rest well. Regards, Dr. John Smith", "Rest well."),
    ],
)  # fmt: skip
def test_adverts_and_english_wrappings(text: str, wanted: str) -> None:
    assert core(text) == wanted


def test_a_greeting_alone_is_no_answer() -> None:
    assert (
        reason(boilerplate(), answer="안녕하세요, 하이닥 신경과 상담의 홍길동 입니다. 감사합니다.")
        == "greeting-only answer"
    )


@pytest.mark.parametrize("glue", ["\n", " "])
def test_a_form_becomes_fields_and_a_question(glue: str) -> None:
    form = glue.join(
        (
            "- 성별 : 여",
            "- 혈압 : 120/80",
            "- 가족력(암, 당뇨 등) : 없음",
            "- 과거병력 :",
            "- 상담내용 : 3일째 안 나아요",
        )
    )
    found = one(boilerplate(), question=form)
    assert isinstance(found, QA)
    assert found.question == "3일째 안 나아요\n\n환자 정보: 성별 여, 혈압 120/80, 가족력(암, 당뇨 등) 없음"
    assert found.fields[:2] == (("성별", "여"), ("혈압", "120/80"))


MARKER = '"본 게시물은 질문자 본인의 요청으로 삭제되었습니다."'


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"question": MARKER, "title": MARKER}, "question deleted by its asker"),
        ({"question": MARKER, "title": "두통이 심할 때 먹는 약"}, "question deleted by its asker"),
        ({"state": "question_deleted"}, "question deleted by its asker"),
        ({"question": "#NAME?", "title": ""}, "no question"),
        ({"question": " . ", "title": "ㅠㅠ"}, "no question"),
        ({"answer": ""}, "no answer"),
        ({"answer": "삭제된 답변입니다."}, "answer deleted"),
        ({"question": "혹 (개인정보 내용 부분은 삭제합니다.) 은 어떻게 치료하나요"}, ""),
        ({"answer": "삭제 수술이 아니라 절제 수술입니다."}, ""),
    ],
)
def test_what_is_deleted(fields: dict[str, str], wanted: str) -> None:
    assert reason(deleted(), **fields) == wanted


def test_a_title_stands_in_and_repair_may_ask_for_the_rest() -> None:
    found = one(deleted(), question="#NAME?", title="두통이 심할 때 먹는 약")
    assert isinstance(found, QA)
    assert (found.question, found.question_origin) == ("두통이 심할 때 먹는 약", "title")
    same = one(deleted(), question="두통이 심해요!", title="두통이 심해요")
    assert isinstance(same, QA)
    assert same.question_origin == "title"
    kept = one(deleted(asker="keep", missing="keep"), question=MARKER, title="두통")
    assert isinstance(kept, QA)
    assert (kept.question, kept.title, kept.flags) == ("", "", ("question_deleted",))
    assert reason(quality(), question="", flags=("question_deleted",)) == ""


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"answer": "네."}, "answer too short"),
        ({"question": "열?"}, "question too short"),
        ({"answer": LONG * 300}, "answer too long"),
        ({"answer": "Drink enough water and rest for three days."}, "language"),
        ({"answer": "Hb 8.2, MCV 70, ferritin 5: 철결핍 빈혈이므로 철분제를 드세요."}, ""),
        ({"answer": "약을 드시고 푹 쉬세요 " * 20}, "repetitive"),
        ({"answer": "저희 병원 이벤트 할인 행사 중입니다. 강남역 7번 출구. 예약문의 주세요."}, "promotion"),
        ({"answer": "\ufffd\ufffd\ufffd\ufffd 열이 나면 쉬세요 \ufffd"}, "damaged"),
    ],
)
def test_quality_drops(fields: dict[str, str], wanted: str) -> None:
    assert reason(quality(), **fields) == wanted


def test_quality_flags() -> None:
    found = one(quality(), answer=f"신종플루 유행 때는 {LONG}", specialty="한방과")
    assert isinstance(found, QA)
    assert found.flags == ("oriental", "stale")
    assert reason(quality(oriental="drop"), specialty="한방과") == "oriental"


def test_tokens_agree_within_a_record() -> None:
    found = one(
        mask(), title="김철수 씨 문의", question="저는 김철수이고 010-1234-5678입니다. 박민준 씨 소개로 왔어요.",
        answer="김철수님, 119는 그대로 두고 혈압 120/80은 정상입니다.", fields=(("이름", "김철수 씨"),),
    )  # fmt: skip
    assert isinstance(found, QA)
    assert (found.title, found.question) == (
        "[이름1] 씨 문의",
        "저는 [이름1]이고 [전화1]입니다. [이름2] 씨 소개로 왔어요.",
    )
    assert found.answer == "[이름1]님, 119는 그대로 두고 혈압 120/80은 정상입니다."
    assert found.fields == (("이름", "[이름1] 씨"),)
    assert found.trail == ("mask",)


HOSTILE = (
    "안녕하세요", "하이닥 ", "답변이", "답변이 도움이 ", "김", "외과 ", "저희 병원 ", "- 성별 : ", "'", " .",
    "hope this help ", "online -->", "[이름1]", "<b ", "&amp;", "ㅋ", "<!--", "다.",
)  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_text_takes_no_time(unit: str) -> None:
    record = QA("a", unit * (20_000 // len(unit)), unit * (20_000 // len(unit)))
    began = time.perf_counter()
    for step in (boilerplate(), deleted(), quality()):
        list(step([record]))
    normal(record.answer)
    assert time.perf_counter() - began < 2
