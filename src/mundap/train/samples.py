"""What a model answers to a few prompts, before and after training, side by side."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from mundap.store import replacing
from mundap.train.data import Encoder

_LONGEST = 120


def answers(
    model: Any, encoder: Encoder, rows: Sequence[Mapping[str, Any]], tuned: bool, halt: Callable[[], Any]
) -> list[str]:
    """The most likely answer to each row's prompt; with `tuned` off an adapter is left out. `halt` cuts them short."""
    import torch
    from transformers import StoppingCriteriaList

    def halted(ids: Any, scores: Any, **_: Any) -> Any:
        return torch.full((ids.shape[0],), bool(halt()), device=ids.device)

    if not rows:
        return []
    prompts = [encoder.prompt(row)[-(encoder.length - 1) :] for row in rows]
    longest = max(map(len, prompts))
    pad = encoder.tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (longest - len(prompt)) + prompt for prompt in prompts], device=model.device)
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device)
    model.eval()
    bare = hasattr(model, "disable_adapter") and not tuned
    with torch.no_grad(), model.disable_adapter() if bare else nullcontext():
        made = model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=_LONGEST, do_sample=False, temperature=None, top_p=None,
            top_k=None, eos_token_id=sorted(encoder.ends), pad_token_id=pad, use_cache=True,
            stopping_criteria=StoppingCriteriaList([halted]),
        )  # fmt: skip
    return [_text(encoder, row[longest:].tolist()) for row in made]


def _text(encoder: Encoder, ids: list[int]) -> str:
    end = next((place for place, token in enumerate(ids) if token in encoder.ends), None)
    text: str = encoder.tokenizer.decode(ids[:end], skip_special_tokens=True)
    return text + ("" if end is not None else " […]")


def write(path: Path, rows: Sequence[Mapping[str, Any]], before: Sequence[str], after: Sequence[str]) -> None:
    """`samples.jsonl`: id, prompt, what the dataset expects, and the two answers; […] marks one that was cut."""
    with replacing(path) as stream:
        for row, first, second in zip(rows, before, after, strict=True):
            line = {
                "id": row["id"], "prompt": row["prompt"], "expected": row["completion"], "before": first, "after": second,
            }  # fmt: skip
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
