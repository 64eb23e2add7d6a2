"""SIGINT and SIGTERM while training: the first ends it after the step at hand, saved; the second ends it at once."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from mundap.errors import UserError


class Interrupted(UserError):
    """Training was stopped by a signal; the exit code is the shell's: 130 for SIGINT, 143 for SIGTERM."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + number


class Signals:
    """`with Signals() as signals`: `received` is the number of the first signal, 0 before. Only in the main thread."""

    def __init__(self, speaks: bool = True) -> None:
        self.received, self._speaks = 0, speaks
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            os._exit(128 + number)  # files are written aside and renamed: nothing whole is harmed
        self.received = number
        if self._speaks:
            os.write(2, b"mundap: stopping after this step and saving; once more stops at once\n")

    def check(self, where: str) -> None:
        """Raise `Interrupted` when a signal has come."""
        if self.received:
            name = signal.Signals(self.received).name
            raise Interrupted(self.received, f"stopped by {name} {where}; run the same command again to go on")
