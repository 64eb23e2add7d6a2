"""Gradio, imported in half the time.

At every import Gradio parses the source of each of its components and rewrites the `.pyi` files beside them, for its own
developers. That is half of its import, and it writes into the installed package. It leaves out classes without a source
file, so for the length of the import its components have none.
"""

from __future__ import annotations

import inspect
import os
import sys
from typing import Any


def import_gradio() -> None:
    """Import Gradio with its reports to its makers off. Does nothing where it is imported already."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    if "gradio" in sys.modules:
        return
    real = inspect.getfile

    def getfile(of: Any) -> str:
        if isinstance(of, type) and of.__module__.startswith("gradio."):
            raise OSError
        return real(of)

    inspect.getfile = getfile  # type: ignore[assignment]
    try:
        import gradio  # noqa: F401
    finally:
        inspect.getfile = real
