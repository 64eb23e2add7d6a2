"""Training with several processes: `train.launch` names a profile beside this file, and accelerate starts the workers.

Tried with two processes on a CPU (ddp and fsdp2, gloo). No machine with several GPUs was at hand, and DeepSpeed, which
zero3 needs, is not among mundap's extras: both are unproven there.
"""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from mundap.config import Recipe, Train
from mundap.errors import MissingExtra, UserError
from mundap.store import Manifest, Work

_WORKER = "mundap.train.worker"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Stopped(UserError):
    """The workers ended before the training did; the exit code is theirs."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = code


def settled(recipe: Recipe) -> Recipe:
    """The recipe with the number of processes filled in. Raises `UserError` for what cannot be launched."""
    train = recipe.train
    if train.launch is None:
        if train.processes is not None:
            raise UserError(
                f"train.processes is {train.processes}, but train.launch is not set; set it to ddp or fsdp2"
            )
        return recipe
    found = _gpus()
    _check(train, found)
    processes = train.processes or found
    if processes < 2:
        raise UserError(
            f"train.launch {train.launch} needs at least two processes and {processes or 'no'} GPU was found; "
            "leave it out, or set train.processes (--processes)"
        )
    return recipe.model_copy(update={"train": train.model_copy(update={"processes": processes})})


def _check(train: Train, gpus: int) -> None:
    if train.launch == "zero3" and find_spec("deepspeed") is None:
        raise MissingExtra(
            "train.launch zero3 needs DeepSpeed, which is not installed: pip install deepspeed; fsdp2 also cuts the model "
            "into parts and needs nothing more"
        )
    if train.launch != "ddp" and not gpus:
        raise UserError(f"train.launch {train.launch} cuts a model across GPUs, and none was found; use ddp")
    if train.launch != "ddp" and train.method in ("qlora", "int8"):
        raise UserError(
            f"train.launch {train.launch} cuts a model into parts, which 8-bit and 4-bit weights do not allow: use ddp "
            f"with method {train.method}, or method lora"
        )


def _gpus() -> int:
    from torch.cuda import device_count

    return int(device_count())


def profile(name: str) -> str:
    """A shipped profile as text."""
    return (files("mundap.train") / "profiles" / f"{name}.yaml").read_text("utf-8")


def run(recipe: Recipe, work: Work) -> Manifest:
    """Train with the processes that the recipe says, and wait. Raises `UserError` with what a worker could not do."""
    with TemporaryDirectory(prefix="mundap-launch-") as folder:
        job = Path(folder) / "job.json"
        job.write_text(json.dumps({"root": str(work.root), "recipe": recipe.model_dump(mode="json")}), "utf-8")
        try:
            _launch(recipe.train, job)
        except Exception as error:  # the launcher's own kinds, which say little: the workers said what was wrong
            raise _problem(Path(folder), error) from error
    manifest = work.manifest("train")
    if manifest is None:
        raise UserError(f"the processes ended without a result in {work.root / 'train'}; see what they said above")
    return manifest


def _launch(train: Train, job: Path) -> None:
    from accelerate.commands.launch import launch_command, launch_command_parser

    source = files("mundap.train") / "profiles" / f"{train.launch}.yaml"
    with as_file(source) as path, _environment(), _handlers():
        options = ["--config_file", str(path), "--num_processes", str(train.processes)]
        options += ["--num_cpu_threads_per_process", str(max(1, (os.cpu_count() or 1) // (train.processes or 1)))]
        launch_command(launch_command_parser().parse_args([*options, "-m", _WORKER, str(job)]))


@contextmanager
def _environment() -> Iterator[None]:
    """Without a GPU the processes talk over gloo; accelerate must be told."""
    before = os.environ.get("ACCELERATE_USE_CPU")
    if not _gpus():
        os.environ["ACCELERATE_USE_CPU"] = "true"
    try:
        yield
    finally:
        os.environ.pop("ACCELERATE_USE_CPU", None)
        if before is not None:
            os.environ["ACCELERATE_USE_CPU"] = before


@contextmanager
def _handlers() -> Iterator[None]:
    """What the launcher does with signals (hand each to the workers, once) ends with it; it says nothing of its own."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        for number, handler in before.items():
            signal.signal(number, handler)


def _problem(folder: Path, error: Exception) -> UserError:
    """What the workers said, the first of them first; else that one died."""
    said = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("problem-*.json"))]
    if said:
        return Stopped(said[0]["message"], said[0]["code"])
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return Stopped(
        f"a process of the training died ({first}); what it said is above; run the same command again to go on"
    )
