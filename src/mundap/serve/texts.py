"""The fixed texts of the page and the API, read from `texts.yaml`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from mundap.types import Lang

LANGS: tuple[Lang, ...] = ("ko", "en")


@cache
def texts(lang: Lang) -> dict[str, Any]:
    """All fixed texts in `lang`, by key."""
    loaded: dict[str, dict[str, Any]] = yaml.safe_load(files(__package__).joinpath("texts.yaml").read_text("utf-8"))
    return loaded[lang]


def asset(name: str) -> str:
    """The text of a file that lies beside this module, such as `page.css`."""
    return files(__package__).joinpath(name).read_text("utf-8")
