"""Every method trains what it should: the loss, the gradients and the files, on models of real architectures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import ARCHITECTURES, tiny
from training import built, recipe

from mundap.errors import UserError
from mundap.models.hf import Hf
from mundap.store import Manifest, Work, read_jsonl
from mundap.train import data, sft, stage
from mundap.types import Message, Options


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr("mundap.train.curves.find_spec", lambda name: None)
    torch.set_num_threads(1)


def gradients(work: Work) -> list[float]:
    return [row["gradient"] for row in read_jsonl(work.root / "train/log.jsonl") if "loss" in row]


def learnt(manifest: Manifest) -> bool:
    details = manifest.details
    return bool(details["val_after"]["val_loss"] < details["val_before"]["val_loss"] - 0.02)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("method", ["lora", "qlora", "int8"])
def test_architectures_in_each_precision(architecture: str, method: str, tmp_path: Path) -> None:
    work, base = built(tmp_path / "run"), tiny(tmp_path / "base", architecture)
    manifest = stage.run(recipe(base, method=method, steps=4, evaluate_every=4, samples=0), work)
    assert learnt(manifest) and all(manifest.details["norms"].values())
    tuned = Hf(str(work.root / "train/adapter"))
    assert list(tuned.generate([Message("user", "머리 3 아파요")], Options(max_tokens=4))) is not None


@pytest.mark.parametrize("method", ["qlora", "int8"])
def test_answering_before_training_takes_no_gradient_away(method: str, tmp_path: Path) -> None:
    base = tiny(tmp_path / "base", "gpt_neox")
    asked, silent = built(tmp_path / "asked"), built(tmp_path / "silent", val=0)
    stage.run(recipe(base, method=method, steps=3, evaluate_every=1, samples=2, dropout=0), asked)
    stage.run(recipe(base, method=method, steps=3, samples=0, dropout=0), silent)
    assert gradients(asked) == pytest.approx(gradients(silent), rel=1e-3)


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "full", "lr": 1e-3}, {"dora": True}, {"rslora": True}, {"neftune": 5.0}, {"checkpointing": True},
        {"targets": ("q_proj", "v_proj")}, {"group_lengths": False}, {"accumulate": 2}, {"packing": True},
        {"optimizer": "adafactor", "scheduler": "linear", "weight_decay": 0.1},
    ],
    ids=lambda settings: next(iter(settings)),
)  # fmt: skip
def test_settings(settings: dict[str, Any], llama: Path, tmp_path: Path) -> None:
    work = built(tmp_path)
    manifest = stage.run(recipe(llama, **{"steps": 6, "samples": 0, **settings}), work)
    assert learnt(manifest)
    kinds = set(manifest.details["norms"])
    assert kinds == {"q_proj", "v_proj"} if "targets" in settings else {"q_proj", "down_proj"} <= kinds
    made = work.root / "train" / ("model" if settings.get("method") == "full" else "adapter")
    assert (made / "template.json").is_file() and Hf(str(made)).template is not None


def test_packed_rows_do_not_see_each_other(llama: Path, tmp_path: Path) -> None:
    """One packed block has the loss of its rows one by one, a token counted once."""
    packed, plain = built(tmp_path / "packed", rows=2), built(tmp_path / "plain", rows=2)
    for work, packing in ((packed, True), (plain, False)):
        stage.run(recipe(llama, packing=packing, steps=2, batch=2, samples=0, dropout=0, warmup=0), work)
    first, second = (next(iter(sft.Log(work.root / "train/log.jsonl")._read()[1:])) for work in (packed, plain))
    assert first["loss"] == pytest.approx(second["loss"], rel=1e-4)
    assert first["tokens"] == second["tokens"] and sorted(first["rows"]) == sorted(second["rows"]) == ["r0", "r1"]


def test_the_validation_loss_is_that_of_the_model(llama: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from mundap.models.bases import tokenizer_of

    work = built(tmp_path)
    manifest = stage.run(recipe(llama, steps=2, samples=0), work)
    tokenizer, model = tokenizer_of(str(llama)), AutoModelForCausalLM.from_pretrained(llama)
    encoder = data.Encoder(tokenizer, frozenset([tokenizer.eos_token_id]), 128)
    total = count = 0.0
    for row in data.encoded(data.read(work.root / "build/val.jsonl"), encoder)[0]:
        with torch.no_grad():
            logits = model(torch.tensor([row.ids.tolist()])).logits[0, :-1].log_softmax(-1)
        wanted = torch.tensor(row.ids[1:].tolist())
        losses = -logits[torch.arange(len(wanted)), wanted][row.start - 1 :]
        total, count = total + float(losses.sum()), count + len(losses)
    assert manifest.details["val_before"]["val_loss"] == pytest.approx(total / count, rel=1e-5)


def test_the_model_s_own_chat_template(llama: Path, tmp_path: Path) -> None:
    work = built(tmp_path, template="model")
    assert learnt(stage.run(recipe(llama, template="model", steps=6), work))
    text = (work.root / "train/first_batch.txt").read_text("utf-8")
    assert "<|im_start|>assistant\n⟦쉬세요" in text and "<|im_end|>⟧" in text
    tuned = Hf(str(work.root / "train/adapter"))
    assert tuned.template is None


def test_a_template_that_was_trained_is_the_only_one_served(llama: Path, tmp_path: Path) -> None:
    work = built(tmp_path)
    stage.run(recipe(llama, steps=2, samples=0), work)
    with pytest.raises(UserError, match="was made with template 'mundap-ko', not 'alpaca'"):
        Hf(str(work.root / "train/adapter"), template="alpaca")


def test_the_adapter_names_its_base_and_weighs_twice_its_rank(llama: Path, tmp_path: Path) -> None:
    work = built(tmp_path)
    stage.run(recipe(llama, steps=2, samples=0), work)
    written = json.loads((work.root / "train/adapter/adapter_config.json").read_text("utf-8"))
    assert written["base_model_name_or_path"] == str(llama) and written["lora_alpha"] == 2 * written["r"] == 8
