"""A GGUF file tried in llama.cpp: does it cut text into the tokenizer's tokens, and which tokens does it write?"""

from __future__ import annotations

import json
import secrets
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mundap.errors import ModelError
from mundap.train.gguf_tokenizer import Unsupported

_PATIENCE = 600.0  # seconds for one answer


class Trial:
    """A GGUF file in llama.cpp, asked for tokens and not for text. The server listens on loopback, with a key."""

    def __init__(self, path: Path, context: int = 1024, threads: int = 0) -> None:
        import xllamacpp

        self._key = secrets.token_urlsafe(32)
        parameters = xllamacpp.CommonParams()
        parameters.model.path, parameters.n_ctx = str(path), context
        parameters.verbosity, parameters.ui = -1, False
        parameters.api_keys = [self._key]
        if threads:
            parameters.cpuparams.n_threads = threads
        try:
            self._server = xllamacpp.Server(parameters)
        except RuntimeError as error:
            raise ModelError(f"llama.cpp does not read {path}: {error}") from error
        self.tokens("")  # a server that is let go before its thread has begun never ends (xllamacpp 2026.10)

    def tokens(self, text: str, special: bool = False) -> list[int]:
        """The token ids of a text; markers in it are read as special tokens, and with `special` one may be put first."""
        found: list[int] = self._ask("tokenize", {"content": text, "add_special": special})["tokens"]
        return found

    def greedy(self, prompt: Sequence[int], count: int) -> list[int]:
        """The most likely next tokens, up to `count` or the end of the answer."""
        asked = {
            "prompt": list(prompt),
            "n_predict": count,
            "temperature": 0,
            "repeat_penalty": 1,
            "cache_prompt": False,
        }
        found: list[int] = self._ask("completion", {**asked, "return_tokens": True})["tokens"]
        return found

    def _ask(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        url = f"{self._server.listening_address}/{path}"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:
            return json.load(answer)


def compare_tokens(trial: Trial, folder: Path, texts: Iterable[str]) -> int:
    """How many texts were tried. Raises `Unsupported` for the first that the folder's tokenizer cuts otherwise."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    count = 0
    for count, text in enumerate(texts, 1):  # noqa: B007
        wanted, found = tokenizer.encode(text, add_special_tokens=False).ids, trial.tokens(text)
        if wanted != found:
            raise Unsupported(
                f"llama.cpp cuts a probe text into other tokens than the tokenizer of {folder}: {text[:60]!r} is "
                f"{wanted[:12]}… there and {found[:12]}… in llama.cpp; its GGUF file would answer worse"
            )
    return count
