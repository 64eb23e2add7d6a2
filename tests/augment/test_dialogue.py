from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from model_server import ModelServer, Reply, said

from mundap import registry
from mundap.asking.context import Context
from mundap.augment.dialogue import check
from mundap.augment.parse import turns
from mundap.types import QA, Drop

Made = Callable[..., Context]

SEED = QA(
    "m", "머리가 아픈 지 3일 됐는데 어떻게 하면 좋을까요?",
    "편두통일 수 있습니다. 조용하고 어두운 방에서 쉬고 물을 충분히 드세요. 두통이 계속되면 신경과 진료를 받아 보세요.", licence="own",
)  # fmt: skip
END = "의사: 조용하고 어두운 방에서 쉬고 물을 충분히 드세요. 두통이 계속되면 신경과 진료를 받아 보세요."
TALK = f"의사: 어디가 불편하신가요?\n환자: 머리가 아파요.\n의사: 언제부터 아프셨나요?\n환자: 3일 됐어요.\n{END}"


def made(context: Context, records: list[QA], **config: Any) -> list[QA | Drop]:
    return list(
        registry.create("augmenters", "dialogue", context=context.of("dialogue"), model="helper", **config)(records)
    )


def test_a_talk_is_one_record_that_any_reader_can_use(server: ModelServer, contexts_of: Made) -> None:
    server.behave = lambda body, number: Reply(body=said(TALK))
    seed, row = made(contexts_of(server), [SEED])
    assert isinstance(seed, QA) and isinstance(row, QA)
    assert seed.group == row.group == "m"
    assert row.flags == ("dialogue",)
    assert [who for who, _ in row.fields] == ["doctor", "patient", "doctor", "patient", "doctor"]
    assert row.question == TALK.rpartition("\n")[0]
    assert row.answer == row.fields[-1][1] == END.removeprefix("의사: ")
    assert (row.question_origin, row.licence) == ("generated", "own")
    assert row.trail[-1].startswith("dialogue:toy:")


def test_a_structured_talk_is_read_too(server: ModelServer, contexts_of: Made) -> None:
    talk = {"turns": [{"role": who, "text": text} for who, text in turns(TALK)]}
    server.behave = lambda body, number: Reply(body=said(json.dumps(talk, ensure_ascii=False)))
    _, row = made(contexts_of(server), [SEED])
    assert isinstance(row, QA) and len(row.fields) == 5


@pytest.mark.parametrize(
    ("talk", "reason"),
    [
        (END, "too few turns"),
        (f"환자: 머리가 아파요.\n의사: 언제부터 아프셨나요?\n환자: 몰라요.\n{END}", "the doctor does not begin and end"),
        ("의사: 어디가 불편하신가요?\n환자: 머리가 아파요.\n의사: 네, 언제부터죠?\n환자: 3일 됐어요.", "the doctor does not begin and end"),
        (f"의사: 어디가 불편하신가요?\n의사: 말씀해 주시겠어요?\n환자: 머리요.\n{END}", "two turns of one speaker"),
        (f"의사: 두통이 언제 시작되었나요?\n환자: 3일 됐어요.\n{END}", "the doctor knows before asking"),
        (f"의사: 어디가 불편하신가요? 언제부터 그러셨나요?\n환자: 머리요.\n{END}", "the doctor asks several things at once"),
        (f"의사: 어디가 불편하신가요?\n환자: 머리가 아파요.\n의사: 그렇군요.\n환자: 네.\n{END}", "the doctor does not ask"),
        (f"의사: 안녕하세요, 어디가 불편하신가요?\n환자: 머리가 아파요.\n{END}", "greeting"),
        (f"의사: 어디가 불편하신가요?\n환자: 머리가 아프고 설사를 해요.\n{END}", "the patient says a medical term its source lacks"),
        (f"의사: 언제부터 그러셨나요?\n환자: 5일 됐어요.\n{END}", "the patient says a number its source lacks"),
        ("의사: 어디가 불편하신가요?\n환자: 머리가 아파요.\n의사: 진료를 받아 보셨나요?", "the end says not what to do"),
        (
            "의사: 어디가 불편하신가요?\n환자: 머리가 아파요.\n의사: 커피를 줄이고 운동을 날마다 하세요.",
            "the end: a sentence its source does not carry",
        ),
    ],
)  # fmt: skip
def test_what_a_talk_must_not_be(talk: str, reason: str) -> None:
    assert check(turns(talk), SEED) == reason


def test_a_good_talk_passes() -> None:
    assert check(turns(TALK), SEED) == ""


def test_what_is_refused_is_kept_with_its_reason(server: ModelServer, contexts_of: Made) -> None:
    texts = ["안녕!", TALK, TALK]
    server.behave = lambda body, number: Reply(body=said(texts[number - 1]))
    other = QA("n", SEED.question, SEED.answer)
    context = contexts_of(server, at_once=1)
    first, refused = made(context, [SEED])
    assert first == SEED
    assert isinstance(refused, Drop) and refused.reason == "reply: lines without a speaker"
    rows = made(context, [QA("o", SEED.question, SEED.answer), other])
    assert [row.reason for row in rows if isinstance(row, Drop)] == ["like another talk"]


def test_a_talk_that_runs_on_is_refused(server: ModelServer, contexts_of: Made) -> None:
    server.behave = lambda body, number: Reply(body=said(TALK))
    _, drop = made(contexts_of(server), [SEED], turns=3)
    assert isinstance(drop, Drop) and drop.reason == "too many turns"


def test_only_as_many_seeds_as_wanted(server: ModelServer, contexts_of: Made) -> None:
    server.behave = lambda body, number: Reply(body=said(TALK))
    assert made(contexts_of(server), [SEED], seeds=0) == [SEED]
    assert server.asked == []
