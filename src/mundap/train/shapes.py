"""The shape of a base model, without opening it: from its config.json, a GGUF file's header, or the table of known bases."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mundap.errors import UserError
from mundap.models.bases import BUNDLED, locate
from mundap.train.licences import bases


class UnknownShape(UserError):
    """A base that only its hub knows, and that was not fetched yet."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a decoder. `queries` and `keys` are the widths of all heads together; `stated` is a published count."""

    arch: str
    layers: int
    width: int
    inner: int
    queries: int
    keys: int
    vocab: int
    context: int
    tied: bool = False
    stated: int = 0

    @property
    def gated(self) -> bool:
        """Whether the feed-forward part has a gate beside its way up."""
        return self.arch != "gpt_neox"

    @property
    def inputs(self) -> tuple[tuple[int, int], ...]:
        """Width in and width out of each linear layer of one block."""
        if not self.gated:
            joined = (self.width, self.queries + 2 * self.keys)
            return joined, (self.queries, self.width), (self.width, self.inner), (self.inner, self.width)
        attention = (
            (self.width, self.queries),
            (self.width, self.keys),
            (self.width, self.keys),
            (self.queries, self.width),
        )
        return *attention, (self.width, self.inner), (self.width, self.inner), (self.inner, self.width)

    @property
    def linear(self) -> int:
        """Weights in the linear layers of all blocks, which are what 8 and 4 bits are for."""
        return self.layers * sum(before * after for before, after in self.inputs)

    @property
    def parameters(self) -> int:
        """All weights."""
        embeddings = self.vocab * self.width * (1 if self.tied else 2)
        return self.stated or self.linear + embeddings + (2 * self.layers + 1) * self.width

    def adapter(self, rank: int) -> int:
        """Weights of a LoRA adapter on all linear layers of the blocks."""
        return self.layers * rank * sum(before + after for before, after in self.inputs)


def shape_of(base: str) -> Shape:
    """The shape of a base by name, folder, file or hub id. Raises `UnknownShape` when nothing here knows it."""
    if base in bases():
        return _of_table(bases()[base])
    found = locate(base)
    if found.gguf and base != BUNDLED:
        return _of_gguf(found.source, found.gguf)
    config = Path(found.source) / "config.json" if found.folder else _cached(base)
    if config is None or not config.is_file():
        known = ", ".join(sorted(bases()))
        raise UnknownShape(f"the shape of {base!r} is not known before it is fetched; name a folder or one of: {known}")
    return _of_config(json.loads(config.read_text("utf-8")), str(config))


def _of_table(row: Mapping[str, Any]) -> Shape:
    heads, key_heads, width = row["heads"]
    return Shape(
        row["arch"], row["layers"], row["width"], row["inner"], heads * width, key_heads * width, row["vocab"], row["context"],
        bool(row.get("tied")), row.get("parameters", 0),
    )  # fmt: skip


def _of_config(config: Mapping[str, Any], where: str) -> Shape:
    try:
        heads = config["num_attention_heads"]
        width = config.get("head_dim") or config["hidden_size"] // heads
        keys = (config.get("num_key_value_heads") or heads) * width
        return Shape(
            config["model_type"], config["num_hidden_layers"], config["hidden_size"], config["intermediate_size"], heads * width,
            keys, config["vocab_size"], config["max_position_embeddings"], bool(config.get("tie_word_embeddings")),
        )  # fmt: skip
    except KeyError as error:
        raise UserError(f"{where} is not a configuration that can be estimated: it has no {error}") from error


def _of_gguf(folder: str, name: str) -> Shape:
    import gguf

    fields = gguf.GGUFReader(Path(folder) / name).fields
    arch = fields["general.architecture"].contents()

    def value(key: str) -> Any:
        return fields[f"{arch}.{key}"].contents()

    heads, width = value("attention.head_count"), value("embedding_length")
    head = value("attention.key_length") if f"{arch}.attention.key_length" in fields else width // heads
    vocab = len(fields["tokenizer.ggml.tokens"].data)
    return Shape(
        "gpt_neox" if arch == "gptneox" else arch, value("block_count"), width, value("feed_forward_length"), heads * head,
        value("attention.head_count_kv") * head, vocab, value("context_length"),
    )  # fmt: skip


def _cached(base: str) -> Path | None:
    """The configuration of a model that was fetched before. Nothing is fetched."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(base, "config.json")
    return Path(found) if isinstance(found, str) else None
