"""The benchmark for a GPU, as far as it can be tried without one: on a tiny shape, and what it says where there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import gpu_train

from mundap.train.licences import bases
from mundap.train.shapes import shape_of


@pytest.mark.parametrize("loop", gpu_train.LOOPS)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_each_loop_on_a_tiny_shape(loop: str) -> None:
    found = gpu_train.measured("tiny", "lora", loop, 32, 1, 1)
    assert found["tokens_per_second"] > 0 and found["peak_gb"] > 0


@pytest.mark.parametrize(
    ("name", "base"), [("polyglot-ko-12.8b", "EleutherAI/polyglot-ko-12.8b"), ("llama-7b", "huggyllama/llama-7b")]
)
def test_the_shapes_are_the_published_ones(name: str, base: str) -> None:
    shape, known = gpu_train.SHAPES[name], shape_of(base)
    assert base in bases()
    ours = [shape[key] for key in ("num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size")]
    assert ours == [known.layers, known.width, known.inner, known.vocab]
    assert shape["num_attention_heads"] * 128 == known.queries


def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_train.py"])
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert gpu_train.main() == 0 and "no GPU was found" in capsys.readouterr().out
