"""A model folder (config.json, safetensors, tokenizer.json) as one GGUF file that llama.cpp runs.

Names and layouts are those of the `gguf` library's tensor map. One tensor is in memory at a time.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml

from mundap.errors import MissingExtra, ModelError
from mundap.progress import Progress
from mundap.train.gguf_tokenizer import Unsupported, Vocabulary

Quantise = Literal["f32", "f16", "q8_0"]
_BLOCK = 32  # values that share a scale in q8_0
_SMALL = 1024  # width up to which a model is small, and 8 bits are felt


def table() -> Mapping[str, Any]:
    """The data beside this module: known architectures, tokenizer splits, probe texts."""
    return _table()


@cache
def _table() -> dict[str, Any]:
    return dict(yaml.safe_load((files("mundap.train") / "gguf_file.yaml").read_text("utf-8")))


def write(folder: Path, path: Path, quantise: Quantise, name: str, template: str = "") -> None:
    """Write the model in `folder` to `path`; `template` is a Jinja chat template.

    Raises `Unsupported` for a model that llama.cpp has no form for, or none that is written here yet.
    """
    try:
        import gguf
    except ModuleNotFoundError as error:
        raise MissingExtra("a GGUF file needs the package 'gguf': pip install 'mundap[train]'") from error
    model = _Model(folder, quantise)
    writer = gguf.GGUFWriter(None, model.arch)
    model.describe(writer, name)
    Vocabulary(folder, model.config["vocab_size"], table()["splits"]).describe(writer)
    if template:
        writer.add_chat_template(template)
    temporary = path.with_name(f".{path.name}")
    try:
        model.save(writer, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"no file {path}; {folder} is no model folder")
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def _architecture(config: Mapping[str, Any]) -> str:
    return str((config.get("architectures") or ["a model without an architecture"])[0])


@dataclass(frozen=True)
class _Tensor:
    """A tensor to write: its GGUF name, where it comes from, its shape and the GGUF type of its values."""

    name: str
    source: str
    file: str
    shape: tuple[int, ...]
    kind: Any


@dataclass
class _Model:
    """What is read from a model folder, and how it is laid out."""

    folder: Path
    quantise: Quantise
    config: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.config = _config(self.folder)
        name, known = _architecture(self.config), table()["architectures"]
        if name not in known:
            raise Unsupported(f"{self.folder}: no GGUF layout for {name}; known: {', '.join(known)}")
        self.layout: Mapping[str, Any] = known[name]
        self.arch: str = self.layout["arch"]
        self.heads: int = self.config["num_attention_heads"]
        self.key_heads: int = self.config.get("num_key_value_heads") or self.heads
        self.head: int = self.config.get("head_dim") or self.config["hidden_size"] // self.heads

    def describe(self, writer: Any, name: str) -> None:
        """The metadata about sizes and positions."""
        config = self.config
        writer.add_name(name)
        writer.add_file_type({"f32": 0, "f16": 1, "q8_0": 7}[self.quantise])
        writer.add_quantization_version(2)
        writer.add_block_count(config["num_hidden_layers"])
        writer.add_context_length(config["max_position_embeddings"])
        writer.add_embedding_length(config["hidden_size"])
        writer.add_feed_forward_length(config["intermediate_size"])
        writer.add_head_count(self.heads)
        writer.add_head_count_kv(self.key_heads)
        writer.add_key_length(self.head)
        writer.add_value_length(self.head)
        writer.add_vocab_size(config["vocab_size"])
        if self.arch == "gptneox":
            writer.add_layer_norm_eps(config["layer_norm_eps"])
            writer.add_parallel_residual(config["use_parallel_residual"])
        else:
            writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
        self._describe_positions(writer)

    def _describe_positions(self, writer: Any) -> None:
        rope = self._rope
        writer.add_rope_dimension_count(int(self.head * rope.get("partial_rotary_factor", 1.0)))
        writer.add_rope_freq_base(float(rope["rope_theta"]))
        if rope["rope_type"] == "linear":
            writer.add_rope_scaling_type(_gguf().RopeScalingType.LINEAR)
            writer.add_rope_scaling_factor(float(rope["factor"]))
        elif rope["rope_type"] not in ("default", "llama3"):
            raise Unsupported(f"{self.folder}: positions of type {rope['rope_type']!r} are not written to GGUF yet")
        if self.config.get("sliding_window") and self.config.get("use_sliding_window", True):
            raise Unsupported(f"{self.folder}: attention in a sliding window is not written to GGUF yet")

    @cached_property
    def _rope(self) -> dict[str, Any]:
        """How positions are encoded, whether the configuration is in the form of transformers 5 or before."""
        config = self.config
        old = {
            "rope_theta": config.get("rope_theta", config.get("rotary_emb_base", 10000.0)),
            "partial_rotary_factor": config.get("partial_rotary_factor", config.get("rotary_pct", 1.0)),
            **(config.get("rope_scaling") or {}),
        }
        found = {**old, **(config.get("rope_parameters") or {})}
        return {**found, "rope_type": found.get("rope_type") or found.get("type") or "default"}

    def save(self, writer: Any, path: Path) -> None:
        """Write header, metadata and then each tensor."""
        tensors = list(self._tensors())
        factors = self._factors()
        for each in tensors:
            size, dtype = self._size(each)
            writer.add_tensor_info(each.name, each.shape, dtype, size, each.kind)
        if factors is not None:
            writer.add_tensor_info("rope_freqs.weight", factors.shape, factors.dtype, factors.nbytes)
        writer.write_header_to_file(path)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        with ExitStack() as stack, Progress("gguf", sum(math.prod(each.shape) for each in tensors)) as bar:
            for each in tensors:
                writer.write_tensor_data(self._values(each, stack))
                bar.advance(math.prod(each.shape))
        if factors is not None:
            writer.write_tensor_data(factors)
        writer.close()

    def _size(self, tensor: _Tensor) -> tuple[int, Any]:
        """Bytes of a tensor in the file, and the numpy type its shape is counted in."""
        import numpy as np

        block, size = _gguf().GGML_QUANT_SIZES[tensor.kind]
        return math.prod(tensor.shape) // block * size, np.dtype(np.float32)

    def _tensors(self) -> Iterator[_Tensor]:
        names = _gguf().get_tensor_name_map(self._arch_number(), self.config["num_hidden_layers"])
        for source, file, shape in sorted(_stored(self.folder)):
            if source.endswith(tuple(table()["computed"])):
                continue
            if self.config.get("tie_word_embeddings") and source in ("lm_head.weight", "embed_out.weight"):
                continue
            name = names.get_name(source, try_suffixes=(".weight", ".bias"))
            if name is None:
                raise Unsupported(f"{self.folder}: no place in a {self.arch} GGUF file for the tensor {source!r}")
            yield _Tensor(name, source, file, shape, self._kind(name, shape))

    def _arch_number(self) -> Any:
        gguf = _gguf()
        return next(number for number, name in gguf.MODEL_ARCH_NAMES.items() if name == self.arch)

    def _kind(self, name: str, shape: Sequence[int]) -> Any:
        """The type of a tensor's values. Vectors stay in 32 bits, rows that do not divide into blocks in 16.

        So does, when the rest is in 8, what small models need most: of the bundled model's greedy tokens 96.9 % stay the
        same, with the head alone 95.3 %, with all in 8 bits 94.1 % (LOG.md).
        """
        kinds = _gguf().GGMLQuantizationType
        if len(shape) == 1 or self.quantise == "f32":
            return kinds.F32
        fine = self.quantise == "q8_0" and shape[-1] % _BLOCK == 0 and not self._sensitive(name)
        return kinds.Q8_0 if fine else kinds.F16

    def _sensitive(self, name: str) -> bool:
        head = name == ("token_embd.weight" if self.config.get("tie_word_embeddings") else "output.weight")
        return head or (self.config["hidden_size"] <= _SMALL and name.endswith(("attn_v.weight", "attn_output.weight")))

    def _values(self, tensor: _Tensor, stack: ExitStack) -> Any:
        import torch

        stored = _opened(self.folder / tensor.file, stack).get_tensor(tensor.source)
        values = self._laid_out(tensor.source, stored.to(torch.float32).numpy())
        return _gguf().quants.quantize(values, tensor.kind)

    def _laid_out(self, source: str, values: Any) -> Any:
        """Rows in the order that llama.cpp expects."""
        import numpy as np

        if self.layout.get("permute") and ".q_proj." in source:
            return _paired(values, self.heads)
        if self.layout.get("permute") and ".k_proj." in source:
            return _paired(values, self.key_heads)
        if self.arch == "gptneox" and ".query_key_value." in source:
            split = values.reshape(self.heads, 3, self.head, *values.shape[1:])
            return np.ascontiguousarray(split.swapaxes(0, 1).reshape(values.shape))
        return values

    def _factors(self) -> Any:
        """What llama.cpp divides each frequency by, for Llama 3's long contexts (transformers' `llama3` positions)."""
        import numpy as np

        rope = self._rope
        if rope["rope_type"] != "llama3":
            return None
        wave = 2 * np.pi * rope["rope_theta"] ** (np.arange(0, self.head, 2, dtype=np.float64) / self.head)
        low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
        smooth = np.clip((rope["original_max_position_embeddings"] / wave - low) / (high - low), 0, 1)
        return (1 / (smooth + (1 - smooth) / factor)).astype(np.float32)


def _paired(values: Any, heads: int) -> Any:
    """From halves of a head (transformers) to pairs of neighbours (llama.cpp): rows 0, d/2, 1, d/2+1, …"""
    import numpy as np

    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(values.shape))


def _stored(folder: Path) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Name, file and shape of each tensor in the folder's safetensors files; only headers are read."""
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        raise ModelError(f"no .safetensors file in {folder}")
    for path in found:
        with path.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        yield from ((key, path.name, tuple(each["shape"])) for key, each in header.items() if key != "__metadata__")


def _opened(path: Path, stack: ExitStack) -> Any:
    from safetensors import safe_open

    return stack.enter_context(safe_open(path, framework="pt"))


def _gguf() -> Any:
    import gguf

    return gguf
