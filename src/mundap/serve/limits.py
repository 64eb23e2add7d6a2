"""Pure ASGI layers around the application: headers, key, paths, body size, and errors that tell nothing."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import secrets
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mundap.serve.stream import where

log = logging.getLogger("mundap.serve")

API_BODY = 64 * 1024
# The page's own requests carry the whole conversation, which the browser keeps because the server does not.
PAGE_BODY = 1024 * 1024
BODY_SECONDS = 10.0
RETRY_AFTER = "2"

# What the page needs, found by watching a browser. Everything else that Gradio offers (uploads, file and proxy
# routes, run history, API description, direct calls) is answered with 404.
PAGE_PATHS = ("/assets/", "/static/", "/gradio_api/heartbeat/")
PAGE_NAMES = frozenset(
    {
        "/",
        "/config",
        "/theme.css",
        "/favicon.ico",
        "/robots.txt",
        "/page.js",
        "/gradio_api/theme.css",
        "/gradio_api/startup-events",
        "/gradio_api/queue/join",
        "/gradio_api/queue/data",
        "/gradio_api/cancel",
        "/gradio_api/reset",
    }
)

STUDIO = "/studio"  # the run pages, where they are asked for

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def error_body(message: str, kind: str, code: str | None, param: str | None = None) -> dict[str, object]:
    """An error in OpenAI's shape."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


CUT_OFF = error_body("The server is shutting down; the answer is not complete.", "server_error", "shutting_down")


async def refuse(send: Send, status: int, message: str, code: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    """Answer with an error in OpenAI's shape and close the connection, so that an endless body is not read."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    body = json.dumps(error_body(message, kind, code)).encode()
    own = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body})


class Outside:
    """Outermost: adds the security headers, drops cross-origin permissions, and turns a crash into a bare 500."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI says."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = streams = False

        async def sender(message: Message) -> None:
            nonlocal started, streams
            if message["type"] == "http.response.start":
                started = True
                streams = (b"content-type", b"text/event-stream; charset=utf-8") in message["headers"]
                _mend(message)
            await send(message)

        try:
            await self.app(scope, receive, sender)
        except asyncio.CancelledError:
            # The server is going down and has waited long enough. What is told must not look finished.
            body = f"data: {json.dumps(CUT_OFF)}\n\n".encode() if streams else b""
            if started:
                await send({"type": "http.response.body", "body": body})
            else:
                await refuse(sender, 503, "The server is shutting down.", "shutting_down")
        except Exception as error:
            # Without the message: it may quote what a patient wrote.
            log.error("request failed: %s", where(error))
            if not started:
                await refuse(sender, 500, "The server made a mistake. Try again.", "internal_error")


def _mend(message: Message) -> None:
    headers = MutableHeaders(scope=message)
    for name in [name for name in headers if name.startswith("access-control-")]:
        # Gradio lets any site read its answers once it is not on localhost; this server serves its own page only.
        del headers[name]
    for name, value in HEADERS.items():
        headers[name] = value
    if "cache-control" not in headers:
        headers["cache-control"] = "no-store"
    if message["status"] in (429, 503):
        headers.setdefault("retry-after", RETRY_AFTER)


class Door:
    """Lets in what may come in: known paths, no writes from other sites, and the key where there is one."""

    def __init__(self, app: ASGIApp, api_key: str | None, studio: bool = False) -> None:
        self.app, self.studio = app, studio
        self.key = api_key.encode() if api_key else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI says."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] != "http" or scope["path"] == "/health":
            await self.app(scope, receive, send)
        else:
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, api = Headers(scope=scope), scope["path"].startswith("/v1/")
        if not api and not _page_path(scope["path"]) and not (self.studio and _studio_path(scope["path"])):
            await refuse(send, 404, "There is nothing here.", "not_found")
        elif headers.get("sec-fetch-site") == "cross-site" and scope["method"] not in ("GET", "HEAD"):
            await refuse(send, 403, "Requests from another site are not answered.", "cross_site")
        elif self.key is not None and not self._has_key(headers.get("authorization", "")):
            # A browser asks its user for the key (any name, the key as password); a client gets OpenAI's error.
            ask = [] if api else [(b"www-authenticate", b'Basic realm="mundap", charset="UTF-8"')]
            await refuse(send, 401, "A valid API key is needed.", "invalid_api_key", ask)
        else:
            await self.app(scope, receive, send)

    def _has_key(self, authorization: str) -> bool:
        scheme, _, value = authorization.partition(" ")
        given = value.strip().encode("latin-1")  # As it came: ASGI headers are bytes, read as Latin-1.
        if scheme.lower() == "basic":
            try:
                given = base64.b64decode(given, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif scheme.lower() != "bearer":
            return False
        return self.key is not None and secrets.compare_digest(given, self.key)


def _page_path(path: str) -> bool:
    return path in PAGE_NAMES or (path.startswith(PAGE_PATHS) and ".." not in path)


def _studio_path(path: str) -> bool:
    return path == STUDIO or (path.startswith(f"{STUDIO}/") and ".." not in path)


class BodyLimit:
    """Reads the body itself, with a limit on size and time, before anything else sees the request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI says."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        limit = API_BODY if scope["path"].startswith("/v1/") else PAGE_BODY
        length = Headers(scope=scope).get("content-length", "0")
        if length.isdigit() and int(length) > limit:
            await _too_large(send, limit)
            return
        try:
            body = await asyncio.wait_for(_read(receive, limit), BODY_SECONDS)
        except TimeoutError:
            await refuse(send, 408, f"The request did not arrive within {BODY_SECONDS:.0f} seconds.", "timeout")
            return
        if body is None:
            await _too_large(send, limit)
            return
        await self.app(scope, _replay(body, receive), send)


async def _too_large(send: Send, limit: int) -> None:
    await refuse(send, 413, f"A request may have up to {limit:,} bytes.", "request_too_large")


async def _read(receive: Receive, limit: int) -> bytes | None:
    """The whole body, or None as soon as it is longer than `limit`."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > limit:
            return None
        if message["type"] != "http.request" or not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `body` once and then what really comes (the disconnect)."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
