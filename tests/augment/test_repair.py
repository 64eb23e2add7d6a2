from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from model_server import ModelServer, Reply, said

from mundap import registry
from mundap.asking.context import Context
from mundap.augment.repair import Repair
from mundap.errors import UnknownName, UserError
from mundap.types import QA, Drop

Made = Callable[..., Context]

ANSWER = (
    "편두통일 수 있습니다. 조용하고 어두운 방에서 쉬고 물을 충분히 드세요. 두통이 계속되면 신경과 진료를 받아 보세요."
)
LOST = QA("lost", "", ANSWER, trail=("collect:test@1",))
WHOLE = QA("whole", "무릎이 아픈데 찜질을 해도 되나요?", "무릎이 아프면 쉬고 찜질을 하세요.")
TITLED = QA("titled", "", "기침이 계속되면 진료를 받아 보세요.", title="기침이 멈추지 않아요")
TAKEN = QA("taken", "", "설사는 물을 충분히 마시면 낫습니다. 수분을 보충하세요.", state="question_deleted")
GOOD = "편두통이 있을 때는 어떻게 쉬면 좋을까요?"
BETTER = "편두통이 계속되면 조용한 방에서 쉬다가 신경과 진료를 받아야 하나요?"


def answering(server: ModelServer, text: str) -> None:
    server.behave = lambda body, number: Reply(body=said(text))


def repaired(context: Context, records: list[QA], **config: Any) -> list[QA | Drop]:
    return list(registry.create("augmenters", "repair", context=context.of("repair"), **config)(records))


def test_without_a_model_the_title_or_nothing(server: ModelServer, contexts_of: Made) -> None:
    found = repaired(contexts_of(server), [WHOLE, TITLED, LOST, TAKEN])
    assert found[0] == WHOLE
    assert found[1] == replace(
        TITLED, question=TITLED.title, question_origin="title", trail=(*TITLED.trail, "repair:title")
    )
    assert [(row.record["id"], row.reason) for row in found[2:] if isinstance(row, Drop)] == [
        ("lost", "no question, no title, no model"), ("taken", "question deleted by its asker"),
    ]  # fmt: skip
    assert server.asked == []


def test_the_best_candidate_becomes_the_question(server: ModelServer, contexts_of: Made) -> None:
    answering(server, f"1. 배가 아픈데 어떻게 하나요?\n2. {GOOD}\n3. 안녕하세요 편두통인가요?\n4. {BETTER}")
    whole, lost = repaired(contexts_of(server), [WHOLE, LOST], model="helper")
    assert whole == WHOLE
    assert isinstance(lost, QA)
    assert (lost.id, lost.question, lost.question_origin, lost.answer) == ("lost", BETTER, "generated", ANSWER)
    assert lost.trail[0] == "collect:test@1"
    assert lost.trail[1].startswith("repair:toy:") and len(lost.trail[1]) == len("repair:toy:") + 12
    assert len(server.asked) == 1
    assert ANSWER in server.asked[0]["messages"][1]["content"]


def test_structured_output_is_asked_for_and_read(server: ModelServer, contexts_of: Made) -> None:
    answering(server, json.dumps({"questions": [GOOD]}))
    (row,) = repaired(contexts_of(server), [LOST], model="helper", k=3)
    assert isinstance(row, QA) and row.question == GOOD
    schema = server.asked[0]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["questions"]["maxItems"] == 3


def test_without_a_candidate_left_the_row_goes_with_every_reason(server: ModelServer, contexts_of: Made) -> None:
    answering(server, "1. 배가 아픈데 어떻게 하나요?\n2. 안녕하세요 편두통인데 어떡하죠?")
    (row,) = repaired(contexts_of(server), [LOST], model="helper")
    assert isinstance(row, Drop)
    assert row.reason == "no candidate passed: a medical term its source lacks, greeting"
    assert [each["text"] for each in row.record["candidates"]] == [
        "배가 아픈데 어떻게 하나요?", "안녕하세요 편두통인데 어떡하죠?"
    ]  # fmt: skip


def test_a_reply_of_another_shape_is_kept_beside_its_reason(server: ModelServer, contexts_of: Made) -> None:
    answering(server, "죄송하지만 할 수 없습니다.")
    (row,) = repaired(contexts_of(server), [LOST], model="helper")
    assert isinstance(row, Drop)
    assert (row.reason, row.record["reply"]) == ("reply: no numbered list", "죄송하지만 할 수 없습니다.")


def test_what_its_asker_deleted_needs_the_recipes_consent(server: ModelServer, contexts_of: Made) -> None:
    flagged = replace(TAKEN, id="flagged", state="whole", title="설사가 심해요", flags=("question_deleted",))
    answering(server, "1. 설사할 때 물을 얼마나 마시면 좋을까요?")
    dropped = repaired(contexts_of(server), [TAKEN, flagged], model="helper")
    assert [row.reason for row in dropped if isinstance(row, Drop)] == ["question deleted by its asker"] * 2
    assert server.asked == []
    kept, second = repaired(contexts_of(server), [TAKEN, flagged], model="helper", opt_in=True)
    assert isinstance(kept, QA)
    assert (kept.question, kept.state) == ("설사할 때 물을 얼마나 마시면 좋을까요?", "whole")
    # The same question is not made twice, and the asker's own title is neither used nor shown to the model.
    assert isinstance(second, Drop) and "like another question" in second.reason
    assert all("심해요" not in json.dumps(asked, ensure_ascii=False) for asked in server.asked)


def test_two_runs_ask_once_and_give_the_same(server: ModelServer, contexts_of: Made) -> None:
    answering(server, f"1. {GOOD}\n2. {BETTER}")
    first = repaired(contexts_of(server), [WHOLE, LOST, TITLED], model="helper")
    asked = len(server.asked)
    assert repaired(contexts_of(server), [WHOLE, LOST, TITLED], model="helper") == first
    assert len(server.asked) == asked == 1


def test_over_the_budget_the_row_says_so(server: ModelServer, contexts_of: Made) -> None:
    answering(server, f"1. {GOOD}")
    (row,) = repaired(contexts_of(server, requests=0), [LOST], model="helper")
    assert isinstance(row, Drop) and row.reason == "not asked: the budget is used up"


def test_an_iterator_is_enough(server: ModelServer, contexts_of: Made) -> None:
    answering(server, f"1. {GOOD}")
    step = Repair(contexts_of(server).of("repair"), model="helper")
    assert [row.question for row in step(iter([WHOLE, LOST])) if isinstance(row, QA)] == [WHOLE.question, GOOD]


@pytest.mark.parametrize("config", [{"k": 0}, {"k": "4"}, {"temperature": 3}, {"max_tokens": 2}, {"room": 1}])
def test_wrong_numbers_are_refused_before_any_work(
    server: ModelServer, contexts_of: Made, config: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match=next(iter(config))):
        repaired(contexts_of(server), [LOST], model="helper", **config)


def test_an_unknown_model_is_refused(server: ModelServer, contexts_of: Made) -> None:
    with pytest.raises(UnknownName, match="helper"):
        repaired(contexts_of(server), [LOST], model="helpr")
