"""The process that trains: which of how many it is, and what it runs on."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mundap.errors import UserError

_MMAP_THRESHOLD = -3  # of mallopt(3): larger blocks are the system's, not the heap's


@dataclass(frozen=True, slots=True)
class Process:
    """Which of how many processes this is; several are started by a launcher, which sets RANK and WORLD_SIZE."""

    rank: int = 0
    world: int = 1
    local: int = 0

    @classmethod
    def here(cls) -> Process:
        """This process, as the launcher numbered it."""
        values = (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))
        return cls(*(int(os.environ.get(name, default)) for name, default in values))

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all processes are here."""
        if self.world > 1:
            from accelerate import PartialState

            PartialState(cpu=not gpu()).wait_for_everyone()

    def told(self, values: list[Any]) -> list[Any]:
        """The values of the first process, in all of them."""
        if self.world > 1:
            from accelerate.utils import broadcast_object_list

            broadcast_object_list(values)
        return values

    def part(self) -> None:
        """Leave the others, at the very end."""
        if self.world > 1:
            from torch import distributed

            if distributed.is_initialized():
                distributed.destroy_process_group()


def check_gpu(method: str) -> None:
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


def spare() -> None:
    """Have the C library give memory back as soon as it is freed.

    glibc before 2.38 seldom uses the holes again that aligned blocks leave, so checkpointing on a CPU saved hardly anything.
    Asking the system each time costs some time, so this is for who wants memory rather than speed.
    """
    with suppress(OSError, AttributeError):  # other C libraries lack it
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 4 << 20)


def gpu() -> bool:
    """Whether there is a GPU."""
    import torch

    return bool(torch.cuda.is_available())


def device() -> str:
    """What training runs on, in words."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"cpu, {torch.get_num_threads()} threads"


def peak() -> int:
    """The most memory this process held, in bytes: the GPU's when there is one."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    status = Path("/proc/self/status")
    if status.is_file():  # Linux; its getrusage also counts what the parent held when it started this process
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) << 10
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size << 10
