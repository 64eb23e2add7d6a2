"""Runs trainings for tests: each order (a JSON line) in a forked child on one thread, with a fault put into it.

Faults: `step` kills the child (SIGKILL) in the middle of that step; `write` kills it at that file operation while a
checkpoint is written; `size` limits the size of its files (bytes), as a full disk would; `nan` is the loss of that step.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft  # noqa: F401, TID253  imported once, before the forks
import torch  # noqa: TID253
import trl  # noqa: F401, TID253

from mundap import config
from mundap.errors import UserError
from mundap.store import Work
from mundap.train import stage, trainer


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        with tempfile.TemporaryFile("w+") as said:
            child = os.fork()
            if child == 0:
                os.dup2(said.fileno(), 2)
                os.dup2(said.fileno(), 1)
                os._exit(obey(order))
            answer({"pid": child})
            _, status = os.waitpid(child, 0)
            said.seek(0)
            answer({"code": os.waitstatus_to_exitcode(status), "said": said.read()})


def answer(row: dict[str, Any]) -> None:
    print(json.dumps(row), flush=True)


def obey(order: dict[str, Any]) -> int:
    torch.set_num_threads(1)
    inject(**order["fault"])
    try:
        stage.run(config.Recipe.model_validate(order["recipe"]), Work(Path(order["root"])))
    except UserError as error:
        os.write(2, f"mundap: {error}\n".encode())
        return error.exit_code
    except BaseException:
        os.write(2, traceback.format_exc().encode())
        return 70
    return 0


def inject(step: int | None = None, write: int | None = None, size: int | None = None, nan: int | None = None) -> None:
    if step is not None:
        at(step, lambda loss: os.kill(os.getpid(), signal.SIGKILL))
    if nan is not None:
        at(nan, lambda loss: loss * float("nan"))
    if write is not None:
        Writes(write)
    if size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def at(step: int, happens: Callable[[Any], Any]) -> None:
    """Something else for the loss of a step."""
    plain = trainer.Tuner.compute_loss

    def loss(self: Any, *more: Any, **named: Any) -> Any:
        found = plain(self, *more, **named)
        return happens(found) if self.state.global_step == step - 1 else found

    trainer.Tuner.compute_loss = loss


class Writes:
    """Counts the file operations on a checkpoint that is being written, and kills at the one told."""

    def __init__(self, deadly: int) -> None:
        self.left = deadly
        save = torch.save

        def half(value: Any, path: Any, *more: Any, **named: Any) -> None:
            self.count(str(path))
            save(value, path, *more, **named)
            if self.left == 1:  # the next one kills: this one leaves half a file
                os.truncate(path, os.path.getsize(path) // 2)
                self.count(str(path))

        torch.save = half
        sys.addaudithook(self.hook)

    def hook(self, event: str, values: tuple[Any, ...]) -> None:
        if event in ("open", "os.rename", "os.mkdir", "shutil.rmtree"):
            self.count(str(values[0]))

    def count(self, path: str) -> None:
        if "/checkpoints/" in path:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
