"""A progress bar on standard error for work that takes over two seconds, when a person is watching."""

from __future__ import annotations

import sys
from time import monotonic
from types import TracebackType
from typing import Any

_PATIENCE = 2.0


class Progress:
    """`with Progress("clean", total) as bar: bar.advance(n)`; nothing is shown for short work or without a terminal."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._began = monotonic()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        return self

    def advance(self, amount: int, what: str = "") -> None:
        """Note that `amount` more is done; `what` replaces the words beside the bar."""
        self._what = what or self._what
        self._done += amount
        if self._bar is None and sys.stderr.isatty() and monotonic() - self._began > _PATIENCE:
            self._start()
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, description=self._what)

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import Progress as Bar

        self._bar = Bar(console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(self._what, total=self._total)
        self._bar.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
