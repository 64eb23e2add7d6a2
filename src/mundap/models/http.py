"""Any OpenAI-compatible server as a model: vLLM, SGLang, llama.cpp, Ollama, LM Studio or a paid API."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from mundap.errors import ModelError
from mundap.types import Lang, Message, Options


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

        self.url = url
        self.languages: frozenset[Lang] = frozenset(languages)
        key = os.environ.get(key_from) or "none"
        self._client = OpenAI(base_url=url, api_key=key, timeout=timeout, max_retries=1)
        self.name = name or self._only_model()

    def generate(self, messages: Sequence[Message], options: Options) -> Iterator[str]:
        """Stream the answer. Raises `ModelError` when the server cannot be reached, refuses or breaks off."""
        from openai import OpenAIError

        try:
            yield from self._stream(messages, options)
        except OpenAIError as error:
            raise ModelError(self._advice(error)) from error

    def _stream(self, messages: Sequence[Message], options: Options) -> Iterator[str]:
        chat: Any = [{"role": line.role, "content": line.content} for line in messages]
        finished = False
        with self._client.chat.completions.create(
            model=self.name, messages=chat, stream=True, temperature=options.temperature, top_p=options.top_p,
            max_tokens=options.max_tokens, stop=list(options.stop) or None, seed=options.seed,
        ) as stream:  # fmt: skip
            for chunk in stream:
                for choice in chunk.choices:
                    finished = finished or choice.finish_reason is not None
                    if choice.delta.content:
                        yield choice.delta.content
        if not finished:
            raise ModelError(f"the model server at {self.url} broke off in the middle of an answer")

    def _only_model(self) -> str:
        from openai import OpenAIError

        try:
            names = [model.id for model in self._client.models.list()]
        except OpenAIError as error:
            raise ModelError(self._advice(error)) from error
        if len(names) != 1:
            raise ModelError(f"{self.url} has {len(names)} models; choose one by name: {', '.join(names) or 'none'}")
        return names[0]

    def _advice(self, error: Exception) -> str:
        return f"the model server at {self.url} failed ({type(error).__name__}: {str(error)[:200]}); is it running, and is the address right?"
