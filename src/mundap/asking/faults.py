"""What went wrong with a request to a server: worth another try, this request's own fault, or the end of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mundap.waiting import retry_after

Kind = Literal["again", "busy", "refused", "end"]
_PAID_OUT = ("insufficient_quota", "billing", "quota_exceeded", "balance")
_REFUSED = (400, 413, 415, 422)


class Unreadable(Exception):
    """The server sent something that is no chat completion."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`again`: try once more; `busy`: when the server says; `refused`: not this request; `end`: not any request.

    `unreachable` and `busy` faults end the run once no try is left: they are not the request's. `said` names the kind of
    the fault only, because a server's own words may repeat the text that it was sent.
    """

    kind: Kind
    said: str
    after: float | None = None
    unreachable: bool = False


def fault(error: Exception) -> Fault:
    """Judge an exception of the openai client, of the time limit, or of reading the answer."""
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return _answered(status, error)
    if isinstance(error, TimeoutError) or type(error).__name__ == "APITimeoutError":
        return Fault("again", "no answer in time", unreachable=_is_connecting(error))
    if type(error).__name__ == "APIConnectionError":
        return Fault("again", "the connection broke", unreachable=_is_connecting(error))
    return Fault("again", str(error) if isinstance(error, Unreadable) else "an answer that is no chat completion")


def _answered(status: int, error: Exception) -> Fault:
    said = f"HTTP {status}{_code(error)}"
    if status == 429 and not any(word in said for word in _PAID_OUT):
        return Fault("busy", said, _after(error))
    if status in (401, 402, 403, 404, 429):
        return Fault("end", said)
    if status in _REFUSED:
        return Fault("refused", said)
    return Fault("busy" if status == 503 and _after(error) is not None else "again", said, _after(error))


def _code(error: Exception) -> str:
    """The server's own short name of the fault, if it has one."""
    body = getattr(error, "body", None)
    code = (body.get("code") or body.get("type")) if isinstance(body, Mapping) else None
    return f" {code}" if isinstance(code, str) and len(code) <= 40 and code.replace("_", "").isalnum() else ""


def _after(error: Any) -> float | None:
    return retry_after(error.response.headers.get("retry-after"))


def _is_connecting(error: Exception) -> bool:
    return type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout")
