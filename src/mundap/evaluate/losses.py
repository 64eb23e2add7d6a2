"""How surprised a model is by right answers: of the held-out rows (`loss`), of general ones before and after (`general`).

In nats a token of the answer, one value a row; perplexity is e to that power. Only models of transformers show it, and
only those with the same tokenizer can be compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from mundap.errors import UserError
from mundap.evaluate.item_sets import TEST, sample
from mundap.evaluate.items import Item
from mundap.evaluate.metrics import Case, Context, Kind, Measure, Scored, Unfit
from mundap.progress import Progress
from mundap.store import file_digest, read_jsonl
from mundap.types import Message

_MEASURE = Measure("general", "lower", "nats a token", None, None)
Pair = tuple[str, Any, str]  # id, prompt (text or messages), answer


class Loss:
    """Loss on the answers of `build/test.jsonl`; the prompt is as it was built. At most `rows`, chosen by the seed.

    A recipe that trains on one language is measured on the rows of that language.
    """

    kind: Kind = "model"
    depends = ("evaluate/item_sets.py",)
    measures: Mapping[str, Measure] = {"loss": Measure("text", "lower", "nats a token", None, None)}

    def __init__(self, rows: int | None = None, length: int = 2048) -> None:
        self._rows, self._length = rows, length

    def check(self, context: Context) -> Any:
        """Raise `UserError` when there are no held-out rows."""
        path = _built(context)
        if not path.is_file() or not path.stat().st_size:
            raise UserError(f"the metric loss needs rows in {path}; run `mundap build` with build.test above 0 first")
        return [file_digest(path), context.recipe.train.lang]

    def score(self, cases: Sequence[Case], context: Context) -> Iterator[Scored]:
        """The loss of each row."""
        lang = context.recipe.train.lang
        rows = [row for row in read_jsonl(_built(context)) if lang in (None, row.get("lang"))]
        pairs = [(str(row["id"]), row["prompt"], _text(row["completion"])) for row in rows]
        found = _losses(_chosen(pairs, self._rows, context), context, self._length)
        yield from (Scored(TEST, name, "loss", value, reason) for name, value, reason in found)


class General:
    """Loss on general rows (`path`, or the first of `build.mix`) that were not trained on: what a model forgot.

    Rows are in Alpaca's form as JSON or JSON lines; at most `rows` of them, chosen by the seed.
    """

    kind: Kind = "model"
    depends = ("evaluate/item_sets.py",)
    measures: Mapping[str, Measure] = {"general.loss": _MEASURE}

    def __init__(self, path: str = "", rows: int = 200, length: int = 2048) -> None:
        self._path, self._rows, self._length = path, rows, length

    def check(self, context: Context) -> Any:
        """Raise `UserError` when no file of general rows is named, or it is none, or all its rows were trained on."""
        path = self._file(context)
        if not path.is_file():
            raise UserError(f"the metric general: no file {path}")
        if not self._pairs(context):
            raise UserError(
                f"the metric general: {path} has no row that was not trained on; name another file as `path`"
            )
        return [file_digest(path), [name for name, _, _ in self._pairs(context)]]

    def score(self, cases: Sequence[Case], context: Context) -> Iterator[Scored]:
        """The loss of each row."""
        name = self._file(context).name.partition(".")[0]
        found = _losses(self._pairs(context), context, self._length)
        yield from (Scored(name, row, "general.loss", value, reason) for row, value, reason in found)

    def _file(self, context: Context) -> Path:
        mixed = context.recipe.build.mix
        if not self._path and not mixed:
            raise UserError(
                "the metric general needs `path`, a file of general rows: the recipe's build.mix names none"
            )
        return Path(self._path or mixed[0].path).expanduser()

    def _pairs(self, context: Context) -> list[Pair]:
        trained = _trained(context)
        rows = [row for row in _rows(self._file(context)) if _key(row) not in trained]
        pairs = [(str(row.get("id") or number), _asked(row), str(row["output"]).strip()) for number, row in enumerate(rows, 1)]  # fmt: skip
        return _chosen([pair for pair in pairs if pair[2]], self._rows, context)


def _built(context: Context) -> Path:
    return context.work.root / "build" / "test.jsonl"


def _text(completion: Any) -> str:
    return completion if isinstance(completion, str) else str(completion[-1]["content"])


def _chosen(pairs: Sequence[Pair], rows: int | None, context: Context) -> list[Pair]:
    kept = {item.id for item in sample([Item(name, ()) for name, _, _ in pairs], rows, context.recipe.seed)}
    return [pair for pair in pairs if pair[0] in kept]


def _rows(path: Path) -> list[Mapping[str, Any]]:
    if path.suffix == ".jsonl":
        found: Any = list(read_jsonl(path))
    else:
        try:
            found = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"the metric general: {path} is not JSON ({error})") from error
    rows: list[Mapping[str, Any]] = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
    if bad := next(
        (n for n, row in enumerate(rows, 1) if not {"instruction", "output"} <= row.keys()), 0 if rows else 1
    ):
        raise UserError(f"the metric general: {path}, row {bad} is not in Alpaca's form (instruction, input, output)")
    return rows


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(row.get(key) or "").strip() for key in ("instruction", "input", "output"))


def _trained(context: Context) -> set[tuple[str, ...]]:
    """The general rows that this run was trained on."""
    path = context.work.root / "build" / "out.jsonl"
    rows = read_jsonl(path) if path.is_file() else ()
    return {_key(row) for row in rows if row.get("origin") == "general" and row.get("split") == "train"}


def _asked(row: Mapping[str, Any]) -> list[Message]:
    instruction, given, _ = _key(row)
    return [Message("system", instruction), Message("user", given)] if given else [Message("user", instruction)]


def _losses(pairs: Sequence[Pair], context: Context, length: int) -> Iterator[tuple[str, float | None, str]]:
    """Id, loss and reason of each row, one row at a time."""
    from mundap.models.hf import Hf

    assert context.target is not None
    model = context.target.model()
    if not isinstance(model, Hf):
        raise Unfit("needs a model of transformers, which shows its probabilities")
    with Progress(f"evaluate: loss of {context.target.name}", len(pairs)) as bar:
        for name, prompt, answer in pairs:
            value = _loss(model, prompt, answer, length)
            yield name, value, "" if value is not None else f"longer than {length} tokens"
            bar.advance(1)


def _loss(model: Any, prompt: Any, answer: str, length: int) -> float | None:
    """Mean loss of the answer's tokens and its end. The prompt is encoded alone, as it is in a chat."""
    import torch

    from mundap.models.hf import tokens

    with model.alone() as opened, torch.inference_mode():
        tokenizer = opened.tokenizer
        before = tokens(tokenizer, prompt) if isinstance(prompt, str) else model.prompt(_messages(prompt))
        after = list(tokenizer(answer, add_special_tokens=False, split_special_tokens=True)["input_ids"])
        ids = torch.tensor([[*before, *after, tokenizer.eos_token_id]], device=opened.model.device)
        if ids.shape[1] > length or not after:
            return None
        kept = ids.shape[1] - len(before) + 1
        logits = opened.model(input_ids=ids, use_cache=False, logits_to_keep=kept).logits[0, :-1].float()
        return round(float(torch.nn.functional.cross_entropy(logits, ids[0, len(before) :])), 6)


def _messages(prompt: Sequence[Any]) -> list[Message]:
    return [
        line if isinstance(line, Message) else Message(line["role"], line["content"]) for line in islice(prompt, None)
    ]
