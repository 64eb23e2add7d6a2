"""A real server over a real socket, good and bad in many ways: every fault is a ModelError that says where and what to do."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from mundap.errors import ModelError
from mundap.models.http import Http
from mundap.protocols import Model
from mundap.types import Message, Options

KEY = "sk-very-secret-0123456789"
ASKED = [Message("system", "짧게."), Message("user", "머리가 아파요")]
app = FastAPI()
seen: list[dict[str, Any]] = []
closed = threading.Event()


def event(text: str | None, finish: str | None = None) -> str:
    choice = {"index": 0, "delta": {"content": text} if text is not None else {}, "finish_reason": finish}
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n"


GOOD = [event("머리"), event("가 아플 때 "), event(None), event("쉬세요. 🙂"), event(None, "stop"), "data: [DONE]\n\n"]


def stream(parts: list[str]) -> StreamingResponse:
    return StreamingResponse(iter(parts), media_type="text/event-stream")


@app.get("/{kind}/v1/models")
def models(kind: str) -> Response:
    if kind == "html":
        return HTMLResponse("<html>no API here</html>")
    if kind == "notjson":
        return Response("{", media_type="application/json")
    if kind == "locked":
        return JSONResponse({"error": {"message": f"Incorrect API key provided: {KEY}"}}, 401)
    names = {"good": ["only"], "several": ["gemma", "qwen"]}.get(kind, [])
    return JSONResponse({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})


@app.post("/{kind}/v1/chat/completions")
async def complete(kind: str, request: Request) -> Response:
    body = await request.json()
    seen.append({"key": request.headers.get("authorization"), **body})
    status = {"locked": 401, "forbidden": 403, "gone": 404, "busy": 429, "ill": 500, "down": 503}.get(kind)
    if status:
        error = {"message": f"no, {request.headers.get('authorization')}"}
        return JSONResponse({"error": error}, status, {"retry-after-ms": "10"})
    if kind == "slow":
        await asyncio.sleep(1.5)
    if kind == "endless":
        return StreamingResponse(endless(), media_type="text/event-stream")
    pieces = {
        "html": None,
        "notsse": None,
        "badjson": [event("머리"), "data: {not json\n\n"],
        "odd": [event("머리"), 'data: {"choices": [{"delta": null}]}\n\n'],
        "nochoices": ['data: {"choices": null}\n\n'],
        "error": [event("머리"), 'data: {"error": {"message": "out of memory"}}\n\n'],
        "cut": [event("머리")],
        "empty": [],
        "usage": [*GOOD[:-1], 'data: {"choices": [], "usage": {}}\n\n', GOOD[-1]],
    }.get(kind, GOOD)
    return HTMLResponse("<html>hello</html>") if pieces is None else stream(pieces)


async def endless() -> AsyncIterator[str]:
    closed.clear()
    try:
        while True:
            yield event("또 ")
            await asyncio.sleep(0.002)
    finally:
        closed.set()


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    sock = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    sock.close()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")


def http(base: str, kind: str, name: str = "m", **config: Any) -> Http:
    return Http(f"{base}/{kind}/v1", name, **config)


def failure(base: str, kind: str, **config: Any) -> str:
    model = http(base, kind, **config)
    with pytest.raises(ModelError) as caught:
        list(model.generate(ASKED, Options()))
    message = str(caught.value)
    assert model.url in message
    assert KEY not in message
    assert len(message) < 500
    return message


def test_a_good_stream_comes_piece_by_piece(base: str) -> None:
    model = http(base, "good", name="")
    assert isinstance(model, Model)
    assert model.name == "only"
    assert list(model.generate(ASKED, Options())) == ["머리", "가 아플 때 ", "쉬세요. 🙂"]


def test_a_last_chunk_without_choices_is_fine(base: str) -> None:
    assert "".join(http(base, "usage").generate(ASKED, Options())).endswith("🙂")


def test_options_and_messages_are_passed_on(base: str) -> None:
    options = Options(max_tokens=7, temperature=0.4, top_p=0.6, stop=("끝",), seed=3)
    list(http(base, "good").generate(ASKED, options))
    assert seen[-1] | {"key": None} == {
        "key": None, "model": "m", "stream": True, "max_tokens": 7, "temperature": 0.4, "top_p": 0.6, "stop": ["끝"], "seed": 3,
        "messages": [{"role": "system", "content": "짧게."}, {"role": "user", "content": "머리가 아파요"}],
    }  # fmt: skip


def test_the_key_comes_from_the_named_variable(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    list(http(base, "good").generate(ASKED, Options()))
    assert seen[-1]["key"] == f"Bearer {KEY}"
    monkeypatch.setenv("OTHER_KEY", "sk-other")
    list(http(base, "good", key_from="OTHER_KEY").generate(ASKED, Options()))
    assert seen[-1]["key"] == "Bearer sk-other"
    list(http(base, "good", key_from="UNSET_KEY").generate(ASKED, Options()))
    assert seen[-1]["key"] == "Bearer none"


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("locked", "is the key in the environment variable OPENAI_API_KEY right?"),
        ("forbidden", "is the key in the environment variable OPENAI_API_KEY right?"),
        ("gone", "does it have a model called 'm', and does its address end in /v1?"),
        ("busy", "busy or its quota is used up; wait, or choose another model"),
        ("ill", "fault of its own; see its log"),
        ("down", "fault of its own; see its log"),
        ("html", "broke off in the middle of an answer"),
        ("notsse", "broke off in the middle of an answer"),
        ("badjson", "is the address right?"),
        ("odd", "is the address right?"),
        ("nochoices", "is the address right?"),
        ("error", "out of memory"),
        ("cut", "broke off in the middle of an answer"),
        ("empty", "broke off in the middle of an answer"),
    ],
)
def test_a_fault_says_where_and_what_to_do(base: str, kind: str, advice: str) -> None:
    assert advice in failure(base, kind)


def test_what_came_before_the_fault_was_given(base: str) -> None:
    pieces = http(base, "cut").generate(ASKED, Options())
    assert next(pieces) == "머리"
    with pytest.raises(ModelError):
        next(pieces)


def test_a_server_that_keeps_silent_is_given_up(base: str) -> None:
    started = time.perf_counter()
    assert "Timeout" in failure(base, "slow", timeout=0.2)
    assert time.perf_counter() - started < 3


def test_a_key_that_no_header_can_hold_is_not_told(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-비밀\nsecret")
    with pytest.raises(ModelError) as caught:
        list(http(base, "good").generate(ASKED, Options()))
    assert "비밀" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("several", "has 2 models; choose one by name: gemma, qwen"),
        ("none", "has 0 models; choose one by name: none"),
        ("html", "is the address right?"),
        ("notjson", "is the address right?"),
        ("locked", "environment variable OPENAI_API_KEY"),
    ],
)
def test_without_a_name_the_server_must_have_one_model(base: str, kind: str, said: str) -> None:
    with pytest.raises(ModelError) as caught:
        http(base, kind, name="")
    assert said in str(caught.value)
    assert f"{base}/{kind}/v1" in str(caught.value)
    assert KEY not in str(caught.value)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    url = f"http://127.0.0.1:{port}/v1"
    with pytest.raises(ModelError, match=f"{url} failed .*is it running, and is the address right"):
        Http(url)


@pytest.mark.parametrize("url", ["", "localhost:8000/v1", "ftp://host/v1", "/v1"])
def test_an_address_that_is_none_is_said_before_anything_is_sent(url: str) -> None:
    with pytest.raises(ModelError, match=r"not the address of a model server; write it like http://localhost:8000/v1"):
        Http(url, "m")


def dying(connection_dies_after: str) -> tuple[str, threading.Thread]:
    """A server whose connection is reset in the middle of a chunk."""
    sock = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with sock:
            for _ in range(2):
                client, _ = sock.accept()
                with client:
                    client.recv(65536)
                    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                    part = event("머리").encode()
                    client.sendall(
                        head.encode() + f"{len(part):x}\r\n".encode() + part + b"\r\n" + connection_dies_after.encode()
                    )
                    return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return f"http://127.0.0.1:{sock.getsockname()[1]}/v1", thread


@pytest.mark.parametrize("rest", ["", "40\r\ndata: {"])
def test_a_connection_that_dies_in_the_middle(rest: str) -> None:
    url, thread = dying(rest)
    pieces = Http(url, "m").generate(ASKED, Options())
    assert next(pieces) == "머리"
    with pytest.raises(ModelError, match=url):
        next(pieces)
    thread.join(5)


def test_max_tokens_is_enforced_on_a_server_that_does_not(base: str) -> None:
    assert len(list(http(base, "endless").generate(ASKED, Options(max_tokens=20)))) == 20
    assert closed.wait(5)


def test_closing_the_iterator_closes_the_connection(base: str) -> None:
    pieces: Any = http(base, "endless").generate(ASKED, Options())
    assert next(pieces) == "또 "
    pieces.close()
    assert closed.wait(5)


def test_languages_are_those_given(base: str) -> None:
    assert http(base, "good").languages == {"ko", "en"}
    assert http(base, "good", languages=("en",)).languages == {"en"}
    assert "OPENAI_API_KEY" in os.environ
