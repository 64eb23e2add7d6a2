"""What was asked and answered, in SQLite: written before an answer is used, so that a killed run never asks twice."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from mundap.errors import UserError
from mundap.waiting import write_ahead

_VERSION = 1
_TABLE = """
CREATE TABLE IF NOT EXISTS requests (
  key TEXT PRIMARY KEY, model TEXT NOT NULL, sent INTEGER NOT NULL, at TEXT NOT NULL, texts TEXT, cut INTEGER,
  prompt_tokens INTEGER, completion_tokens INTEGER, seconds REAL, error TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID"""
_BEGIN = """
INSERT INTO requests (key, model, sent, at) VALUES (?, ?, 1, ?)
ON CONFLICT (key) DO UPDATE SET sent = sent + 1, at = excluded.at, error = ''"""
_SETTLE = """
UPDATE requests SET texts = ?, cut = ?, prompt_tokens = ?, completion_tokens = ?, seconds = ?, error = ? WHERE key = ?"""
_TOTALS = """
SELECT model, count(texts), sum(sent), sum(error != ''), coalesce(sum(prompt_tokens), 0),
  coalesce(sum(completion_tokens), 0), coalesce(sum(seconds), 0) FROM requests GROUP BY model ORDER BY model"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request that was sent: texts with what they took, or an error. `refused`: for its own fault."""

    texts: tuple[str, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    cut: bool = False
    error: str = ""
    refused: bool = False


class Ledger:
    """One file for a run. It holds texts, so that only its owner may read it; several threads may use it.

    An answer survives the death of this process at any moment; a power failure may cost the last few. A request whose
    answer is missing was on its way when a run was killed, or failed: it is sent again.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, Lock()
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        try:
            self._base = _opened(path)
        except sqlite3.DatabaseError as error:
            _set_aside(path, error)
            self._base = _opened(path)

    def get(self, key: str) -> Outcome | None:
        """The answer to a request, or None when there is none."""
        row = self._do(
            "SELECT texts, prompt_tokens, completion_tokens, seconds, cut FROM requests WHERE key = ?", key
        ).fetchone()
        if row is None or row[0] is None:
            return None
        return Outcome(tuple(json.loads(row[0])), row[1], row[2], row[3], bool(row[4]))

    def begin(self, key: str, model: str) -> bool:
        """Note that a request is sent. True: it was on its way before, when a run was killed."""
        lost = self._do("SELECT 1 FROM requests WHERE key = ? AND error = ''", key).fetchone()
        self._do(_BEGIN, key, model, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        return lost is not None

    def settle(self, key: str, outcome: Outcome) -> None:
        """Write down what became of a request. When this returns, it is safe."""
        texts = None if outcome.error else json.dumps(outcome.texts)
        self._do(
            _SETTLE, texts, outcome.cut, outcome.prompt_tokens, outcome.completion_tokens, outcome.seconds,
            outcome.error, key,
        )  # fmt: skip

    def totals(self) -> dict[str, dict[str, Any]]:
        """By model: all that was ever answered, sent, failed and spent in this run's folder."""
        names = ("answered", "sent", "failed", "prompt_tokens", "completion_tokens", "seconds")
        return {model: dict(zip(names, numbers, strict=True)) for model, *numbers in self._do(_TOTALS)}

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()

    def _do(self, command: str, *values: Any) -> sqlite3.Cursor:
        with self._lock:
            try:
                return self._base.execute(command, values)
            except sqlite3.Error as error:
                raise UserError(f"the ledger {self._path} cannot be used ({error}); is the disk full?") from error


def _opened(path: Path) -> sqlite3.Connection:
    base = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    try:
        write_ahead(base)
        base.execute("PRAGMA synchronous = NORMAL")
        base.execute(_TABLE)
        [version] = base.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            raise UserError(f"{path} is of another version of mundap ({version}); move it away to ask everything anew")
        base.execute(f"PRAGMA user_version = {_VERSION}")
        [found] = base.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)
    except BaseException:
        base.close()
        raise
    return base


def _set_aside(path: Path, error: Exception) -> None:
    """Keep a broken file under another name, since its answers may have been paid for, and say so."""
    kept = path.with_name(f"{path.name}.broken-{time.strftime('%Y%m%d-%H%M%S')}")
    os.replace(path, kept)
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    print(f"mundap: the ledger was broken ({error}): kept as {kept}, everything is asked anew", file=sys.stderr)
