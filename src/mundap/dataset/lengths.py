"""How long rows are in tokens of the base that will be tuned, and how many would be cut; in characters without a tokenizer."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from mundap.dataset.formats import Part
from mundap.dataset.split import SPLITS
from mundap.errors import UserError
from mundap.prompts import MODEL

_SHARES = (50, 90, 95, 99)


class Lengths:
    """Measures rows as they are written. `limit` is where training cuts."""

    def __init__(self, base: str, template: str, limit: int) -> None:
        self._limit, self._model = limit, template == MODEL
        self._tokenizer, self._why = _tokenizer(base, self._model)
        self._base = base
        self._found = {split: array("I") for split in SPLITS}

    def add(self, splits: Sequence[str], made: Sequence[tuple[Part, Part]]) -> None:
        """Note the lengths of some rows, each with the EOS that ends it."""
        for split, length in zip(splits, self._lengths(made), strict=True):
            self._found[split].append(length)

    def _lengths(self, made: Sequence[tuple[Part, Part]]) -> list[int]:
        if not made:
            return []
        if self._tokenizer is None:
            return [_characters(prompt) + _characters(completion) for prompt, completion in made]
        if self._model:
            talks = [[*prompt, *completion] for prompt, completion in made]
            return [len(ids) for ids in self._tokenizer.apply_chat_template(talks, return_dict=False)]
        texts = [f"{prompt}{completion}" for prompt, completion in made]
        return [len(ids) + 1 for ids in self._tokenizer(texts, verbose=False)["input_ids"]]

    def report(self) -> dict[str, Any]:
        """Percentiles for each split, and how many rows are longer than the limit (None when that is not known)."""
        unit = "token" if self._tokenizer is not None else "character"
        splits = {split: self._split(np.array(found)) for split, found in self._found.items() if found}
        return {"unit": unit, "base": self._base, "why": self._why, "limit": self._limit, "splits": splits}

    def _split(self, found: Any) -> dict[str, Any]:
        shares = {f"p{share}": int(np.percentile(found, share, method="higher")) for share in _SHARES}
        cut = int((found > self._limit).sum()) if self._tokenizer is not None else None
        return {"rows": len(found), **shares, "longest": int(found.max()), "total": int(found.sum()), "cut": cut}


def _characters(part: Part) -> int:
    return len(part) if isinstance(part, str) else sum(len(line["content"]) for line in part)


def _tokenizer(base: str, chat: bool) -> tuple[Any, str]:
    """The tokenizer of a base that lies on this machine, or why there is none; nothing is downloaded for a report."""
    from mundap.models import bases

    try:
        place = bases.locate(base)
        if place.folder is None and not _cached(base):
            return None, f"{base} is not on this machine"
        found = bases.tokenizer_of(base)
    except UserError as error:
        return None, str(error)
    if chat and not found.chat_template:
        return None, f"the tokenizer of {base} has no chat template"
    return found, ""


def _cached(base: str) -> bool:
    """Whether a hub's files for a base have been fetched before."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ModuleNotFoundError:
        return False
    return any(
        isinstance(try_to_load_from_cache(base, name), str) for name in ("tokenizer.json", "tokenizer_config.json")
    )
