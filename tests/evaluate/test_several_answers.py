"""Several answers to each item: each from a seed of its own, all in the mean, and the worst of them told by itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from io import StringIO
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import yaml
from judge_server import ModelServer, Reply, filled
from rich.console import Console

from mundap import config
from mundap.errors import ConfigError
from mundap.evaluate import findings, terminal
from mundap.evaluate.compare import load
from mundap.evaluate.report import page
from mundap.evaluate.stage import run
from mundap.store import Work, read_jsonl

TIMES, ITEMS, SEED = 3, 8, 42
CRITERION: dict[str, Any] = {"points": 1, "asks": {"ko": "?"}}
CARE = {
    "prompts": {"ko": {"system": "채점하세요.\n{criteria}", "user": "{question}\n{response}\n{form}"}},
    "criteria": {f"c{n}": CRITERION for n in range(4)},
}


def points(item: int, seed: int) -> int:
    """How many of the four points the answer to an item from a seed is given."""
    return (item * 3 + (seed - SEED) * (item % 3 + 1)) % 5


def wanted(k: int) -> list[float]:
    """Worst-at-k of each item, by its definition."""
    given = [[points(item, SEED + n) / 4 for n in range(TIMES)] for item in range(ITEMS)]
    return [fmean(min(chosen) for chosen in combinations(values, k)) for values in given]


def behave(body: dict[str, Any], number: int) -> Reply:
    """The model, whose words show item and seed, and the judge, who goes by these words."""
    asked = body["messages"][-1]["content"]
    if body.get("stream"):
        found = re.search(r"문항 (\d+)", asked)
        assert found and body["temperature"] == 0.7
        return streamed(f"{found[1]}번 답 {body['seed']}")
    found = re.search(r"(\d+)번 답 (\d+)", asked)
    assert found
    met = points(int(found[1]), int(found[2]))
    return filled(lambda key, low, high: int(int(key[1]) < met))(body, number)


def streamed(text: str) -> Reply:
    delta = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "toy"}
    lines = [json.dumps({**chunk, "choices": [each]}) for each in (delta, end)]
    body = "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()
    return Reply(body=body, headers={"content-type": "text/event-stream"})


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(behave) as running:
        yield running


@pytest.fixture
def work(tmp_path: Path) -> Work:
    rows = [{"id": f"q{n}", "question": f"문항 {n} 어떻게 할까요?", "answer": "쉬세요."} for n in range(ITEMS)]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "care.yaml").write_text(yaml.safe_dump(CARE, allow_unicode=True), "utf-8")
    return Work(tmp_path / "run")


def recipe(work: Work, server: ModelServer, temperature: float = 0.7, **evaluate: Any) -> config.Recipe:
    home = work.root.parent
    toy = {"use": "http", "url": server.url, "name": "toy"}
    models = {"toy": toy, "judge": toy, "same": {"use": "scripted", "replies": ["0번 답 42"]}}
    metrics = ["form", {"use": "judge", "model": "judge", "rubric": str(home / "care.yaml")}]
    asked = {"sets": [str(home / "asked.jsonl")], "targets": ["toy"], "metrics": metrics, "resamples": 500}
    chat = {"generation": {"temperature": temperature}}
    return config.parse({"models": models, "chat": chat, "evaluate": {**asked, "answers": TIMES, **evaluate}}, "test")


def summary(work: Work) -> Any:
    return json.loads((work.root / "evaluate" / "summary.json").read_text("utf-8"))


def measured(work: Work, target: str = "toy") -> dict[str, dict[str, Any]]:
    return {row["metric"]: row for row in summary(work)["measures"] if row["target"] == target}


def test_the_mean_is_of_all_answers_and_the_worst_at_each_k_by_its_definition(work: Work, server: ModelServer) -> None:
    run(recipe(work, server), work)
    replies = list(read_jsonl(work.root / "evaluate" / "replies" / "toy.jsonl"))
    assert [(row["item"], row["number"], row["text"]) for row in replies[:4]] == [
        ("q0", 1, "0번 답 42"), ("q0", 2, "0번 답 43"), ("q0", 3, "0번 답 44"), ("q1", 1, "1번 답 42"),
    ]  # fmt: skip
    found = measured(work)
    assert {name for name in found if "worst" in name} == {"care.worst_at_2", "care.worst_at_3"}
    for k, name in enumerate(("care", "care.worst_at_2", "care.worst_at_3"), 1):
        row, values = found[name], wanted(k)
        assert (
            row["mean"] == pytest.approx(fmean(values), abs=1e-5)
            and row["n"] == ITEMS
            and row["low"] < row["mean"] < row["high"]
        )
    assert found["care"]["mean"] > found["care.worst_at_2"]["mean"] > found["care.worst_at_3"]["mean"]
    assert [found[f"care.worst_at_{k}"]["tested"] for k in (2, 3)] == [False, True]
    assert summary(work)["answers"] == TIMES and not summary(work)["notes"]
    assert summary(work)["targets"][0]["cost"]["answers"] == TIMES * ITEMS == found["length"]["n"] * TIMES


def test_what_was_answered_and_judged_is_not_asked_again(work: Work, server: ModelServer) -> None:
    run(recipe(work, server, answers=1), work)
    assert len(server.asked) == 2 * ITEMS
    assert "care: every item was answered once; worst-at-k" in summary(work)["notes"][0]
    run(recipe(work, server), work)  # the first answers are those of before
    assert len(server.asked) == 2 * ITEMS * TIMES
    scores = (work.root / "evaluate" / "scores.jsonl").read_bytes()
    run(recipe(work, server, resamples=600), work)
    run(recipe(work, server, answers=1), work)
    assert "care: every item" in summary(work)["notes"][0]  # which a cached score must not forget
    assert len(server.asked) == 2 * ITEMS * TIMES

    kept = work.root / "evaluate" / "replies" / ".kept" / "toy.jsonl"
    kept.write_text("".join(kept.read_text().splitlines(keepends=True)[:9]) + '\n{"key": "half a li')
    run(recipe(work, server), work)  # as after a kill: the rest of the answers is asked, and no judgement is paid twice
    assert 2 * ITEMS * TIMES < len(server.asked) < 3 * ITEMS * TIMES
    assert all(body.get("stream") for body in server.asked[2 * ITEMS * TIMES :])
    assert (work.root / "evaluate" / "scores.jsonl").read_bytes() == scores


def test_an_answer_without_a_score_is_counted_where_it_is_missed(work: Work, server: ModelServer) -> None:
    server.behave = lambda body, number: (
        Reply(body={**behave(body, number).body, "choices": []}) if judged(body, "5번 답 43") else behave(body, number)
    )
    run(recipe(work, server), work)
    found, values = measured(work), [points(5, seed) / 4 for seed in (42, 44)]
    failures = [found[name]["failures"] for name in ("care", "care.worst_at_2", "care.worst_at_3")]
    assert failures == [1, 0, 1] and [found[f"care.worst_at_{k}"]["n"] for k in (2, 3)] == [ITEMS, ITEMS - 1]
    rest = [each for item, each in enumerate(wanted(2)) if item != 5]
    assert found["care.worst_at_2"]["mean"] == pytest.approx(fmean([*rest, min(values)]), abs=1e-5)
    reasons = [row["reason"] for row in read_jsonl(work.root / "evaluate" / "scores.jsonl") if row["value"] is None]
    assert "only 2 of 3 answers have a score" in reasons


def judged(body: dict[str, Any], text: str) -> bool:
    return not body.get("stream") and text in body["messages"][-1]["content"]


def test_a_model_that_cannot_vary_is_refused_and_one_that_does_not_is_told(work: Work, server: ModelServer) -> None:
    with pytest.raises(ConfigError, match=r"answers: toy, same would give the same answer 3 times.*temperature is 0"):
        run(recipe(work, server, temperature=0.0, targets=["assistant", "toy", "same"]), work)
    assert not server.asked
    run(recipe(work, server, targets=["toy", "same"]), work)
    assert summary(work)["notes"] == ["same: the 3 answers to each item are the same, so that worst-at-k is the mean"]
    assert measured(work, "same")["care.worst_at_3"]["mean"] == measured(work, "same")["care"]["mean"]
    tested = {row["metric"] for row in summary(work)["paired"]}
    assert {"care", "care.worst_at_3"} <= tested and "care.worst_at_2" not in tested
    alone = Work(work.root.parent / "alone")  # without a model nothing is sampled
    run(recipe(work, server, temperature=0.0, targets=["assistant"], metrics=["form"]), alone)
    assert "assistant: the 3 answers" in summary(alone)["notes"][0]


def test_the_worst_stands_in_the_report_and_in_the_terminal(work: Work, server: ModelServer) -> None:
    run(recipe(work, server, targets=["toy", "same"]), work)
    found = load([work.root])
    [told] = findings.worst(found)
    means = [cell and cell.mean for cell in told.rows["toy"]]
    assert means == pytest.approx([fmean(wanted(k)) for k in (1, 2, 3)], abs=1e-5)
    text = page(found)
    assert "worst-at-k" in text and text.count('<th scope="col">k = 3</th>') == 1 and f"{means[2]:.3f}" in text
    console = Console(file=StringIO(), width=160)
    terminal.show(found, console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "the worst of k answers (worst-at-k)" in shown and f"{means[2]:.3f} [" in shown and "k = 3" in shown
    samples = findings.samples(found, ["care"])
    assert samples is not None and samples.target == "toy"
    for kind, choose in (("best", max), ("worst", min)):
        for sample in samples.chosen[kind]:
            item, said = int(sample.item[1:]), {each.target: each for each in sample.answers}["toy"]
            values = {SEED + n: points(item, SEED + n) / 4 for n in range(TIMES)}
            assert said.value == choose(values.values()) and values[int(said.text[-2:])] == said.value
