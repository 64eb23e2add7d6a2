"""Translations that were paid for once: a SQLite file in the run's folder that two processes may use at a time.

It holds patient text, so only its owner can read it. A file that is broken is set aside, with a message, and begun anew.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import TypeVar

from mundap.errors import UserError
from mundap.waiting import write_ahead

_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PATIENCE = 30.0  # seconds to wait for another process that is writing
_AT_ONCE = 500  # below SQLite's limit of variables in one statement
_TABLE = """CREATE TABLE IF NOT EXISTS translations
    (key BLOB PRIMARY KEY, text BLOB NOT NULL, seal BLOB NOT NULL, hits INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID"""
Found = TypeVar("Found")


def key(*parts: str) -> bytes:
    """The key of a translation: SHA-256 over everything it depends on (engine, model, languages, versions, text)."""
    told = b"".join(
        len(data).to_bytes(8, "big") + data for data in (part.encode("utf-8", "surrogatepass") for part in parts)
    )
    return sha256(told).digest()


class Cache:
    """Texts by key. `hits` and `misses` count what this process asked for; the file counts hits for each text."""

    def __init__(self, path: Path) -> None:
        self.path, self.hits, self.misses = path, 0, 0
        self._lock = Lock()
        self._connection = self._opened()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        """What is known, by key."""
        found = self._do(lambda: self._read(keys))
        self.hits, self.misses = self.hits + len(found), self.misses + len(set(keys)) - len(found)
        return found

    def put(self, texts: Mapping[bytes, str]) -> None:
        """Keep translations; on disk when this returns."""
        told = [(each, text.encode("utf-8", "replace")) for each, text in texts.items()]
        rows = [(each, data, _seal(each, data)) for each, data in told]
        self._do(lambda: self._write("REPLACE INTO translations (key, text, seal) VALUES (?, ?, ?)", rows))

    def close(self) -> None:
        """Close the file; what was put is in it."""
        self._connection.close()

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        found: dict[bytes, str] = {}
        for start in range(0, len(keys), _AT_ONCE):
            part = list(keys[start : start + _AT_ONCE])
            marks = ",".join("?" * len(part))
            rows = self._connection.execute(f"SELECT key, text, seal FROM translations WHERE key IN ({marks})", part)
            found.update((each, data.decode()) for each, data, seal in rows if seal == _seal(each, data))
        self._write("UPDATE translations SET hits = hits + 1 WHERE key = ?", [(each,) for each in found])
        return found

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            with self._connection:
                self._connection.executemany(statement, rows)

    def _do(self, work: Callable[[], Found]) -> Found:
        """Do it; once more on a new file when this one turns out to be broken."""
        with self._lock:
            try:
                return work()
            except sqlite3.DatabaseError as error:
                if not _broken(error):
                    raise UserError(f"cannot use the translations kept in {self.path}: {error}") from error
                self._connection.close()
                self._connection = self._opened()
                return work()

    def _opened(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return self._connected()
        except sqlite3.DatabaseError as error:
            if not _broken(error):
                raise UserError(f"cannot open the translations kept in {self.path}: {error}") from error
            self._set_aside()
            return self._connected()

    def _connected(self) -> sqlite3.Connection:
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(self.path, timeout=_PATIENCE, check_same_thread=False)
        try:
            write_ahead(connection, _PATIENCE)
            connection.execute(_TABLE)
            problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.DatabaseError:
            connection.close()
            raise
        if problem != "ok":
            connection.close()
            error = sqlite3.DatabaseError(problem)
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        return connection

    def _set_aside(self) -> None:
        number = sum(1 for _ in self.path.parent.glob(f"{self.path.name}.broken-*"))
        aside = self.path.with_name(f"{self.path.name}.broken-{number + 1}")
        os.replace(self.path, aside)
        for end in ("-wal", "-shm"):
            self.path.with_name(self.path.name + end).unlink(missing_ok=True)
        print(f"{self.path} was broken; it is now {aside.name}, and texts are translated again", file=sys.stderr)


def _seal(each: bytes, data: bytes) -> bytes:
    """Tells a text from one that was damaged on the disk, which SQLite does not notice."""
    return sha256(each + data).digest()[:8]


def _broken(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", None) in _BROKEN
