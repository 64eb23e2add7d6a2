"""`mundap train`: a base model tuned on the built dataset, resumable at any step, never silently wrong.

A finished training with the same key is skipped. One that was killed, stopped by a signal or by its `budget` goes on
where its last whole checkpoint is, and ends with the same weights as if it had never been stopped (on a CPU bitwise).
"""

from __future__ import annotations

from mundap.config import Recipe
from mundap.store import Manifest, Work
from mundap.train import launch
from mundap.train.plan import plan


def run(recipe: Recipe, work: Work) -> Manifest:
    """Tune `train.base` on `build/train.jsonl`. Raises `UserError` before anything expensive for what is wrong."""
    recipe = launch.settled(recipe)
    planned = plan(recipe, work)
    done = work.fresh("train", planned.key)
    if done is not None and done.details.get("stopped_by") != "budget":
        return done
    if recipe.train.launch:
        return launch.run(recipe, work)
    from mundap.train.sft import train

    return train(recipe, work)
