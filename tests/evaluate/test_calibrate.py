"""A judge against people: the numbers, the file of labels, the command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judge_server import ModelServer, Reply, asked_lines, filled, recipe, said

from mundap.config import Recipe
from mundap.errors import ConfigError, UnknownName, UserError
from mundap.evaluate import agreement, calibrate
from mundap.evaluate.agreement import kappa, spearman, with_people
from mundap.evaluate.items import load
from mundap.evaluate.verdicts import Verdict
from mundap.store import Work

RESAMPLES = 500


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(filled()) as running:
        yield running


def labels(tmp_path: Path, *rows: dict[str, Any]) -> Path:
    path = tmp_path / "labels.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return path


def row(number: int, overall: int, **more: Any) -> dict[str, Any]:
    return {"instruction": f"과제 {number}", "response": f"응답 {number}", "scores": {"overall": overall}, **more}


def run(tmp_path: Path, found: Recipe, path: Path, *judges: str, rubric: str = "") -> tuple[list[str], dict[str, Any]]:
    lines = list(calibrate.run(found, Work(tmp_path / "run"), path, judges, rubric, RESAMPLES))
    name = next((tmp_path / "run" / "calibrate").glob("*.json"))
    return lines, json.loads(name.read_text("utf-8"))


# --- the numbers


def test_kappa_of_a_worked_example() -> None:
    """Observed 0.75 of squared distance over 4, expected by the margins 1.875: kappa 1 - 0.75 / 1.875."""
    assert kappa([1, 2, 3, 4], [1, 2, 3, 4], (1, 5)) == 1
    one, other = [1, 1, 2, 3], [1, 2, 2, 1]
    seen = np.mean([(a - b) ** 2 for a, b in zip(one, other, strict=True)])
    expected = np.mean([(a - b) ** 2 for a in one for b in other])
    assert (seen, expected) == (1.25, 1.0)
    assert kappa(one, other, (1, 5)) == pytest.approx(1 - 1.25 / 1.0)
    assert kappa(one, other, (1, 3)) == kappa(one, other, (1, 5))
    assert kappa([2, 2], [2, 2], (1, 5)) is None


def test_kappa_and_spearman_agree_with_other_implementations() -> None:
    from scipy.stats import spearmanr
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(0)
    one = rng.integers(1, 6, 60)
    other = np.clip(one + rng.integers(-1, 3, 60), 1, 5)
    assert kappa(one, other, (1, 5)) == pytest.approx(cohen_kappa_score(one, other, weights="quadratic"))
    assert spearman(one.astype(float), other.astype(float)) == pytest.approx(spearmanr(one, other).statistic)


def test_a_judge_that_is_one_too_kind() -> None:
    people = [1, 2, 3, 4] * 5
    found = with_people([score + 1 for score in people], people, (1, 5), resamples=RESAMPLES)
    assert (found.n, found.exact, found.within_one, found.spearman) == (20, 0, 1, pytest.approx(1))
    assert found.bias == found.bias_low == found.bias_high == 1
    assert found.kappa is not None and 0.5 < found.kappa < 1 and found.alpha is not None and found.alpha < 1


def test_the_interval_of_spearman_covers_and_is_reproducible() -> None:
    rng = np.random.default_rng(3)
    one = rng.integers(1, 6, 80).astype(float)
    other = np.clip(one + rng.integers(-1, 2, 80), 1, 5)
    found = with_people(one.tolist(), other.tolist(), (1, 5), seed=4, resamples=RESAMPLES)
    assert found.spearman_low is not None and found.spearman is not None and found.spearman_high is not None
    assert 0.5 < found.spearman_low < found.spearman < found.spearman_high < 1
    assert found == with_people(one.tolist(), other.tolist(), (1, 5), seed=4, resamples=RESAMPLES)


def test_what_is_not_defined_is_none_and_not_a_number() -> None:
    alone = with_people([3], [3], (1, 5), resamples=RESAMPLES)
    assert alone.exact == 1 and alone.kappa is None and alone.spearman is None and alone.spearman_low is None
    constant = with_people([3, 3, 3], [1, 2, 3], (1, 5), resamples=RESAMPLES)
    assert constant.spearman is None and constant.bias == 1


def test_agreement_between_several_who_did_not_all_score() -> None:
    rulings = [[Verdict(name, {"overall": score}, {}) for name in "abc"[: 3 - score % 2]] for score in (1, 2, 3, 4, 5)]
    assert agreement.between(rulings)["overall"] == {"n": 5, "alpha": 1, "low": 1, "high": 1}
    assert agreement.between([[Verdict("a", {"overall": 1}, {})]] * 3) == {}


# --- the whole


def test_a_judge_is_measured_against_people(tmp_path: Path, server: ModelServer) -> None:
    """The judge gives 4 to even tasks and 2 to odd ones, except a 9 and a refusal to score."""

    def behave(body: dict[str, Any], number: int) -> Reply:
        text = body["messages"][1]["content"]
        which = int(text.partition("과제 ")[2].split()[0])
        if which == 8:
            return Reply(body=said("말할 수 없습니다."))
        score = 9 if which == 9 else 2 if which % 2 else 4
        form = [f"{label}: {score if label == '전반적인 품질' else 1}" for label, *_ in asked_lines(body)]
        return Reply(body=said("\n".join(form)))

    server.behave = behave
    rows = [row(n, (3 if n % 2 else 4), rater="가") for n in range(10)]
    rows += [row(n, 2, rater="나") for n in (1, 3)]
    lines, found = run(tmp_path, recipe(server), labels(tmp_path, *rows), "judge")
    overall = found["criteria"]["judge"]["overall"]
    assert overall["n"] == 8 and overall["failures"] == 2
    assert overall["exact"] == 0.75 and overall["within_one"] == 1 and overall["spearman"] > 0.9
    assert overall["bias"] == pytest.approx(-(0.5 + 0.5 + 1 + 1) / 8)  # two odd tasks have the median 2.5
    assert found["criteria"]["judge"].keys() == {"overall"} and found["responses"] == 10
    assert found["people"]["overall"]["n"] >= 2 and found["judges"]["judge"]["name"] == "toy1"
    assert any("out of range: 9" in line for line in lines) and any(line.startswith("overall") for line in lines)
    assert any(line.startswith("people among each other: overall: alpha") for line in lines)
    raw = (tmp_path / "run/calibrate/kullm.jsonl").read_text("utf-8").splitlines()
    assert len(raw) == 10 and "말할 수 없습니다." in raw[8]
    run(tmp_path, recipe(server), labels(tmp_path, *rows), "judge")
    assert len(server.asked) == 10  # from the ledger


def test_statements_are_calibrated_by_kind(tmp_path: Path, server: ModelServer) -> None:
    item = next(each for each in load("ko") if len(each.must) >= 2 and each.must_not)
    given = {"item": item.id, "response": "병원에 가세요.", "scores": {"must_1": 1, "must_2": 0, "must_not_1": -1}}
    server.behave = filled(lambda key, low, high: 1 if key == "S1" else 0)
    metrics = [{"use": "facts", "model": "judge"}]
    _, found = run(tmp_path, recipe(server, metrics=metrics), labels(tmp_path, given))
    assert found["criteria"]["judge"]["must"] | {"n": 2, "exact": 1} == found["criteria"]["judge"]["must"]
    assert found["criteria"]["judge"]["must_not"]["bias"] == 1


def test_the_judge_and_rubric_of_the_recipe(tmp_path: Path, server: ModelServer) -> None:
    metrics = ["chrf", {"use": "judge", "rubric": "kullm", "strict": True, "model": "judge"}]
    run(tmp_path, recipe(server, metrics=metrics), labels(tmp_path, row(1, 3)))
    assert (tmp_path / "run/calibrate/kullm.strict.json").is_file()
    with pytest.raises(UserError, match="no judge: name one"):
        run(tmp_path, recipe(server), labels(tmp_path, row(1, 3)))
    with pytest.raises(UnknownName, match="jugde"):
        run(tmp_path, recipe(server), labels(tmp_path, row(1, 3)), "jugde")


def test_every_problem_of_a_file_at_once_and_nothing_is_asked(tmp_path: Path, server: ModelServer) -> None:
    wrong = [
        row(1, 3), row(2, 7), {**row(3, 3), "scores": {"overal": 3}}, {"item": "ko-9999", "response": "a", "scores": {"overall": 1}},
        {"response": "a", "scores": {"overall": 1}}, {"instruction": "a", "scores": {"overall": 1}}, row(1, 4),
        {**row(4, 3), "scores": {"overall": 3.5}}, {**row(5, 3), "scores": {}},
    ]  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        run(tmp_path, recipe(server), labels(tmp_path, *wrong), "judge")
    problems = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 8 and not server.asked
    for said_so in (
        "row 2: overall is 7", "row 3: no criterion 'overal' for this item; did you mean 'overall'", "row 4: no item 'ko-9999'",
        "row 5: expected `item`", "row 6: expected `response`", "row 7: the rater '' scored", "row 8: overall is 3.5",
    ):  # fmt: skip
        assert said_so in problems
    with pytest.raises(UserError, match="no file"):
        run(tmp_path, recipe(server), tmp_path / "nowhere.jsonl", "judge")
    with pytest.raises(ConfigError, match="no rows"):
        run(tmp_path, recipe(server), labels(tmp_path), "judge")


def test_the_command(tmp_path: Path, server: ModelServer) -> None:
    (tmp_path / "recipe.yaml").write_text(
        f"name: toy\nmodels: {{judge: {{use: http, url: '{server.url}', name: toy}}}}\n", "utf-8"
    )
    path = labels(tmp_path, *(row(n, 4) for n in range(3)))
    command = [str(Path(sys.executable).parent / "mundap"), "calibrate", "recipe.yaml", "--labels", str(path)]
    done = subprocess.run(
        [*command, "--judge", "judge"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "judge against people, 3 responses" in done.stdout and "overall" in done.stdout
    assert "3 requests (0 from the ledger)" in done.stdout
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert again.returncode == 1 and "no judge" in again.stderr and "Traceback" not in again.stderr
