"""A small HTTP/1.1 server whose answers may be wrong on the wire: too short, too slow, cut off."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

DATE = "Mon, 08 Jun 2026 03:00:00 GMT"  # the replicas' clock stands still, so that relative dates do too
Fault = Literal["", "drip", "reset", "too short", "too long"]


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked: host (the site's own, as `X-Forwarded-Host` says), path, parameters, headers."""

    host: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered, and how the wire distorts it."""

    body: str | bytes = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault = ""


Handler = Callable[[Request], Answer]


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler) -> None:
    with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError), closing(writer):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            answer = handler(_request(head))
            await _send(writer, answer)
            if answer.fault:
                break


def _request(head: list[str]) -> Request:
    target = head[0].split(" ")[1] if head[0].count(" ") == 2 else "/"
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
    }
    parts = urlsplit(target)
    host = headers.get("x-forwarded-host", headers.get("host", ""))
    return Request(host, parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), headers)


async def _send(writer: asyncio.StreamWriter, answer: Answer) -> None:
    body = answer.body.encode() if isinstance(answer.body, str) else answer.body
    claimed = len(body) + {"too short": 1000, "too long": -len(body) // 2, "reset": 1000}.get(answer.fault, 0)
    headers = {
        "Date": DATE,
        "Content-Type": "text/html; charset=utf-8",
        **answer.headers,
        "Content-Length": str(claimed),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {answer.status} .\r\n{head}\r\n".encode())
    if answer.fault == "drip":
        await _drip(writer, body)
    else:
        writer.write(body)
    await writer.drain()
    if answer.fault == "reset":
        writer.transport.abort()


async def _drip(writer: asyncio.StreamWriter, body: bytes) -> None:
    for index in range(len(body)):
        writer.write(body[index : index + 1])
        await writer.drain()
        await asyncio.sleep(1)


async def listen(handler: Handler, port: int = 0) -> asyncio.Server:
    """A server on 127.0.0.1; port 0 takes a free one."""
    return await asyncio.start_server(lambda reader, writer: _serve(reader, writer, handler), "127.0.0.1", port)


@contextmanager
def serving(handler: Handler) -> Iterator[str]:
    """The address of a server that runs in a thread for as long as the block does."""
    loop, started = asyncio.new_event_loop(), threading.Event()
    address, ended = [], asyncio.Event()

    async def run() -> None:
        server = await listen(handler)
        address.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        started.set()
        await ended.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    started.wait()
    try:
        yield address[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
