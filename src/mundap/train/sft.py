"""One supervised training from the built rows to a checked adapter, in one process or as one of several."""

from __future__ import annotations

import json
import math
import os
import resource
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from mundap import prompts
from mundap.config import Recipe
from mundap.errors import UserError
from mundap.models.bases import Method, best_method, ends_of, loading, open_base, quiet, tokenizer_of
from mundap.store import Manifest, Work, replacing, versions
from mundap.train import curves, samples, weights
from mundap.train.budget import Budget, seconds
from mundap.train.checkpoints import Checkpoints
from mundap.train.data import Encoder, Order, Row, check_batch, check_template, encoded, read, shown
from mundap.train.log import Log
from mundap.train.plan import LIBRARIES, Plan, plan
from mundap.train.signals import Interrupted, Signals
from mundap.types import Drop

_FOR: Mapping[str, Method] = {"qlora": "nf4", "int8": "int8"}
_KEPT = 4  # checkpoints that may lie on the disk at once: two newest, the best, the one being written


@dataclass(frozen=True, slots=True)
class Process:
    """Which of how many processes this is; several are started by a launcher, which sets RANK and WORLD_SIZE."""

    rank: int = 0
    world: int = 1

    @classmethod
    def here(cls) -> Process:
        """This process, as the launcher numbered it."""
        return cls(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0


def train(recipe: Recipe, work: Work, process: Process | None = None) -> Manifest:
    """Train and write `adapter/` (or `model/`) with everything beside it; the manifest comes last."""
    planned, process = plan(recipe, work), process or Process.here()
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
        model = self._model()
        with Signals() as signals:
            tuner = self._tuner(model, encoder, rows, val, signals)
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
        if not self.process.first:
            return folder
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
        return folder

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
        _check_gpu(train.method)
        method = _FOR.get(train.method) or ("fp32" if train.method == "full" else best_method())
        place = {"": self.process.rank} if self.process.world > 1 and _gpu() else None
        model = open_base(train.base, method, train.revision, place).model
        room = getattr(model.config, "max_position_embeddings", None)
        if room is not None and room < train.length:
            raise UserError(f"train.length is {train.length}, but {train.base} reads {room} tokens at most; lower it")
        # bitsandbytes packs 4-bit weights for fast answers on some CPUs when it is first asked without gradients, and
        # then lets no gradient through, silently: a sample or an evaluation would end the learning of lower layers.
        for module in model.modules():
            if hasattr(module, "support_avx512bf16_for_cpu"):
                module.support_avx512bf16_for_cpu = False
        self.details |= {"precision": method, "revision": getattr(model.config, "_commit_hash", None) or train.revision}
        return model

    def _tuner(self, model: Any, encoder: Encoder, rows: Sequence[Row], val: Sequence[Row], signals: Signals) -> Any:
        from mundap.train.trainer import Tuner, Watch

        train = self.recipe.train
        table, names = _packed(rows, train.length) if train.packing else _table(rows)
        order = Order([len(ids) for ids in table["input_ids"]], self.recipe.seed, train.batch, train.group_lengths)
        watch = Watch(
            Log(self.work.root / "train" / "log.jsonl"), self.checkpoints, self.budget, signals, train.save_every,
            train.evaluate_every, train.patience, self.process.first, ids=names,
        )  # fmt: skip
        steps = self._steps(len(names))
        tuner = Tuner(
            model, self._config(steps), table, val, order, watch, processing_class=encoder.tokenizer,
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

        train, half = self.recipe.train, best_method() if _gpu() else "fp32"
        return SFTConfig(
            output_dir=str(self.checkpoints.folder), max_steps=steps, seed=self.recipe.seed,
            per_device_train_batch_size=train.batch, per_device_eval_batch_size=train.batch,
            gradient_accumulation_steps=train.accumulate, learning_rate=train.lr, optim=train.optimizer,
            lr_scheduler_type=train.scheduler, warmup_steps=train.warmup, weight_decay=train.weight_decay,
            bf16=half == "bf16", fp16=half == "fp16", neftune_noise_alpha=train.neftune,
            gradient_checkpointing=_gpu() if train.checkpointing is None else train.checkpointing,
            packing=train.packing, max_length=train.length, dataset_kwargs={"skip_prepare_dataset": True},
            remove_unused_columns=False, save_strategy="no", eval_strategy="no", logging_strategy="no",
            logging_nan_inf_filter=False, report_to="none", disable_tqdm=True, dataloader_pin_memory=_gpu(),
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
        self.budget.reserves(1.5 * (perf_counter() - began))
        if self.process.first:
            with replacing(path) as stream:
                json.dump(made, stream, ensure_ascii=False)
        return made

    # Training

    def _fit(self, tuner: Any) -> None:
        """Train from the newest whole checkpoint to the end, unless that is where the end is."""
        from transformers import set_seed

        watch, last = tuner.watch, tuner.args.max_steps
        done = self.checkpoints.latest()
        for problem in self.checkpoints.ignored:
            _say(f"warning: {problem}; {f'step-{done} is used' if done else 'training begins anew'}")
        watch.log.begin(done)
        self.details["resumed_from"] = done
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
        best = tuner.watch.log.best()
        self.details["step"] = tuner.state.global_step
        if best is None or best["step"] == tuner.state.global_step:
            return
        if problem := self.checkpoints.problem(best["step"]):
            _say(f"warning: the best checkpoint, step-{best['step']}, is not used: {problem}; the last weights are")
            return
        tuner._load_from_checkpoint(str(self.checkpoints.path(best["step"])))
        self.details["step"] = best["step"]

    def _save(self, tuner: Any, encoder: Encoder, folder: Path) -> None:
        """`adapter/` or `model/`, written aside and moved into place, with its tokenizer and its template."""
        name, other = ("model", "adapter") if self.recipe.train.method == "full" else ("adapter", "model")
        made = folder / f".{name}"
        tuner.save_model(str(made), _internal_call=True)
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
            "ignored": self.checkpoints.ignored, "device": _device(), "peak_memory": _peak(),
        }  # fmt: skip
        return Manifest(
            "train", self.plan.key, kept=self.kept, dropped=dict(Counter(drop.reason for drop in self.dropped)),
            inputs=self.plan.inputs, seed=self.recipe.seed, seconds=round(perf_counter() - self.began, 3),
            versions=versions(*LIBRARIES), details=self.details,
        )  # fmt: skip


def _table(rows: Sequence[Row]) -> tuple[Any, list[str]]:
    """The rows as TRL wants them, and the id of each."""
    from datasets import Dataset

    columns = {"input_ids": [row.ids for row in rows], "labels": [row.labels for row in rows], "row": range(len(rows))}
    return Dataset.from_dict(columns), [row.id for row in rows]


def _packed(rows: Sequence[Row], length: int) -> tuple[Any, list[str]]:
    """Rows packed into blocks of at most `length` tokens (best fit), none of which sees another; ids by lines."""
    import numpy as np
    from datasets import Dataset
    from trl import pack_dataset

    origin = [np.full(len(row.ids), place, np.int32) for place, row in enumerate(rows)]
    columns = {"input_ids": [row.ids for row in rows], "labels": [row.labels for row in rows], "origin": origin}
    with _no_bars():
        table = pack_dataset(Dataset.from_dict(columns), length, "bfd")
    names = ["\n".join(rows[place].id for place in dict.fromkeys(block)) for block in table["origin"]]
    return table.remove_columns("origin").add_column("row", list(range(len(names)))), names


@contextmanager
def _no_bars() -> Iterator[None]:
    """Without the progress bars of `datasets`."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    before = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            enable_progress_bars()


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


def _check_gpu(method: str) -> None:
    """Raise `UserError` for a GPU that cannot do what the method needs (bitsandbytes: 6.0 for 4-bit, 7.5 for int8)."""
    import torch

    least = {"qlora": (6, 0), "int8": (7, 5)}.get(method)
    if least is None or not torch.cuda.is_available():
        return
    found = torch.cuda.get_device_capability()
    if found < least:
        name = torch.cuda.get_device_name()
        wanted, has = (".".join(map(str, pair)) for pair in (least, found))
        raise UserError(f"train.method {method} needs a GPU of compute capability {wanted}; {name} has {has}; use lora")


def _gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def _device() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"cpu, {torch.get_num_threads()} threads"


def _peak() -> int:
    """The most memory this process held, in bytes: the GPU's when there is one."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size << 10


def _measured(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    keys = ("step", "val_loss", "val_low", "val_high")
    return {key: row[key] for key in keys} if row else None


def _key_of(folder: Path) -> str:
    """The key that the files in a folder belong to."""
    path = folder / "key"
    return path.read_text("utf-8") if path.is_file() else ""


def _say(text: str) -> None:
    print(f"mundap: {text}", file=sys.stderr)
