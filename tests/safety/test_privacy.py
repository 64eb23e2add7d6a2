from __future__ import annotations

import importlib.util
import sys
import time
import unicodedata
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mundap.safety import privacy, privacy_data
from mundap.safety.privacy import Span, find, mask, mask_all

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "privacy_quality.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("privacy_quality", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("half", ["dev", "heldout"])
def test_gates(benchmark: ModuleType, half: str) -> None:
    recall, precision, alarms = benchmark.measure(half)
    assert alarms == 0
    assert precision >= 0.9
    assert min(recall[kind] for kind in ("RRN", "FRN", "CARD", "EMAIL", "PHONE")) >= 0.95
    assert recall["NAME"] >= 0.85
    assert recall["ADDRESS"] >= 0.85


def test_the_set_is_large_enough(benchmark: ModuleType) -> None:
    assert sum(1 for half in ("dev", "heldout") for _ in benchmark.lines(half)) >= 400


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("제 번호는 공일공 일이삼사 오육칠팔이에요", "PHONE", "공일공 일이삼사 오육칠팔"),
        ("０１０－１２３４－５６７８로", "PHONE", "０１０－１２３４－５６７８"),
        ("010\u200b-1234-5678입니다", "PHONE", "010\u200b-1234-5678"),
        ("+82 10-1234-5678", "PHONE", "+82 10-1234-5678"),
        ("900101 - 1******이고", "RRN", "900101 - 1******"),
        ("이메일hong@naver.com으로", "EMAIL", "hong@naver.com"),
        ("hong 골뱅이 네이버 닷컴", "EMAIL", "hong 골뱅이 네이버 닷컴"),
        ("국민 123456-04-123456 입금", "ACCOUNT", "123456-04-123456"),
        ("김철수가 쓰러졌어요", "NAME", "김철수"),
        ("아들 민준이가 아파요", "NAME", "민준"),
        ("연세내과에서 진료", "HOSPITAL", "연세내과"),
    ],
)
def test_spans(text: str, kind: str, value: str) -> None:
    [span] = find(text)
    assert (span.type, text[span.start : span.end]) == (kind, value)


@pytest.mark.parametrize(
    "text",
    [
        "119 109 112 1339 1577-0199 1588-9191 1855-2221 1388 1366 1342", "혈압 120/80, HbA1c 6.5%, 타이레놀 500mg 3일",
        "파킨슨병 환자와 하시모토 갑상선염, 크론병", "조영제와 정로환과 유산균", "대학병원 종합병원 동네의원 소화기내과",
        "바코드 8801234567893", "2024.03.01 수술", "고객님 선생님 환자님 보호자님", "점점 심해지는 통증, 조금 나은지",
        "www.kdca.go.kr", "1985년생 39세 남성", "경구로 500mg 추가로 2회",
    ],
)  # fmt: skip
def test_what_stays(text: str) -> None:
    assert mask(text).text == text


def test_every_type_has_a_token_and_a_rule() -> None:
    types = {rule.type for rule in privacy_data.rules()} | {"NAME"}
    assert types == set(privacy_data.tokens())
    asked = "RRN FRN PHONE EMAIL CARD ACCOUNT BRN PASSPORT LICENCE MRN DOB NAME ADDRESS URL ID HOSPITAL"
    assert sorted(types) == sorted(asked.split())


def test_tokens_are_numbered_across_texts_and_go_on() -> None:
    found = mask_all(("[이름2] 김철수 씨", "010-1234-5678, 01012345678", "김철수 씨와 이영희 씨"))
    assert [each.text for each in found] == ["[이름2] [이름3] 씨", "[전화1], [전화1]", "[이름3] 씨와 [이름4] 씨"]


def test_offsets_are_those_of_the_text_in_nfc() -> None:
    text = unicodedata.normalize("NFD", "저는 김철수라고 합니다")
    masked = mask(text)
    assert masked.text == "저는 [이름1]라고 합니다"
    assert masked.spans == (Span(3, 6, "NAME"),)


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("김철수 씨님은010-1234@가.com\n[이름1]공일이삼사서울강남구동로길호병원\u200b９")))
def test_masked_text_stays_as_it_is(text: str) -> None:
    once = mask(text)
    assert mask(once.text).text == once.text
    assert all(one.end <= other.start for one, other in zip(once.spans, once.spans[1:], strict=False))


HOSTILE = (
    "1", "1-", "가", "가 ", "a", "a.", "a@", "010-", "서울 ", "강남구 ", "김철수 ", "공", "이 ", "@", "http://", "( ", "동 1", "0 1 0 ",
)  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_text_takes_no_time(unit: str) -> None:
    text = unit * (20_000 // len(unit))
    began = time.perf_counter()
    privacy.find(text)
    assert time.perf_counter() - began < 3
