"""One supervised training from the built rows to a checked adapter, in one process or as one of several."""

from __future__ import annotations

import json
import math
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from mundap import prompts
from mundap.config import Recipe
from mundap.errors import UserError
from mundap.models.bases import Method, best_method, ends_of, loading, open_base, quiet, tokenizer_of
from mundap.store import Manifest, Work, replacing, versions
from mundap.train import curves, samples, table, weights
from mundap.train.budget import Budget, seconds
from mundap.train.checkpoints import Checkpoints
from mundap.train.data import Encoder, Order, Row, check_batch, check_template, encoded, read, shown
from mundap.train.log import Log
from mundap.train.plan import LIBRARIES, Plan, plan
from mundap.train.process import Process, check_gpu, device, gpu, peak, spare
from mundap.train.signals import Interrupted, Signals
from mundap.types import Drop

_FOR: Mapping[str, Method] = {"qlora": "nf4", "int8": "int8"}
_KEPT = 4  # checkpoints that may lie on the disk at once: two newest, the best, the one being written


def train(recipe: Recipe, work: Work, process: Process | None = None) -> Manifest:
    """Train and write `adapter/` (or `model/`) with everything beside it; the manifest comes last."""
    planned, process = plan(recipe, work), process or Process.here()
    if recipe.train.checkpointing:
        spare()
    limit = recipe.train.budget
    run = _Training(recipe, work, planned, process, Budget(seconds(limit) if limit else None))
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        return run.run()


@dataclass
class _Training:
    recipe: Recipe
    work: Work
    plan: Plan
    process: Process
    budget: Budget
    began: float = field(default_factory=perf_counter)
    dropped: list[Drop] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def run(self) -> Manifest:
        """Everything in order: what is cheap and may fail comes first."""
        folder = self._prepared()
        encoder = self._encoder()
        rows, val, told = self._rows(encoder)
        made, names = self._table(rows)
        config = self._config(self._steps(len(names)))  # before the model: a launcher's settings decide how that loads
        model = self._model()
        with Signals(self.process.first) as signals:
            tuner = self._tuner(model, config, encoder, made, names, val, signals)
            self._check_room(tuner.model)
            self._show_first(tuner, encoder)
            before = self._before(tuner, encoder, told)
            self._fit(tuner)
            return self._finish(tuner, encoder, told, before, folder)

    # Before the first step

    def _prepared(self) -> Path:
        """The stage's folder: its old result no longer holds, and checkpoints of another key are removed."""
        folder = self.work.folder("train")
        self.checkpoints = Checkpoints(folder / "checkpoints", self.plan.key)
        if self.process.first:
            self._clear(folder)
        self.process.wait()
        return folder

    def _clear(self, folder: Path) -> None:
        (folder / "manifest.json").unlink(missing_ok=True)
        for old in folder.glob(".*"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        self.checkpoints.tidy()
        if _key_of(folder) != self.plan.key:
            if self.checkpoints.clear():
                _say("the recipe, the dataset or the base changed: training begins anew, old checkpoints are removed")
            for name in ("log.jsonl", "before.json"):
                (folder / name).unlink(missing_ok=True)
            with replacing(folder / "key") as stream:
                stream.write(self.plan.key)

    def _encoder(self) -> Encoder:
        train = self.recipe.train
        tokenizer = tokenizer_of(train.base, train.revision)
        with loading(train.base):
            ends = ends_of(train.base, tokenizer, train.revision)
        check_template(tokenizer, self.plan.template, train.base)
        return Encoder(tokenizer, ends, train.length)

    def _rows(self, encoder: Encoder) -> tuple[list[Row], list[Row], list[dict[str, Any]]]:
        """Training rows, validation rows, and the rows that samples are made from."""
        raw, tested = (read(self.work.root / "build" / f"{name}.jsonl") for name in ("train", "val"))
        rows, self.dropped = encoded(raw, encoder, self.recipe.train.lang)
        val, dropped = encoded(tested, encoder, self.recipe.train.lang)
        self.kept, self.details["val_dropped"] = len(rows), len(dropped)
        if not rows:
            reasons = sorted({drop.reason for drop in self.dropped})
            raise UserError(
                f"all {len(raw)} rows of {self.work.root / 'build/train.jsonl'} are left out "
                f"({'; '.join(reasons)}); raise train.length or build with shorter answers"
            )
        if self.dropped:
            _say(f"{len(self.dropped)} of {len(raw)} rows are left out; see train/dropped.jsonl")
        self._write_drops()
        known = {row.id for row in val or rows}
        told = [row for row in tested or raw if str(row["id"]) in known][: self.recipe.train.samples]
        return rows, val, told

    def _write_drops(self) -> None:
        if self.process.first:
            with replacing(self.work.folder("train") / "dropped.jsonl") as stream:
                stream.writelines(json.dumps(asdict(drop), ensure_ascii=False) + "\n" for drop in self.dropped)

    def _model(self) -> Any:
        train = self.recipe.train
        check_gpu(train.method)
        half = self._half()
        method = _FOR.get(train.method) or ("fp32" if train.method == "full" else half)
        model = open_base(train.base, method, train.revision, self._place(), half).model
        room = getattr(model.config, "max_position_embeddings", None)
        if room is not None and room < train.length:
            raise UserError(f"train.length is {train.length}, but {train.base} reads {room} tokens at most; lower it")
        # bitsandbytes packs 4-bit weights for fast answers on some CPUs when it is first asked without gradients, and
        # then lets no gradient through, silently: a sample or an evaluation would end the learning of lower layers.
        for module in model.modules():
            if hasattr(module, "support_avx512bf16_for_cpu"):
                module.support_avx512bf16_for_cpu = False
        self.details |= {
            "precision": method,
            "computed_in": half,
            "revision": getattr(model.config, "_commit_hash", None) or train.revision,
        }
        return model

    def _half(self) -> Method:
        """What is computed in: weights that are trained in full stay fp32, products are made of halves."""
        asked = self.recipe.train.precision
        return best_method() if asked == "auto" else asked

    def _place(self) -> Any:
        """Where the base is loaded: ddp has it on each GPU; what cuts it into parts begins in the machine's memory."""
        if self.process.world == 1 or not gpu():
            return None
        return {"": self.process.local if self.recipe.train.launch == "ddp" else "cpu"}

    def _table(self, rows: Sequence[Row]) -> tuple[Any, list[str]]:
        return table.packed(rows, self.recipe.train.length) if self.recipe.train.packing else table.single(rows)

    def _tuner(
        self, model: Any, config: Any, encoder: Encoder, made: Any, names: Sequence[str], val: Sequence[Row],
        signals: Signals,
    ) -> Any:  # fmt: skip
        from mundap.train.trainer import Tuner, Watch

        train = self.recipe.train
        lengths, together = [len(ids) for ids in made["input_ids"]], train.batch * self.process.world
        order = Order(lengths, self.recipe.seed, together, train.group_lengths)
        watch = Watch(
            Log(self.work.root / "train" / "log.jsonl", self.process.first), self.checkpoints, self.budget, signals, train.save_every,
            train.evaluate_every, train.patience, self.process.first, ids=names, world=self.process.world,
        )  # fmt: skip
        tuner = Tuner(
            model, config, made, val, order, watch, processing_class=encoder.tokenizer,
            peft_config=self._adapter(),
        )  # fmt: skip
        if train.method != "full":
            tuner.model.peft_config["default"].base_model_name_or_path = train.base
            tuner.model.peft_config["default"].revision = train.revision
        self.norms = weights.norms(tuner.model)
        return tuner

    def _steps(self, rows: int) -> int:
        train = self.recipe.train
        batches = math.ceil(rows / (train.batch * self.process.world))
        return train.steps or max(1, math.ceil(math.ceil(batches / train.accumulate) * train.epochs))

    def _config(self, steps: int) -> Any:
        from trl import SFTConfig

        train, half = self.recipe.train, self._half()
        return SFTConfig(
            output_dir=str(self.checkpoints.folder), max_steps=steps, seed=self.recipe.seed,
            per_device_train_batch_size=train.batch, per_device_eval_batch_size=train.batch,
            gradient_accumulation_steps=train.accumulate, learning_rate=train.lr, optim=train.optimizer,
            lr_scheduler_type=train.scheduler, warmup_steps=train.warmup, weight_decay=train.weight_decay,
            bf16=half == "bf16", fp16=half == "fp16", neftune_noise_alpha=train.neftune,
            gradient_checkpointing=gpu() if train.checkpointing is None else train.checkpointing,
            packing=train.packing, max_length=train.length, dataset_kwargs={"skip_prepare_dataset": True},
            remove_unused_columns=False, save_strategy="no", eval_strategy="no", logging_strategy="no",
            logging_nan_inf_filter=False, report_to="none", disable_tqdm=True, dataloader_pin_memory=gpu(),
            use_cpu=not gpu(), ddp_find_unused_parameters=False,
        )  # fmt: skip

    def _adapter(self) -> Any:
        """The LoRA settings; none when all weights are trained."""
        train = self.recipe.train
        if train.method == "full":
            return None
        from peft import LoraConfig

        targets = train.targets if isinstance(train.targets, str) else list(train.targets)
        return LoraConfig(
            r=train.rank, lora_alpha=train.alpha or 2 * train.rank, lora_dropout=train.dropout, use_rslora=train.rslora,
            use_dora=train.dora, target_modules=targets, task_type="CAUSAL_LM",
        )  # fmt: skip

    def _check_room(self, model: Any) -> None:
        """Weights and Adam's two moments in fp32, for each checkpoint that may lie there, and the result."""
        trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
        self.details["trained_parameters"] = trained
        need = trained * 4 * (3 * _KEPT + 1)
        free = shutil.disk_usage(self.work.root).free
        if free < need:
            raise UserError(
                f"{self.work.root} has {free >> 20} MB free on its disk; this training needs {need >> 20} MB"
            )

    def _show_first(self, tuner: Any, encoder: Encoder) -> None:
        """The first batch as the trainer really gets it: checked, written down, and shown when a person is watching."""
        batch = next(iter(tuner.get_train_dataloader()))
        inputs, labels = batch["input_ids"].cpu().numpy(), batch["labels"].cpu().numpy()
        check_batch(inputs, labels, encoder.ends, self.recipe.train.packing)
        if self.process.first:
            _show(shown(inputs, labels, encoder.tokenizer), self.work.root / "train" / "first_batch.txt")

    def _before(self, tuner: Any, encoder: Encoder, told: Sequence[Mapping[str, Any]]) -> list[str]:
        """What the base answers, asked once: a run that goes on has other weights when all are trained."""
        path = self.work.root / "train" / "before.json"
        if path.is_file():
            found: list[str] = json.loads(path.read_text("utf-8"))
            if len(found) == len(told):
                return found
        began = perf_counter()
        signals = tuner.watch.signals
        made = samples.answers(tuner.model, encoder, told, False, lambda: signals.received)
        signals.check("before the first step")
        self.budget.reserves("samples", perf_counter() - began)
        if self.process.first:
            with replacing(path) as stream:
                json.dump(made, stream, ensure_ascii=False)
        return made

    # Training

    def _fit(self, tuner: Any) -> None:
        """Train from the newest whole checkpoint to the end, unless that is where the end is."""
        from transformers import set_seed

        watch, last = tuner.watch, tuner.args.max_steps
        done = self._resumed(watch.log)
        missed = (
            bool(tuner.val) and watch.due(done, last) and done not in [row["step"] for row in watch.log.evaluations]
        )
        if done and not missed and (done >= last or watch.exhausted()):
            tuner.state.global_step = done
            tuner._load_from_checkpoint(str(self.checkpoints.path(done)))
            watch.stopped_by = "" if done >= last else "patience"
            return
        tuner.args.eval_on_start = missed or (bool(tuner.val) and not done)
        set_seed(self.recipe.seed)
        try:
            tuner.train(str(self.checkpoints.path(done)) if done else None)
        except Interrupted:
            tuner._save_checkpoint(tuner.model, None)
            raise
        finally:
            watch.log.close()
        if watch.signals.received:
            watch.signals.check(f"after step {tuner.state.global_step} of {last}, which is saved")

    def _resumed(self, log: Log) -> int:
        """The step of the newest whole checkpoint, with the log cut back to it."""
        done: int = 0
        if self.process.first:
            done = self.checkpoints.latest()
            for problem in self.checkpoints.ignored:
                _say(f"warning: {problem}; {f'step-{done} is used' if done else 'training begins anew'}")
            log.begin(done)
        done, log.rows = self.process.told([done, log.rows])
        self.details["resumed_from"] = done
        return done

    # After the last step

    def _finish(
        self, tuner: Any, encoder: Encoder, told: Sequence[Mapping[str, Any]], before: Sequence[str], folder: Path
    ) -> Manifest:
        log, signals = tuner.watch.log, tuner.watch.signals
        self._take_best(tuner)
        after = weights.norms(tuner.model)
        weights.check_changed(self.norms, after)
        self.details["norms"] = {kind: round(value, 6) for kind, value in after.items()}
        answers = samples.answers(tuner.model, encoder, told, True, lambda: signals.received)
        signals.check("after the last step, which is saved")
        if self.process.first:
            samples.write(folder / "samples.jsonl", told, before, answers)
            curves.draw(log.rows, folder / "loss.png")
            curves.track(log.rows, folder / "trackio", self.recipe.name, self.recipe.train.model_dump(mode="json"))
        self._save(tuner, encoder, folder)
        manifest = self._manifest(log, tuner.watch.stopped_by)
        return self.work.finish(manifest) if self.process.first else manifest

    def _take_best(self, tuner: Any) -> None:
        """Go back to the weights with the lowest validation loss, when they are not the last ones."""
        best = tuner.watch.log.best(early=True)
        self.details["step"] = tuner.state.global_step
        if best is None or best["step"] == tuner.state.global_step:
            return
        if problem := self.checkpoints.problem(best["step"]):
            _say(f"warning: the best checkpoint, step-{best['step']}, is not used: {problem}; the last weights are")
            return
        tuner._load_from_checkpoint(str(self.checkpoints.path(best["step"])))
        self.details["step"] = best["step"]

    def _save(self, tuner: Any, encoder: Encoder, folder: Path) -> None:
        """`adapter/` or `model/`, written aside and moved into place, with its tokenizer and its template.

        All processes take part, for each may have only a part of the weights; the first writes.
        """
        name, other = ("model", "adapter") if self.recipe.train.method == "full" else ("adapter", "model")
        made = folder / f".{name}"
        tuner.save_model(str(made), _internal_call=True)
        if not self.process.first:
            return
        encoder.tokenizer.save_pretrained(made)
        prompts.save(self.plan.template.name, made)
        weights.replace_folder(made, folder / name)
        shutil.rmtree(folder / other, ignore_errors=True)

    def _manifest(self, log: Log, stopped_by: str) -> Manifest:
        steps, tested = log.steps, log.evaluations
        taken = sum(row["seconds"] for row in steps)
        tokens = sum(row["tokens"] for row in steps)
        self.details |= {
            "stopped_by": stopped_by, "base": self.recipe.train.base, "base_digest": self.plan.base_digest,
            "template": {"name": self.plan.template.name, "digest": self.plan.template.digest},
            "settings": self.recipe.train.model_dump(mode="json"), "steps": len(steps), "tokens": tokens,
            "tokens_per_second": round(tokens / taken, 1) if taken else None, "training_seconds": round(taken, 3),
            "loss_first": steps[0]["loss"] if steps else None, "loss_last": steps[-1]["loss"] if steps else None,
            "val_before": _measured(tested[0] if tested and not tested[0]["step"] else None),
            "val_after": _measured(next((row for row in tested if row["step"] == self.details["step"]), None)),
            "ignored": self.checkpoints.ignored, "device": device(), "peak_memory": peak(),
        }  # fmt: skip
        return Manifest(
            "train", self.plan.key, kept=self.kept, dropped=dict(Counter(drop.reason for drop in self.dropped)),
            inputs=self.plan.inputs, seed=self.recipe.seed, seconds=round(perf_counter() - self.began, 3),
            versions=versions(*LIBRARIES), details=self.details,
        )  # fmt: skip


def _show(rows: Sequence[Sequence[tuple[str, bool]]], path: Path) -> None:
    """Write the first batch with what is learnt between brackets; on a terminal, two rows of it in colour."""
    from rich.console import Console
    from rich.text import Text

    with replacing(path) as stream:
        for number, row in enumerate(rows, 1):
            stream.write(f"--- row {number}; ⟦what is learnt⟧ ---\n")
            stream.write("".join(f"⟦{text}⟧" if learnt else text for text, learnt in row) + "\n")
    if not sys.stderr.isatty():
        return
    console = Console(stderr=True)
    for row in rows[:2]:
        pieces = [
            (text[-600:] if not learnt else text[:600], "bold green" if learnt else "dim") for text, learnt in row
        ]
        console.print(Text.assemble(*pieces), Text("(green is learnt)", style="italic"))


def _measured(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    keys = ("step", "val_loss", "val_low", "val_high")
    return {key: row[key] for key in keys} if row else None


def _key_of(folder: Path) -> str:
    """The key that the files in a folder belong to."""
    path = folder / "key"
    return path.read_text("utf-8") if path.is_file() else ""


def _say(text: str) -> None:
    print(f"mundap: {text}", file=sys.stderr)
