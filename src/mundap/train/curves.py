"""The curves of a training as a picture, and in trackio's local database when that is installed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """`loss.png`: training loss, its running mean, and validation loss with its interval."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    steps = [row for row in rows if "loss" in row]
    places = [row["step"] for row in steps]
    losses = [row["loss"] for row in steps]
    axes.plot(places, losses, color="tab:blue", alpha=0.3, linewidth=1)
    axes.plot(places, list(_smooth(losses)), color="tab:blue", label="training")
    tested = [row for row in rows if "val_loss" in row]
    if tested:
        middle = [row["val_loss"] for row in tested]
        bars = [
            [row["val_loss"] - row["val_low"] for row in tested],
            [row["val_high"] - row["val_loss"] for row in tested],
        ]
        axes.errorbar([row["step"] for row in tested], middle, bars, color="tab:orange", capsize=3, label="validation")
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats a token)")
    axes.grid(alpha=0.3)
    axes.legend()
    temporary = path.with_name(f".{path.name}")
    figure.savefig(temporary, format="png", dpi=120)
    os.replace(temporary, path)


def _smooth(values: Sequence[float], weight: float = 0.9) -> Iterator[float]:
    """Exponential running mean, corrected for its beginning."""
    total = scale = 0.0
    for value in values:
        total, scale = weight * total + (1 - weight) * value, weight * scale + (1 - weight)
        yield total / scale


def track(rows: Sequence[Mapping[str, Any]], folder: Path, name: str, config: Mapping[str, Any]) -> bool:
    """Write the curves into a trackio project inside the run (`TRACKIO_DIR=<folder> trackio show`); False without it."""
    if find_spec("trackio") is None:
        return False
    with _inside(folder):
        import trackio
        from trackio.utils import TRACKIO_DIR

        if Path(TRACKIO_DIR) != folder.absolute():  # it was imported before, for another folder
            return False
        with redirect_stdout(StringIO()):
            trackio.init(project=name, name=name, config=dict(config), embed=False)
            for row in rows:
                trackio.log({key: value for key, value in row.items() if key not in ("rows", "step")}, step=row["step"])
            trackio.finish()
    return True


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """trackio reads where to write from the environment, once, when it is imported."""
    before = os.environ.get("TRACKIO_DIR")
    os.environ["TRACKIO_DIR"] = str(folder.absolute())
    try:
        yield
    finally:
        if before is None:
            del os.environ["TRACKIO_DIR"]
        else:
            os.environ["TRACKIO_DIR"] = before
