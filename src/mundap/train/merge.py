"""`mundap merge`: the adapter folded into its base in 16 bits or more, read back, and compared with base and adapter.

What is compared is what was written: the folder is opened again, and its next-token distributions on real rows of the
dataset are held against those of the base with the adapter on it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

from mundap import prompts
from mundap.config import Recipe
from mundap.errors import ModelError, UserError
from mundap.models.bases import ADAPTER, Opened, loading, locate, open_base, quiet
from mundap.models.hf import base_of, check_adapter, ends
from mundap.store import Manifest, Work, code_digest, digest, file_digest, read_jsonl, versions
from mundap.train import place
from mundap.train.plan import base_digest

_LIBRARIES = ("torch", "transformers", "peft")
_ROWS, _POSITIONS, _LONGEST = 16, 32, 512
# The most that the mean divergence (nats) may be. Merging rounds the sum of two matrices, so 16 bits are given what their
# rounding costs; a wrong merge is orders of magnitude off.
_DIVERGENCE = {"fp32": 1e-5, "fp16": 1e-3, "bf16": 2e-2}
_TIE, _WORSE = 0.1, 0.01  # another best token this close (nats) is a tie; at most this share of places may not be one
_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2}


def run(recipe: Recipe, work: Work) -> Manifest:
    """Write `merge/model`. Raises `UserError` when nothing is trained, or the adapter is another base's."""
    trained = trained_folder(work)
    rows = _rows_file(work)
    if prompts.saved(trained) is None:
        raise UserError(f"no {prompts.FILE} in {trained}; train again, so that the template is saved with the weights")
    if adapted(trained):
        check_base(trained, recipe.train.base, recipe.train.revision, work.manifest("train"))
    inputs = {f"train/{trained.name}": place.digest_of(trained), f"build/{rows.name}": file_digest(rows)}
    settings = [
        recipe.merge.model_dump(),
        recipe.chat.generation.model_dump(),
        recipe.train.base,
        recipe.train.revision,
    ]
    key = digest([settings, inputs, code_digest("mundap.train", "mundap.models"), versions(*_LIBRARIES)])
    done = work.fresh("merge", key)
    return done or _merge(recipe, work, trained, rows, Manifest("merge", key, inputs=inputs, seed=recipe.seed))


def trained_folder(work: Work) -> Path:
    """Where training left its result: an adapter, or a whole model. Raises `UserError` when there is neither."""
    for name, mark in (("adapter", ADAPTER), ("model", "config.json")):
        folder = work.root / "train" / name
        if (folder / mark).is_file():
            return folder
    raise UserError(f"nothing trained in {work.root / 'train'}; run `mundap train` for this recipe first")


def adapted(folder: Path) -> bool:
    """Whether a trained folder is an adapter."""
    return (folder / ADAPTER).is_file()


def check_base(adapter: Path, base: str, revision: str | None, trained: Manifest | None) -> None:
    """Raise unless the adapter is whole, was trained on this base as it is now, and the base is not quantised."""
    check_adapter(str(adapter))
    if (trained_on := base_of(str(adapter))) != base:
        raise UserError(
            f"{adapter} was trained on {trained_on!r}, not on {base!r}; set train.base to that, or train again"
        )
    found = locate(base)
    was = trained.details.get("base_digest") if trained else None
    if was and was != base_digest(found, revision):
        raise UserError(
            f"the base {base!r} is not what it was when {adapter} was trained on it; restore it, or train again"
        )
    path = found.folder / "config.json" if found.folder and not found.gguf else None
    quantised = json.loads(path.read_text("utf-8")).get("quantization_config") if path and path.is_file() else None
    if quantised:
        how = quantised.get("quant_method", "quantised")
        raise UserError(
            f"{base} is stored quantised ({how}); merging would round into its few bits: name its 16-bit original"
        )


def _rows_file(work: Work) -> Path:
    """The rows that the two are compared on."""
    for name in ("val", "train"):
        path = work.root / "build" / f"{name}.jsonl"
        if path.is_file() and path.stat().st_size:
            return path
    raise UserError(f"no rows in {work.root / 'build'} to compare on; run `mundap build` for this recipe first")


def _merge(recipe: Recipe, work: Work, trained: Path, rows: Path, manifest: Manifest) -> Manifest:
    began = perf_counter()
    with place.making(work, "merge") as made:
        details = _fold(recipe, trained, rows, made / "model")
    return work.finish(
        Manifest(
            "merge", manifest.key, 1, inputs=manifest.inputs, seed=manifest.seed, versions=versions(*_LIBRARIES),
            seconds=round(perf_counter() - began, 3), details=details,
        )
    )  # fmt: skip


def _fold(recipe: Recipe, trained: Path, rows: Path, folder: Path) -> dict[str, Any]:
    """Merge, write, read back, compare; what was found. A model that was trained whole has nothing to fold."""
    from peft import PeftModel

    dtype, whole = recipe.merge.dtype, not adapted(trained)
    opened = open_base(str(trained), dtype) if whole else open_base(recipe.train.base, dtype, recipe.train.revision)
    place.check_room(folder.parent, opened.model.num_parameters() * _BYTES[dtype], "the merged model")
    texts, model = list(_texts(rows, opened.tokenizer)), opened.model
    if not whole:
        with loading(str(trained)):
            model = PeftModel.from_pretrained(model, trained)
    before = [_distribution(model, ids) for ids in texts]
    merged = Opened(model if whole else model.merge_and_unload(safe_merge=True), opened.tokenizer)
    _save(merged, trained, recipe, folder)
    del opened, model, merged
    found = compare(before, open_base(str(folder), dtype).model, texts)
    check(found, dtype, str(folder.parent.parent))
    base = str(trained) if whole else recipe.train.base
    return {"dtype": dtype, "base": base, "method": recipe.train.method, **found.rounded}


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two models are apart: divergence in nats, largest difference of a log-probability, same best token.

    `worse` is the share of places where the best token of the second is clearly not that of the first.
    """

    rows: int
    positions: int
    divergence: float
    largest: float
    agreement: float
    worse: float

    @property
    def rounded(self) -> dict[str, Any]:
        """As it goes into a manifest."""
        return {
            "rows": self.rows, "positions": self.positions, "divergence": float(f"{self.divergence:.3g}"),
            "largest_difference": float(f"{self.largest:.3g}"), "top1_agreement": round(self.agreement, 4),
            "clearly_other": round(self.worse, 4),
        }  # fmt: skip


def compare(before: list[Any], model: Any, texts: list[list[int]]) -> Difference:
    """Hold the log-probabilities of the same texts by another model against `before`."""
    import torch

    pairs = [(old, _distribution(model, ids)) for old, ids in zip(before, texts, strict=True)]
    divergence = torch.cat([(old.exp() * (old - new)).sum(-1) for old, new in pairs])
    lost = torch.cat([old.amax(-1) - old.gather(-1, new.argmax(-1, True)).squeeze(-1) for old, new in pairs])
    largest = max(float((old - new).abs().max()) for old, new in pairs)
    agreement, worse = float((lost == 0).float().mean()), float((lost > _TIE).float().mean())
    return Difference(len(pairs), len(lost), float(divergence.mean()), largest, agreement, worse)


def check(found: Difference, dtype: str, where: str) -> None:
    """Raise `ModelError` when the merged model is not the one that was trained."""
    allowed = _DIVERGENCE[dtype]
    if not found.divergence <= allowed or not found.worse <= _WORSE:
        raise ModelError(
            f"{where}: the merged model does not answer as base and adapter do: divergence {found.divergence:.2g} nats "
            f"(at most {allowed:g}), clearly another best token at {found.worse:.1%} of places (at most {_WORSE:.0%}); "
            "nothing was kept. Try merge.dtype: fp32"
        )


def _distribution(model: Any, ids: list[int]) -> Any:
    """Log-probabilities of the next token at the last places of a text: [places, vocabulary], 32 bits."""
    import torch

    with torch.inference_mode():
        inputs = torch.tensor([ids], device=model.device)
        logits = model(input_ids=inputs, use_cache=False, logits_to_keep=_POSITIONS).logits[0]
        return logits.float().log_softmax(-1).cpu()


def _texts(rows: Path, tokenizer: Any) -> Iterator[list[int]]:
    """Tokens of whole rows, question and answer, the last of them if there are many."""
    for row in islice(read_jsonl(rows), _ROWS):
        asked, answer = row["prompt"], row["completion"]
        if isinstance(asked, str):
            ids = list(tokenizer(asked + answer)["input_ids"])
        else:
            ids = list(tokenizer.apply_chat_template([*asked, *answer], return_dict=True)["input_ids"])
        yield ids[-_LONGEST:]


def _save(merged: Opened, trained: Path, recipe: Recipe, folder: Path) -> None:
    """Weights, tokenizer with the template of training as its chat template, and generation settings."""
    model, tokenizer = merged.model, merged.tokenizer
    template = prompts.saved(trained)
    if template is not None and template.name != prompts.MODEL:
        tokenizer.chat_template = prompts.jinja(template, bos=adds_beginning(tokenizer))
    model.generation_config = _generation(merged, recipe)
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    (folder / prompts.FILE).write_bytes((trained / prompts.FILE).read_bytes())


def adds_beginning(tokenizer: Any) -> bool:
    """Whether the tokenizer begins every text with its BOS token."""
    ids = tokenizer("a")["input_ids"]
    return bool(ids) and ids[0] == tokenizer.bos_token_id


def _generation(merged: Opened, recipe: Recipe) -> Any:
    from transformers import GenerationConfig

    chat, tokenizer = recipe.chat.generation, merged.tokenizer
    sampled = {"temperature": chat.temperature, "top_p": chat.top_p} if chat.temperature else {}
    return GenerationConfig(
        do_sample=bool(chat.temperature), max_new_tokens=chat.max_tokens, repetition_penalty=chat.repeat_penalty,
        eos_token_id=sorted(ends(merged)), pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id, **sampled,
    )  # fmt: skip
