"""The stage: asked once, killed and resumed, skipped when fresh, refused before any work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mundap import config
from mundap.errors import ConfigError, UserError
from mundap.evaluate.stage import run
from mundap.store import Work, read_jsonl

sys.path.insert(0, str(Path(__file__).parent.parent / "train"))
GOOD = "물을 많이 마시고 쉬세요. 언제부터 아프셨나요?"


@pytest.fixture
def work(tmp_path: Path) -> Work:
    rows = [{"id": f"q{n}", "question": f"{n}일째 머리가 아파요", "answer": "물을 마시고 쉬세요."} for n in range(12)]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Work(tmp_path / "run")


def recipe(work: Work, models: Any = None, **evaluate: Any) -> config.Recipe:
    models = models or {
        "good": {"use": "scripted", "replies": [GOOD]},
        "bad": {"use": "scripted", "replies": ["Yes and"]},
    }
    asked = str(work.root.parent / "asked.jsonl")
    settings = {"sets": [asked], "targets": list(models), "metrics": ["form", "chrf"], "resamples": 500}
    return config.parse({"models": models, "evaluate": {**settings, **evaluate}}, "test")


def summary(work: Work) -> Any:
    return json.loads((work.root / "evaluate" / "summary.json").read_text())


def measured(work: Work, metric: str) -> dict[str, Any]:
    return {row["target"]: row for row in summary(work)["measures"] if row["metric"] == metric}


def files(work: Work) -> dict[str, bytes]:
    """What the stage wrote, without the seconds of this run."""
    folder = work.root / "evaluate"
    return {name: (folder / name).read_bytes() for name in ("scores.jsonl", "summary.json", "replies/good.jsonl")}


def test_two_models_are_measured_and_told_apart(work: Work) -> None:
    manifest = run(recipe(work), work)
    assert manifest.kept == len(list(read_jsonl(work.root / "evaluate" / "scores.jsonl"))) == 2 * 12 * 6
    ends, found = measured(work, "ends"), summary(work)
    assert (ends["good"]["mean"], ends["bad"]["mean"], ends["good"]["n"]) == (1, 0, 12)
    assert 0 < ends["bad"]["high"] < 0.3 and ends["good"]["group"] == "text"
    (pair,) = [row for row in found["paired"] if row["metric"] == "ends"]
    assert (pair["a"], pair["b"], pair["difference"], pair["p"]) == (
        "good",
        "bad",
        1,
        pytest.approx(2 * 0.5**12, rel=1e-4),
    )
    assert found["sets"] == [{"name": "asked", "n": 12, "digest": found["sets"][0]["digest"]}] and found["seed"] == 42
    assert all(row["digests"]["target"] and row["options"] and row["cost"]["answers"] == 12 for row in found["targets"])
    assert (work.root / "evaluate" / "report.html").is_file()
    reply = next(read_jsonl(work.root / "evaluate" / "replies" / "good.jsonl"))
    assert {
        "set",
        "item",
        "text",
        "finish",
        "urgency",
        "rules",
        "citations",
        "topics",
        "usage",
        "seconds",
        "model",
    } <= reply.keys()
    assert (reply["item"], reply["text"]) == ("q0", GOOD)


def test_fresh_is_skipped_and_new_settings_ask_nothing_again(work: Work) -> None:
    done = run(recipe(work), work)
    asked = (work.root / "evaluate" / "replies" / ".kept" / "good.jsonl").stat()
    assert run(recipe(work), work) == done
    run(recipe(work, metrics=["form", "speed"], limit=5), work)
    after = (work.root / "evaluate" / "replies" / ".kept" / "good.jsonl").stat()
    assert (asked.st_mtime_ns, asked.st_size) == (after.st_mtime_ns, after.st_size)
    assert measured(work, "seconds.p50")["good"]["n"] == 5 and not measured(work, "chrf")


SLOW = """
import sys; from pathlib import Path
from mundap import config; from mundap.evaluate.stage import run; from mundap.store import Work
run(config.read(Path(sys.argv[1])), Work(Path(sys.argv[2])))
"""


def test_killed_and_run_again_asks_nobody_twice(work: Work, tmp_path: Path) -> None:
    models = {"good": {"use": "scripted", "replies": [GOOD], "delay": 0.02, "piece": 3}}
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe(work, models).model_dump(mode="json")))
    kept = work.root / "evaluate" / "replies" / ".kept" / "good.jsonl"
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(path), str(work.root)], env={**os.environ})
    ends = time.monotonic() + 60
    while time.monotonic() < ends and (not kept.is_file() or kept.read_text().count("\n") < 3):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    before = kept.read_text()
    assert 3 <= before.count("\n") < 12 and work.manifest("evaluate") is None
    kept.write_text(before + '\n{"key": "half a line')
    run(config.read(path), work)
    keys = [json.loads(line)["key"] for line in kept.read_text().split("\n") if line.endswith("}")]
    assert len(keys) == len(set(keys)) == 12
    whole = files(work)
    (work.root / "evaluate" / "manifest.json").unlink()
    run(config.read(path), work)
    assert files(work) == whole


def test_a_model_that_is_broken_ends_the_run_and_what_it_said_stays(work: Work) -> None:
    broken = {"good": {"use": "scripted", "replies": [GOOD], "fail_after": 1}}
    with pytest.raises(UserError, match="good failed 8 times in a row.*told to fail here.*kept"):
        run(recipe(work, broken), work)
    assert work.manifest("evaluate") is None


def test_wrong_settings_are_told_together_before_any_work(work: Work) -> None:
    with pytest.raises(ConfigError, match="evaluate.metrics.0.*did you mean 'chrf'"):
        recipe(work, metrics=["chfr"])
    with pytest.raises(ConfigError) as raised:
        run(recipe(work, metrics=["loss", "contamination", {"use": "chrf", "beta": 3}]), work)
    assert [problem.partition(":")[0] for problem in raised.value.problems] == [
        "metrics.0 (loss)", "metrics.1 (contamination)", "metrics.2 (chrf)",
    ]  # fmt: skip
    with pytest.raises(
        ConfigError, match=r"(?s)2 problems.*sets.0: no file 'onw'.*did you mean 'own'.*sets.1.*mundap build"
    ):
        run(recipe(work, sets=["onw", "test"]), work)
    assert not (work.root / "evaluate").exists()


def test_runs_on_other_items_are_not_compared(work: Work) -> None:
    run(recipe(work, limit=5), work)
    other = Work(work.root.parent / "other")
    with pytest.raises(ConfigError, match="measured on another set 'asked' \\(5 items, here 12\\)"):
        run(recipe(work, against=[str(work.root)]), other)
    with pytest.raises(ConfigError, match="no run"):
        run(recipe(work, against=["runs/nowhere"]), other)
    assert run(recipe(work, limit=5, against=[str(work.root)]), other).kept


def test_base_and_tuned_model_of_a_run(tmp_path: Path) -> None:
    """A real (random, tiny) model with a real adapter: loss and answers differ, and the test knows that."""
    import finished
    import torch

    torch.set_num_threads(1)
    work = finished.finished(tmp_path)
    asked = "### 질문:\n{}일째 아파요.\n\n### 답변:\n"
    rows = [{"id": f"t{n}", "prompt": asked.format(n), "completion": f"{n}일 쉬세요."} for n in range(6)]
    (work.root / "build" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    built = [
        {"id": row["id"], "split": "test", "instruction": "답하세요", "input": "아파요", "output": "쉬세요."}
        for row in rows
    ]
    (work.root / "build" / "out.jsonl").write_text("".join(json.dumps(row) + "\n" for row in built))
    given = {
        "metrics": ["loss", "form"],
        "targets": ["base", "tuned", "said"],
        "sets": ["test"],
        "limit": 2,
        "resamples": 500,
    }
    chosen = finished.recipe(
        work, evaluate=given, chat={"generation": {"max_tokens": 16}},
        models={"said": {"use": "scripted", "replies": ["쉬세요."]}},
    )  # fmt: skip
    run(chosen, work)
    loss, found = measured(work, "loss"), summary(work)
    assert loss["base"]["n"] == loss["tuned"]["n"] == 6 and loss["base"]["mean"] != loss["tuned"]["mean"]
    assert 4 < loss["base"]["mean"] < 9  # a random model over 512 tokens: about ln 512 = 6.2
    assert [row["a"] + row["b"] for row in found["paired"] if row["metric"] == "loss"] == ["basetuned"]
    assert found["skipped"] == [{"target": "said", "metric": "loss", "reason": found["skipped"][0]["reason"]}]
    assert found["targets"][1]["template"]["name"] == "mundap-ko"
    digests = [row["digests"]["model"] for row in found["targets"]]
    assert len(set(digests)) == 3


def test_the_loss_is_the_model_s_own(tmp_path: Path) -> None:
    import torch
    from tiny import tiny

    from mundap.evaluate.losses import _loss
    from mundap.models.hf import Hf

    torch.set_num_threads(1)
    model = Hf(str(tiny(tmp_path / "base")), template="mundap-ko")
    with model.alone() as opened:
        before = opened.tokenizer("질문: 아파요")["input_ids"]
        after = opened.tokenizer(" 쉬세요")["input_ids"]
        ids = torch.tensor([[*before, *after, opened.tokenizer.eos_token_id]])
        labels = ids.clone()
        labels[0, : len(before)] = -100
        wanted = float(opened.model(input_ids=ids, labels=labels).loss.detach())
    assert _loss(model, "질문: 아파요", " 쉬세요", 512) == pytest.approx(wanted, abs=1e-4)
    assert _loss(model, "질문: 아파요", " 쉬세요", 3) is None
