"""`log.jsonl` of a training: a line for each step and each evaluation, cut back to the checkpoint when a run goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from mundap.errors import UserError
from mundap.store import read_jsonl, write_jsonl


class Log:
    """Steps have `loss`, `learning_rate`, `tokens`, `seconds` and `rows` (ids, in order); evaluations `val_loss`."""

    def __init__(self, path: Path, writes: bool = True) -> None:
        self.path, self.writes = path, writes
        self.rows: list[dict[str, Any]] = []
        self._stream: IO[str] | None = None

    def begin(self, step: int) -> None:
        """Keep the lines up to a step, drop what a killed run wrote after it and what only its early end measured."""
        self.close()
        self.rows = [row for row in self._read() if row["step"] <= step and not row.get("early")] if step else []
        write_jsonl(self.path, self.rows)
        self._stream = self.path.open("a", encoding="utf-8")

    def _read(self) -> list[dict[str, Any]]:
        """The lines there are; a last one cut in the middle is no line."""
        found = []
        try:
            for row in read_jsonl(self.path):
                found.append(row)
        except UserError:
            pass
        return found

    def add(self, **row: Any) -> None:
        """Write a line; it is on the disk at the next `sync`, before the checkpoint that counts on it."""
        self.rows.append(row)
        if not self.writes:  # one of several processes, and not the one that writes
            return
        assert self._stream is not None
        self._stream.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._stream.flush()

    def sync(self) -> None:
        """Have everything on the disk."""
        if not self.writes:
            return
        assert self._stream is not None
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """End writing."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The lines of steps."""
        return [row for row in self.rows if "loss" in row]

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        """The lines of evaluations; step 0 is the untuned model, `early` the one that a budget's end asked for."""
        return [row for row in self.rows if "val_loss" in row]

    def best(self, early: bool = False) -> Mapping[str, Any] | None:
        """The evaluation with the lowest loss after the beginning, the earlier of two alike.

        An `early` one counts when asked for: a run that goes on later must choose as if it had never been ended.
        """
        tuned = [row for row in self._tested(early) if row["step"]]
        return min(tuned, key=lambda row: row["val_loss"]) if tuned else None

    def waited(self) -> int:
        """Evaluations since the best one."""
        best = self.best()
        return sum(row["step"] > best["step"] for row in self._tested(False)) if best else 0

    def _tested(self, early: bool) -> list[dict[str, Any]]:
        return [row for row in self.evaluations if early or not row.get("early")]
