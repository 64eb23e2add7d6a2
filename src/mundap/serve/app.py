"""The server: the API, the page, and the limits around both."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import Response

from mundap.errors import UserError
from mundap.serve.api import add_errors, package_version, routes
from mundap.serve.limits import BodyLimit, Door, Outside
from mundap.serve.nonce import Nonce
from mundap.serve.stream import DEADLINE, IN_FLIGHT, Desk

if TYPE_CHECKING:
    from mundap.chat.engines import Engines

GRACE = 10
# Every open page keeps one connection; beyond this, further ones are refused rather than let memory grow.
CONNECTIONS = 512


def create_app(
    engines: Engines,
    *,
    api_key: str | None = None,
    page: bool = True,
    limit: int = IN_FLIGHT,
    deadline: float = DEADLINE,
    studio: Path | None = None,
) -> FastAPI:
    """The application over `engines`: at most `limit` replies under way, each finished within `deadline` seconds.

    `studio` is the folder of runs whose pages are served at `/studio`; None for none.
    """
    app = FastAPI(title="mundap", version=package_version(), docs_url=None, redoc_url=None, openapi_url=None)
    desk = Desk(engines, limit, deadline)
    add_errors(app)
    app.include_router(routes(engines, desk))
    if studio is not None:
        from mundap.serve.studio import routes as run_pages

        run_pages.mount(app, studio, local=api_key is None)
    if page:
        _mount_page(app, desk)
    # The last one added is the outermost.
    app.add_middleware(BodyLimit)
    app.add_middleware(Door, api_key=api_key, studio=studio is not None)
    app.add_middleware(Nonce)
    app.add_middleware(Outside)
    return app


def _mount_page(app: FastAPI, desk: Desk) -> None:
    from mundap.serve.quick import import_gradio

    import_gradio()
    from mundap.serve.texts import asset
    from mundap.serve.web import mount

    script = asset("page.js")

    @app.get("/page.js")
    async def page_script() -> Response:
        return Response(script, media_type="text/javascript; charset=utf-8", headers={"Cache-Control": "no-cache"})

    mount(app, desk)


def run(
    host: str,
    port: int,
    engines: Engines,
    api_key: str | None = None,
    insecure: bool = False,
    *,
    page: bool = True,
    studio: Path | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C. Port 0 takes a free one. Raises `UserError` for an unsafe or taken address."""
    check_host(host, api_key, insecure)
    sock = bind(host, port)
    _warm(engines)
    try:
        _serve(create_app(engines, api_key=api_key, page=page, studio=studio), sock, page, studio is not None)
    finally:
        sock.close()
        engines.close()


def _warm(engines: Engines) -> None:
    """Let the engines load what their first reply needs (`Engines.warm`, where there is one) while the page is built."""
    warm = getattr(engines, "warm", None)
    if warm is not None:
        threading.Thread(target=warm, daemon=True, name="mundap-warm").start()


def check_address(host: str, port: int, api_key: str | None, insecure: bool) -> None:
    """Raise `UserError` where `run` would, before anything slow is loaded."""
    check_host(host, api_key, insecure)
    bind(host, port).close()


def check_host(host: str, api_key: str | None, insecure: bool) -> None:
    """Refuse to be reachable from outside without a key."""
    if api_key or insecure or _loopback(host):
        return
    raise UserError(
        f"host {host} can be reached from other machines, and no API key is set. Set a key (MUNDAP_API_KEY), "
        "or keep the default host 127.0.0.1, or pass --insecure if something in front of it checks who comes in."
    )


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind(host: str, port: int) -> socket.socket:
    """A bound socket, taken before anything slow is done, so that a port in use is told at once."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, OverflowError) as error:
        raise UserError(f"host {host}, port {port}: not an address that can be served: {error}") from None
    sock = socket.socket(family, kind, proto)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise UserError(
            f"port {port} on {host} cannot be used ({error.strerror}). Stop what uses it, or choose another, "
            "for example with --port 0, which takes a free one."
        ) from None
    return sock


def _serve(app: FastAPI, sock: socket.socket, page: bool, studio: bool = False) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        """Says where it is once it can be reached."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            print(address(sock, page, studio), flush=True)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            let_go(app)
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=10,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=16 * 1024,
    )
    _log_access()
    # uvicorn raises the signal again once it has shut down. A shutdown that was asked for is a success: exit 0.
    signal.signal(signal.SIGTERM, lambda *_: None)
    Server(config).run(sockets=[sock])


def let_go(app: FastAPI) -> None:
    """End the connections that open pages keep, so that a shutdown waits for answers only."""
    for route in app.routes:
        event = getattr(getattr(route, "app", None), "stop_event", None)
        if event is not None:
            event.set()


def address(sock: socket.socket, page: bool, studio: bool = False) -> str:
    """Where the server is, in one line."""
    host, port = sock.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(host, host)
    url = f"http://{shown}:{port}"
    more = f" Runs: {url}/studio." if studio else ""
    where = f"mundap: {url} (API: {url}/v1)." if page else f"mundap API: {url}/v1."
    return f"{where}{more} Ctrl-C stops."


def _log_access() -> None:
    # Gradio's and httpx's own lines could quote addresses; only warnings of the server and its parts are of use.
    for name in ("httpx", "gradio", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)
