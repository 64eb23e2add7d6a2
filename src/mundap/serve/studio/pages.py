"""Templates and words of the run pages. Everything that a template shows is escaped; scripts and styles are files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import yaml
from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from mundap.types import Lang

COOKIE = "mundap-studio-lang"


def language(request: Request) -> Lang:
    """What the reader chose; Korean until then."""
    return "en" if request.cookies.get(COOKIE) == "en" else "ko"


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page from a template, in the reader's language."""
    lang = language(request)
    common = {"t": _words()[lang], "lang": lang, "here": _here(request)}
    return HTMLResponse(_templates().get_template(template).render(**common, **values), status)


def asset(name: str) -> str:
    """The text of a file beside this module."""
    return files(__package__).joinpath(name).read_text("utf-8")


def _here(request: Request) -> str:
    query = request.url.query
    return f"{request.url.path}?{query}" if query else request.url.path


def _number(value: float | None, digits: int = 3) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.{digits if abs(value) < 100 else 1}f}"


def _page_link(here: str, at: int) -> str:
    """The same address with another page's number."""
    parts = urlsplit(here)
    query = [(key, value) for key, value in parse_qsl(parts.query) if key != "at"]
    return f"{parts.path}?{urlencode([*query, ('at', at)])}"


@cache
def _words() -> Mapping[Lang, SimpleNamespace]:
    """Words by name; not a dictionary, whose own `keys` and `items` a template would find first."""
    found: Mapping[Lang, Mapping[str, Any]] = yaml.safe_load(asset("texts.yaml"))
    return {lang: SimpleNamespace(**words) for lang, words in found.items()}


@cache
def _templates() -> Environment:
    found = Environment(
        loader=PackageLoader(__package__ or "mundap.serve.studio"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["number"] = _number
    found.filters["page_link"] = _page_link
    found.filters["count"] = lambda value: f"{value:,}"
    return found
