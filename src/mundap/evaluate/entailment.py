"""Entailment models: whether a text says a statement, leaves it open or contradicts it, by a classifier on this machine.

Any three-way classifier of transformers serves (KLUE-NLI for Korean, MNLI for English); its labels are read from its own
config. Nothing here was tried with a published one: no hub can be reached where this was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mundap.errors import ModelError
from mundap.models.bases import loading

_LABELS = {"entail": 1, "neutral": 0, "contra": -1}
_SENTENCE = re.compile(r"(?<=[.!?。])\s+|\n+")
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_LONGEST = 512  # tokens of text and statement together, where the model names no fewer
_PADDING = 2  # positions that RoBERTa's kind keeps for itself


def relation_of(labels: Mapping[int, str], path: str) -> dict[int, int]:
    """What each of a model's labels stands for: 1, 0 or -1. Raises `ModelError` unless there is one of each."""
    found = {
        place: value for place, name in labels.items() for start, value in _LABELS.items()
        if name.lower().startswith(start)
    }  # fmt: skip
    if sorted(found.values()) != [-1, 0, 1] or len(labels) != len(found):
        listed = ", ".join(labels.values())
        raise ModelError(
            f"{path} is no entailment model: its labels are {listed}; it needs entailment, neutral, contradiction"
        )
    return found


def check(path: str, revision: str | None = None) -> None:
    """Raise `ModelError` unless it is an entailment model; only its config is read."""
    if not Path(path).is_dir() and not _HUB.fullmatch(path):
        raise ModelError(f"no entailment model {path!r}: give its folder or its id on a hub (owner/name)")
    with loading(path):
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(path, revision=revision)
    relation_of(config.id2label, path)


class Entailment:
    """A loaded entailment model. Only safetensors are read, never pickles. Raises `ModelError`."""

    def __init__(self, path: str, revision: str | None = None, batch: int = 16) -> None:
        check(path, revision)
        with loading(path):
            import torch
            from transformers import AutoModelForSequenceClassification, AutoTokenizer

            self._tokenizer: Any = AutoTokenizer.from_pretrained(path, revision=revision)
            self._model: Any = AutoModelForSequenceClassification.from_pretrained(
                path, revision=revision, use_safetensors=True
            )
        self._model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        self._relations = relation_of(self._model.config.id2label, path)
        self._batch = batch
        places = getattr(self._model.config, "max_position_embeddings", _LONGEST)
        self._room = min(_LONGEST, self._tokenizer.model_max_length, places - _PADDING)

    def relations(self, text: str, statements: Sequence[str]) -> list[int]:
        """For each statement 1 when the text says it, -1 when it contradicts it, else 0: the model's likeliest label.

        A long text is read in pieces of whole sentences: one that says the statement outweighs one that contradicts it.
        """
        pairs = [
            (number, piece, statement) for number, statement in enumerate(statements)
            for piece in self._pieces(text, statement)
        ]  # fmt: skip
        found: list[list[int]] = [[] for _ in statements]
        for start in range(0, len(pairs), self._batch):
            batch = pairs[start : start + self._batch]
            for (number, *_), relation in zip(batch, self._classified(batch), strict=True):
                found[number].append(relation)
        return [1 if 1 in each else min(each, default=0) for each in found]

    def _pieces(self, text: str, statement: str) -> Iterator[str]:
        """The text in pieces that fit beside the statement."""
        room = self._room - self._length(statement) - self._tokenizer.num_special_tokens_to_add(pair=True)
        piece: list[str] = []
        for sentence in filter(str.strip, _SENTENCE.split(text)):
            if piece and self._length(" ".join((*piece, sentence))) > room:
                yield " ".join(piece)
                piece = []
            piece.append(sentence)
        if piece:
            yield " ".join(piece)

    def _length(self, text: str) -> int:
        return len(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _classified(self, batch: Sequence[tuple[int, str, str]]) -> Iterator[int]:
        import torch

        encoded = self._tokenizer(
            [piece for _, piece, _ in batch], [statement for *_, statement in batch], truncation="longest_first",
            max_length=self._room, padding=True, return_tensors="pt",
        )  # fmt: skip
        with torch.inference_mode():
            logits = self._model(**encoded.to(self._model.device)).logits
        return (self._relations[place] for place in logits.argmax(dim=-1).tolist())
