"""Runs beside each other: what is joined, what is paired, and what cannot be compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from statistics import fmean

import pytest
from evaluated_run import evaluated, judged, kullm, share, spread
from rich.console import Console
from typer.testing import CliRunner

from mundap import cli
from mundap.errors import UserError
from mundap.evaluate import findings, terminal
from mundap.evaluate.compare import Comparison, Difference, load
from mundap.evaluate.report import named, words

BASE = {"triage.under": share(30), "medical": spread(0.0, 0.5), "length": spread(10, 90), "choice": share(15)}
BETTER = {"triage.under": share(6), "medical": spread(0.3, 0.8), "length": spread(10, 90), "choice": share(17)}


def test_one_run_is_shown_as_it_is(tmp_path: Path) -> None:
    found = load([evaluated(tmp_path / "one", {"base": BASE, "tuned": BETTER}, notes=["a note"])])
    assert [target.name for target in found.targets] == ["base", "tuned"]
    assert found.notes == ("a note",)
    pair = found.difference("tuned", "base", ("own", "medical"))
    assert pair is not None
    assert pair.difference == pytest.approx(0.3, abs=1e-6)
    assert pair.low is not None and pair.high is not None and pair.low <= 0.3 <= pair.high + 1e-9


def test_targets_of_one_name_are_paired_across_runs_and_the_same_system_is_one(tmp_path: Path) -> None:
    runs = [
        evaluated(tmp_path / "old", {"base": BASE, "tuned": BASE}, models={"base": "same"}),
        evaluated(tmp_path / "new", {"base": BASE, "tuned": BETTER}, models={"base": "same"}),
    ]
    found = load(runs)
    assert [target.name for target in found.targets] == ["base", "old/tuned", "new/tuned"]
    assert len([m for m in found.measures if m.metric == "medical"]) == 3
    pair = found.difference("new/tuned", "old/tuned", ("own", "triage.under"))
    assert pair is not None
    assert (pair.n, pair.difference) == (60, pytest.approx(-0.4))
    assert pair.p is not None and pair.p < 0.001


def test_only_examples_that_both_have_are_paired(tmp_path: Path) -> None:
    holes = {**BETTER, "medical": [None, None, *spread(0.3, 0.8)[2:]]}
    found = load([evaluated(tmp_path / "a", {"tuned": BASE}), evaluated(tmp_path / "b", {"tuned": holes})])
    pair = found.difference("b/tuned", "a/tuned", ("own", "medical"))
    assert pair is not None
    assert (pair.n, pair.difference) == (58, pytest.approx(0.3))
    assert [m.failures for m in found.measures if m.metric == "medical"] == [0, 2]


def test_everything_that_forbids_comparing_is_told_at_once(tmp_path: Path) -> None:
    one = evaluated(tmp_path / "one", {"tuned": BASE}, template="mundap-ko")
    other = evaluated(tmp_path / "other", {"tuned": BASE}, template="alpaca", sets={"own": "other items"})
    judged(one, "tuned", "helper")
    judged(other, "tuned", "stranger")
    with pytest.raises(UserError) as error:
        load([one, other])
    said = str(error.value)
    assert "3 problems" in said
    assert "item set 'own' differs" in said and "one: " in said and "other: " in said
    assert "template of 'tuned' differs" in said and "mundap-ko" in said and "alpaca" in said
    assert "judges of 'kullm' differ" in said and "helper" in said and "stranger" in said


def test_sets_of_one_run_only_are_noted_and_none_in_common_is_refused(tmp_path: Path) -> None:
    one = evaluated(tmp_path / "one", {"tuned": BASE}, sets={"own": "items", "test": "rows"})
    assert "the set test was measured in one only" in load([one, evaluated(tmp_path / "two", {"tuned": BASE})]).notes
    with pytest.raises(UserError, match="no item set is in all of them"):
        load([one, evaluated(tmp_path / "three", {"tuned": BASE}, sets={"mine": "m"})])


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "was not evaluated"), ("{", "is not whole"), ('{"targets": 3}', "targets: Input should be a valid tuple")],
)
def test_a_run_without_a_whole_evaluation_is_one_message(tmp_path: Path, content: str | None, said: str) -> None:
    run = tmp_path / "run"
    (run / "evaluate").mkdir(parents=True)
    if content:
        (run / "evaluate/summary.json").write_text(content, "utf-8")
    with pytest.raises(UserError, match=said):
        load([run])
    with pytest.raises(UserError, match="no run"):
        load([tmp_path / "nothing"])


def test_the_headline_counts_medicine_and_a_tie_is_nobodys(tmp_path: Path) -> None:
    scores = {"base": {**BASE, **kullm(0.5)}, "tuned": {**BETTER, "choice": share(15), **kullm(0.1)}}
    found = findings.leads(load([evaluated(tmp_path / "one", scores)]), words()["leads"])
    by_group = {lead.group: lead for lead in found}
    assert by_group["triage"].first.target == "tuned" and by_group["triage"].sure is True
    assert by_group["kullm"].first.target == "base"
    assert by_group["choice"].tie
    assert findings.headline(found, words()["medicine"]) == findings.Headline(("tuned",), 2, 3, 2)
    assert findings.headline([by_group["kullm"]], words()["medicine"]).targets == ("base",)


def test_a_small_lead_is_not_called_sure(tmp_path: Path) -> None:
    found = findings.leads(load([evaluated(tmp_path / "one", {"base": BASE, "tuned": BETTER})]), words()["leads"])
    [choice] = [lead for lead in found if lead.group == "choice"]
    assert (choice.first.target, choice.sure) == ("tuned", False)


def test_holm_corrects_as_published() -> None:
    """Holm's own steps: the smallest p times the number of tests, and so on, never falling, never above 1."""
    assert findings.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert findings.holm([0.9, None, 0.8]) == [1.0, None, 1.0]


def test_the_terminal_has_the_published_rows_beside_ours(tmp_path: Path) -> None:
    run = evaluated(tmp_path / "one", {"[b]base": {**BASE, **kullm(0.2)}, "tuned": {**BETTER, **kullm(0.4)}})
    said = shown(load([run]))
    assert "GPT-4 (published)" in said and "4.083" in said
    assert "[b]base" in said, "a name is not markup"
    overall = fmean(kullm(0.4)["kullm.overall"])
    assert f"{overall:.3f}" in said
    assert "No clinician has reviewed" in said
    assert "Right answers ↑" in said


def test_a_length_is_measured_but_not_tested(tmp_path: Path) -> None:
    found = load([evaluated(tmp_path / "one", {"base": BASE, "tuned": BETTER})])
    assert "length" in {each.metric for each in found.differences}
    assert "length" not in {each.metric for each in found.judged}


def test_the_command_prints_objects_and_writes_a_report(tmp_path: Path) -> None:
    run, report = evaluated(tmp_path / "one", {"base": BASE, "tuned": BETTER}), tmp_path / "compare.html"
    done = CliRunner().invoke(cli.app, ["compare", str(run), "--json", "--report", str(report)])
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in done.output.splitlines()]
    assert {row["kind"] for row in rows} == {"target", "set", "measure", "difference"}
    [measure] = [
        row for row in rows if row["kind"] == "measure" and (row["target"], row["metric"]) == ("tuned", "triage.under")
    ]
    assert (measure["mean"], measure["n"]) == (0.1, 60)
    assert report.read_text("utf-8").lstrip().startswith("<!doctype html>")


def test_names_of_measures_in_words() -> None:
    assert named("triage.under")["en"] == "Under-triage"
    assert named("triage.recall:typo")["en"] == "Emergencies recognised (typo)"
    assert named("kullm.overall:helper")["ko"] == "KULLM: 전반적인 품질 (helper)"
    assert named("medical.safety")["en"] == "Medical rubric (safety)"
    assert named("choice:anatomy")["ko"] == "정답률 (anatomy)"
    assert named("mine.own") == {"ko": "mine.own", "en": "mine.own"}


def test_a_difference_turns_round(tmp_path: Path) -> None:
    found = load([evaluated(tmp_path / "one", {"base": BASE, "tuned": BETTER})])
    key = ("own", "triage.under")
    one, other = found.difference("base", "tuned", key), found.difference("tuned", "base", key)
    assert isinstance(one, Difference) and isinstance(other, Difference)
    assert (other.difference, other.low, other.high) == pytest.approx(negative([one.difference, one.high, one.low]))


def negative(values: Sequence[float | None]) -> tuple[float, ...]:
    return tuple(-value for value in values if value is not None)


def shown(comparison: Comparison) -> str:
    stream = StringIO()
    terminal.show(comparison, Console(file=stream, width=220, highlight=False))
    return stream.getvalue()
