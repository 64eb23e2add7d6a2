"""The built rows as tokens with what is to be learnt marked, the order they are trained in, and the first batch shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from mundap import prompts
from mundap.errors import UserError
from mundap.models.hf import tokens
from mundap.store import read_jsonl
from mundap.types import Drop

IGNORED = -100  # what a label is where nothing is learnt
_MARK = re.compile(r"<\|[^|<>]{1,40}\|>")
_CHUNK = 64  # batches that are sorted by length together


@dataclass(frozen=True, slots=True)
class Row:
    """One row as tokens; what follows `start` is learnt, its last token ends the answer."""

    id: str
    ids: Any
    start: int

    @property
    def labels(self) -> Any:
        """The tokens to be predicted, `IGNORED` where nothing is learnt."""
        found = self.ids.copy()
        found[: self.start] = IGNORED
        return found


@dataclass(frozen=True, slots=True)
class Encoder:
    """Rows to tokens by one tokenizer; `ends` are the tokens that end an answer, `length` is the longest row."""

    tokenizer: Any
    ends: frozenset[int]
    length: int

    def prompt(self, row: Mapping[str, Any]) -> list[int]:
        """The tokens a model is given before it answers: the same here and in chat."""
        if isinstance(row["prompt"], str):
            return tokens(self.tokenizer, row["prompt"])
        return self._chat(row["prompt"], True)

    def encode(self, row: Mapping[str, Any]) -> Row | Drop:
        """A row as tokens, or why it is left out. Raises `UserError` when answers would not learn to end."""
        where = {"id": str(row["id"])}
        if not _answer(row).strip():
            return Drop(where, "train", "the answer is empty")
        prompt = self.prompt(row)
        ids, start = self._whole(row, prompt)
        if len(ids) > self.length:
            return Drop({**where, "tokens": len(ids)}, "train", f"longer than {self.length} tokens")
        return Row(where["id"], np.array(ids, np.int32), start)

    def _whole(self, row: Mapping[str, Any], prompt: list[int]) -> tuple[list[int], int]:
        if isinstance(row["prompt"], str):
            # Where tokens merge across the seam the two are encoded apart: in chat the prompt stands alone too.
            whole = tokens(self.tokenizer, row["prompt"] + row["completion"])
            if whole[: len(prompt)] != prompt:
                apart = self.tokenizer(row["completion"], add_special_tokens=False, split_special_tokens=True)
                whole = prompt + list(apart["input_ids"])
            return [*whole, self.tokenizer.eos_token_id], len(prompt)
        whole = self._chat([*row["prompt"], *row["completion"]], False)
        return self._ended(whole, row), _common(prompt, whole)

    def _ended(self, ids: list[int], row: Mapping[str, Any]) -> list[int]:
        """Up to the token that ends the answer: what a chat template writes after it is never generated."""
        last = max((place for place, token in enumerate(ids) if token in self.ends), default=-1)
        rest = self.tokenizer.decode(ids[last + 1 :]) if last >= 0 else "?"
        if rest.strip():
            known = ", ".join(repr(self.tokenizer.decode([end])) for end in sorted(self.ends))
            raise UserError(
                f"row {row['id']}: the chat template ends an answer with {self.tokenizer.decode(ids[-3:])!r}, but "
                f"generation ends at {known}: the model would never learn to stop; use build.template: mundap-ko"
            )
        return ids[: last + 1]

    def _chat(self, messages: Sequence[Mapping[str, str]], opened: bool) -> list[int]:
        found = self.tokenizer.apply_chat_template(
            list(messages), add_generation_prompt=opened, sanitize_control_tokens=True, return_dict=True
        )
        return list(found["input_ids"])


def _answer(row: Mapping[str, Any]) -> str:
    completion = row["completion"]
    return completion if isinstance(completion, str) else str(completion[-1]["content"])


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two sequences begin with alike."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(first), len(second)))


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file that `mundap build` wrote. Raises `UserError` for one without prompt and completion."""
    rows = list(read_jsonl(path))
    for number, row in enumerate(rows, 1):
        if missing := {"id", "prompt", "completion"} - row.keys():
            raise UserError(f"{path}, line {number}: no {sorted(missing)[0]!r}; run `mundap build` again")
    return rows


def encoded(
    rows: Sequence[Mapping[str, Any]], encoder: Encoder, lang: str | None = None
) -> tuple[list[Row], list[Drop]]:
    """All rows, kept and left out (with `lang`, those of another language too): together as many as came in."""
    kept, dropped = [], []
    for row in rows:
        other = lang is not None and row.get("lang", lang) != lang
        reason = f"language {row.get('lang')} not asked for"
        found = Drop({"id": str(row["id"])}, "train", reason) if other else encoder.encode(row)
        if isinstance(found, Drop):
            dropped.append(found)
        else:
            kept.append(found)
    return kept, dropped


def check_template(tokenizer: Any, template: prompts.Template, base: str) -> None:
    """Raise `UserError` unless the tokenizer has everything that the template writes."""
    if template.name != prompts.MODEL:
        unknown = [text for text in _texts(template.definition) if tokenizer.unk_token_id in tokens(tokenizer, text)]
        if tokenizer.unk_token_id is not None and unknown:
            raise UserError(f"the tokenizer of {base} has no tokens for {unknown[0]!r} of template {template.name!r}")
        return
    if not tokenizer.chat_template:
        names = ", ".join(prompts.template_names())
        raise UserError(f"{base} has no chat template of its own; set build.template to one of {names} and build again")
    shown = tokenizer.apply_chat_template([{"role": "user", "content": "?"}], tokenize=False)
    for mark in sorted(set(_MARK.findall(shown))):
        if len(tokenizer(mark, add_special_tokens=False)["input_ids"]) != 1:
            raise UserError(f"the tokenizer of {base} does not know {mark!r}, which its chat template writes")


def _texts(value: Any) -> Iterator[str]:
    """Every text in plain data, in order."""
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ():
        yield from _texts(inner)


class Order:
    """The order of rows in an epoch: from the seed and the epoch alone, so that a run that goes on knows its place.

    With `grouped`, rows of like length share a batch, which saves padding; which rows and which batch when is random.
    """

    def __init__(self, lengths: Sequence[int], seed: int, batch: int, grouped: bool) -> None:
        self.lengths, self.seed, self.batch, self.grouped = np.asarray(lengths), seed, batch, grouped
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        chance = np.random.default_rng([self.seed, self.epoch])
        order = chance.permutation(len(self.lengths))
        if self.grouped:
            order = self._grouped(order, chance)
        return iter(order.tolist())

    def _grouped(self, order: Any, chance: Any) -> Any:
        chunk = self.batch * _CHUNK
        parts = [order[start : start + chunk] for start in range(0, len(order), chunk)]
        order = np.concatenate([part[np.argsort(-self.lengths[part], kind="stable")] for part in parts])
        whole = len(order) // self.batch * self.batch
        batches = order[:whole].reshape(-1, self.batch)
        return np.concatenate([batches[chance.permutation(len(batches))].reshape(-1), order[whole:]])


def check_batch(inputs: Any, labels: Any, ends: frozenset[int], packed: bool = False) -> None:
    """Raise `UserError` unless each row of the first real batch has something to learn, and its end among it."""
    for row, marks in zip(np.atleast_2d(inputs), np.atleast_2d(labels), strict=True):
        learnt = row[marks != IGNORED]
        if not len(learnt):
            raise UserError("a row of the first batch has nothing to learn: every token is masked")
        if (marks[marks != IGNORED] != learnt).any():
            raise UserError("the labels of the first batch are not its tokens; nothing sensible would be learnt")
        if int(learnt[-1]) not in ends and not packed:
            raise UserError("the first batch ends an answer without the token that ends it; the model would never stop")
        if packed and not ends & set(learnt.tolist()):
            raise UserError("the first batch has no token that ends an answer; the model would never stop")


def shown(inputs: Any, labels: Any, tokenizer: Any) -> list[list[tuple[str, bool]]]:
    """Each row of a batch as pieces of text, each learnt (True) or only read."""
    found = []
    for row, marks in zip(np.atleast_2d(inputs), np.atleast_2d(labels), strict=True):
        learnt = marks != IGNORED
        last = len(row) - int(np.argmax(learnt[::-1])) if learnt.any() else len(row)
        cuts = [0, *(np.flatnonzero(np.diff(learnt[:last])) + 1).tolist(), last]
        found.append(
            [(tokenizer.decode(row[start:end].tolist()), bool(learnt[start])) for start, end in pairwise(cuts)]
        )
    return found
