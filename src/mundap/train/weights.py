"""What training did to the weights, by kind of module: a tuned model that equals its base is not saved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mundap.errors import UserError


def norms(model: Any) -> dict[str, float]:
    """The Frobenius norm of what can change, for each kind of module (`q_proj`, `down_proj`, …).

    Of an adapter, its second matrix (B, zero before training); of a model that is trained whole, all its weights.
    """
    squares: defaultdict[str, float] = defaultdict(float)
    adapter = hasattr(model, "peft_config")
    for name, weight in model.named_parameters():
        if weight.requires_grad and (not adapter or "lora_B" in name):
            squares[_kind(name)] += float(_whole(weight.detach()).double().pow(2).sum())
    return {kind: total**0.5 for kind, total in sorted(squares.items())}


def _whole(weight: Any) -> Any:
    """All of a weight that several processes have in parts."""
    return weight.full_tensor() if hasattr(weight, "full_tensor") else weight


def _kind(name: str) -> str:
    parts = [part for part in name.split(".") if part not in ("weight", "bias", "lora_B", "default")]
    return parts[-1]


def check_changed(before: Mapping[str, float], after: Mapping[str, float]) -> None:
    """Raise `UserError` when training changed nothing at all."""
    if before == after:
        raise UserError(
            "training changed no weight, so the result would be the untuned base; are there too few steps (a warm-up "
            "begins at the rate 0), too short a budget, or far too low a train.lr? What was done is saved: set more and "
            "run again"
        )


def replace_folder(new: Path, old: Path) -> None:
    """Put a finished folder in its place."""
    import os
    import shutil

    shutil.rmtree(old, ignore_errors=True)
    os.replace(new, old)
