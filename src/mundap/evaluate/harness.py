"""lm-eval's part in a multiple-choice measure: our loaded models as its models, its tasks run, each question's result.

How a model chooses (`way`): `likelihood`, the option that it holds most likely, by the logits of a transformers model
or by the probabilities that a server tells for the next token; `words`, the option that it names in its answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval.api.model import LM, CachingLM  # noqa: TID253  a class of it is extended here; imported lazily by `choice`

from mundap import prompts
from mundap.errors import ModelError, UserError
from mundap.evaluate.tasks import Part, lang_of, wording
from mundap.models.bases import Opened
from mundap.progress import Progress
from mundap.protocols import Model
from mundap.types import Message, Options

Following = Callable[[str, int], Mapping[str, float] | None]
_TOKENS = 20  # likeliest next tokens that are asked for; servers tell no more
_UNLIKELY = -1e4  # a logarithm for what is not among them
_NO_ANSWER = "\x00no answer"
_PATIENCE = 8  # questions that fail one after the other: then the model is broken, not the questions
_AROUND = " \n\t*()\"'[]<>.:"
_UNNAMED = "none of the options was chosen"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question's result: 1 or 0 (None: it failed), its number of options (0: nobody knows), why it is so if not plain."""

    task: str
    example: str
    value: float | None
    options: int
    reason: str = ""


def run(
    lm: LM, parts: Sequence[Part], chosen: Sequence[Sequence[int]], kept: Path, shots: int, chat: bool, seed: int
) -> list[Outcome]:
    """Ask the chosen questions of each part. What is answered is kept in a file, so that a killed run goes on."""
    from lm_eval.evaluator import evaluate

    tasks = {part.loaded.config.task: part for part in parts}
    samples = {name: list(places) for name, places in zip(tasks, chosen, strict=True) if places}
    for part in parts:
        part.loaded.set_config(key="num_fewshot", value=shots)
        part.loaded.set_fewshot_seed(seed=seed)
    loaded = {name: part.loaded for name, part in tasks.items() if name in samples}
    caching = CachingLM(lm, str(kept))
    try:
        found = evaluate(caching, {"tasks": loaded}, samples=samples, bootstrap_iters=0, apply_chat_template=chat)
        for key in [key for key, value in caching.dbdict.items() if _failed(value)]:
            del caching.dbdict[key]  # asked again by the next run
    finally:
        caching.dbdict.close()
    assert found is not None
    return [_outcome(tasks[name], row) for name in loaded for row in _one_filter(found["samples"][name])]


def _one_filter(rows: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """A row a question: those of the first way of reading answers, where a task has several."""
    yield from (row for row in rows if row["filter"] == rows[0]["filter"])


def _outcome(part: Part, row: Mapping[str, Any]) -> Outcome:
    metric = "acc" if "acc" in row else "exact_match"
    found = [each[0] for each in row["filtered_resps"]] if metric == "acc" else row["filtered_resps"]
    options = len(found) if metric == "acc" else sum(bool(row["doc"].get(letter)) for letter in "ABCDEFGHIJ")
    if _failed(row["resps"][0][0]):
        return Outcome(part.spec.called, part.example(row["doc_id"]), None, options, "the model did not answer")
    unnamed = len(set(found)) == 1 if metric == "acc" else not found[0]
    value = 0.0 if unnamed else float(row[metric])
    return Outcome(part.spec.called, part.example(row["doc_id"]), value, options, _UNNAMED if unnamed else "")


def _failed(value: Any) -> bool:
    """Whether this stands for no answer: the sign for a text, no number for a weight."""
    return bool(value == _NO_ANSWER) if isinstance(value, str) else math.isnan(value[0])


def of_transformers(
    opened: Opened, template: prompts.Template | None, batch: int, bar: Progress, note: Callable[[str], None]
) -> LM:
    """A loaded transformers model. Chat prompts are laid out by our template, where it has one."""
    import torch
    from lm_eval.models.huggingface import HFLM

    class Loaded(HFLM):  # type: ignore[misc]  # lm-eval has no types
        def _loglikelihood_tokens(self, requests: Any, disable_tqdm: bool = False, override_bs: Any = None) -> Any:
            self.longest = max(len(option) for _, _, option in requests)
            cut = {key[0] for key, before, option in requests if len(before) + len(option) > self.max_length + 1}
            if cut:
                note(
                    f"{len(cut)} questions are longer than the model's {self.max_length} tokens and lost their beginning"
                )
            return super()._loglikelihood_tokens(requests, True, override_bs)

        def _model_call(self, inputs: Any, **_: Any) -> Any:
            # Only the last places are read, and those of a whole vocabulary at every place are most of the memory.
            # The zeros at the end are filled in: as many places more are needed for the shortest question.
            filled = int((inputs.flip(1) == 0).cumprod(1).sum(1).max())
            with torch.no_grad():
                found = self.model(inputs, logits_to_keep=filled + self.longest).logits
            bar.advance(len(inputs))
            return found

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> Any:
            return super().generate_until(requests, True)

        def apply_chat_template(self, chat_history: Any, add_generation_prompt: bool = True) -> str:
            if template is None:
                return str(super().apply_chat_template(chat_history, add_generation_prompt))
            said = [Message(each["role"], each["content"]) for each in chat_history]
            return str(prompts.render(template, said).text)

    return Loaded(pretrained=opened.model, tokenizer=opened.tokenizer, backend="causal", batch_size=batch)


@contextmanager
def whole_weights(model: Any) -> Iterator[None]:
    """The last layer of a model in halves in fp32: the weights of words, which differ little, would be equal too often."""
    import torch

    head = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear) or head.weight.dtype not in (torch.float16, torch.bfloat16):
        yield
        return

    def weigh(_: Any, given: tuple[Any, ...], said: Any) -> Any:
        bias = None if head.bias is None else head.bias.float()
        return torch.nn.functional.linear(given[0].float(), head.weight.float(), bias)

    hook = head.register_forward_hook(weigh)
    try:
        yield
    finally:
        hook.remove()


class Asked(LM):  # type: ignore[misc]  # as above
    """A model that is asked one question at a time, several at once where it is a server."""

    def __init__(self, model: Model, tokens: int, at_once: int, bar: Progress) -> None:
        super().__init__()
        self.model, self.tokens, self.at_once, self.bar = model, tokens, at_once, bar
        self.failures = list[str]()

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Each option's logarithm of probability; in words, 0 for the one named and the same low number for others."""
        named: dict[str, list[str]] = {}
        for context, option in (request.args for request in requests):
            named.setdefault(context, []).append(option)
        found = dict[tuple[str, str], float]()
        for (context, options), values in self._each(self._weigh, list(named.items())):
            for option in options:
                found[context, option] = math.nan if values is None else values[option]
                if values is not None:
                    self.cache_hook.add_partial("loglikelihood", (context, option), (values[option], False))
        return [(found[request.args], False) for request in requests]

    def generate_until(self, requests: list[Any]) -> list[str]:
        """What it says up to a stop string."""
        found = list[str]()
        for request, said in self._each(self._write, requests):
            found.append(_NO_ANSWER if said is None else said)
            if said is not None:
                self.cache_hook.add_partial("generate_until", request.args, said)
        return found

    def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
        """Raises `UserError`: perplexity of whole texts is no multiple choice, and lm-eval asks for it in no other."""
        raise UserError("this task measures perplexity, which is no multiple choice; name another task of lm-eval")

    def _each(self, ask: Callable[[Any], Any], asked: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """What was asked with its answer (None: it failed), in order, as they come. Raises when all fail."""
        pool, row = ThreadPoolExecutor(self.at_once, thread_name_prefix="mundap-choice"), 0

        def safely(one: Any) -> Any:
            try:
                return ask(one)
            except ModelError as error:
                return error

        try:
            for one, found in zip(asked, pool.map(safely, asked), strict=True):
                failed = isinstance(found, ModelError)
                row = row + 1 if failed else 0
                if failed:
                    self.failures.append(str(found))
                if row >= _PATIENCE:
                    raise UserError(f"{row} questions in a row failed, at last: {found}; what was answered is kept")
                self.bar.advance(1)
                yield one, None if failed else found
        finally:
            pool.shutdown(cancel_futures=True)

    def _write(self, request: Any) -> str:
        context, settings = request.args
        room = min(int(settings.get("max_gen_toks", self.tokens)), self.tokens)
        until = settings.get("until") or []
        return self._say(context, room, tuple([until] if isinstance(until, str) else until))

    def _weigh(self, asked: tuple[str, list[str]]) -> dict[str, float]:
        """By the option that its answer names."""
        context, options = asked
        plain = [option.strip() for option in options]
        one_of = wording()[lang_of(context)]["one_of"].format(options=", ".join(plain))
        choice = named_option(self._say(f"{context}\n\n{one_of}", self.tokens, ()), plain)
        return {option: 0.0 if option.strip() == choice else _UNLIKELY for option in options}

    def _say(self, text: str, room: int, stop: tuple[str, ...]) -> str:
        asked = Options(max_tokens=room, temperature=0.0, top_p=1.0, repeat_penalty=1.0, stop=stop)
        return "".join(self.model.generate([Message("user", text)], asked)).strip()


class Telling(Asked):
    """A model whose server tells how likely the next token is: options are weighed by that of their first token."""

    def __init__(self, following: Following, model: Model, tokens: int, at_once: int, bar: Progress) -> None:
        super().__init__(model, tokens, at_once, bar)
        self.following = following

    def _weigh(self, asked: tuple[str, list[str]]) -> dict[str, float]:
        context, options = asked
        found = self.following(context, _TOKENS) or {}
        return {option: _likelihood(found, option) for option in options}


def named_option(said: str, options: Sequence[str]) -> str | None:
    """The option that an answer names: all that it says, what follows a cue such as `answer is`, or the only one in it."""
    if (alone := _only(option for option in options if option.lower() == said.strip(_AROUND).lower())) is not None:
        return alone
    for text in _after_cues(said):
        if (
            begun := _only(option for option in options if _places(text.lstrip(_AROUND), option)[:1] == [0])
        ) is not None:
            return begun
    return _only(option for option in options if _places(said, option))


def _only(found: Iterable[str]) -> str | None:
    listed = list(found)
    return listed[0] if len(listed) == 1 else None


def _after_cues(said: str) -> list[str]:
    lower = said.lower()
    return [said[lower.rindex(cue) + len(cue) :] for cue in wording()["cues"] if cue in lower]


def _places(said: str, option: str) -> list[int]:
    """Where an option stands as a word of its own. A letter must be a capital, and `A patient` names no option."""
    letter = len(option) == 1
    after = r"(?![A-Za-z0-9_'’])" + (r"(?!\s+(?!or\b|and\b|is\b)[a-z])" if option in ("A", "I") else "")
    pattern = rf"(?<![A-Za-z0-9_]){re.escape(option)}{after}"
    return [found.start() for found in re.finditer(pattern, said, 0 if letter else re.IGNORECASE)]


def _likelihood(found: Mapping[str, float], option: str) -> float:
    """Of the option as it stands, else of the same word with other spaces around."""
    if option in found:
        return found[option]
    return max((value for token, value in found.items() if token.strip() == option.strip()), default=_UNLIKELY)
