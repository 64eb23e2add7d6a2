from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import book_translator
import pytest

from mundap import config, registry
from mundap.asking.context import Context
from mundap.augment import stage
from mundap.augment.translated import Translated
from mundap.errors import ConfigError, UserError
from mundap.store import Work, write_jsonl
from mundap.types import QA, Drop

ENGLISH = QA(
    "a1", "My head hurts for 3 days. Should I rest?", "- Rest well.\n\nTake ibuprofen 3 times a day.", "Headache",
    lang="en", source="https://a.org/1", licence="CC0", trail=("clean",), flags=("stale",),
)  # fmt: skip
KOREAN = QA("k1", "머리가 아파요.", "푹 쉬세요.")


@pytest.fixture(autouse=True)
def book(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dict(registry.BUILT_IN)["translators"], "book", "book_translator:Book")
    book_translator.asked.clear()


def step(
    folder: Path, augment: dict[str, Any] | None = None, models: dict[str, Any] | None = None, **given: Any
) -> Translated:
    recipe = config.parse({"augment": augment or {}, "models": models or {}}, "test")
    context = Context(recipe, folder / "augment", "translate")
    return Translated(context, **{"engine": "book", **given})


def test_a_row_in_the_other_language(tmp_path: Path) -> None:
    [row] = step(tmp_path)([ENGLISH])
    assert row == QA(
        "a1-ko", "3일째 머리가 아파요. 쉬어야 하나요?", "- 푹 쉬세요.\n\n이부프로펜을 하루 3번 드세요.", "두통",
        lang="ko", source="https://a.org/1", licence="CC0; CC BY-NC 4.0", question_origin="translated",
        trail=("clean", "translate:book:toy:7"), flags=("stale", "translated"), group="a1",
    )  # fmt: skip


def test_rows_in_the_language_pass_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(step(tmp_path)([KOREAN, KOREAN])) == [KOREAN, KOREAN]
    assert book_translator.asked == []
    assert capsys.readouterr().err == ""


def test_the_licence_is_shown_once_and_before_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = step(tmp_path)([replace(ENGLISH, id=str(n)) for n in range(40)])
    assert capsys.readouterr().err == ""
    next(rows)
    assert capsys.readouterr().err == "translate: These weights are not for sale.\n"
    assert len(list(rows)) == 39
    assert capsys.readouterr().err == ""


def test_the_original_may_be_kept_in_the_same_group(tmp_path: Path) -> None:
    first, second = step(tmp_path, keep=True)([ENGLISH])
    assert first == replace(ENGLISH, group="a1")
    assert (second.id, second.group, second.lang) == ("a1-ko", "a1", "ko")
    grouped = replace(ENGLISH, group="g")
    assert [row.group for row in step(tmp_path, keep=True)([grouped])] == ["g", "g"]


def test_a_row_that_fails_a_check_is_dropped_with_its_name(tmp_path: Path) -> None:
    bad = replace(ENGLISH, id="a2", answer="Rest well. Do not drive.")
    first, drop, last = step(tmp_path)([ENGLISH, bad, KOREAN])
    assert (first.id, last) == ("a1-ko", KOREAN)
    assert isinstance(drop, Drop)
    assert (drop.step, drop.reason) == ("translate", "negation")
    assert drop.record["id"] == "a2"
    assert drop.record["problems"] == ["negation: lost"]


def test_an_unanswered_text_is_a_reason_too(tmp_path: Path) -> None:
    [drop] = step(tmp_path)([replace(ENGLISH, answer="Nobody knows this one.")])
    assert isinstance(drop, Drop)
    assert drop.reason == "empty"


def test_what_is_only_flagged_says_so_or_is_dropped_by_the_recipe(tmp_path: Path) -> None:
    doubtful = replace(ENGLISH, answer="It may be a migraine.")
    [row] = step(tmp_path)([doubtful])
    assert isinstance(row, QA)
    assert row.flags == ("stale", "translated", "translate:glossary")
    [drop] = step(tmp_path, drop=["glossary"])([doubtful])
    assert isinstance(drop, Drop)
    assert drop.reason == "glossary"


def test_a_round_trip_is_a_flag(tmp_path: Path) -> None:
    [row] = step(tmp_path, round_trip=True)([ENGLISH])
    assert isinstance(row, QA)
    assert row.flags == ("stale", "translated", "translate:round_trip")
    [same] = step(tmp_path, round_trip={"use": "book"}, to="en")([replace(KOREAN, answer="머리가 아파요.")])
    assert (same.question, same.lang, same.flags) == ("My head hurts.", "en", ("translated", "translate:round_trip"))


def test_rows_are_streamed_and_in_order(tmp_path: Path) -> None:
    rows = [replace(ENGLISH if n % 3 else KOREAN, id=str(n)) for n in range(50)]
    taken = 0

    def counted() -> Any:
        nonlocal taken
        for row in rows:
            taken += 1
            yield row

    out = step(tmp_path)(counted())
    next(out)
    assert taken == 16
    assert ["0", *(row.id for row in out)] == [f"{n}-ko" if n % 3 else str(n) for n in range(50)]


def test_the_engine_is_not_asked_twice_in_another_run(tmp_path: Path) -> None:
    before = list(step(tmp_path)([ENGLISH]))
    asked = len(book_translator.asked)
    assert list(step(tmp_path)([ENGLISH])) == before
    assert len(book_translator.asked) == asked
    assert (tmp_path / "augment" / "translations.sqlite").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"engine": "boook"}, "no model called 'boook'"),
        ({"to": "jp"}, "expected ko or en"),
        ({"drop": ["negations"]}, "did you mean 'negation'"),
        ({"engine": {"use": "book", "colour": 1}}, "colour"),
        ({"round_trip": "papagoo"}, "no model called 'papagoo'"),
        ({"engine": {"name": "book"}}, "use"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(tmp_path: Path, given: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        step(tmp_path, **given)
    assert book_translator.asked == []


def scripted(*replies: str) -> dict[str, Any]:
    return {"helper": {"use": "scripted", "replies": list(replies)}}


def test_a_model_of_the_recipe_translates(tmp_path: Path) -> None:
    models = scripted("1. 두통\n2. 3일째 머리가 아파요.\n3. 쉬어야 하나요?\n4. 푹 쉬세요.\n5. ⟦0⟧을 하루 ⟦1⟧번 드세요.")
    [row] = step(tmp_path, models=models, engine="helper")([ENGLISH])
    assert isinstance(row, QA)
    assert row.answer == "- 푹 쉬세요.\n\n이부프로펜을 하루 3번 드세요."
    assert row.trail[-1].startswith("translate:llm:scripted:")


def test_rows_beyond_the_budget_pass_as_they_are(tmp_path: Path) -> None:
    models = scripted("1. 두통\n2. 3일째 머리가 아파요.\n3. 쉬어야 하나요?\n4. 푹 쉬세요.\n5. ⟦0⟧을 하루 ⟦1⟧번 드세요.")
    rows = [ENGLISH, *[replace(KOREAN, id=f"k{n}") for n in range(15)], replace(ENGLISH, id="a2", answer="Drink tea.")]
    for _ in range(2):  # and so does a run after it, from the ledger
        out = list(step(tmp_path, {"requests": 1}, models, engine="helper", keep=True)(rows))
        assert [row.id for row in out] == ["a1", "a1-ko", *(f"k{n}" for n in range(15)), "a2"]
        assert out[-1] == rows[-1]
    assert not (tmp_path / "augment" / "translations.sqlite").exists()


def test_through_the_stage(tmp_path: Path) -> None:
    bad = replace(ENGLISH, id="a2", answer="Do not drive.")
    raw = {"augment": {"steps": [{"use": "translate", "engine": "book"}]}}
    recipe, work = config.parse(raw, "test"), Work(tmp_path)
    write_jsonl(work.folder("clean") / "out.jsonl", map(asdict, (ENGLISH, bad, KOREAN)))
    manifest = stage.run(recipe, work)
    assert (manifest.kept, manifest.dropped) == (2, {"translate: negation": 1})
    first = (tmp_path / "augment" / "out.jsonl").read_bytes()
    assert [json.loads(line)["id"] for line in first.splitlines()] == ["a1-ko", "k1"]
    (tmp_path / "augment" / "manifest.json").unlink()
    asked = len(book_translator.asked)
    stage.run(recipe, work)
    assert (tmp_path / "augment" / "out.jsonl").read_bytes() == first
    assert len(book_translator.asked) == asked


@pytest.mark.parametrize("calls", [1, 2, 3, 4, 5])
def test_a_run_that_was_cut_off_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    raw = {"augment": {"steps": [{"use": "translate", "engine": "book", "batch": 2, "round_trip": True}]}}
    rows = [asdict(replace(ENGLISH, id=f"r{n}", answer=answer)) for n, answer in enumerate(["Rest well.", "?", "Go."])]
    results = []
    for name in ("whole", "cut"):
        recipe, work = config.parse(raw, "test"), Work(tmp_path / name)
        write_jsonl(work.folder("clean") / "out.jsonl", rows)
        if name == "cut":
            book_translator.asked.clear()
            monkeypatch.setattr(book_translator, "limit", calls)
            with pytest.raises(UserError, match="quota"):
                stage.run(recipe, work)
            monkeypatch.setattr(book_translator, "limit", 10**9)
        stage.run(recipe, work)
        results.append([(work.root / "augment" / f"{kind}.jsonl").read_bytes() for kind in ("out", "dropped")])
    assert results[0] == results[1]


def test_a_wrong_step_of_a_recipe_is_one_of_its_problems(tmp_path: Path) -> None:
    raw = {"augment": {"steps": [{"use": "translate", "engine": "book", "two": "ko"}]}}
    write_jsonl(Work(tmp_path).folder("clean") / "out.jsonl", [])
    with pytest.raises(ConfigError, match="two"):
        stage.run(config.parse(raw, "test"), Work(tmp_path))
