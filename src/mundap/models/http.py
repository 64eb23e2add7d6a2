"""Any OpenAI-compatible server as a model: vLLM, SGLang, llama.cpp, Ollama, LM Studio or a paid API."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mundap.errors import ModelError
from mundap.types import Lang, Message, Options

if TYPE_CHECKING:
    from openai import AsyncOpenAI


class Http:
    """A model behind `url` (ending in `/v1`). The key comes from the environment variable named by `key_from`.

    `name` may be left out when the server has one model. `languages` are those it may answer patients in.
    """

    def __init__(
        self,
        url: str,
        name: str = "",
        key_from: str = "OPENAI_API_KEY",
        timeout: float = 60.0,
        languages: Sequence[Lang] = ("ko", "en"),
    ) -> None:
        from openai import OpenAI

        if not url.startswith(("http://", "https://")):
            raise ModelError(f"{url!r} is not the address of a model server; write it like http://localhost:8000/v1")
        self.url = url
        self.languages: frozenset[Lang] = frozenset(languages)
        self._key_from, self._key = key_from, os.environ.get(key_from, "").strip()
        self.timeout = timeout
        self._client = OpenAI(base_url=url, api_key=self._key or "none", timeout=timeout, max_retries=1)
        self.name = name
        if not name:
            self.name = self._only_model()

    def generate(self, messages: Sequence[Message], options: Options) -> Iterator[str]:
        """Stream the answer. Raises `ModelError` when the server cannot be reached, refuses or breaks off."""
        try:
            yield from self._stream(messages, options)
        except ModelError:
            raise
        except Exception as error:  # what a foreign server sends can break its client anywhere
            raise ModelError(self.advice(error)) from error

    def following(self, text: str, count: int) -> dict[str, float] | None:
        """The likeliest next tokens of a text as it stands, each with the logarithm of its probability.

        None for a server that has chat only, or does not tell. Raises `ModelError` as `generate` does.
        """
        try:
            found: Any = self._client.completions.create(
                model=self.name, prompt=text, max_tokens=1, temperature=0.0, logprobs=count
            )
            return _told(found.choices[0].logprobs)
        except Exception as error:  # as in `generate`
            if getattr(error, "status_code", None) in (400, 404, 405, 422, 501):
                return None
            raise ModelError(self.advice(error)) from error

    def asynchronous(self) -> AsyncOpenAI:
        """A client of the same server for many requests at once. It tries once; whoever asks retries, and closes it."""
        from openai import AsyncOpenAI

        return AsyncOpenAI(base_url=self.url, api_key=self._key or "none", timeout=self.timeout, max_retries=0)

    def _stream(self, messages: Sequence[Message], options: Options) -> Iterator[str]:
        chat: Any = [{"role": line.role, "content": line.content} for line in messages]
        room, finished = options.max_tokens, False
        with self._client.chat.completions.create(
            model=self.name, messages=chat, stream=True, temperature=options.temperature, top_p=options.top_p,
            max_tokens=options.max_tokens, stop=list(options.stop) or None, seed=options.seed,
        ) as stream:  # fmt: skip
            for chunk in stream:
                for choice in chunk.choices:
                    finished = finished or choice.finish_reason is not None
                    if choice.delta.content:
                        room -= 1
                        yield choice.delta.content
                if room <= 0:  # a piece is a token or more: the server may not know max_tokens
                    return
        if not finished:
            where = f"the model server at {self.url}"
            raise ModelError(f"{where} broke off in the middle of an answer; ask again, or see its log")

    def _only_model(self) -> str:
        try:
            names = [str(model.id) for model in self._client.models.list()]
        except Exception as error:  # as in `generate`
            raise ModelError(self.advice(error)) from error
        if len(names) != 1:
            raise ModelError(f"{self.url} has {len(names)} models; choose one by name: {', '.join(names) or 'none'}")
        return names[0]

    def advice(self, error: Exception) -> str:
        """What failed, without the key should the server repeat it, and what to do."""
        status = getattr(error, "status_code", None)
        said = str(error)
        said = said.replace(self._key, "***") if self._key else said
        return f"the model server at {self.url} failed ({type(error).__name__}: {said[:200]}); {self._next(status)}"

    def _next(self, status: int | None) -> str:
        if status in (401, 403):
            return f"is the key in the environment variable {self._key_from} right?"
        if status == 404:
            return f"does it have a model called {self.name!r}, and does its address end in /v1?"
        if status == 429:
            return "it is busy or its quota is used up; wait, or choose another model"
        if status is not None and status >= 500:
            return "it has a fault of its own; see its log"
        return "is it running, and is the address right?"


def _told(found: Any) -> dict[str, float] | None:
    """Next tokens as OpenAI's completions tell them, or as llama.cpp does, in the form of chat."""
    content = getattr(found, "content", None)
    if content:
        return {each["token"]: float(each["logprob"]) for each in reversed(content[0]["top_logprobs"])}
    listed = getattr(found, "top_logprobs", None)
    return dict(listed[0]) if listed else None
