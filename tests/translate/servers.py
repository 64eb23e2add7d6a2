"""Servers on this machine that speak the documented interfaces of Papago, DeepL and OpenAI, well or badly as told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request as the server saw it."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float


@dataclass(frozen=True)
class Answer:
    """One answer: `body` is JSON unless it is text. `slow` waits before it, `cut` ends the connection in the middle."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    slow: float = 0.0
    cut: bool = False


class Loopback(ThreadingHTTPServer):
    """Answers with `script`, one answer a request, then as `good` says."""

    daemon_threads = True

    def __init__(self, good: Callable[[Asked], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.good = good
        self.script: list[Answer] = []
        self.seen: list[Asked] = []
        self.lock = threading.Lock()
        self.stopping = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Loopback

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        asked = Asked(self.path, {key.lower(): value for key, value in self.headers.items()}, body, time.monotonic())
        with self.server.lock:
            self.server.seen.append(asked)
            answer = self.server.script.pop(0) if self.server.script else None
        self._send(answer or self.server.good(asked))

    def _send(self, answer: Answer) -> None:
        text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body, ensure_ascii=False)
        data = text.encode()
        self.server.stopping.wait(answer.slow)
        self.send_response(answer.status)
        for key, value in {"content-type": "application/json", **answer.headers}.items():
            self.send_header(key, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if answer.cut else data)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Tests are quiet."""


@contextmanager
def serving(good: Callable[[Asked], Answer]) -> Iterator[Loopback]:
    """A server in a thread of its own, gone at the end."""
    server = Loopback(good)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


def papago(asked: Asked) -> Answer:
    """What Papago answers: the text between arrows, so that a test sees which part it was."""
    text = f"→{asked.body['text']}←"
    result = {"srcLangType": asked.body["source"], "tarLangType": asked.body["target"], "translatedText": text}
    return Answer({"message": {"result": result}})


def papago_error(status: int, code: str, words: str, **headers: str) -> Answer:
    return Answer({"error": {"errorCode": code, "message": words, "details": words}}, status, headers)


def deepl(asked: Asked) -> Answer:
    """What DeepL answers: one translation for each text, in order."""
    return Answer({"translations": [deepl_text(f"→{text}←") for text in asked.body["text"]]})


def deepl_text(text: str) -> dict[str, Any]:
    """One translation; the client always asks for the billed characters."""
    return {"detected_source_language": "EN", "text": text, "billed_characters": len(text)}


def openai(reply: Callable[[str], str]) -> Callable[[Asked], Answer]:
    """A model server that streams what `reply` makes of the last message."""

    def answer(asked: Asked) -> Answer:
        return said(reply(asked.body["messages"][-1]["content"]))

    return answer


def said(text: str) -> Answer:
    """A streamed completion with this text."""
    chunks = [_chunk(text, None), _chunk("", "stop")]
    lines = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    return Answer(lines, headers={"content-type": "text/event-stream"})


def _chunk(text: str, finish: str | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
