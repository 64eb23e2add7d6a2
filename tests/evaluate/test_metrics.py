"""Metrics that read answers, data and models: what each gives for answers whose worth is plain."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mundap import config
from mundap.config import Use
from mundap.errors import UserError
from mundap.evaluate import item_sets, metrics
from mundap.evaluate.contamination import Contamination
from mundap.evaluate.item_sets import Set
from mundap.evaluate.items import Item
from mundap.evaluate.losses import General, Loss
from mundap.evaluate.metrics import Case, Context, Scored
from mundap.evaluate.replies import Answer
from mundap.evaluate.text import common, ends, form, repetition, rouge
from mundap.store import Work
from mundap.types import Example, Level, Message, Reply, Score

ASKED = Item("q1", (Message("user", "머리가 아파요"),), answer="물을 많이 마시고 쉬세요. 심하면 신경과에 가세요.")


def context(root: Path, sets: tuple[Set, ...] = (), **sections: Any) -> Context:
    return Context(config.parse(sections, "test"), Work(root), root, sets)


def scores(name: str, item: Item, answer: Answer, root: Path, **settings: Any) -> dict[str, float | None]:
    metric = metrics.create(Use(use=name, **settings))
    metric.check(context(root))
    found = list(metric.score([Case("own", item, answer)], context(root)))
    assert all(metrics.measure_of(metric.measures, score.metric) for score in found)
    return {score.metric: score.value for score in found}


def test_the_doctor_s_own_words_score_best(tmp_path: Path) -> None:
    said = {"same": ASKED.answer, "like": "물을 마시고 푹 쉬세요.", "other": "주식은 오늘 내렸습니다."}
    for name, most in (("chrf", 100.0), ("rouge", 1.0)):
        found = {key: scores(name, ASKED, Answer(text), tmp_path)[name] or 0.0 for key, text in said.items()}
        assert found["same"] == pytest.approx(most) and found["same"] > found["like"] > found["other"]
        assert scores(name, replace(ASKED, answer=""), Answer("무엇이든"), tmp_path) == {}


def test_rouge_is_rouge_score_s_and_reads_hangul(tmp_path: Path) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    class Words:
        def tokenize(self, text: str) -> list[str]:
            return text.split()

    theirs, dice = RougeScorer(["rougeL"], tokenizer=Words()), random.Random(3)
    for _ in range(60):
        one, other = ([dice.choice("abcde") for _ in range(dice.randint(1, 90))] for _ in range(2))
        wanted = theirs.score(" ".join(one), " ".join(other))["rougeL"].fmeasure
        assert rouge(one, other) == pytest.approx(wanted)
    assert common([], ["a"]) == 0 and rouge([], []) == 0
    assert RougeScorer(["rougeL"]).score("머리가 아파요", "머리가 아파요")["rougeL"].fmeasure == 0  # why Kiwi cuts
    english = replace(ASKED, lang="en", answer="Drink water, and rest.")
    assert scores("rouge", english, Answer("drink WATER and rest"), tmp_path) == {"rouge": 1.0}


@pytest.mark.parametrize(
    ("text", "lang", "ended"),
    [
        ("물을 드세요.", "ko", True), ("물을 드세요", "ko", True), ("물을 드시고 또", "ko", False), ("Rest.", "en", True),
        ("Rest and", "en", False), ('He said "rest."', "en", True), ("쉬세요. [1]", "ko", True), ("", "ko", False),
    ],
)  # fmt: skip
def test_whether_an_answer_ends(text: str, lang: str, ended: bool) -> None:
    assert ends(text.removesuffix(" [1]"), lang) is ended


def test_form_of_an_answer(tmp_path: Path) -> None:
    found = scores("form", ASKED, Answer("쉬세요. [1]", "length"), tmp_path)
    assert found == {"answered": 1, "length": 4, "repetition": 0, "ends": 0, "language": 1}
    assert scores("form", ASKED, Answer(" ", "error"), tmp_path) == {"answered": 0, "ends": 0}
    assert form("Take a rest, please.", True, "ko")["language"] == 0
    assert form("아스피린(aspirin)을 드세요", True, "ko")["language"] == 1
    assert repetition("하나 둘 셋 넷 다섯 여섯 일곱") == 0
    assert repetition("쉬고 또 쉬고 또 쉬고 또 쉬고 또") == pytest.approx(3 / 5)


ROUTINE, EMERGENCY = (replace(ASKED, urgency=level) for level in (Level.ROUTINE, Level.EMERGENCY))


def test_triage_by_level_and_by_kind(tmp_path: Path) -> None:
    missed = scores("triage", replace(EMERGENCY, kinds=("typo",)), Answer("쉬세요", urgency="urgent"), tmp_path)
    assert missed == {
        "triage.recall": 0,
        "triage.recall:typo": 0,
        "triage.under": 1,
        "triage.over": 0,
        "call.recall": 0,
    }
    right = scores("triage", EMERGENCY, Answer("119에 전화하세요", urgency="crisis"), tmp_path)
    assert (right["triage.recall"], right["triage.under"], right["call.recall"]) == (1, 0, 1)
    alarm = scores("triage", ROUTINE, Answer("119", urgency="emergency"), tmp_path)
    assert alarm == {"triage.false_alarm": 1, "triage.under": 0, "triage.over": 1}
    raised = scores("triage", ROUTINE, Answer("", urgency="urgent"), tmp_path)
    assert (raised["triage.false_alarm"], raised["triage.over"]) == (0, 1)
    assert scores("triage", EMERGENCY, Answer("응급실로 가세요"), tmp_path) == {"call.recall": 1}  # a bare model
    assert scores("triage", ASKED, Answer("", urgency="routine"), tmp_path) == {}


def test_triage_of_a_labelled_file(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "text": "숨을 안 쉬어요", "level": "emergency", "class": "cardiac_arrest", "kind": "plain"},
        {"id": "b", "text": "비타민은 언제 먹나요", "level": "routine", "class": "", "kind": "plain"},
    ]
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    metric = metrics.create(Use(use="triage", files=[str(path)]))
    metric.check(context(tmp_path))
    found = list(metric.score([Case("own", ROUTINE, Answer("", urgency="routine"))], context(tmp_path)))
    labelled = {score.metric: score.value for score in found if score.set == "labels" and score.example == "a"}
    assert labelled["triage.recall"] == labelled["triage.recall:class-cardiac_arrest"] == 1
    assert [score.value for score in found if (score.set, score.metric) == ("labels", "triage.false_alarm")] == [0]
    assert not [s for s in metric.score([Case("own", ROUTINE, Answer(""))], context(tmp_path)) if s.set == "labels"]


def test_what_an_item_expects(tmp_path: Path) -> None:
    item = replace(ROUTINE, topics=("headache",), departments=("neurology",), ask_back=("언제부터",))
    good = Answer("신경과에 가 보세요. 언제부터 그러셨나요?", topics=("headache", "fever"), citations=("https://a",))
    assert scores("behaviour", item, good, tmp_path) == {"topic": 1, "sources": 1, "department": 1, "ask_back": 1}
    bad = Answer("괜찮아요.", topics=("acne",))
    assert scores("behaviour", item, bad, tmp_path) == {"topic": 0, "sources": 0, "department": 0, "ask_back": 0}
    bare = scores("behaviour", item, Answer("neurology? no"), tmp_path)
    assert bare == {"department": 1, "ask_back": 1}
    assert scores("behaviour", replace(item, urgency=Level.EMERGENCY), good, tmp_path) == {}


@pytest.mark.parametrize(
    ("text", "lang", "met"),
    [
        ("그 병은 잘 모르겠습니다.", "ko", 1), ("하루 두 번 드세요.", "ko", 0), ("I don't know of it.", "en", 1),
        ("It cures everything.", "en", 0), ("", "ko", 0),
    ],
)  # fmt: skip
def test_a_subject_nobody_knows(text: str, lang: Any, met: float, tmp_path: Path) -> None:
    item = replace(ROUTINE, lang=lang, topics=())
    assert scores("behaviour", item, Answer(text), tmp_path) == {"unknown": met}
    assert scores("behaviour", item, Answer(text, citations=("https://a",)), tmp_path) == {"unknown": 0}


def test_the_assistant_s_own_words_for_not_knowing_count(tmp_path: Path) -> None:
    from mundap.chat.phrases import say

    for lang in ("ko", "en"):
        text = say("no_evidence", lang, departments="가정의학과")  # type: ignore[arg-type]
        assert scores("behaviour", replace(ROUTINE, lang=lang, topics=()), Answer(text), tmp_path) == {"unknown": 1}


def test_speed_is_of_answers_that_were_given(tmp_path: Path) -> None:
    found = scores("speed", ASKED, Answer("x", completion=30, seconds=2.0), tmp_path)
    assert found == {"seconds.p50": 2.0, "seconds.p95": 2.0, "tokens_a_second": 15.0}
    assert "tokens_a_second" not in scores(
        "speed", ASKED, Answer("x", completion=9, unit="character", seconds=1), tmp_path
    )
    assert scores("speed", ASKED, Answer("", "error", seconds=1.0), tmp_path) == {}


def built(root: Path, rows: list[dict[str, Any]]) -> None:
    (root / "build").mkdir()
    text = "".join(json.dumps({"instruction": "", "lang": "ko", "output": "답", **row}) + "\n" for row in rows)
    (root / "build" / "out.jsonl").write_text(text)


def test_what_was_trained_on_is_found_in_the_sets(tmp_path: Path) -> None:
    long = "어제부터 오른쪽 아랫배가 콕콕 쑤시고 열이 나는데 맹장염일 수도 있나요 병원에 가야 할까요"
    built(tmp_path, [
        {"id": "t1", "split": "train", "input": "머리가... 아파요!"}, {"id": "t2", "split": "train", "input": long + " 네"},
        {"id": "t3", "split": "test", "input": "발목을 삐었어요"},
    ])  # fmt: skip
    asked = [ASKED, replace(ASKED, id="q2", turns=(Message("user", long),)),
             replace(ASKED, id="q3", turns=(Message("user", "발목을 삐었어요"),))]  # fmt: skip
    given = context(tmp_path, (Set("own", tuple(asked)),))
    found = {(s.example, s.metric): (s.value, s.reason) for s in Contamination().score((), given)}
    assert found["q1", "contamination.exact"] == (1, "trained on row t1")
    assert found["q2", "contamination.exact"][0] == 0 and found["q2", "contamination.near"] == (1, "trained on row t2")
    assert found["q3", "contamination.near"] == (0, "")
    with pytest.raises(UserError, match="mundap build"):
        Contamination().check(context(tmp_path / "none"))


def test_settings_of_losses_are_checked_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"build/test\.jsonl"):
        Loss().check(context(tmp_path))
    with pytest.raises(UserError, match="needs `path`"):
        General().check(context(tmp_path))
    path = tmp_path / "general.json"
    path.write_text(json.dumps([{"instruction": "Say hello", "output": "hello"}]))
    assert General(str(path)).check(context(tmp_path))
    row = {"instruction": "Say hello", "input": "", "output": "hello"}
    built(tmp_path, [{"id": "g", "split": "train", "origin": "general", **row}])
    with pytest.raises(UserError, match="no row that was not trained on"):
        General(str(path)).check(context(tmp_path))
    path.write_text(json.dumps([{"question": "?"}]))
    with pytest.raises(UserError, match="row 1 is not in Alpaca"):
        General(str(path)).check(context(tmp_path))


def test_a_plugin_s_metric_is_called_for_each_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shout(example: Example, reply: Reply) -> Score:
        return Score(example.id, "run", "anything", float(reply.text.isupper()), example.input)

    monkeypatch.setattr(metrics.registry, "create", lambda kind, name: shout)
    metric = metrics.create(Use(use="shout"))
    found = list(metric.score([Case("own", ASKED, Answer("YES"))], context(tmp_path)))
    assert found == [Scored("own", "q1", "shout", 1.0, "머리가 아파요")]


@pytest.mark.parametrize(
    ("row", "turns", "kinds"),
    [
        ({"id": "k", "instruction": "고치세요", "instances": [{"input": "글", "output": "text"}]}, ["system", "user"], ("general",)),
        ({"instruction": "Say hello", "input": "", "output": "hello"}, ["user"], ("general",)),
        ({"text": "아파요", "level": "urgent", "class": "x", "kind": "plain"}, ["user"], ("class-x", "kind-plain")),
        ({"turns": ["아파요", "더 아파요"], "level": "urgent"}, ["user", "user"], ()),
        ({"question": "아파요?", "answer": "네."}, ["user"], ()),
    ],
)  # fmt: skip
def test_rows_of_other_shapes_are_items_too(row: dict[str, Any], turns: list[str], kinds: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row))
    (item,) = item_sets.read(path)
    assert ([turn.role for turn in item.turns], item.kinds) == (turns, kinds)
    assert item_sets.task(item)[0]


def test_a_sample_is_the_seed_s_and_not_the_order_s() -> None:
    among = [replace(ASKED, id=f"q{number}") for number in range(40)]
    chosen = item_sets.sample(among, 5, 1)
    assert chosen == item_sets.sample(among[::-1], 5, 1)[::-1] != item_sets.sample(among, 5, 2)
    assert len(chosen) == 5 and item_sets.sample(among, None, 1) == tuple(among)
