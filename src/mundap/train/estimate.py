"""`mundap estimate`: what memory and disk a recipe's training needs, before anything is loaded, and what would fit.

Counted from the shape of the base and the settings of training. The counts of activations follow what autograd keeps of
the layers of transformers 5.23, with LoRA's dropout, and of TRL 1.16's loss, which works in tiles and never holds all
logits. `benchmarks/estimate_accuracy.py` compares with training that was measured (LOG.md). No GPU was at hand for that.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mundap.config import Recipe, Train
from mundap.errors import UserError
from mundap.models.bases import best_method
from mundap.train.shapes import Shape, UnknownShape, shape_of

_GB = 1e9
# TRL's loss: at most so many places times so many entries of the vocabulary are in memory at once.
_PLACES, _ENTRIES = 4096, 32768
# Without Triton the loss is plain torch, whose backward holds this many copies of such a tile, in 32 bits.
_TILES_CPU = 8.25
# Python with torch, transformers, TRL and PEFT in a process (measured); a CUDA context with its libraries (not measured here).
_PROCESS_CPU, _PROCESS_GPU = 0.65e9, 0.9e9
# On a CPU the heap takes so much for a byte of activations, because of its holes (measured with glibc 2.36); with
# checkpointing training has it give them back.
_HOLES = 1.12
_SLACK = 0.9  # of the memory found, what training may take
_LENGTHS = (2048, 1024, 512, 256)
_NAMES = {"lora": "LoRA", "qlora": "4-bit (QLoRA)", "int8": "8-bit LoRA", "full": "all weights"}


@dataclass(frozen=True, slots=True)
class Device:
    """What training runs on, and its memory in bytes."""

    gpu: bool
    name: str
    memory: int


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes of memory by what they are for."""

    parts: Mapping[str, int]

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(self.parts.values())


def device() -> Device:
    """The first GPU that nvidia-smi names, else this machine. Torch is not loaded for it."""
    tool = shutil.which("nvidia-smi")
    if tool:
        asked = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
        said = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=20).stdout.strip()
        name, _, size = said.partition("\n")[0].rpartition(",")
        if size.strip().isdigit():
            return Device(True, name.strip(), int(size) << 20)
    return Device(False, f"this machine ({os.cpu_count()} cores)", _memory())


def _memory() -> int:
    """The memory of the machine, or of the container that this runs in."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else ""
    return min(whole, int(text)) if text.isdigit() else whole


def of(recipe: Recipe, where: Device | None = None, **other: object) -> Need:
    """The memory that training needs at its peak; `other` are settings of training to use instead of the recipe's."""
    where = where or device()
    train = recipe.train.model_copy(update=other)
    return need(shape_of(train.base), train, where.gpu)


def need(shape: Shape, train: Train, gpu: bool) -> Need:
    """The memory for a shape and settings."""
    trained = shape.parameters if train.method == "full" else shape.adapter(train.rank)
    size = width(train, gpu)
    places = train.batch * train.length
    layer = int(places * _layer(shape, train, gpu, size))
    kept = train.checkpointing if train.checkpointing is not None else gpu
    between = shape.width * (4 if train.method == "full" else size)  # what goes from layer to layer
    saved = shape.layers * places * between if kept else int(shape.layers * layer * (1 if gpu else _HOLES))
    head = _head(shape, places, train, gpu)
    return Need({
        "process": int(_PROCESS_GPU if gpu else _PROCESS_CPU),
        "weights": _weights(shape, train, size),
        "adapter": 0 if train.method == "full" else 4 * trained,
        "gradients": 4 * trained,
        "optimizer": 8 * trained,
        "activations": saved,
        # While the loss goes back through the head, every layer's activations are still there; with checkpointing a layer is
        # computed again later, when the head's are gone.
        "loss": max(head, layer) if kept else head,
    })  # fmt: skip


def width(train: Train, gpu: bool) -> int:
    """Bytes of a number that is computed with, as training decides it; torch is asked only about the processor here."""
    if train.precision != "auto":
        return 4 if train.precision == "fp32" else 2
    return 2 if gpu or (find_spec("torch") and best_method() != "fp32") else 4


def _weights(shape: Shape, train: Train, size: int) -> int:
    if train.method == "full":  # in 32 bits, and for the products once more as halves
        return shape.parameters * 4 + (shape.linear * 2 if size == 2 else 0)
    rest = (shape.parameters - shape.linear) * size
    if train.method == "qlora":  # half a byte, with a scale of one byte for 64 weights, itself scaled
        return int(shape.linear * (0.5 + 1 / 64)) + rest
    return shape.linear + rest if train.method == "int8" else shape.parameters * size


def _head(shape: Shape, places: int, train: Train, gpu: bool) -> int:
    """What computing the loss holds: one tile of logits, or its copies; the gradient of the head if that is trained."""
    rows = min(places, _PLACES)
    tile = rows * (_ENTRIES * 2 if gpu else (_ENTRIES + min(shape.vocab, _ENTRIES) * (_TILES_CPU - 1)) * 4)
    return int(tile) + places * shape.width * 4


def _layer(shape: Shape, train: Train, gpu: bool, size: int) -> float:
    """Bytes that autograd keeps of one layer for one token."""
    width = shape.width
    norms = (2 if shape.gated else 1) * width * 4
    if shape.arch in ("qwen3", "exaone4"):
        norms += (shape.queries + shape.keys) * 4
    attention = 4 * shape.queries * size  # queries, keys and values (for every head), and what comes out
    inner = (3 if shape.gated else 1) * shape.inner * size
    if train.method == "full":
        return norms + 2 * width * 4 + attention + inner + (2 * width + shape.inner) * size
    if not train.dropout:
        return norms + attention + inner + (2 * width + shape.inner) * size
    # Dropout before each adapter: what it lets through and, on a GPU, one byte a value that says what; elsewhere 32 bits.
    return norms + attention + inner + sum(before for before, _ in shape.inputs) * (size + (1 if gpu else 4))


def largest_batch(recipe: Recipe, where: Device, **other: object) -> int:
    """The largest batch that fits the device; 0 when not even one row does."""
    fits = 0
    for size in (*range(1, 17), *range(20, 65, 4), *range(72, 257, 8)):
        if of(recipe, where, **{**other, "batch": size}).total > where.memory * _SLACK:
            break
        fits = size
    return fits


def propose(recipe: Recipe, where: Device) -> tuple[str, int, int] | None:
    """Method, length and batch that fit the device: the method with most bits, then the recipe's length or the next below."""
    asked, context = recipe.train, shape_of(recipe.train.base).context
    methods = [asked.method, *(name for name in ("lora", "int8", "qlora") if name != asked.method)]
    lengths = [asked.length, *(length for length in _LENGTHS if length < asked.length)]
    for length in lengths:
        for method in methods:
            if length <= context and (batch := largest_batch(recipe, where, method=method, length=length)):
                return method, length, batch
    return None


def disk(recipe: Recipe) -> dict[str, int]:
    """Bytes on disk by what they are for."""
    train, shape = recipe.train, shape_of(recipe.train.base)
    trained = shape.parameters if train.method == "full" else shape.adapter(train.rank)
    found = {"checkpoints": trained * 4 * 3 * 3, "result": trained * 4}
    if train.base.count("/") == 1 and not Path(train.base).exists():
        found["download"] = shape.parameters * 2
    if "merge" in recipe.model_fields_set:
        found["merged"] = shape.parameters * (4 if recipe.merge.dtype == "fp32" else 2)
    if "export" in recipe.model_fields_set and "gguf" in recipe.export.formats:
        share = {"f32": 4.0, "f16": 2.0, "q8_0": 1.0625}[recipe.export.quantise]
        found["gguf"] = int(shape.parameters * share)
    return found


def line(recipe: Recipe, where: Device | None = None) -> str:
    """The estimate in one line, and whether it fits. Raises `UserError` for a base that cannot be one."""
    where, train = where or device(), recipe.train
    try:
        total, context = of(recipe, where).total, shape_of(train.base).context
    except UnknownShape as error:
        return f"memory cannot be estimated yet: {error}"
    if train.length > context:
        raise UserError(
            f"train.length is {train.length:,}, but {train.base} reads {context:,} tokens at most; lower it"
        )
    verdict = "fits" if total <= where.memory * _SLACK else "does not fit"
    return f"{_asked(recipe)}: about {total / _GB:.1f} GB; {verdict} {where.name} with {where.memory / _GB:.0f} GB"


def _asked(recipe: Recipe) -> str:
    train, shape = recipe.train, shape_of(recipe.train.base)
    rank = "" if train.method == "full" else f", rank {train.rank}"
    return f"{train.base} ({_count(shape.parameters)}) in {_NAMES[train.method]}{rank}, batch {train.batch} of {train.length:,} tokens"


def _count(parameters: int) -> str:
    return f"{parameters / 1e9:.1f}B" if parameters >= 1e9 else f"{parameters / 1e6:.0f}M"


def report(recipe: Recipe, gigabytes: float | None = None) -> Iterator[str]:
    """What `mundap estimate` prints. `gigabytes` stands for a GPU with that much memory."""
    where = Device(True, "a GPU", int(gigabytes * _GB)) if gigabytes else device()
    yield line(recipe, where)
    yield from _table("memory", of(recipe, where).parts)
    batch = largest_batch(recipe, where)
    yield f"largest batch that fits: {batch}" if batch else "not even a batch of 1 fits"
    if (found := propose(recipe, where)) is None:
        yield "proposal: a smaller base; this one fits in no method"
    else:
        method, length, size = found
        yield f"proposal: method {method}, length {length:,}, batch {size}"
        yield f"  -o train.method={method} -o train.length={length} -o train.batch={size}"
    needed, free = disk(recipe), shutil.disk_usage(Path.cwd()).free
    yield from _table("disk", needed)
    if sum(needed.values()) > free:
        raise UserError(f"the disk has {free / _GB:.1f} GB free; this recipe needs {sum(needed.values()) / _GB:.1f} GB")


def _table(title: str, parts: Mapping[str, int]) -> Iterator[str]:
    for name, size in {**parts, "together": sum(parts.values())}.items():
        yield f"  {title} {name:<12}{size / _GB:>9.2f} GB"
