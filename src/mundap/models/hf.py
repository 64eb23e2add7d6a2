"""Models of the transformers library as chat models: any causal model, 16, 8 or 4 bits, with or without an adapter."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from threading import Event, Lock, Thread
from typing import Any, Literal

from mundap import prompts
from mundap.errors import ModelError, UserError
from mundap.models.bases import (
    ADAPTER,
    BUNDLED,
    Method,
    Opened,
    best_method,
    end_tokens,
    loading,
    open_base,
    tokenizer_of,
)
from mundap.types import Lang, Message, Options

__all__ = ["Hf", "Opened", "open_base", "tokenizer_of"]
_END = object()
_LAST_TOKEN = 30.0  # seconds that a stopped model may need for the token it is at
_BROKEN = "\ufffd"


@dataclass
class _Shared:
    """One loaded base and the adapters on it; one answer at a time."""

    opened: Opened
    base: str
    adapters: int = 0
    lock: Lock = field(default_factory=Lock)


class Hf:
    """A causal model by folder or hub id, with or without an adapter; an adapter's folder brings its base along.

    `dtype` is fp32, bf16, fp16 or auto, `quantise` int8 or nf4. Prompts are laid out by the `template.json` beside the
    weights, else by the tokenizer's own chat template; `template` refuses any other. Raises `ModelError`.
    """

    def __init__(
        self,
        path: str,
        adapter: str = "",
        dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
        quantise: Literal["int8", "nf4"] | None = None,
        name: str = "",
        languages: Sequence[Lang] | None = None,
        revision: str | None = None,
        template: str = "",
    ) -> None:
        adapter = adapter or (path if (Path(path) / ADAPTER).is_file() else "")
        base = base_of(adapter) if adapter == path else path
        if adapter:
            check_adapter(adapter)
        with loading(base):
            method: Method = quantise or (best_method() if dtype == "auto" else dtype)
        shared = _Shared(open_base(base, method, revision), base)
        self._settle(shared, "", base, template if not adapter else "", name, languages)
        if adapter:
            tuned = self.with_adapter(adapter, name, template)
            self._settle(shared, tuned._adapter, adapter, template, name, languages)

    def _settle(
        self, shared: _Shared, adapter: str, folder: str, template: str, name: str, languages: Sequence[Lang] | None
    ) -> None:
        self._shared, self._adapter = shared, adapter
        self.name = name or _name(folder)
        known: Sequence[Lang] = ("en",) if shared.base == BUNDLED else ("ko", "en")
        self.languages: frozenset[Lang] = frozenset(known if languages is None else languages)
        self.template = _template(folder, template, shared.opened.tokenizer)

    def with_adapter(self, adapter: str, name: str = "", template: str = "") -> Hf:
        """The same loaded base with an adapter: both answer side by side, one at a time, for the memory of one."""
        from peft import PeftModel

        check_adapter(adapter)
        shared = self._shared
        with shared.lock, loading(adapter):
            key = f"adapter{shared.adapters}"
            model = shared.opened.model
            if isinstance(model, PeftModel):
                model.load_adapter(adapter, adapter_name=key)
            else:
                model = PeftModel.from_pretrained(model, adapter, adapter_name=key)
            model.eval()
            shared.opened, shared.adapters = Opened(model, shared.opened.tokenizer), shared.adapters + 1
        other = Hf.__new__(Hf)
        other._settle(shared, key, adapter, template, name, tuple(self.languages))
        return other

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """The tokens that a conversation becomes. What a person typed never becomes a control token."""
        tokenizer = self._shared.opened.tokenizer
        if self.template is None:
            rows = [{"role": line.role, "content": line.content} for line in messages]
            encoded = tokenizer.apply_chat_template(
                rows, add_generation_prompt=True, sanitize_control_tokens=True, return_dict=True
            )
            return list(encoded["input_ids"])
        return tokens(tokenizer, prompts.render(self.template, messages).text)

    def generate(self, messages: Sequence[Message], options: Options) -> Iterator[str]:
        """Yield whole characters as they are made. Closing the iterator stops the model at its next token."""
        ids = self.prompt(messages)
        self._check_length(len(ids), options)
        stop = (*options.stop, *(self.template.stop if self.template else ()))
        closed = Event()
        try:
            yield from _until(self._texts(self._ids(ids, options, closed)), stop)
        finally:
            closed.set()

    def count(self, text: str) -> int:
        """How many tokens a text is."""
        return len(tokens(self._shared.opened.tokenizer, text))

    @contextmanager
    def alone(self) -> Iterator[Opened]:
        """The loaded model and its tokenizer for the caller alone, with this model's adapter on."""
        with self._shared.lock, self._chosen():
            yield self._shared.opened

    def _check_length(self, length: int, options: Options) -> None:
        room = getattr(self._shared.opened.model.config, "max_position_embeddings", None)
        if room is not None and length + options.max_tokens > room:
            raise ModelError(
                f"{self.name} has room for {room} tokens; the conversation has {length} and the answer may have "
                f"{options.max_tokens}; begin a new conversation or lower max_tokens"
            )

    def _texts(self, ids: Iterable[int]) -> Iterator[str]:
        """Text as it grows. The end is held back while it is half a character; bytes that are none are left out."""
        tokenizer, made, shown = self._shared.opened.tokenizer, list[int](), ""
        for token in ids:
            made.append(token)
            text = tokenizer.decode(made, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            if text.endswith(_BROKEN):
                continue
            if piece := text[len(shown) :].replace(_BROKEN, ""):
                yield piece
            shown = text

    def _ids(self, prompt: list[int], options: Options, closed: Event) -> Iterator[int]:
        """Tokens from a thread of its own, which ends soon after `closed` is set."""
        queue: Queue[Any] = Queue()
        work = (prompt, options, queue, closed)
        worker = Thread(target=self._run, args=work, name=f"mundap-hf {self.name}", daemon=True)
        worker.start()
        try:
            while (found := queue.get()) is not _END:
                if isinstance(found, Exception):
                    raise ModelError(f"{self.name} stopped: {type(found).__name__}: {found}") from found
                yield found
        finally:
            closed.set()
            worker.join(_LAST_TOKEN)

    def _run(self, prompt: list[int], options: Options, queue: Queue[Any], closed: Event) -> None:
        import torch

        try:
            with self._shared.lock, self._chosen(), torch.random.fork_rng():
                if options.seed is not None:
                    torch.manual_seed(options.seed)
                inputs = torch.tensor([prompt], device=self._shared.opened.model.device)
                settings = _settings(self._shared.opened, options, len(prompt), closed)
                self._shared.opened.model.generate(
                    input_ids=inputs, attention_mask=torch.ones_like(inputs), streamer=_Tokens(queue), **settings
                )
        except Exception as error:
            queue.put(error)
        finally:
            queue.put(_END)

    def _chosen(self) -> AbstractContextManager[Any]:
        """This model's adapter on, or all adapters off. Only under the lock."""
        model = self._shared.opened.model
        if self._adapter:
            model.set_adapter(self._adapter, inference_mode=True)
            return nullcontext()
        return model.disable_adapter() if self._shared.adapters else nullcontext()


class _Tokens:
    """What transformers hands tokens to as they are made; the first thing it hands over is the prompt."""

    def __init__(self, queue: Queue[Any]) -> None:
        self._queue, self._begun = queue, False

    def put(self, value: Any) -> None:
        if self._begun:
            for token in value.flatten().tolist():
                self._queue.put(token)
        self._begun = True

    def end(self) -> None:
        """Nothing is held back here."""


def pair(base: str, adapter: str, **config: Any) -> tuple[Hf, Hf]:
    """Base and tuned model side by side on one loaded base."""
    untuned = Hf(base, **config)
    return untuned, untuned.with_adapter(adapter)


def tokens(tokenizer: Any, text: str) -> list[int]:
    """Text as tokens with the tokenizer's own beginning; nothing in the text becomes a control token."""
    found = list(tokenizer(text, split_special_tokens=True)["input_ids"])
    return found[:-1] if found and found[-1] == tokenizer.eos_token_id and len(found) > 1 else found


def ends(opened: Opened) -> frozenset[int]:
    """The tokens that end an answer."""
    return end_tokens(opened.tokenizer, opened.model.generation_config.eos_token_id)


def base_of(adapter: str) -> str:
    """The base that an adapter was trained on, as its own file says."""
    path = Path(adapter) / ADAPTER
    try:
        return str(json.loads(path.read_text("utf-8"))["base_model_name_or_path"])
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path} does not say which base model it belongs to ({error})") from error


def check_adapter(adapter: str) -> None:
    """Raise `ModelError` unless the folder holds an adapter as safetensors."""
    folder = Path(adapter)
    if not (folder / ADAPTER).is_file():
        raise ModelError(f"{adapter!r} is not an adapter: no {ADAPTER} in it")
    if not (folder / "adapter_model.safetensors").is_file():
        raise ModelError(f"{adapter} has no adapter_model.safetensors; .bin files can run code and are not opened")


def _settings(opened: Opened, options: Options, length: int, closed: Event) -> dict[str, Any]:
    import torch
    from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList
    from transformers.generation.logits_process import RepetitionPenaltyLogitsProcessor

    def over(ids: Any, scores: Any, **_: Any) -> Any:
        return torch.full((ids.shape[0],), closed.is_set(), device=ids.device)

    sampled = options.temperature > 0
    config = GenerationConfig(
        max_new_tokens=options.max_tokens, do_sample=sampled, num_beams=1,
        temperature=options.temperature if sampled else None, top_p=options.top_p if sampled else None,
        top_k=0 if sampled else None, eos_token_id=sorted(ends(opened)), pad_token_id=opened.tokenizer.pad_token_id,
    )  # fmt: skip
    # What the prompt says may be said again: answers are to keep to their sources.
    penalty = RepetitionPenaltyLogitsProcessor(options.repeat_penalty, prompt_ignore_length=length)
    kept = [penalty] if options.repeat_penalty != 1 else []
    return {
        "generation_config": config,
        "logits_processor": LogitsProcessorList(kept),
        "stopping_criteria": StoppingCriteriaList([over]),
    }


def _until(pieces: Iterator[str], stops: Sequence[str]) -> Iterator[str]:
    """Text up to the first stop string; what could be the beginning of one is held back."""
    held = ""
    for piece in pieces:
        held += piece
        if found := [at for at in (held.find(stop) for stop in stops) if at >= 0]:
            if text := held[: min(found)]:
                yield text
            return
        keep = max((size for stop in stops for size in range(len(stop)) if held.endswith(stop[:size])), default=0)
        text, held = held[: len(held) - keep], held[len(held) - keep :]
        if text:
            yield text
    if held:
        yield held


def _template(folder: str, wanted: str, tokenizer: Any) -> prompts.Template | None:
    """The template saved beside the weights; None for the tokenizer's own. Raises when it is not the one wanted."""
    found = prompts.saved(Path(folder)) if Path(folder).is_dir() else None
    if wanted and found is not None:
        prompts.agree(Path(folder), wanted)
    found = found or (prompts.template(wanted) if wanted else None)
    if found is not None and found.name != prompts.MODEL:
        return found
    if not tokenizer.chat_template:
        names = ", ".join(prompts.template_names())
        raise UserError(f"the tokenizer of {folder} has no chat template; name one with `template`: {names}")
    return None


def _name(folder: str) -> str:
    """A short name: the hub's, the folder's, or the run's for a folder inside a run."""
    path = Path(folder)
    generic = {"adapter", "model", "train", "merge", "export"}
    parts = [part for part in path.parts if part not in generic] if path.is_dir() else list(path.parts)
    return parts[-1] if parts else folder
