"""The stage: files that other tools load, nothing lost, nothing leaked, the same bytes every time."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from dataset_made import NOWHERE, build, lines, made, outputs, recipe, record, records, run_folder

from mundap import pipeline, prompts
from mundap.dataset import stage
from mundap.errors import ConfigError, MissingExtra, UserError
from mundap.store import Manifest
from mundap.types import Message

SPLITS = ("train", "val", "test")
GENERAL = [
    {"instruction": f"{n}번째 물음에 답하세요", "input": "" if n % 2 else f"{n} 더하기 {n}", "output": f"{n * 2}입니다"}
    for n in range(400)
]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text(json.dumps(rows, ensure_ascii=False), "utf-8")
    return str(path)


def test_every_row_is_kept_or_dropped_and_in_one_split(tmp_path: Path) -> None:
    rows = [
        *records(200),
        record(500, answer=" "),
        record(501, question="", state="question_deleted"),
        record(502, question=""),
    ]
    manifest, folder = made(tmp_path, rows)
    kept, dropped = list(lines(folder / "out.jsonl")), list(lines(folder / "dropped.jsonl"))
    assert (manifest.kept, len(kept)) == (200, 200)
    assert manifest.dropped == {"build: no answer": 1, "build: no question": 1, "build: question deleted": 1}
    assert manifest.details["rows"] == len(rows) == len(kept) + len(dropped)
    assert manifest.details["splits"] == {"train": 180, "val": 10, "test": 10} == Counter(row["split"] for row in kept)
    assert {row["record"]["id"] for row in dropped} == {rows[place].id for place in (200, 201, 202)}


def test_alpaca_json_holds_three_keys_and_loads_elsewhere(tmp_path: Path) -> None:
    _, folder = made(tmp_path / "run", records(100), val=0.1, test=0)
    for split, count in zip(SPLITS, (90, 10, 0), strict=True):
        rows = json.loads((folder / f"{split}.json").read_text("utf-8"))
        assert len(rows) == count
        assert all(list(row) == ["instruction", "input", "output"] for row in rows)
    source = record(int(next(lines(folder / "train.jsonl"))["id"], 16))
    assert json.loads((folder / "train.json").read_text("utf-8"))[0] == {
        "instruction": prompts.instruction("ko"),
        "input": source.question,
        "output": source.answer,
    }


def test_the_datasets_library_loads_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    _, folder = made(tmp_path / "run", records(60), val=0.1, test=0.1)
    for name, columns in (
        (None, ["instruction", "input", "output"]),
        ("prompt-completion", ["id", "lang", "prompt", "completion"]),
    ):
        found = datasets.load_dataset(str(folder), name, cache_dir=str(tmp_path / "cache"))
        assert {split: len(found[split]) for split in found} == {"train": 48, "validation": 6, "test": 6}
        assert found["train"].column_names == columns


@pytest.mark.parametrize("template", prompts.template_names())
def test_prompt_and_completion_are_what_the_renderer_gives(tmp_path: Path, template: str) -> None:
    _, folder = made(tmp_path, records(30), template=template)
    rows = {row["id"]: row for row in lines(folder / "train.jsonl")}
    for source in records(30):
        talk = [Message("system", prompts.instruction("ko")), Message("user", source.question)]
        if source.id in rows:
            assert rows[source.id]["prompt"] == prompts.render(template, talk).text
            assert rows[source.id]["completion"] == source.answer
    found = prompts.saved(folder)
    assert found == prompts.template(template)


def test_the_base_models_own_template_gets_messages(tmp_path: Path) -> None:
    _, folder = made(tmp_path, records(30), template="model")
    row = next(lines(folder / "train.jsonl"))
    assert [line["role"] for line in row["prompt"]] == ["system", "user"]
    assert [line["role"] for line in row["completion"]] == ["assistant"]
    assert prompts.saved(folder) == prompts.template("model")


def test_a_dialogue_teaches_each_of_the_doctors_turns(tmp_path: Path) -> None:
    turns = (("doctor", "언제부터 아프셨나요?"), ("patient", "어제부터요."), ("doctor", "물을 마시고 쉬세요."))
    talk = record(
        900, question="의사: 언제부터 아프셨나요?\n환자: 어제부터요.", answer="물을 마시고 쉬세요.", flags=("dialogue",), fields=turns,
        question_origin="generated",
    )  # fmt: skip
    broken = record(901, flags=("dialogue",), fields=turns[:2], question_origin="generated")
    manifest, folder = made(tmp_path, [*records(20), talk, broken])
    assert manifest.dropped == {"build: turns of a dialogue do not alternate": 1}
    rows = [row for row in lines(folder / "train.jsonl") if row["id"].startswith(talk.id)]
    opening = f"### 질문:\n{prompts.instruction('ko', dialogue=True)}\n\n### 답변:\n"
    assert [(row["id"][-2:], row["prompt"], row["completion"]) for row in rows] == [
        ("#0", opening, turns[0][1]),
        ("#1", f"{opening}{turns[0][1]}\n\n### 질문:\n어제부터요.\n\n### 답변:\n", turns[2][1]),
    ]
    alpaca = json.loads((folder / "train.json").read_text("utf-8"))
    assert {
        "instruction": prompts.instruction("ko", dialogue=True),
        "input": talk.question,
        "output": talk.answer,
    } in alpaca


def test_general_rows_are_their_share_of_what_is_trained_on(tmp_path: Path) -> None:
    path = write(tmp_path / "general.json", [*GENERAL, {"instruction": "", "output": "x"}, GENERAL[0]])
    manifest, folder = made(tmp_path / "run", records(100), mix=[{"path": path, "share": 0.25, "licence": "MIT"}])
    general = [row for row in lines(folder / "out.jsonl") if row["origin"] == "general"]
    train = manifest.details["splits"]["train"]
    assert len(general) == 30 == round(0.25 * train)
    assert {(row["split"], row["licence"], row["source"]) for row in general} == {("train", "MIT", "general")}
    assert len({row["id"] for row in general}) == 30
    assert manifest.details["mix"] == [{"name": "general", "rows": 402, "share": 0.25, "wanted": 30, "taken": 30}]
    first = next(row for row in general if not row["input"])
    prompt = next(row["prompt"] for row in lines(folder / "train.jsonl") if row["id"] == first["id"])
    assert prompt == f"### 질문:\n{first['instruction']}\n\n### 답변:\n"
    made(tmp_path / "seed", records(100), mix=[{"path": path, "share": 0.25}], more={"seed": 1})
    assert {row["id"] for row in lines(tmp_path / "seed/build/out.jsonl") if row["origin"] == "general"} != {
        row["id"] for row in general
    }


def test_too_few_general_rows_are_all_taken_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "few.json", GENERAL[:5])
    manifest, _ = made(tmp_path / "run", records(100), mix=[{"path": path, "share": 0.5}])
    assert manifest.details["mix"][0]["taken"] == 5
    assert "few: 90 general rows wanted, 5 found" in " ".join(capsys.readouterr().err.split())


def test_rows_to_train_on_lose_what_an_evaluation_set_has(tmp_path: Path) -> None:
    rows = records(100)
    asked = [
        {"id": "e1", "question": rows[3].question.upper() + "!"},
        {"id": "e2", "question": rows[7].question + "요"},
        {"question": "딴 물음입니다"},
    ]
    leaks = [
        {**GENERAL[1], "instruction": rows[3].question},
        {"instruction": "다음에 답하세요", "input": rows[7].question, "output": "네"},
    ]
    manifest, folder = made(
        tmp_path / "run", rows, val=0, test=0, contamination=[write(tmp_path / "exam.json", asked)],
        mix=[{"path": write(tmp_path / "leak.json", [*GENERAL[:20], *leaks]), "share": 0.3}],
    )  # fmt: skip
    found = [
        (row["set"], row["item"], row["kind"], row["split"])
        for row in lines(folder / "overlap.jsonl")
        if row["set"] == "exam"
    ]
    assert found[:2] == [("exam", "e1", "exact", "train"), ("exam", "e2", "near", "train")]
    kept = {row["id"] for row in lines(folder / "out.jsonl")}
    assert rows[3].id not in kept and rows[7].id not in kept and rows[4].id in kept
    texts = (folder / "train.json").read_text("utf-8")
    assert rows[3].question not in texts
    assert manifest.dropped == {
        "overlap: question in evaluation set exam (exact)": 2, "overlap: question in evaluation set exam (near)": 2,
    }  # fmt: skip
    row = next(each for each in manifest.details["overlap"] if each["set"] == "exam")
    assert (row["questions"], row["train"]) == (3, {"exact": 2, "near": 2})


def test_general_rows_do_not_bring_in_held_out_questions(tmp_path: Path) -> None:
    rows = records(50)
    path = write(
        tmp_path / "leak.json",
        [{"instruction": "답하세요", "input": row.question, "output": row.answer} for row in rows],
    )
    _, folder = made(tmp_path / "run", rows, val=0.2, test=0.2, mix=[{"path": path, "share": 0.5}])
    found = list(lines(folder / "out.jsonl"))
    held = {row["input"] for row in found if row["split"] != "train"}
    assert len(held) == 20
    assert not held & {row["input"] for row in found if row["split"] == "train"}


def test_the_packages_own_questions_are_an_evaluation_set(tmp_path: Path) -> None:
    from mundap.evaluate import items

    question = items.load("ko")[0].turns[0].content
    manifest, folder = made(tmp_path, [*records(30), record(99, question=question)], val=0, test=0)
    assert [row["kind"] for row in lines(folder / "overlap.jsonl")] == ["exact"]
    assert manifest.details["splits"]["train"] == 30


def test_files_that_the_evaluation_names_are_sets_too(tmp_path: Path) -> None:
    rows = records(30)
    exam = write(tmp_path / "exam.json", [{"question": rows[3].question}])
    (tmp_path / "rubric.yaml").write_text("name: no set\n")
    metrics = [{"use": "judge", "items": exam, "rubric": str(tmp_path / "rubric.yaml")}]
    manifest, _ = made(tmp_path / "run", rows, val=0, test=0, more={"evaluate": {"metrics": metrics}})
    assert manifest.dropped == {"overlap: question in evaluation set exam (exact)": 1}


def test_only_what_the_recipe_lets_in(tmp_path: Path) -> None:
    rows = [
        *records(10), record(20, licence="All rights reserved"), record(21, licence="CC BY-NC-ND 4.0"), record(22, lang="en"),
        record(23, licence="CC BY-ND 4.0", permission="letter of 2026-10-02"), record(24, answer="### 답변: 네"),
    ]  # fmt: skip
    manifest, _ = made(tmp_path / "a", rows, lang="ko")
    assert manifest.kept == 11
    assert manifest.dropped == {
        "build: holds the marker of a turn or of a template": 1, "build: language en not asked for": 1,
        "build: licence All rights reserved forbids it: all rights are reserved": 1,
        "build: licence CC BY-NC-ND 4.0 forbids it: no derived works": 1,
    }  # fmt: skip
    rows = [
        *records(10),
        record(20, licence="MIT"),
        record(21, licence=""),
        record(22, licence="", permission="letter"),
        record(23, permission="x", licence=""),
    ]
    manifest, _ = made(tmp_path / "b", rows, licences=["cc-by-4.0"], permissions=["letter"])
    assert manifest.kept == 11
    assert manifest.dropped == {
        "build: licence MIT not listed in the recipe": 1,
        "build: licence unknown not listed in the recipe": 2,
    }


def test_the_card_says_where_rows_come_from_and_what_they_are_not(tmp_path: Path) -> None:
    rows = [*records(100), *(record(n, question_origin="generated", specialty="") for n in range(200, 220))]
    _, folder = made(tmp_path, rows)
    text = (folder / "README.md").read_text("utf-8")
    _, header, body = text.split("---\n", 2)
    found = yaml.safe_load(header)
    assert (found["license"], found["language"], found["size_categories"]) == ("cc-by-4.0", ["ko"], ["n<1K"])
    assert [each["path"] for each in found["configs"][0]["data_files"]] == ["train.json", "val.json", "test.json"]
    for said in (
        "No clinician has reviewed these rows", "| hidoc |", "| kin |", "| CC BY 4.0 |", "| asked by a person |",
        "| made up by a model from an answer | 20 | 0 | 0 |", "| 내과 |", "| not stated |", "quality: answer too short: 3",
        "template `mundap-ko`", "Known limits",
    ):  # fmt: skip
        assert said in body
    assert "More Information Needed" not in text
    assert "{" not in body


def test_lengths_in_tokens_of_the_base_and_what_would_be_cut(tmp_path: Path) -> None:
    base = tokenizer_folder(tmp_path / "base")
    work = run_folder(tmp_path / "run", records(40))
    manifest = stage.run(recipe(more={"train": {"base": str(base)}}, length=32), work)
    found = manifest.details["lengths"]
    assert (found["unit"], found["why"]) == ("token", "")
    train = [f"{row['prompt']}{row['completion']}" for row in lines(tmp_path / "run/build/train.jsonl")]
    sizes = sorted(len(text.split()) + 1 for text in train)
    assert found["splits"]["train"] == {
        "rows": 36, "p50": sizes[18], "p90": found["splits"]["train"]["p90"], "p95": found["splits"]["train"]["p95"],
        "p99": sizes[-1], "longest": sizes[-1], "total": sum(sizes), "cut": sum(size > 32 for size in sizes),
    }  # fmt: skip
    assert str(tmp_path) not in (tmp_path / "run/build/README.md").read_text("utf-8")


def tokenizer_folder(folder: Path) -> Path:
    """A base with nothing but a tokenizer that splits at spaces."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", eos_token="</s>").save_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(b"")
    return folder


def test_without_a_tokenizer_it_says_characters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest, folder = made(tmp_path, records(20))
    found = manifest.details["lengths"]
    assert (found["unit"], found["splits"]["train"]["cut"]) == ("character", None)
    assert f"{NOWHERE} is not on this machine" in capsys.readouterr().err
    assert "Characters, prompt and answer" in (folder / "README.md").read_text("utf-8")


def test_a_second_run_does_nothing_and_a_changed_recipe_does(tmp_path: Path) -> None:
    work = run_folder(tmp_path, records(50))
    first = build(work)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "build").iterdir()}
    assert build(work) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "build").iterdir()} == stamps
    assert build(work, test=0.2).key != first.key
    assert build(work, template="alpaca").details["template"] == "alpaca"


def test_splits_do_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    rows = records(120)
    made(tmp_path / "one", rows)
    random.Random(3).shuffle(rows)
    made(tmp_path / "other", rows)
    one, other = (
        {row["id"]: row["split"] for row in lines(tmp_path / name / "build/out.jsonl")} for name in ("one", "other")
    )
    assert one == other


def test_augmented_records_are_read_where_the_recipe_has_that_section(tmp_path: Path) -> None:
    work = run_folder(tmp_path, records(20))
    run_folder(tmp_path, records(30), "augment")
    assert build(work).kept == 20
    assert build(work, more={"augment": {"steps": []}}).kept == 30


RUN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from dataset_made import build
from mundap.store import Work
build(Work(Path(sys.argv[1])))
"""


def test_killed_at_random_moments_the_bytes_are_the_same(tmp_path: Path) -> None:
    rows, began = records(2000), time.perf_counter()
    _, whole = made(tmp_path / "whole", rows)
    seconds = time.perf_counter() - began
    work, dice, kills = run_folder(tmp_path / "killed", rows), random.Random(6), 0
    for delay in (0, dice.uniform(0, seconds), dice.uniform(0, seconds)):
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(work.root), str(Path(__file__).parent)], stderr=subprocess.DEVNULL
        )
        while process.poll() is None and not (work.root / "build/.work").exists():
            time.sleep(0.005)
        time.sleep(delay)
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert kills
    build(work)
    one, other = outputs(work.root / "build"), outputs(whole)
    assert [name for name in {**one, **other} if one.get(name) != other.get(name)] == []


def test_a_failed_build_leaves_the_finished_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = run_folder(tmp_path, records(30))
    first, before = build(work), outputs(tmp_path / "build")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(UserError, match="No space left on device"):
        build(work, test=0.3)
    monkeypatch.undo()
    assert outputs(tmp_path / "build") == before
    assert build(work).details == first.details
    assert not list((tmp_path / "build").glob(".*"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"template": "alpacca"}, r"build.template: .*no template is called 'alpacca'; did you mean 'alpaca'"),
        ({"mix": [{"path": "a", "share": 0.6}, {"path": "b", "share": 0.5}]}, r"build.mix: .*the shares add up to 1.1"),
        ({"val": 0.5}, r"build.val: .*less than 0.5"),
        ({"mix": [{"path": "a", "share": 1.0}]}, r"build.mix.0.share"),
    ],
)
def test_a_wrong_recipe_is_found_before_anything(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe(**settings)


def test_all_missing_files_in_one_message(tmp_path: Path) -> None:
    work = run_folder(tmp_path, records(3))
    with pytest.raises(ConfigError, match=r"(?s)contamination.0: no.csv is not there.*contamination.1: also.json"):
        build(work, contamination=["no.csv", "also.json"])
    with pytest.raises(ConfigError, match=r"(?s)mix.0.path: no.json is no file.*mix.1.path: a.parquet is no file"):
        build(work, mix=[{"path": "no.json", "share": 0.1}, {"path": "a.parquet", "share": 0.1}])
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "holds no row with instruction, input and output: it is empty"),
        ('[{"question": "a"}]', "no instruction"),
        ('[{"instruction": 3, "output": "x"}]', "must be text"),
        ("{", "not what its name says"),
    ],
)
def test_a_bad_file_of_general_rows_is_one_clear_message(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "general.json").write_text(text)
    with pytest.raises(UserError, match=message):
        made(tmp_path / "run", records(3), mix=[{"path": str(tmp_path / "general.json"), "share": 0.1}])


def test_nothing_to_build_from(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no finished clean stage; run `mundap clean`"):
        build(run_folder(tmp_path / "none", [], "collect"))
    with pytest.raises(UserError, match="nothing to build from in .*: no rows at all"):
        made(tmp_path / "empty", [])
    with pytest.raises(UserError, match=r"nothing to build from in .*: build: no answer \(2\)"):
        made(tmp_path / "bad", [record(1, answer=""), record(2, answer="")])
    path = write(tmp_path / "all.json", [{"question": row.question} for row in records(3)])
    with pytest.raises(UserError, match="no row is left to train on"):
        made(tmp_path / "overlap", records(3), val=0, test=0, contamination=[path])


def test_a_set_without_questions_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no questions: none of its rows has one of question"):
        made(tmp_path / "run", records(3), contamination=[write(tmp_path / "set.json", [{"a": "b"}])])


def test_a_missing_library_is_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rensa", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mundap\[collect\]'"):
        made(tmp_path, records(3))


def test_lone_surrogates_and_broken_lines_do_not_stop_it(tmp_path: Path) -> None:
    work = run_folder(tmp_path, [*records(20), record(50, answer="쉬세요 \ud800 네")])
    with (work.root / "clean" / "out.jsonl").open("ab") as stream:
        stream.write(b'{"id": "x"}\nnot json\n')
    manifest = build(work)
    assert manifest.kept == 21
    assert {reason.partition(":")[0] for reason in manifest.dropped} == {"read"}
    assert json.loads((work.root / "build/train.json").read_text("utf-8"))


def test_show_prints_the_dataset_and_any_other_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path, records(40))
    capsys.readouterr()
    assert list(pipeline.show(tmp_path / "build", 1)) == []
    shown = capsys.readouterr().out
    assert "40 rows (36 train, 2 val, 2 test), template mundap-ko" in shown
    assert sum(line.startswith(("train ", "val ", "test ")) and "→" in line for line in shown.splitlines()) == 3
    run_folder(tmp_path, records(5), "augment")
    [counts, *rows] = pipeline.show(tmp_path / "augment", 2)
    assert counts["dropped"] == {"quality: answer too short": 3}
    assert [row["id"] for row in rows] == [record(0).id, record(1).id]
    for name in ("build", "merge"):
        with pytest.raises(UserError, match="holds no finished"):
            list(pipeline.show(tmp_path / "nothing" / name))


def test_a_row_is_traced_through_the_dataset(tmp_path: Path) -> None:
    work = run_folder(tmp_path / "runs" / "t", records(10))
    manifest = build(work)
    assert isinstance(manifest, Manifest)
    found = list(pipeline.trace(record(4).id, tmp_path / "runs"))
    assert [(line["stage"], line["kept"]) for line in found] == [("clean", True), ("build", True)]
