"""Which run serves, and what keeps another from taking its place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest
from evaluated_run import Values, evaluated, share, spread
from typer.testing import CliRunner

from mundap import cli, config
from mundap.chat.places import described, serving
from mundap.errors import UserError
from mundap.evaluate import targets
from mundap.evaluate.promote import promote, told
from mundap.store import Manifest, Work, digest

SAFE: Values = {
    "triage.under": share(6),
    "triage.recall": share(50),
    "medical.safety": share(40),
    "chrf": spread(10, 20),
}


def run(home: Path, name: str, scores: Values | None = None, **options: Any) -> Path:
    made = evaluated(home / name, {"tuned": {**SAFE, **(scores or {})}}, **options)
    (made / "train/adapter").mkdir(parents=True)
    (made / "train/adapter/adapter_config.json").write_text('{"base_model_name_or_path": "owner/base"}', "utf-8")
    Work(made).finish(Manifest("train", f"{name}-key"))
    return made


def record(home: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((home / "serving.json").read_text("utf-8"))
    return found


def test_the_first_run_serves_and_who_when_and_why_is_recorded(tmp_path: Path) -> None:
    promote(run(tmp_path, "first"), why="the first", by="kim")
    found = record(tmp_path)
    assert (found["run"], found["target"], found["model"]) == ("first", "tuned", "tuned")
    assert (found["why"], found["by"], found["forced"], found["replaced"]) == ("the first", "kim", "", "")
    assert found["at"].startswith("20") and found["at"].endswith("+00:00")
    assert found["keys"] == {"train": "first-key"} and found["digests"]["summary"] and found["history"] == []
    assert str(tmp_path) not in json.dumps(found), "no path of this machine"


def test_one_that_is_no_worse_takes_its_place_and_the_history_stays(tmp_path: Path) -> None:
    promote(run(tmp_path, "first"))
    made = promote(run(tmp_path, "second", {"triage.under": share(4), "chrf": spread(1, 2)}))
    assert made.replaced == "first"
    assert {each.metric: each.worse for each in made.checks} == dict.fromkeys(
        ["triage.under", "triage.recall", "medical.safety"], ""
    )
    [entry] = record(tmp_path)["history"]
    assert entry["run"] == "first" and "history" not in entry
    assert any("triage.under" in line and "ok" in line for line in told(made))


def test_worse_triage_or_safety_is_refused_with_the_measure_and_how_much(tmp_path: Path) -> None:
    promote(run(tmp_path, "first"))
    worse = run(tmp_path, "worse", {"triage.under": share(20), "medical.safety": share(39)})
    with pytest.raises(UserError) as error:
        promote(worse)
    said = str(error.value)
    assert "triage.under (own): 0.3333, was 0.1 (+0.2333, 95 % +" in said and "it got worse\n" in said
    assert "medical.safety (own): 0.65, was 0.6667 (-0.01667" in said and "perhaps by chance" in said
    assert "triage.recall" not in said and "chrf" not in said
    assert record(tmp_path)["run"] == "first", "what serves is as it was"


def test_a_model_that_changed_since_it_was_evaluated_is_refused(tmp_path: Path) -> None:
    made = run(tmp_path, "one")
    (made / "recipe.yaml").write_text("name: one\n", "utf-8")
    (made / "train/adapter/adapter_model.safetensors").write_bytes(b"weights")
    [target] = targets.resolve(["tuned"], config.read(made / "recipe.yaml"), Work(made))
    path = made / "evaluate/summary.json"
    summary = json.loads(path.read_text("utf-8"))
    summary["targets"][0]["digests"]["model"] = digest(target.identity["model"])
    path.write_text(json.dumps(summary), "utf-8")
    assert promote(made).run == "one"
    (made / "train/adapter/adapter_model.safetensors").write_bytes(b"other weights")
    with pytest.raises(UserError, match="the model of one changed since it was evaluated"):
        promote(made)


def test_force_is_recorded_with_its_reason(tmp_path: Path) -> None:
    promote(run(tmp_path, "first"))
    worse = run(tmp_path, "worse", {"triage.under": share(20)})
    made = promote(worse, force="the old one is broken")
    assert record(tmp_path)["forced"] == "the old one is broken"
    [check] = [each for each in record(tmp_path)["checks"] if each["worse"]]
    assert (check["metric"], check["worse"]) == ("triage.under", "it got worse")
    assert check["low"] > 0
    assert "forced: the old one is broken" in "\n".join(told(made))


def test_what_was_measured_before_must_be_measured_again_on_the_same_items(tmp_path: Path) -> None:
    promote(run(tmp_path, "first"))
    less = evaluated(tmp_path / "less", {"tuned": {"triage.under": share(1)}})
    with pytest.raises(UserError, match=r"triage\.recall \(own\): –, was 0\.8333: it was not measured"):
        promote(less)
    with pytest.raises(UserError, match="the item set 'own' is another one"):
        promote(run(tmp_path, "other", sets={"own": "other items"}))


def test_nothing_measured_of_safety_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no triage or safety measure of 'tuned'"):
        promote(evaluated(tmp_path / "bare", {"tuned": {"chrf": spread(1, 2)}}))
    assert not (tmp_path / "serving.json").exists()


def test_only_what_can_serve_is_promoted(tmp_path: Path) -> None:
    made = evaluated(tmp_path / "one", {"base": SAFE})
    with pytest.raises(UserError, match="nothing that was evaluated can serve; evaluated were base"):
        promote(made)
    with pytest.raises(UserError, match="'base' cannot serve; evaluated were base"):
        promote(made, target="base")


def test_the_whole_assistant_is_what_serves_when_it_was_evaluated(tmp_path: Path) -> None:
    made = evaluated(tmp_path / "one", {"tuned": SAFE, "assistant": SAFE, "assistant:tuned": SAFE})
    assert promote(made).target == "assistant:tuned"
    assert promote(made, target="assistant").model == "compose"
    assert serving(str(tmp_path / "serving.json")) == "compose"


def test_an_evaluation_that_did_not_finish_or_a_broken_record_is_one_message(tmp_path: Path) -> None:
    made = run(tmp_path, "one")
    (tmp_path / "serving.json").write_text("[]", "utf-8")
    with pytest.raises(UserError, match=r"serving\.json is not whole"):
        promote(made)
    (tmp_path / "serving.json").unlink()
    (made / "evaluate/manifest.json").unlink()
    with pytest.raises(UserError, match="did not finish"):
        promote(made)


def test_a_run_that_serves_is_held_against_what_it_was_when_it_was_chosen(tmp_path: Path) -> None:
    promote(run(tmp_path, "first"))
    evaluated(tmp_path / "first", {"tuned": {**SAFE, "triage.under": share(20)}})
    with pytest.raises(UserError, match=r"triage\.under \(own\): 0\.3333, was 0\.1"):
        promote(tmp_path / "first")
    (tmp_path / "first").rename(tmp_path / "moved away")
    assert promote(run(tmp_path, "second")).replaced == "first"


def test_without_what_was_measured_of_the_serving_run_force_is_needed(tmp_path: Path) -> None:
    promote(run(tmp_path, "first"))
    rmtree(tmp_path / ".serving")
    second = run(tmp_path, "second")
    with pytest.raises(UserError, match="what was measured of first, which serves now, cannot be read"):
        promote(second)
    assert promote(second, force="it was lost").replaced == "first"


def test_serving_is_the_promoted_run_until_it_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no run serves yet"):
        serving("serving")
    made = run(tmp_path / "runs", "first")
    promote(made)
    assert serving("serving") == str(Path("runs/first"))
    assert described(serving("serving")) == {
        "use": "hf",
        "path": str(Path("runs/first/train/adapter")),
        "name": "first",
    }
    assert serving("bundled") == "bundled"
    Work(made).finish(Manifest("train", "another key"))
    with pytest.raises(UserError, match="was changed or taken away"):
        serving("serving")


def test_the_command_refuses_with_one_message(tmp_path: Path) -> None:
    first, worse = run(tmp_path, "first"), run(tmp_path, "worse", {"triage.recall": share(10)})
    done = CliRunner().invoke(cli.app, ["promote", str(first), "--why", "good", "--by", "lee"])
    assert done.exit_code == 0, done.output
    assert "first (tuned) serves now" in done.output and "mundap serve --model serving" in done.output
    done = CliRunner().invoke(cli.app, ["promote", str(worse)])
    assert isinstance(done.exception, UserError) and "triage.recall" in str(done.exception)
    assert CliRunner().invoke(cli.app, ["promote", str(worse), "--force", "a drill"]).exit_code == 0
    assert record(tmp_path)["run"] == "worse"
