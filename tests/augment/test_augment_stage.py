"""The stage: rows in are rows out and drops, what a model made says so, a second run asks nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from model_server import ModelServer, Reply, echo, refused

from mundap import config, pipeline, registry
from mundap.augment import stage
from mundap.errors import ConfigError, UserError
from mundap.records import encode
from mundap.store import Manifest, Work
from mundap.types import QA, Drop

pytestmark = pytest.mark.usefixtures("toy")


def run_folder(folder: Path, count: int = 30) -> Work:
    """A run whose clean stage is done."""
    (folder / "clean").mkdir(parents=True)
    rows = [
        QA(f"id{n}", f"질문 {n}입니다", f"답변 {n}입니다", licence="CC0", trail=("normalize",)) for n in range(count)
    ]
    (folder / "clean" / "out.jsonl").write_bytes(b"".join(map(encode, rows)))
    return Work(folder)


def recipe(server: ModelServer, steps: Iterable[Any] = ({"use": "toy", "model": "helper"},), **more: Any) -> Any:
    models = {
        "helper": {"use": "http", "url": server.url, "name": "toy-7b"},
        "idle": {"use": "scripted", "replies": []},
    }
    raw = {"name": "t", "models": models, "augment": {"steps": list(steps), "retries": 0, **more}}
    return config.parse(raw, "test")


def rows_of(work: Work, name: str = "out") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (work.root / "augment" / f"{name}.jsonl").read_text("utf-8").splitlines()]


def outputs(work: Work) -> tuple[bytes, bytes]:
    folder = work.root / "augment"
    return (folder / "out.jsonl").read_bytes(), (folder / "dropped.jsonl").read_bytes()


def test_without_steps_rows_are_copied(tmp_path: Path, server: ModelServer) -> None:
    work = run_folder(tmp_path)
    manifest = stage.run(recipe(server, ()), work)
    assert outputs(work) == ((tmp_path / "clean" / "out.jsonl").read_bytes(), b"")
    assert (manifest.kept, manifest.dropped, manifest.details["made"]) == (30, {}, 0)
    assert not server.asked


def test_made_rows_stand_beside_the_others_and_say_so(tmp_path: Path, server: ModelServer) -> None:
    work = run_folder(tmp_path)
    manifest = stage.run(recipe(server), work)
    rows = rows_of(work)
    assert (manifest.kept, manifest.details["made"], len(rows)) == (60, 30, 60)
    asked, made = rows[::2], rows[1::2]
    assert [row["id"] for row in asked] == [f"id{n}" for n in range(30)]
    assert {row["question_origin"] for row in made} == {"generated"}
    assert made[3]["question"] == "you said: 질문 3입니다"
    assert made[3]["trail"] == ["normalize", "toy:toy-7b:abc"]
    assert (made[3]["group"], made[3]["licence"]) == ("id3", "CC0")
    assert not list((tmp_path / "augment").glob(".*"))


def test_failures_are_dropped_with_a_reason_and_counted(
    tmp_path: Path, server: ModelServer, capsys: pytest.CaptureFixture[str]
) -> None:
    def behave(body: dict[str, Any], number: int) -> Reply:
        return refused(400, "no") if "7" in body["messages"][0]["content"] else echo(body, number)

    server.behave = behave
    work = run_folder(tmp_path)
    manifest = stage.run(recipe(server, prices={"helper": (1.0, 10.0)}), work)
    assert manifest.dropped == {"toy: HTTP 400": 3}
    assert manifest.kept + 3 == 30 + manifest.details["made"]
    assert [row["record"]["id"] for row in rows_of(work, "dropped")] == ["id7", "id17", "id27"]
    [counts] = manifest.details["models"].values()
    assert {key: counts[key] for key in ("requests", "sent", "cached", "failed", "unasked")} == {
        "requests": 30, "sent": 30, "cached": 0, "failed": 3, "unasked": 0
    }  # fmt: skip
    assert (counts["prompt_tokens"], counts["completion_tokens"]) == (270, 135)
    assert counts["cost"] == pytest.approx((270 * 1 + 135 * 10) / 1e6)
    told = capsys.readouterr().err
    assert "30 requests" in told and "3 failed" in told and "cost 0.0016" in told


def test_a_second_run_does_nothing_and_a_change_asks_only_what_is_new(tmp_path: Path, server: ModelServer) -> None:
    work = run_folder(tmp_path)  # F07
    first = stage.run(recipe(server), work)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "augment").iterdir()}
    began = time.perf_counter()
    for same in (recipe(server), recipe(server, at_once=2, requests_per_minute=999)):
        assert stage.run(same, work) == first
    assert time.perf_counter() - began < 1
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "augment").iterdir()} == before
    steps = [{"use": "toy", "model": "helper"}, {"use": "toy", "model": "helper", "max_tokens": 32}]
    second = stage.run(recipe(server, steps), work)
    assert second.key != first.key
    assert len(server.asked) == 30 + 60
    assert second.details["models"]["helper"]["cached"] == 30
    assert [step["made"] for step in second.details["steps"]] == [30, 60]


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"models.helper.name": "other"}, False), ({"models.helper.url": "http://127.0.0.1:1/v1"}, True),
        ({"models.idle.piece": 9}, True), ({"augment.tokens": 10**9}, False), ({"seed": 1}, False),
    ],
    ids=str,
)  # fmt: skip
def test_what_the_key_rests_on(tmp_path: Path, server: ModelServer, change: dict[str, Any], same: bool) -> None:
    one = recipe(server)
    raw = one.model_dump(mode="json", exclude_unset=True)
    other = config.parse(raw, "test", [f"{key}={value}" for key, value in change.items()])
    assert (stage._config(one) == stage._config(other)) is same


def test_when_the_budget_is_used_up_rows_pass_on(
    tmp_path: Path, server: ModelServer, capsys: pytest.CaptureFixture[str]
) -> None:
    work = run_folder(tmp_path)
    manifest = stage.run(recipe(server, requests=12), work)
    assert [row["id"] for row in rows_of(work) if row["question_origin"] == "asked"] == [f"id{n}" for n in range(30)]
    assert (manifest.details["made"], manifest.details["budget_used_up"]) == (12, "12 requests")
    assert manifest.details["models"]["helper"]["unasked"] == 18
    assert "budget of 12 requests is used up" in capsys.readouterr().err
    raised = stage.run(recipe(server, requests=20), work)
    assert (raised.details["made"], len(server.asked)) == (20, 20)


def test_a_run_that_ended_goes_on(tmp_path: Path, server: ModelServer) -> None:
    server.behave = lambda body, number: refused(401, "no") if number > 10 else echo(body, number)
    work = run_folder(tmp_path)
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        stage.run(recipe(server, at_once=1), work)
    assert work.manifest("augment") is None
    server.behave = echo
    manifest = stage.run(recipe(server, at_once=1), work)
    assert manifest.details["models"]["helper"]["cached"] == 10
    assert manifest.details["made"] == 30


def test_malformed_lines_are_quarantined(tmp_path: Path, server: ModelServer) -> None:
    work = run_folder(tmp_path, 3)
    with (tmp_path / "clean" / "out.jsonl").open("ab") as stream:
        stream.write(b'{"id": "x"}\nno\n')
    manifest = stage.run(recipe(server), work)
    assert manifest.kept == 6
    assert sum(manifest.dropped.values()) == 2
    assert [row["record"]["line"] for row in rows_of(work, "dropped")] == [4, 5]


def test_all_that_is_wrong_is_said_at_once_before_any_work(tmp_path: Path, server: ModelServer) -> None:
    with pytest.raises(UserError, match="run `mundap clean`"):
        stage.run(recipe(server), Work(tmp_path / "none"))
    work = run_folder(tmp_path / "some")
    steps = [{"use": "toy", "model": "helpr"}, {"use": "toy", "model": "helper", "count": 2}]
    with pytest.raises(ConfigError) as caught:
        stage.run(recipe(server, steps, prices={"gone": (1, 1)}), work)
    assert "3 problems" in str(caught.value)
    assert "did you mean 'helper'" in str(caught.value)
    assert not server.asked
    with pytest.raises(ConfigError, match=r"augment.steps.0: no augmenter is called 'reapir'; did you mean 'repair'"):
        recipe(server, ["reapir"])


class Loses:
    def __init__(self, context: Any) -> None: ...

    def __call__(self, records: Iterable[QA]) -> Iterator[QA | Drop]:
        yield from list(records)[1:]


class Twice:
    """Goes through the rows twice."""

    def __init__(self, context: Any) -> None: ...

    def __call__(self, records: Iterable[QA]) -> Iterator[QA | Drop]:
        assert [row.id for row in records] == [row.id for row in records]
        assert len(records) == 5  # type: ignore[arg-type]
        yield from records


def test_a_step_that_loses_rows_is_a_bug(tmp_path: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    made = dict(registry.BUILT_IN)["augmenters"]
    monkeypatch.setitem(made, "loses", "test_augment_stage:Loses")  # type: ignore[index]
    monkeypatch.setattr(registry, "find", lambda kind, name: Loses)
    with pytest.raises(RuntimeError, match="lost 1 of 5 rows"):
        stage.run(recipe(server, ["loses"]), run_folder(tmp_path, 5))


def test_a_step_may_read_the_rows_twice(tmp_path: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dict(registry.BUILT_IN)["augmenters"], "twice", "x:y")  # type: ignore[index]
    monkeypatch.setattr(registry, "find", lambda kind, name: Twice)
    assert stage.run(recipe(server, ["twice"]), run_folder(tmp_path, 5)).kept == 5


def test_in_the_pipeline(tmp_path: Path, server: ModelServer) -> None:
    found: list[Manifest] = list(pipeline.run(recipe(server), run_folder(tmp_path, 3), "augment", "augment"))
    assert [(each.stage, each.kept) for each in found] == [("augment", 6)]
