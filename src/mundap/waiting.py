"""How long to wait: before a server is asked again, and for another process that opens the same SQLite file."""

from __future__ import annotations

import random
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3


def retry_after(said: str | None) -> float | None:
    """The seconds that a `Retry-After` asks for, a number or a date (RFC 9110, 10.2.3); None when it says neither."""
    said = (said or "").strip()
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def pause(attempt: int, first: float, longest: float, dice: random.Random | None = None) -> float:
    """Seconds before the next try (`attempt` counts from 0): doubling, and never the same for two requests."""
    return min(longest, first * 2.0**attempt) * (dice or random).uniform(0.5, 1.0)


def write_ahead(base: sqlite3.Connection, patience: float = 30.0) -> None:
    """Let others read a SQLite file while one writes. Of two processes that open a new file at once, one waits here.

    SQLite's own timeout does not cover the change to this mode. Raises `sqlite3.OperationalError` after `patience` seconds.
    """
    from sqlite3 import SQLITE_BUSY, OperationalError

    ends = time.monotonic() + patience
    while True:
        try:
            base.execute("PRAGMA journal_mode = WAL")
            return
        except OperationalError as error:
            if error.sqlite_errorcode & 0xFF != SQLITE_BUSY or time.monotonic() > ends:
                raise
            time.sleep(pause(0, 0.05, 0.05))
