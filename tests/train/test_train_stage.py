"""What stops `mundap train` before anything expensive, and what a small training leaves behind."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from training import built, recipe

from mundap import prompts
from mundap.errors import MissingExtra, ModelError, UserError
from mundap.store import Manifest, Work, read_jsonl
from mundap.train import plan, stage


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mundap.train.curves.find_spec", lambda name: None)  # trackio is tried in test_curves
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)  # tests run beside one another; two threads on tiny tensors only wait for each other


@pytest.fixture(scope="module")
def trained(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Work, Manifest]:
    work = built(tmp_path_factory.mktemp("trained"))
    return work, stage.run(recipe(llama), work)


def test_it_leaves_everything_that_tells_what_was_done(trained: tuple[Work, Manifest]) -> None:
    work, manifest = trained
    folder = work.root / "train"
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "adapter",
        "checkpoints",
        "log.jsonl",
        "loss.png",
        "samples.jsonl",
        "first_batch.txt",
        "manifest.json",
    }
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    details = manifest.details
    assert manifest.kept == 48 and not manifest.dropped and details["steps"] == 12 and details["stopped_by"] == ""
    assert details["val_after"]["val_loss"] < details["val_before"]["val_low"] < details["val_before"]["val_loss"]
    assert set(details["norms"]) == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert all(details["norms"].values()) and details["tokens"] == sum(
        row.get("tokens", 0) for row in read_jsonl(folder / "log.jsonl")
    )
    assert details["template"]["digest"] == prompts.digest("mundap-ko") and manifest.versions["trl"] != "none"


def test_no_pickle_and_no_form_lies_beside_the_adapter(trained: tuple[Work, Manifest]) -> None:
    adapter = trained[0].root / "train/adapter"
    assert not [path for path in adapter.rglob("*") if path.suffix in (".bin", ".pt", ".pth", ".md")]
    saved = prompts.saved(adapter)
    assert saved is not None and saved.name == "mundap-ko"


def test_the_first_batch_is_shown_with_what_is_learnt(trained: tuple[Work, Manifest]) -> None:
    text = (trained[0].root / "train/first_batch.txt").read_text("utf-8")
    rows = text.split("--- row")[1:]
    assert len(rows) == 4
    for row in rows:
        read, learnt = row.split("### 답변:\n")
        assert (
            "⟦" not in read.split("---\n")[1]
            and learnt.startswith("⟦쉬세요")
            and learnt.strip().endswith("<|im_end|>⟧")
        )


def test_samples_stand_side_by_side(trained: tuple[Work, Manifest]) -> None:
    (row,) = read_jsonl(trained[0].root / "train/samples.jsonl")
    assert row["id"] == "r1000" and row["expected"].startswith("쉬세요") and row["before"] != row["after"]


def test_the_best_of_the_evaluations_is_what_is_kept(trained: tuple[Work, Manifest]) -> None:
    tested = [row for row in read_jsonl(trained[0].root / "train/log.jsonl") if "val_loss" in row]
    assert [row["step"] for row in tested] == [0, 6, 12]
    assert trained[1].details["step"] == min(tested[1:], key=lambda row: row["val_loss"])["step"]


def test_nothing_built_yet(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file .*train.jsonl; run `mundap build`"):
        stage.run(recipe(llama), Work(tmp_path))


def test_an_empty_dataset(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to train on"):
        stage.run(recipe(llama), built(tmp_path, rows=0))


def test_another_template_than_the_one_built_with(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="was made with template 'mundap-ko', not 'alpaca'"):
        stage.run(recipe(llama, template="alpaca"), built(tmp_path))


@pytest.mark.parametrize("base", ["/nowhere/model", "smollm", "./x/y/z"])
def test_an_unknown_base(base: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no base model"):
        stage.run(recipe(base), built(tmp_path))


def test_a_base_of_pickles(llama: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(llama, base)
    (base / "model.safetensors").rename(base / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pytorch_model.bin, which can run code"):
        stage.run(recipe(base), built(tmp_path))


def test_a_missing_extra(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "find_spec", lambda name: None if name == "trl" else object())
    with pytest.raises(MissingExtra, match=r"needs trl: pip install 'mundap\[train\]'"):
        stage.run(recipe(llama), built(tmp_path))


def test_no_room_on_the_disk(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1 << 30, 1 << 30, 50 << 20))
    with pytest.raises(UserError, match="has 50 MB free"):
        stage.run(recipe(llama), built(tmp_path))


def test_rows_that_are_all_too_long(llama: Path, tmp_path: Path) -> None:
    work = built(tmp_path)
    path = work.root / "build/train.jsonl"
    path.write_text(path.read_text("utf-8").replace("아파요", "아파요" * 40), "utf-8")
    with pytest.raises(UserError, match=r"all 48 rows .*longer than 128 tokens"):
        stage.run(recipe(llama), work)


def test_some_rows_too_long_are_dropped_with_their_reason(llama: Path, tmp_path: Path) -> None:
    work = built(tmp_path)
    manifest = stage.run(recipe(llama, length=40, steps=2), work)
    dropped = list(read_jsonl(work.root / "train/dropped.jsonl"))
    assert manifest.dropped == {"longer than 40 tokens": len(dropped)} and manifest.kept + len(dropped) == 48


def test_rows_of_one_language(llama: Path, tmp_path: Path) -> None:
    work = built(tmp_path)
    path = work.root / "build/train.jsonl"
    path.write_text(path.read_text("utf-8").replace('"lang": "ko"', '"lang": "en"', 10), "utf-8")
    manifest = stage.run(recipe(llama, lang="ko", steps=2), work)
    assert manifest.kept == 38 and manifest.dropped == {"language en not asked for": 10}


def test_more_tokens_than_the_base_reads(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train.length is 1024, but .* reads 512"):
        stage.run(recipe(llama, length=1024), built(tmp_path))


def test_a_budget_ends_it_and_the_next_run_goes_on(llama: Path, tmp_path: Path) -> None:
    work = built(tmp_path)
    first = stage.run(recipe(llama, steps=6, warmup=0, budget="0.1s"), work)
    assert first.details["stopped_by"] == "budget" and first.details["step"] == 1
    assert first.details["val_after"]["step"] == 1  # what was reached is measured, though no evaluation was due
    assert (work.root / "train/adapter/adapter_model.safetensors").is_file()
    second = stage.run(recipe(llama, steps=6, warmup=0), work)
    assert second.details["stopped_by"] == "" and second.details["resumed_from"] == 1 and second.details["steps"] == 6
    tested = [row["step"] for row in read_jsonl(work.root / "train/log.jsonl") if "val_loss" in row]
    assert tested == [0, 6]  # as if it had never been ended


@pytest.mark.parametrize(("method", "weights"), [("lora", "bf16"), ("int8", "int8"), ("qlora", "nf4")])
def test_in_halves_on_a_cpu(method: str, weights: str, llama: Path, tmp_path: Path) -> None:
    wholes = stage.run(recipe(llama, method=method), built(tmp_path / "fp32")).details
    halves = stage.run(recipe(llama, method=method, precision="bf16"), built(tmp_path / "bf16")).details
    assert (halves["precision"], halves["computed_in"], wholes["computed_in"]) == (weights, "bf16", "fp32")
    assert halves["norms"] == pytest.approx(wholes["norms"], rel=0.02)  # every layer gets its gradient
    assert halves["val_after"]["val_loss"] == pytest.approx(wholes["val_after"]["val_loss"], rel=0.02)
    assert halves["val_after"]["val_loss"] < 0.9 * halves["val_before"]["val_loss"]


def test_patience_ends_it_early(llama: Path, tmp_path: Path) -> None:
    manifest = stage.run(recipe(llama, steps=60, lr=0.3, evaluate_every=2, patience=2), built(tmp_path))
    details = manifest.details
    assert details["stopped_by"] == "patience" and details["steps"] == details["step"] + 4 < 60


def test_an_untuned_result_is_not_saved(llama: Path, tmp_path: Path) -> None:
    work = built(tmp_path)
    with pytest.raises(UserError, match="changed no weight"):
        stage.run(recipe(llama, steps=1, warmup=5), work)  # the first step of a warm-up has the rate 0
    assert not (work.root / "train/adapter").exists()


def test_a_chat_template_that_never_ends(llama: Path, tmp_path: Path) -> None:
    base: Any = shutil.copytree(llama, tmp_path / "base")
    settings = base / "chat_template.jinja"
    settings.write_text("{% for message in messages %}{{ message['content'] }}\n{% endfor %}", "utf-8")
    with pytest.raises(UserError, match="never learn to stop"):
        stage.run(recipe(base, template="model"), built(tmp_path, template="model"))


def test_no_chat_template_at_all(llama: Path, tmp_path: Path) -> None:
    base: Any = shutil.copytree(llama, tmp_path / "base")
    (base / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="no chat template of its own"):
        stage.run(recipe(base, template="model"), built(tmp_path, template="model"))


def test_the_manifest_is_json(trained: tuple[Work, Manifest]) -> None:
    assert json.loads((trained[0].root / "train/manifest.json").read_text("utf-8"))["stage"] == "train"
