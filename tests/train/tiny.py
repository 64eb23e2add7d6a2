"""Random models of real architectures, small enough to train in seconds, with a tokenizer trained on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEXTS = (
    "### 질문:\n머리가 아파요. 어떻게 하나요?\n\n### 답변:\n물을 마시고 쉬세요. 심하면 병원에 가세요.\n\n",
    "### 질문:\n배가 아프고 열이 나요.\n\n### 답변:\n열이 계속되면 진료를 받으세요.\n\n",
    "### Question: what helps a cold? ### Answer: rest, fluids and time. See a doctor if it gets worse.",
    "### Instruction:\nAnswer the question.\n\n### Input:\nIs fever dangerous?\n\n### Response:\nMostly not.",
)
CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ARCHITECTURES = ("llama", "gpt_neox", "qwen3", "exaone4")


def tiny(
    folder: Path, architecture: str = "llama", vocab: int = 512, seed: int = 0, length: int = 512, layers: int = 2
) -> Path:
    """A folder with a random model of 2 layers, its tokenizer (byte-level BPE, ChatML) and generation settings."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = tiny_tokenizer(vocab)
    sizes: dict[str, Any] = {
        "vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": layers,
        "num_attention_heads": 4, "max_position_embeddings": length, "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id, "pad_token_id": tokenizer.pad_token_id, "tie_word_embeddings": False,
    }  # fmt: skip
    if architecture != "gpt_neox":
        sizes |= {"num_key_value_heads": 2, "head_dim": 16}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(architecture, **sizes), dtype=torch.float32)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_tokenizer(vocab: int = 512) -> Any:
    """Byte-level, so that every text, Korean too, comes back as it was; 512 leaves most Korean letters as bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    inner.train_from_iterator(
        TEXTS * 20, trainers.BpeTrainer(vocab_size=vocab, special_tokens=special, initial_alphabet=alphabet)
    )
    found = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|endoftext|>", bos_token="<|im_start|>"
    )
    found.chat_template = CHAT
    return found
