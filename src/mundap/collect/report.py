"""What a person sees: progress while it takes long, and at the end what happened on each host."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mundap.errors import UserError
from mundap.store import Manifest
from mundap.types import QA, Drop

_QUIET = 2.0  # seconds without a progress bar
_WIDTH = 100  # the table, where the terminal (or a log) says nothing or too little
_COLUMNS = ("fetched", "cached", "forbidden", "retried", "failed", "records", "seconds")


class Progress:
    """Bars on standard error for what takes longer than two seconds; nothing where nobody watches."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bars = Bars(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True)
        self._begun, self._shown, self.stopped = time.monotonic(), False, False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._bars.stop()

    def _ready(self) -> bool:
        if not self._shown and sys.stderr.isatty() and time.monotonic() - self._begun > _QUIET:
            self._bars.start()
            self._shown = True
        return self._shown

    def tell(self, name: str) -> Callable[[dict[str, int]], None]:
        """Takes a crawl's news: pages done, pages known, records. Raises `UserError` once `stopped`, which ends the crawl."""
        task = self._bars.add_task(name, total=None, note="")

        def news(found: dict[str, int]) -> None:
            if self.stopped:
                raise UserError(f"the crawl of {name} was stopped")
            note = f"pages, {found['records']} records"
            self._bars.update(task, completed=found["pages"], total=found["known"], note=note)
            self._ready()

        return news

    def counted(self, name: str, records: Iterable[QA | Drop]) -> Iterator[QA | Drop]:
        """The records, counted on a bar every now and then."""
        task = self._bars.add_task(name, total=None, note="rows")
        for count, record in enumerate(records, 1):
            if count % 512 == 0 and self._ready():
                self._bars.update(task, completed=count)
            yield record


def show(manifest: Manifest) -> None:
    """Print the report to standard error: the hosts, then the selectors that found nothing, each with addresses."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    console.width = max(console.width, _WIDTH)
    hosts: dict[str, dict[str, Any]] = manifest.details["hosts"]
    if hosts:
        console.print(_table(hosts))
    for reason, addresses in manifest.details["misfits"].items():
        places = ", ".join(addresses)
        console.print(f"{reason} on {manifest.dropped[reason]} pages: {places}", markup=False, soft_wrap=True)
    console.print(
        f"collected {manifest.kept:,} records, refused {sum(manifest.dropped.values()):,} in {manifest.seconds:.1f} s"
    )


def _table(hosts: dict[str, dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(box=None)
    table.add_column("host", no_wrap=True)
    for column in _COLUMNS:
        table.add_column("robots" if column == "forbidden" else column, justify="right")
    for host, found in hosts.items():
        table.add_row(
            host,
            *(
                f"{found.get(column, 0):,.1f}" if column == "seconds" else f"{found.get(column, 0):,}"
                for column in _COLUMNS
            ),
        )
    return table
