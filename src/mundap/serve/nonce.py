"""A content security policy without `unsafe-inline`: the page's own inline scripts carry a number used once."""

from __future__ import annotations

import re
import secrets

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Styles set by Gradio's components are inline; scripts are not allowed to be, except those with the number.
# Nothing may be loaded from, sent to or framed by another site.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'{nonce}",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
SCRIPT = re.compile(rb"<script(?=[\s>])")


class Nonce:
    """Sets the policy on every answer and marks the scripts of the page itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI says."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["path"] == "/" and scope["method"] == "GET":
            await self._page(scope, receive, send)
        else:
            await self.app(scope, receive, _with_policy(send, ""))

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Asked for uncompressed, because it is changed on its way out.
        headers = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
        number = secrets.token_hex(16)
        start: Message = {}
        body = bytearray()

        async def collect(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
            else:
                body.extend(message.get("body", b""))

        await self.app({**scope, "headers": headers}, receive, collect)
        # Without quotes around the number: Gradio repeats the page's head inside a JavaScript string.
        page = SCRIPT.sub(b"<script nonce=" + number.encode(), bytes(body))
        MutableHeaders(scope=start)["content-length"] = str(len(page))
        await _with_policy(send, f" 'nonce-{number}'")(start)
        await send({"type": "http.response.body", "body": page})


def _with_policy(send: Send, nonce: str) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["content-security-policy"] = POLICY.format(nonce=nonce)
        await send(message)

    return sender
