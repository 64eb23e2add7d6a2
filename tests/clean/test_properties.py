from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import replace

import pytest
from clean_text import DRUGS, clinical, rows, values, wrapped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mundap.clean import stage
from mundap.clean.boilerplate import core
from mundap.clean.dedup import Dedup
from mundap.clean.engine import step
from mundap.clean.form import parsed
from mundap.clean.text import normal
from mundap.config import parse
from mundap.safety.privacy import mask
from mundap.types import QA, Drop

SPECS = stage.specs_of(parse({}, "test"))
QUICK = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
_NUMBER = re.compile(r"\d+(?:[.,/]\d+)*\s?[A-Za-z%℃가-힣]{0,4}")
_NEGATION = re.compile(r"안 |않|없|못|아니|아닙|마세요|말고|금지")


def through(records: list[QA]) -> tuple[list[QA], list[Drop]]:
    kept, drops = list(records), []
    for spec in SPECS:
        found = list(step(spec)(kept))
        kept = [row for row in found if isinstance(row, QA)]
        drops += [row for row in found if isinstance(row, Drop)]
    return kept, drops


def facts(text: str) -> Counter[str]:
    """Numbers with what follows them, medicines and negations, whatever the spaces."""
    numbers = [re.sub(r"\s", "", found)[:8] for found in _NUMBER.findall(text)]
    words = [drug for drug in DRUGS for _ in range(text.count(drug))]
    return Counter([*numbers, *words, *_NEGATION.findall(text)])


def generated(count: int, seed: int) -> list[QA]:
    return [QA(**row) for row in rows(count, seed)]


@QUICK
@given(wrapped())
def test_the_clinical_part_survives_its_wrapping(case: tuple[str, str, str]) -> None:
    part, answer, name = case
    [row], drops = through([QA("a", "머리가 아픈데 병원에 가야 하나요?", answer)])
    assert not drops
    assert facts(row.answer) == facts(part)
    assert not re.search("하이닥|안녕하|상담의|감사합니다|드림", row.answer)
    assert name not in row.answer


@QUICK
@given(clinical(2))
def test_nothing_is_cut_from_a_text_that_is_all_clinical(text: str) -> None:
    assert core(text) == text
    assert mask(text).text == text
    assert normal(text) == text


@QUICK
@given(clinical(), values(), st.sampled_from(DRUGS))
def test_a_form_keeps_every_value(text: str, value: str, drug: str) -> None:
    form = f"- 성별 : 남\n- 혈압 : {value}\n- 복용 중인 약 : {drug} 아님\n- 상담내용 : {text}"
    question, fields = parsed(form)
    assert facts(question) == facts(form)
    assert dict(fields)["혈압"] == value
    assert parsed(question) == (question, ())


@pytest.mark.parametrize("seed", [1, 2])
def test_cleaning_twice_changes_nothing(seed: int) -> None:
    once, _ = through(generated(600, seed))
    twice, drops = through(once)
    assert twice == once
    assert drops == []


@QUICK
@given(
    st.text(max_size=120),
    st.text(
        st.sampled_from("안녕하세요 하이닥상담의감사합니다.<br>&amp;ㅋㅠ0123456789-@[이름1]:\n환자님"), max_size=80
    ),
)
def test_any_text_cleaned_twice_is_cleaned_once(question: str, answer: str) -> None:
    once, _ = through([QA("a", question + " 머리가 아파요", answer + " 물을 많이 드시고 쉬세요.")])
    twice, drops = through(once)
    assert (twice, drops) == (once, [])


@pytest.mark.parametrize("seed", [3, 4])
def test_order_does_not_change_which_rows_survive(seed: int) -> None:
    records = generated(500, seed)
    shuffled = random.Random(seed).sample(records, len(records))
    (kept, drops), (others, other_drops) = through(records), through(shuffled)
    assert {row.id: row for row in kept} == {row.id: row for row in others}
    assert Counter((row.record["id"], row.reason) for row in drops) == Counter(
        (row.record["id"], row.reason) for row in other_drops
    )


def test_no_row_vanishes() -> None:
    records = generated(500, 5)
    kept, drops = through(records)
    assert Counter([row.id for row in kept] + [row.record["id"] for row in drops]) == Counter(row.id for row in records)
    assert {"question deleted by its asker", "duplicate", "near duplicate", "stock answer"} <= {
        row.reason for row in drops
    }


def test_what_is_alike_shares_a_group() -> None:
    long = "어제부터 머리가 아프고 열이 나는데 해열제를 먹어도 계속 어지럽고 속이 울렁거려요 어떻게 해야 할까요"
    records = [
        QA("a", long, "수분을 충분히 섭취하시고 이틀 이상 지속되면 신경과 진료를 받으세요."),
        QA("b", long + "?", "편두통일 수 있으니 조용하고 어두운 방에서 쉬는 것이 좋겠습니다."),
        QA("c", "무릎이 아파요", "무릎은 쉬게 하고 얼음찜질을 하루 세 번 하시면 좋아집니다."),
    ]
    one, two, three = (row for row in Dedup()(records) if isinstance(row, QA))
    assert one.group == two.group != ""
    assert three == replace(records[2])
