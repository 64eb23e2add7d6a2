"""The estimate counts what there is, fits what fits, and says so before anything is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))

from mundap import config
from mundap.cli import app
from mundap.errors import UserError
from mundap.train import estimate
from mundap.train.estimate import Device
from mundap.train.licences import bases
from mundap.train.shapes import shape_of

A16, A40 = Device(True, "a GPU", 16 * 10**9), Device(True, "a GPU", 40 * 10**9)
POLYGLOT = "EleutherAI/polyglot-ko-12.8b"


def recipe(base: str = POLYGLOT, **train: Any) -> Any:
    return config.parse({"train": {"base": base, "batch": 1, "length": 1024, **train}}, "test")


@pytest.mark.parametrize(
    ("base", "parameters"),
    [
        ("bundled", 134_515_008), ("huggyllama/llama-7b", 6_738_415_616), ("meta-llama/Llama-2-7b-hf", 6_738_415_616),
        ("Qwen/Qwen3-0.6B", 596_049_920), ("Qwen/Qwen3-8B", 8_190_735_360), ("LGAI-EXAONE/EXAONE-4.0-1.2B", 1_279_391_488),
    ],
)  # fmt: skip
def test_counted_parameters_are_those_that_are_published(base: str, parameters: int) -> None:
    assert shape_of(base).parameters == pytest.approx(parameters, rel=1e-3)


@pytest.mark.parametrize("base", [name for name, row in bases().items() if "parameters" in row])
def test_a_stated_count_is_what_the_shape_gives(base: str) -> None:
    from dataclasses import replace

    shape = shape_of(base)
    assert replace(shape, stated=0).parameters == pytest.approx(shape.parameters, rel=2e-3)


@pytest.mark.parametrize("architecture", ["llama", "gpt_neox", "qwen3", "exaone4"])
def test_a_folder_is_counted_as_it_is(tmp_path: Path, architecture: str) -> None:
    pytest.importorskip("torch")
    from peft import LoraConfig, get_peft_model
    from tiny import tiny
    from transformers import AutoModelForCausalLM

    shape = shape_of(str(tiny(tmp_path, architecture)))
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert shape.parameters == pytest.approx(model.num_parameters(), rel=0.02)
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    assert shape.adapter(4) == adapted.get_nb_trainable_parameters()[0]


def test_the_bundled_model_by_its_file() -> None:
    from dataclasses import asdict

    from mundap.models.llama import bundled_path

    path = bundled_path()
    assert path is not None, "make setup installs the bundled model"
    found, known = asdict(shape_of(str(path))), asdict(shape_of("bundled"))
    assert {**found, "tied": True} == known


def test_polyglot_in_four_bits_fits_sixteen_gigabytes_and_in_eight_forty() -> None:
    assert 7e9 < estimate.of(recipe(method="qlora"), A16).total < 16e9
    assert 13e9 < estimate.of(recipe(method="int8"), A40).total < 40e9
    assert estimate.of(recipe(method="lora"), A16).total > 25e9


def test_fewer_bits_and_checkpointing_take_less_and_longer_rows_more() -> None:
    totals = [estimate.of(recipe(method=name), A40).total for name in ("full", "lora", "int8", "qlora")]
    assert totals == sorted(totals, reverse=True)
    with_it, without = (estimate.of(recipe(checkpointing=on), A40).total for on in (True, False))
    assert with_it < without
    assert estimate.of(recipe(length=2048), A40).total > estimate.of(recipe(length=512), A40).total


def test_halves_take_less_where_the_processor_computes_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    here = Device(False, "this machine", 16 * 10**9)

    def parts(**train: Any) -> Any:
        return estimate.of(recipe("bundled", checkpointing=False, **train), here).parts

    asked = {"fp32": parts(precision="fp32"), "bf16": parts(precision="bf16")}
    for best in ("fp32", "bf16"):
        monkeypatch.setattr("mundap.train.estimate.best_method", lambda best=best: best)
        assert parts() == asked[best]
    assert asked["fp32"]["weights"] == 2 * asked["bf16"]["weights"]
    assert 0.5 < asked["bf16"]["activations"] / asked["fp32"]["activations"] < 0.75  # norms and dropout stay in 32 bits
    full = [parts(method="full", precision=name)["weights"] for name in ("fp32", "bf16")]
    assert full[0] < full[1]  # trained in 32 bits, with halves made of them on the way


def test_the_largest_batch_fits_and_the_next_does_not() -> None:
    asked = recipe("Qwen/Qwen3-0.6B", checkpointing=False)
    size = estimate.largest_batch(asked, A16)
    room = A16.memory * 0.9
    assert size >= 1
    assert estimate.of(asked, A16, batch=size).total <= room < estimate.of(asked, A16, batch=size * 2).total


def test_it_proposes_what_fits() -> None:
    assert estimate.propose(recipe(method="lora"), A16)[:2] == ("qlora", 1024)  # type: ignore[index]
    assert estimate.propose(recipe(method="lora"), A40)[:2] == ("lora", 1024)  # type: ignore[index]
    assert estimate.propose(recipe(method="lora"), Device(True, "a GPU", 4 * 10**9)) is None


def test_the_report_names_what_was_asked(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        json.dumps({"train": {"base": POLYGLOT, "method": "qlora", "rank": 16, "batch": 1, "length": 1024}})
    )
    done = CliRunner().invoke(app, ["estimate", str(path), "--memory", "16", "-o", "train.rank=8"])
    assert done.exit_code == 0, done.output
    assert f"{POLYGLOT} (12.9B) in 4-bit (QLoRA), rank 8, batch 1 of 1,024 tokens: about" in done.output
    assert "fits a GPU with 16 GB" in done.output and "largest batch that fits: " in done.output
    assert "proposal: method qlora, length 1,024" in done.output and "disk download" in done.output


def test_check_shows_it_where_there_is_training(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("train: {base: bundled, batch: 1}")
    assert "bundled (135M) in LoRA, rank 16" in CliRunner().invoke(app, ["check", str(path)]).output
    path.write_text("name: x")
    assert "GB" not in CliRunner().invoke(app, ["check", str(path)]).output
    path.write_text("train: {base: somebody/something}")
    unknown = CliRunner().invoke(app, ["check", str(path)])
    assert unknown.exit_code == 0 and "cannot be estimated yet" in unknown.output


def test_rows_longer_than_the_base_reads_are_refused() -> None:
    with pytest.raises(UserError, match=r"train.length is 4,096, but .* reads 2,048 tokens at most"):
        estimate.line(recipe(length=4096), A40)


def test_too_small_a_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mundap.train.estimate.shutil.disk_usage", lambda _: type("Usage", (), {"free": 10**9}))
    with pytest.raises(UserError, match=r"the disk has 1\.0 GB free; this recipe needs"):
        list(estimate.report(recipe(), 40))


def test_a_configuration_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="has no 'num_attention_heads'"):
        shape_of(str(tmp_path))


def test_nothing_heavy_is_loaded_for_it() -> None:
    code = (
        "import sys; from mundap import config; from mundap.train import estimate;"
        "list(estimate.report(config.parse({'train': {'base': 'bundled'}}, 'x'), 40));"
        "print(sorted({'torch', 'transformers', 'trl', 'peft'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
