"""A stage run by a button: one process at a time, which goes on when the server ends; what it says is kept in a file."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from mundap.errors import UserError

STAGES = ("merge", "export")  # what a button may start: nothing that leaves this machine
_CODE = "from mundap.cli import main; main()"
_SHOWN = 64 * 1024


@dataclass(frozen=True, slots=True)
class Report:
    """The latest job of a run: `status` is None while it works, and where nobody knows how an earlier one ended."""

    stage: str
    busy: bool
    status: int | None
    log: str


class Jobs:
    """The jobs of one server. Their logs are `runs/<name>/.jobs/<stage>.log`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = Lock()
        self._name = self._stage = ""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, run: Path, stage: str) -> None:
        """Run a stage as the command line would. Raises `UserError` while another job is under way."""
        if stage not in STAGES:
            raise UserError(
                f"{stage[:40]!r} is not started from here; run `mundap {STAGES[0]}` or `mundap {STAGES[1]}`"
            )
        recipe = run / "recipe.yaml"
        if not recipe.is_file():
            raise UserError(f"{recipe} is missing, so that nobody knows how to go on; run the recipe by `mundap run`")
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                raise UserError(f"{self._stage} of {self._name} is still under way; wait for it or stop it")
            self._process = self._started(run, stage)
            self._name, self._stage = run.name, stage

    def stop(self, run: Path) -> None:
        """Ask the job of a run to end, if it is under way. What it was writing is dropped; a rerun begins it anew."""
        with self._lock:
            if self._process is not None and self._name == run.name and self._process.poll() is None:
                self._process.terminate()

    def report(self, run: Path) -> Report | None:
        """The latest job of a run, from this server or an earlier one; None when there was none."""
        logs = sorted((run / ".jobs").glob("*.log"), key=lambda path: path.stat().st_mtime)
        if not logs:
            return None
        own = self._process if self._name == run.name and self._stage == logs[-1].stem else None
        status = own.poll() if own is not None else None
        return Report(logs[-1].stem, own is not None and status is None, status, _told(logs[-1]))

    def _started(self, run: Path, stage: str) -> subprocess.Popen[bytes]:
        log = run / ".jobs" / f"{stage}.log"
        log.parent.mkdir(exist_ok=True)
        # The folder's name, not the recipe's, says which run: it may have been renamed or copied.
        command = [sys.executable, "-c", _CODE, stage, str(run.resolve() / "recipe.yaml"), "-o", f"name={run.name}"]
        with log.open("wb") as stream:
            return subprocess.Popen(
                command,
                cwd=self.root.resolve().parent,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={name: value for name, value in os.environ.items() if not name.startswith("MUNDAP_API_KEY")},
            )


def _told(path: Path) -> str:
    """The end of a log, with progress bars as a terminal would leave them: the last state of each line."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _SHOWN))
        text = stream.read().decode("utf-8", "replace")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")[-400:])
