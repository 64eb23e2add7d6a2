"""One process of a training that `launch` started through accelerate: `python -m mundap.train.worker JOB`."""

from __future__ import annotations

import ctypes
import json
import signal
import sys
from contextlib import suppress
from pathlib import Path

from mundap.config import Recipe
from mundap.errors import UserError
from mundap.store import Work
from mundap.train.process import Process
from mundap.train.sft import train

_WHEN_PARENT_DIES = 1  # PR_SET_PDEATHSIG of Linux's prctl


def main() -> None:
    """Train as one of several. A problem that a person can act on is left in the job's folder for the launcher to say."""
    with suppress(AttributeError, OSError):  # a killed launcher leaves nobody behind; only Linux has this
        ctypes.CDLL(None).prctl(_WHEN_PARENT_DIES, signal.SIGTERM)
    path = Path(sys.argv[1])
    job, process = json.loads(path.read_text("utf-8")), Process.here()
    try:
        train(Recipe.model_validate(job["recipe"]), Work(Path(job["root"])), process)
    except UserError as error:
        told = {"message": str(error), "code": error.exit_code}
        path.with_name(f"problem-{process.rank}.json").write_text(json.dumps(told), "utf-8")
        raise SystemExit(error.exit_code) from None
    finally:
        process.part()


if __name__ == "__main__":
    main()
