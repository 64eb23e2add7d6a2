"""What a process says of its memory, and how it gives it back."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# As checkpointing does it: most of what each layer makes is freed, a little is kept until the end.
LAYERS = """
import sys, torch
from mundap.train.process import spare
def resident():
    return int(open("/proc/self/status").read().partition("VmRSS:")[2].split()[0]) << 10
if "spare" in sys.argv:
    spare()
kept, before = [], resident()
for _ in range(24):
    made = [torch.ones(5 << 20) for _ in range(3)]
    kept.append(torch.ones(2 << 20))
    made = [part + 1 for part in made]
    del made
print((resident() - before) / sum(part.nbytes for part in kept))
"""


def said(code: str, *words: str) -> float:
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    return float(done.stdout)


def test_what_is_freed_is_given_back() -> None:
    assert said(LAYERS, "spare") < 1.15


def test_the_peak_is_this_process_s_own() -> None:
    """A process that is started counts as its own, in getrusage, what the one that started it holds."""
    held = b"x" * (800 << 20)
    peak = said("from mundap.train.process import peak; print(peak())")
    assert 50e6 < peak < len(held)
