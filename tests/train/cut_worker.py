"""A worker whose accelerate cuts a model on a CPU too, over gloo, as it does across GPUs: for the tests of fsdp2."""

from __future__ import annotations

from typing import Any

from accelerate import state  # noqa: TID253  a process of its own
from accelerate.utils import DistributedType  # noqa: TID253  as above

from mundap.train import worker

plain = state.AcceleratorState.__init__


def cutting(self: Any, *more: Any, fsdp_plugin: Any = None, **named: Any) -> None:
    plain(self, *more, fsdp_plugin=fsdp_plugin, **named)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.FSDP
        if fsdp_plugin is not None:
            self.fsdp_plugin = fsdp_plugin


if __name__ == "__main__":
    state.AcceleratorState.__init__ = cutting
    worker.main()
