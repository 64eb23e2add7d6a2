"""TRL's trainer with what it lacks: an order it can go back to, whole checkpoints, the ids it was fed, and early ends."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch  # noqa: TID253  imported lazily by sft.py only
import trl.trainer.utils  # noqa: TID253  as above
from transformers import PrinterCallback, TrainerCallback  # noqa: TID253  as above
from trl import SFTConfig, SFTTrainer  # noqa: TID253  as above

from mundap.errors import UserError
from mundap.progress import Progress
from mundap.train.budget import Budget
from mundap.train.checkpoints import Checkpoints
from mundap.train.data import Order, Row
from mundap.train.health import trouble
from mundap.train.log import Log
from mundap.train.signals import Signals

_STATE = "trainer_state.json"
_RESAMPLES = 1000


class Diverged(UserError):
    """Training stopped because its loss shows that nothing good can come of it."""


@dataclass
class Watch:
    """What one training is watched by and ended by; `stopped_by` says what ended it."""

    log: Log
    checkpoints: Checkpoints
    budget: Budget
    signals: Signals
    save_every: int
    evaluate_every: int
    patience: int | None = None
    first: bool = True
    stopped_by: str = ""
    ids: Sequence[str] = ()
    fed: list[int] = field(default_factory=list)
    began: float = field(default_factory=monotonic)
    world: int = 1

    def ending(self) -> bool:
        """Whether a signal or the budget ends it here; of several processes all come to the same answer."""
        told = [(self.signals.received, self.budget.over())]
        if self.world > 1:
            from accelerate.utils import gather_object

            told = gather_object(told)
        self.signals.received = max(number for number, _ in told)
        return any(number or over for number, over in told)

    def due(self, step: int, last: int) -> bool:
        """Whether a step is one to evaluate after."""
        return step % self.evaluate_every == 0 or step == last

    def exhausted(self) -> bool:
        """Whether the validation loss has not become better for too long."""
        return self.patience is not None and self.log.waited() >= self.patience


class Tuner(SFTTrainer):  # type: ignore[misc]
    """The trainer of one process. `rows` and `val` are tokens already; nothing is prepared or cached by TRL."""

    data_collator: Any
    control: Any

    def __init__(
        self, model: Any, config: SFTConfig, rows: Any, val: Sequence[Row], order: Order, watch: Watch, **more: Any
    ) -> None:
        self.order, self.watch, self.val = order, watch, sorted(val, key=lambda row: len(row.ids))
        _score_what_is_learnt()
        super().__init__(model=model, args=config, train_dataset=rows, **more)
        self.data_collator = _Fed(self.data_collator)
        self.remove_callback(PrinterCallback)
        self.add_callback(_Follow(self))

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return self.order

    def compute_loss(self, model: Any, inputs: Any, *more: Any, **named: Any) -> Any:
        """TRL's loss, with the rows that it is made from noted."""
        self.watch.fed += inputs.pop("rows").tolist()
        return super().compute_loss(model, inputs, *more, **named)

    def training_step(self, *more: Any, **named: Any) -> Any:
        """One batch; a loss that is no number ends the training before it reaches the weights."""
        loss = super().training_step(*more, **named)
        if not torch.isfinite(loss) or loss == 0:
            self._refuse([float(loss)], None, self.state.global_step + 1)
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """A line in our log for each step; TRL's own history would grow without end in each checkpoint."""
        accuracy = self._metrics["train"]["mean_token_accuracy"]
        if "loss" in logs:
            self._log_step(logs, sum(accuracy) / len(accuracy) if accuracy else 0.0)
        self._metrics["train"].clear()

    def _log_step(self, logs: Mapping[str, float], accuracy: float) -> None:
        from accelerate.utils import gather_object

        watch, now = self.watch, monotonic()
        fed = gather_object(watch.fed)
        tokens = sum(int(self.order.lengths[row]) for row in fed)
        watch.budget.took(now - watch.began)
        line = {
            "step": self.state.global_step, "epoch": round(self.state.epoch or 0, 4), "loss": logs["loss"],
            "accuracy": round(accuracy, 4), "learning_rate": logs["learning_rate"],
            "gradient": logs.get("grad_norm"), "tokens": tokens, "seconds": round(now - watch.began, 4),
            "rows": [name for row in fed for name in watch.ids[row].split("\n")],
        }  # fmt: skip
        watch.fed, watch.began = [], now
        watch.log.add(**line)
        # With fp16 a gradient overflows now and then: the scaler skips that step by itself.
        gradient = None if self.args.fp16 else logs.get("grad_norm")
        self._refuse([row["loss"] for row in watch.log.steps], gradient, self.state.global_step)

    def _refuse(self, losses: Sequence[float], gradient: float | None, step: int) -> None:
        if why := trouble(losses, gradient):
            raise Diverged(f"training stopped at step {step}: {why}")

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The loss of the validation rows, a token counted once; it changes no state that training depends on."""
        began = monotonic()
        sums, counts = self._row_losses()
        loss, low, high = interval(sums, counts)
        found = {"val_loss": loss, "val_low": low, "val_high": high}
        watch, step = self.watch, self.state.global_step
        watch.budget.reserves("evaluating", monotonic() - began)
        early = {} if watch.due(step, self.state.max_steps) else {"early": True}
        watch.log.add(step=step, **found, seconds=round(monotonic() - began, 4), **early)
        watch.began = monotonic()
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
        return found

    def _row_losses(self) -> tuple[Any, Any]:
        """Of each validation row the sum of its token losses, and how many tokens are learnt. All processes do all."""
        self.model.eval()
        sums, counts, size = [], [], self.args.per_device_eval_batch_size
        for start in range(0, len(self.val), size):
            self.watch.ending()
            self.watch.signals.check("while evaluating")
            part = self.val[start : start + size]
            batch = self._prepare_inputs(padded(part, self.processing_class.pad_token_id))
            with torch.no_grad(), self.compute_loss_context_manager():
                found = self.model_wrapped(**batch, use_cache=False, fused_lm_head=True)
            sums += (-found.log_probs.float()).sum(-1).tolist()
            counts += [len(row.ids) - row.start for row in part]
        return np.array(sums), np.array(counts)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Weights and their config only: no pickles, no card, and no question to a hub about the base."""
        if self.args.should_save:
            model = self.accelerator.unwrap_model(self.model)
            named = {"save_embedding_layers": False} if hasattr(model, "peft_config") else {}
            model.save_pretrained(output_dir, state_dict=state_dict, **named)
            (Path(str(output_dir)) / "README.md").unlink(missing_ok=True)  # PEFT's is a form to be filled in

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """A checkpoint aside, then in its place; the log is on the disk before it."""
        watch, began = self.watch, monotonic()
        watch.log.sync()
        self.accelerator.wait_for_everyone()
        with watch.checkpoints.writing(self.state.global_step, watch.first) as folder:
            self.save_model(str(folder), _internal_call=True)
            self._save_optimizer_and_scheduler(str(folder))
            self._save_scaler(str(folder))
            self._save_rng_state(str(folder))
            if watch.first:
                self.state.save_to_json(os.path.join(folder, _STATE))
            self.accelerator.wait_for_everyone()
        if watch.first:
            best = watch.log.best()
            watch.checkpoints.rotate(best["step"] if best else None)
        watch.budget.reserves("saving", monotonic() - began)
        watch.began = monotonic()


def _score_what_is_learnt() -> None:
    """Project prompts and padding through the head no more: TRL does so where there is no Triton.

    It does that for devices that compile anew for each shape, which a CPU does not. A TRL without that switch is left as
    it is; the loss is the same either way.
    """
    if not torch.cuda.is_available() and hasattr(trl.trainer.utils, "_use_triton"):
        trl.trainer.utils._use_triton = lambda _: True


class _Fed:
    """TRL's collator, and beside its batch which rows it is made of."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = self._inner(examples)
        return {**batch, "rows": torch.tensor([example["row"] for example in examples])}


class _Follow(TrainerCallback):  # type: ignore[misc]
    """Decides after each step what is due, shows how it goes, and ends it in time."""

    def __init__(self, tuner: Tuner) -> None:
        self._tuner, self._watch = tuner, tuner.watch

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._bar = Progress("train", state.max_steps).__enter__()
        self._bar.advance(state.global_step)
        self._watch.began = monotonic()
        self._watch.fed = []

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        steps = -(-len(self._tuner.get_train_dataloader()) // args.gradient_accumulation_steps)
        self._tuner.order.epoch = state.global_step // steps

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        watch, step, last = self._watch, state.global_step, state.max_steps
        control.should_log = True
        control.should_evaluate = bool(self._tuner.val) and watch.due(step, last)
        control.should_save = step % watch.save_every == 0 or step == last
        if watch.ending():
            watch.stopped_by = "signal" if watch.signals.received else "budget" if step < last else ""
            control.should_training_stop = control.should_save = True
            control.should_evaluate = bool(self._tuner.val) and not watch.signals.received
        self._show()

    def _show(self) -> None:
        steps = self._watch.log.steps[-20:]
        took = sum(row["seconds"] for row in steps)
        speed = sum(row["tokens"] for row in steps) / took if took else 0
        self._bar.advance(1, f"train: loss {steps[-1]['loss']:.3f}, {speed:,.0f} tokens/s" if steps else "train")

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        best = self._watch.log.best()
        if best and best["step"] == state.global_step:
            control.should_save = True
        if self._watch.exhausted() and state.global_step < state.max_steps:
            self._watch.stopped_by = "patience"
            control.should_training_stop = control.should_save = True

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        self._bar.__exit__(None, None, None)


def padded(rows: Sequence[Row], pad: int) -> dict[str, Any]:
    """Rows as one batch, the shorter ones padded at their end."""
    longest = max(len(row.ids) for row in rows)

    def block(parts: Sequence[Any], fill: int) -> Any:
        return torch.tensor(np.stack([np.pad(part, (0, longest - len(part)), constant_values=fill) for part in parts]))

    ids = block([row.ids for row in rows], pad).long()
    labels = block([row.labels for row in rows], -100).long()
    mask = block([np.ones(len(row.ids), np.int64) for row in rows], 0)
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}


def interval(sums: Any, counts: Any, seed: int = 0) -> tuple[float, float, float]:
    """Mean loss a token with its 95 % interval: a percentile bootstrap over rows (Efron 1979), 1,000 resamples."""
    chance = np.random.default_rng(seed)
    picks = chance.integers(0, len(sums), (_RESAMPLES, len(sums)))
    means = sums[picks].sum(1) / counts[picks].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(sums.sum() / counts.sum()), float(low), float(high)
