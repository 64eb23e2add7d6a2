"""GGUF files answer in llama.cpp as their folders do in transformers, or are not made."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
torch = pytest.importorskip("torch")

from mundap.errors import ModelError  # noqa: E402
from mundap.models.llama import bundled_path  # noqa: E402
from mundap.train import gguf_check, gguf_file  # noqa: E402
from mundap.train.gguf_tokenizer import Unsupported  # noqa: E402

PROMPTS = [f"### 질문:\n머리가 {number}일째 아파요\n\n### 답변:\n" for number in range(5)]


def made(folder: Path, architecture: str, change: Callable[[Any], None] = lambda config: None) -> Path:
    """A random model whose weights are large enough that one token is clearly the best, with all biases in use."""
    from tiny import tiny
    from transformers import AutoConfig, AutoModelForCausalLM

    tiny(folder, architecture)
    config = AutoConfig.from_pretrained(folder)
    change(config)
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.mul_(6) if weight.ndim == 2 else weight.add_(torch.randn_like(weight) * 0.2)
            assert "bias" not in name or weight.abs().sum() > 0
    model.save_pretrained(folder)
    return folder


def no_window(config: Any) -> None:
    config.sliding_window, config.sliding_window_pattern = None, None
    config.layer_types = ["full_attention"] * config.num_hidden_layers


def tied(config: Any) -> None:
    config.tie_word_embeddings = True


def stretched(config: Any) -> None:
    config.rope_parameters = {
        "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }  # fmt: skip


def linear(config: Any) -> None:
    config.rope_parameters = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}


def biased(config: Any) -> None:
    config.attention_bias = True


def agreement(folder: Path, path: Path, count: int = 16) -> tuple[int, int]:
    """How many of the tokens that llama.cpp writes are the most likely ones by transformers, of how many."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    trial, same, total = gguf_check.Trial(path, 512, threads=1), 0, 0
    for prompt in (tokenizer(text)["input_ids"] for text in PROMPTS):
        written = trial.greedy(prompt, count)
        with torch.inference_mode():
            best = model(torch.tensor([prompt + written])).logits[0, len(prompt) - 1 :].argmax(-1).tolist()
        # What ends an answer is not among the tokens: then transformers must want to end it there, too.
        ended = best[len(written)] == tokenizer.eos_token_id if len(written) < count else True
        same += sum(a == b for a, b in zip(best, written, strict=False)) + ended
        total += len(written) + 1
    return same, total


@pytest.mark.parametrize(
    ("architecture", "change"),
    [
        ("llama", lambda config: None), ("llama", tied), ("llama", stretched), ("llama", linear), ("llama", biased),
        ("qwen3", lambda config: None), ("gpt_neox", lambda config: None), ("exaone4", no_window),
    ],
)  # fmt: skip
def test_it_answers_as_in_transformers(tmp_path: Path, architecture: str, change: Callable[[Any], None]) -> None:
    folder = made(tmp_path / "model", architecture, change)
    gguf_file.write(folder, tmp_path / "model.gguf", "f16", "tiny")
    same, total = agreement(folder, tmp_path / "model.gguf")
    assert same == total


def test_eight_bits_answer_nearly_the_same_and_take_about_half(tmp_path: Path) -> None:
    folder = made(tmp_path / "model", "qwen3")
    sizes = {}
    for kind in ("f32", "f16", "q8_0"):
        path = tmp_path / f"{kind}.gguf"
        gguf_file.write(folder, path, kind, "tiny")
        sizes[kind] = path.stat().st_size
    same, total = agreement(folder, tmp_path / "q8_0.gguf")
    assert same >= 0.85 * total
    assert sizes["q8_0"] < sizes["f16"] < sizes["f32"]


def test_a_wrong_layout_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path / "model", "llama")
    monkeypatch.setattr(gguf_file, "_paired", lambda values, heads: values)
    gguf_file.write(folder, tmp_path / "model.gguf", "f16", "tiny")
    same, total = agreement(folder, tmp_path / "model.gguf")
    assert same < 0.9 * total


def tokenizer(folder: Path, cutter: Any, fallback: bool = False) -> Path:
    """A tokenizer trained on the spot; `fallback` is SentencePiece's way, with bytes for what it does not know."""
    from tiny import TEXTS
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    inner = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True) if fallback else models.BPE())
    special = ["<unk>", "<s>", "</s>"]
    if fallback:
        inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        special += [f"<0x{byte:02X}>" for byte in range(256)]
        trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=special)
    else:
        inner.pre_tokenizer, inner.decoder = cutter, decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=special, initial_alphabet=alphabet)
    inner.train_from_iterator(TEXTS * 20, trainer)
    if fallback:  # byte pieces are ordinary ones, which only the model brings in
        spec = json.loads(inner.to_str())
        spec["added_tokens"] = spec["added_tokens"][:3]
        inner = Tokenizer.from_str(json.dumps(spec))
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    folder.mkdir(exist_ok=True)
    inner.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def regex(name: str) -> Any:
    from tokenizers import Regex, pre_tokenizers

    parts = [pre_tokenizers.Split(Regex(gguf_file.table()["splits"][name][0]), "isolated")]
    return pre_tokenizers.Sequence([*parts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def digits(name: str) -> Any:
    from tokenizers import pre_tokenizers

    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), level])


@pytest.mark.parametrize("name", ["llama-bpe", "qwen2", "smollm", "sentencepiece"])
def test_llama_cpp_cuts_text_as_the_tokenizer_does(tmp_path: Path, name: str) -> None:
    folder = made(tmp_path, "llama", lambda config: setattr(config, "vocab_size", 1024))
    cutter = None if name == "sentencepiece" else digits(name) if name == "smollm" else regex(name)
    tokenizer(folder, cutter, fallback=cutter is None)
    gguf_file.write(folder, tmp_path / "model.gguf", "f16", "tiny")
    trial = gguf_check.Trial(tmp_path / "model.gguf", 256)
    assert gguf_check.compare_tokens(trial, folder, gguf_file.table()["probes"]) == len(gguf_file.table()["probes"])
    assert trial.tokens("hello", special=True)[0] == 1  # and begins it with the same token


def test_other_tokens_than_the_tokenizers_are_refused(tmp_path: Path) -> None:
    folder = made(tmp_path, "llama")
    gguf_file.write(folder, tmp_path / "model.gguf", "f16", "tiny")
    spec = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    spec["model"]["merges"] = spec["model"]["merges"][:10]
    (folder / "tokenizer.json").write_text(json.dumps(spec), "utf-8")
    with pytest.raises(Unsupported, match="other tokens"):
        gguf_check.compare_tokens(gguf_check.Trial(tmp_path / "model.gguf", 256), folder, ["두통이 있어요"])


def set_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), "utf-8")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"architectures": ["MambaForCausalLM"]}, "no GGUF layout for MambaForCausalLM; known: LlamaForCausalLM"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "positions of type 'yarn'"),
        ({"sliding_window": 128}, "sliding window"),
        ({"vocab_size": 100}, "the model 100"),
    ],
)
def test_what_cannot_be_written_is_said_and_leaves_no_file(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    folder = made(tmp_path / "model", "llama")
    set_config(folder, **values)
    with pytest.raises(ModelError, match=said):
        gguf_file.write(folder, tmp_path / "model.gguf", "f16", "tiny")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_unknown_way_of_cutting_is_refused(tmp_path: Path) -> None:
    from tokenizers import pre_tokenizers

    folder = tokenizer(made(tmp_path / "model", "llama", lambda config: setattr(config, "vocab_size", 1024)),
                       pre_tokenizers.Sequence([pre_tokenizers.Punctuation(), pre_tokenizers.ByteLevel()]))  # fmt: skip
    with pytest.raises(Unsupported, match="Punctuation"):
        gguf_file.write(folder, tmp_path / "model.gguf", "f16", "tiny")


@pytest.mark.skipif(bundled_path() is None, reason="the bundled model is not installed")
def test_the_bundled_model_goes_round(tmp_path: Path) -> None:
    """From its GGUF file to safetensors and back: greedy tokens equal on 20 prompts in f16, at least 95 % in q8_0."""
    from mundap.models.bases import open_base, quiet

    opened = open_base("bundled", "fp32")
    with quiet():
        opened.model.save_pretrained(tmp_path)
        opened.tokenizer.save_pretrained(tmp_path)
    subjects = ["headache", "fever", "cough", "insomnia", "asthma", "diabetes", "rash", "flu", "gout", "anemia"]
    subjects += ["migraine", "acne", "burns", "stress", "hives", "vertigo", "heartburn", "allergy", "sprain", "nausea"]
    asked = [[{"role": "user", "content": f"What should I do about {subject}?"}] for subject in subjects]
    prompts = [opened.tokenizer.apply_chat_template(rows, add_generation_prompt=True)["input_ids"] for rows in asked]
    same, total = {}, 0
    for kind in ("f16", "q8_0"):
        gguf_file.write(tmp_path, tmp_path / "model.gguf", kind, "smollm2")
        trial = gguf_check.Trial(tmp_path / "model.gguf", 512)
        same[kind], total = 0, 0
        for prompt in prompts:
            written = trial.greedy(prompt, 16)
            with torch.inference_mode():
                best = opened.model(torch.tensor([prompt + written])).logits[0, len(prompt) - 1 : -1].argmax(-1)
            same[kind] += int((best == torch.tensor(written)).sum())
            total += len(written)
    assert len(prompts) == 20 and total > 300
    assert same["f16"] == total
    assert same["q8_0"] >= 0.95 * total
