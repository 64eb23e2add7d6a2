"""A tokenizer.json as GGUF metadata: tokens, merges or scores, special tokens, and the name of how it cuts text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mundap.errors import ModelError

# Token types of the GGUF format.
_NORMAL, _UNKNOWN, _CONTROL, _USER, _UNUSED, _BYTE = range(1, 7)
_LEAST = -1e6  # the score of a piece that no merge makes


class Unsupported(ModelError):
    """A model that llama.cpp has no form for, or none that is written here yet."""


@dataclass(frozen=True)
class Vocabulary:
    """The tokenizer of a model folder. `size` is the model's, which may be padded beyond the tokenizer's."""

    folder: Path
    size: int
    splits: Mapping[str, Sequence[str]]

    def describe(self, writer: Any) -> None:
        """Add the tokenizer's metadata to a GGUF writer. Raises `Unsupported` for a kind llama.cpp has no name for."""
        pieces = self._pieces()
        writer.add_tokenizer_model("llama" if self._bytes_fall_back else "gpt2")
        writer.add_tokenizer_pre("default" if self._bytes_fall_back else self._split_name())
        writer.add_token_list([piece for piece, _ in pieces])
        writer.add_token_types([kind for _, kind in pieces])
        if self._bytes_fall_back:
            ranks = self._ranks()
            writer.add_token_scores([ranks.get(piece, _LEAST) for piece, _ in pieces])
            writer.add_add_space_prefix("Prepend" in json.dumps(self._all.get("normalizer")))
        else:
            writer.add_token_merges([" ".join(pair) for pair in self._merges()])
            writer.add_add_space_prefix(False)
        self._specials(writer)

    @cached_property
    def _all(self) -> dict[str, Any]:
        path = self.folder / "tokenizer.json"
        if not path.is_file():
            raise Unsupported(f"no file {path}; a GGUF file is made from a tokenizer.json")
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if found["model"]["type"] != "BPE":
            raise Unsupported(f"{path} is a {found['model']['type']} tokenizer; a GGUF file is made from BPE only")
        return found

    @property
    def _bytes_fall_back(self) -> bool:
        return bool(self._all["model"].get("byte_fallback"))

    def _pieces(self) -> list[tuple[str, int]]:
        """Each token with its type, in order of id; ids that nothing has are unused."""
        found = {number: (piece, self._kind(piece)) for piece, number in self._all["model"]["vocab"].items()}
        for token in self._all.get("added_tokens", ()):
            kind = _CONTROL if token["special"] else _USER
            found[token["id"]] = (token["content"], _UNKNOWN if self._is_unknown(token["content"]) else kind)
        if found and max(found) >= self.size:
            raise ModelError(f"{self.folder}: the tokenizer has {max(found) + 1} tokens, the model {self.size}")
        return [found.get(number, (f"[PAD{number}]", _UNUSED)) for number in range(self.size)]

    def _kind(self, piece: str) -> int:
        if self._is_unknown(piece):
            return _UNKNOWN
        byte = self._bytes_fall_back and len(piece) == 6 and piece.startswith("<0x")
        return _BYTE if byte else _NORMAL

    def _is_unknown(self, piece: str) -> bool:
        return self._bytes_fall_back and piece == self._all["model"].get("unk_token")

    def _merges(self) -> Iterator[tuple[str, str]]:
        for merge in self._all["model"]["merges"]:
            first, second = merge.split(" ", 1) if isinstance(merge, str) else merge
            yield first, second

    def _ranks(self) -> dict[str, float]:
        """SentencePiece merges the pair whose piece scores best: the earlier the merge, the higher the score."""
        ranks: dict[str, float] = {}
        for rank, (first, second) in enumerate(self._merges()):
            ranks.setdefault(first + second, -float(rank))
        return ranks

    def _split_name(self) -> str:
        cuts = [_cut(part) for part in _parts(self._all.get("pre_tokenizer"))]
        # A regular expression of one's own comes before a byte level that splits nothing further.
        wanted = [cut for cut in cuts if cut]
        for name, known in self.splits.items():
            if wanted == list(known):
                return name
        raise Unsupported(f"{self.folder}: llama.cpp's name for how its tokenizer cuts text is not known ({wanted})")

    def _specials(self, writer: Any) -> None:
        begin = self._id("bos_token")
        adds = {"bos": writer.add_bos_token_id, "eos": writer.add_eos_token_id, "pad": writer.add_pad_token_id}
        for name, add in {**adds, "unk": writer.add_unk_token_id}.items():
            if (number := self._id(f"{name}_token")) is not None:
                add(number)
        writer.add_add_bos_token(begin is not None and self._encoded("a")[0] == begin)
        writer.add_add_eos_token(False)
        for number in self._ends() - {self._id("eos_token")}:
            writer.add_eot_token_id(number)
            break  # GGUF has room for one more; llama.cpp knows the usual ones by name

    def _ends(self) -> set[int]:
        """Every id that ends an answer by the generation settings."""
        found = _json(self.folder / "generation_config.json").get("eos_token_id")
        return {found} if isinstance(found, int) else set(found or ())

    def _id(self, name: str) -> int | None:
        token = _json(self.folder / "tokenizer_config.json").get(name)
        text = token.get("content") if isinstance(token, dict) else token
        added = {each["content"]: each["id"] for each in self._all.get("added_tokens", ())}
        found: int | None = added.get(text, self._all["model"]["vocab"].get(text))
        return found

    def _encoded(self, text: str) -> list[int]:
        from tokenizers import Tokenizer

        found: list[int] = Tokenizer.from_file(str(self.folder / "tokenizer.json")).encode(text).ids
        return found


def _parts(cutter: Any) -> list[dict[str, Any]]:
    if cutter is None:
        return []
    return list(cutter["pretokenizers"]) if cutter["type"] == "Sequence" else [cutter]


def _cut(part: Mapping[str, Any]) -> str:
    """How one part of a pre-tokenizer cuts: a regular expression, or a word for it; nothing if it does not cut."""
    if part["type"] == "Split":
        return str(part["pattern"].get("Regex", part["pattern"]))
    if part["type"] == "Digits":
        return "digits" if part.get("individual_digits") else "runs of digits"
    if part["type"] == "ByteLevel":
        return "byte level" if part.get("use_regex", True) else ""
    return str(part["type"])


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}
