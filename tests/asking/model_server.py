"""A server that speaks as much of OpenAI's chat interface as the tests need, and misbehaves when told to."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any


@dataclass
class Reply:
    """What is sent after `delay` seconds. `cut`: the connection ends after so many bytes of it."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: int | None = None

    def encoded(self) -> bytes:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {self.status} Said\r\n{head}\r\n".encode() + body


def said(*texts: str, prompt: int = 10, completion: int = 5, finish: str = "stop") -> dict[str, Any]:
    """A chat completion."""
    choices = [
        {"index": n, "finish_reason": finish, "message": {"role": "assistant", "content": text}}
        for n, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {
        "id": "x", "object": "chat.completion", "created": 0, "model": "toy", "choices": choices, "usage": usage,
    }  # fmt: skip


def refused(status: int, message: str, code: str = "", **headers: str) -> Reply:
    """An error as OpenAI's server words it."""
    return Reply(status, {"error": {"message": message, "code": code or None, "type": None}}, headers)


def echo(body: dict[str, Any], number: int) -> Reply:
    """Says the last message again."""
    return Reply(body=said(f"you said: {body['messages'][-1]['content']}"))


class ModelServer:
    """`with ModelServer(behave) as server`: `behave(body, number)` makes each reply; `asked` are the bodies received."""

    def __init__(self, behave: Callable[[dict[str, Any], int], Reply] = echo) -> None:
        self.behave, self.asked, self.keys = behave, list[dict[str, Any]](), set[str]()
        self.most_at_once = self._at_once = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> ModelServer:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _work(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(self._gone())
        self._loop.close()

    async def _gone(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        body = json.loads(await reader.readexactly(int(lines.get("content-length", "0"))) or b"{}")
        if head.startswith("GET"):
            writer.write(Reply(body={"object": "list", "data": [{"id": "toy", "object": "model"}]}).encoded())
            return True
        self.asked.append(body)
        self.keys.add(lines.get("authorization", ""))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            reply = self.behave(body, len(self.asked))
            if reply.delay:
                await asyncio.sleep(reply.delay)
        finally:
            self._at_once -= 1
        writer.write(reply.encoded()[: reply.cut])
        await writer.drain()
        return reply.cut is None
