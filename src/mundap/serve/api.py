"""`/v1/chat/completions`, `/v1/models` and `/health`: OpenAI's protocol with one extension key, `mundap`."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from mundap.serve.cut import Cut
from mundap.serve.limits import RETRY_AFTER, error_body
from mundap.serve.schema import ChatRequest
from mundap.serve.stream import Broken, Busy, Desk, TimedOut, Turn
from mundap.serve.texts import texts
from mundap.types import Reply

if TYPE_CHECKING:
    from mundap.chat.engines import Engines

# Codes that a validation message may begin with; the rest of the message is for the reader.
CODES = ("history_too_long", "message_too_long")


class ApiError(Exception):
    """An error to send in OpenAI's shape."""

    def __init__(self, status: int, message: str, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        kind = "server_error" if status >= 500 else "invalid_request_error"
        self.body = error_body(message, kind, code, param)


def package_version() -> str:
    """The installed version, or `0` from a bare checkout."""
    try:
        return version("mundap")
    except PackageNotFoundError:
        return "0"


def routes(engines: Engines, desk: Desk) -> APIRouter:
    """The API's routes over `engines`; replies run at `desk`."""
    router = APIRouter()
    started = int(time.time())

    @router.get("/health")
    async def health() -> dict[str, Any]:
        """Whether the server answers, which version it is and which models it has."""
        return {"status": "ok", "version": package_version(), "models": engines.names()}

    @router.get("/v1/models")
    async def models() -> dict[str, Any]:
        """The engines' names, the default first."""
        return {"object": "list", "data": [_model(engines, name, started) for name in engines.names()]}

    @router.get("/v1/models/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        """One engine by name."""
        return _model(engines, _known(engines, name), started)

    @router.post("/v1/chat/completions")
    async def complete(request: Request, body: ChatRequest) -> Response:
        """An answer, whole or as a stream of server-sent events."""
        name = _known(engines, body.model or engines.names()[0])
        profile = body.mundap.profile.profile() if body.mundap.profile else None
        turn = Turn(
            name, tuple(message.message() for message in body.messages), profile, body.mundap.lang, body.sampling
        )
        answer = _Answer(name, Cut(body.limit, body.stop or ()))
        try:
            pieces = desk.ask(turn)
        except Busy:
            raise ApiError(503, "The server is at its limit. Try again in a moment.", "overloaded") from None
        if body.stream:
            usage = bool(body.stream_options and body.stream_options.include_usage)
            events = answer.stream(pieces, usage)
            return StreamingResponse(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        return JSONResponse(await _unless_gone(request, answer.whole(pieces)))

    return router


def _model(engines: Engines, name: str, created: int) -> dict[str, Any]:
    label = engines.label(name, "en")
    return {"id": name, "object": "model", "created": created, "owned_by": "mundap", "name": label}


def _known(engines: Engines, name: str) -> str:
    if name not in engines.names():
        names = ", ".join(engines.names())
        raise ApiError(404, f"There is no model {name[:80]!r}. There are: {names}.", "model_not_found", "model")
    return name


async def _unless_gone(request: Request, answer: Any) -> dict[str, Any]:
    """The answer, or nothing and no more work as soon as the client has gone."""
    work, gone = asyncio.ensure_future(answer), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ApiError(499, "The client closed the connection.", "client_closed")
        return work.result()  # type: ignore[no-any-return]
    finally:
        for task in (work, gone):
            task.cancel()
        await asyncio.gather(work, gone, return_exceptions=True)


@dataclass
class _Answer:
    """One completion while it is made: its identity and the shapes it is sent in."""

    model: str
    cut: Cut

    def __post_init__(self) -> None:
        self.id = f"chatcmpl-{uuid.uuid4().hex}"
        self.created = int(time.time())

    async def whole(self, pieces: AsyncGenerator[str | Reply]) -> dict[str, Any]:
        """The answer as one `chat.completion`."""
        text, reply = "", Reply("")
        try:
            async with aclosing(pieces):
                async for new, done in self._kept(pieces):
                    text += new
                    reply = done or reply
        except (TimedOut, Broken) as error:
            raise _failure(error) from None
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "logprobs": None}
        choices = [choice | {"finish_reason": self._reason(reply)}]
        return self._shape("chat.completion", choices) | {"usage": _usage(reply), "mundap": extension(reply)}

    async def stream(self, pieces: AsyncGenerator[str | Reply], usage: bool) -> AsyncIterator[str]:
        """The answer as `chat.completion.chunk` events; a failure is an error event, never a finished answer."""
        reply = Reply("")
        yield _event(self._chunk({"role": "assistant", "content": ""}))
        try:
            async with aclosing(pieces):
                async for new, done in self._kept(pieces):
                    reply = done or reply
                    if new:
                        yield _event(self._chunk({"content": new}))
            yield _event(self._chunk({}, self._reason(reply)) | {"mundap": extension(reply)})
            if usage:
                yield _event(self._shape("chat.completion.chunk", []) | {"usage": _usage(reply)})
        except (TimedOut, Broken) as error:
            yield _event(_failure(error).body)
        yield "data: [DONE]\n\n"

    async def _kept(self, pieces: AsyncGenerator[str | Reply]) -> AsyncIterator[tuple[str, Reply | None]]:
        async for piece in pieces:
            if isinstance(piece, Reply):
                yield self.cut.finish(piece), piece
            else:
                yield self.cut.feed(piece), None

    def _reason(self, reply: Reply) -> str:
        # OpenAI knows no `error`: an answer that is not complete is `length`; `mundap.finish` says which it was.
        return self.cut.reached or ("stop" if reply.finish == "stop" else "length")

    def _chunk(self, delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return self._shape("chat.completion.chunk", [choice])

    def _shape(self, kind: str, choices: list[Any]) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices}


def extension(reply: Reply) -> dict[str, Any]:
    """What the answer's `mundap` key holds."""
    return {
        "urgency": reply.urgency.level.word,
        "rules": list(reply.urgency.rules),
        "hotlines": list(reply.urgency.hotlines),
        "triage_failed": reply.urgency.failed,
        "citations": [asdict(citation) for citation in reply.citations],
        "follow_ups": list(reply.follow_ups),
        "profile_used": list(reply.profile_used),
        "model": reply.model,
        "finish": reply.finish,
        "why": reply.why,
        "lang": reply.lang,
        "usage_unit": reply.usage.unit,
        "seconds": round(reply.seconds, 3),
        "ai_generated": True,
        "notice": texts(reply.lang)["label"],
    }


def _usage(reply: Reply) -> dict[str, int]:
    prompt, completion = reply.usage.prompt, reply.usage.completion
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _failure(error: Exception) -> ApiError:
    # The emergency number goes with every failure, in both languages: nobody knows yet who is reading.
    if isinstance(error, TimedOut):
        return ApiError(504, f"{texts('ko')['timeout']} {texts('en')['timeout']}", "timeout")
    detail = str(error) or texts("ko")["failed"]
    return ApiError(503, f"{detail} {texts('en')['failed']}", "reply_failed")


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


def add_errors(app: FastAPI) -> None:
    """Send every error of `app` in OpenAI's shape, without the input that caused it."""

    @app.exception_handler(ApiError)
    async def own(request: Request, error: ApiError) -> JSONResponse:
        headers = {"Retry-After": RETRY_AFTER} if error.status == 503 else None
        return JSONResponse(error.body, error.status, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse(_invalid(error), 400)

    @app.exception_handler(StarletteHTTPException)
    async def plain(request: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
        body = error_body(str(error.detail), "invalid_request_error", code)
        return JSONResponse(body, error.status_code, error.headers)


def _invalid(error: RequestValidationError) -> dict[str, object]:
    """The first problem: where it is and what is wrong, never the value, which may be a patient's words."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return error_body("The body is not JSON.", "invalid_request_error", "invalid_json")
    message = str(first["msg"]).removeprefix("Value error, ")
    code = next((code for code in CODES if message.startswith(code)), "invalid_request")
    place = ".".join(str(part) for part in first["loc"] if part != "body")[:100]
    param = place or message.partition(":")[0]
    text = message if message.startswith(param) or not param else f"{param}: {message}"
    return error_body(text, "invalid_request_error", code, param)
