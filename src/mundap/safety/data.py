"""Load the safety layer's data files, once, when first needed: importing the package reads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

_HERE = files("mundap.safety")


def _yaml(source: Traversable) -> Any:
    """Parse one file with the C loader where PyYAML was built with it."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(source.read_text("utf-8"), Loader=loader)


@cache
def language() -> Mapping[str, Any]:
    """Spelling repairs, clause ends, scope cues and quantities (`language.yaml`)."""
    loaded: Mapping[str, Any] = _yaml(_HERE / "language.yaml")
    return loaded


@cache
def hotlines_file() -> Mapping[str, Any]:
    """`hotlines.yaml` as read."""
    loaded: Mapping[str, Any] = _yaml(_HERE / "hotlines.yaml")
    return loaded


@cache
def replies_file() -> Mapping[str, Any]:
    """`replies.yaml` as read."""
    loaded: Mapping[str, Any] = _yaml(_HERE / "replies.yaml")
    return loaded


@cache
def rule_files() -> tuple[Mapping[str, Any], ...]:
    """Every file of `rules/`, in name order."""
    found = sorted((_HERE / "rules").iterdir(), key=lambda item: item.name)
    return tuple(_yaml(item) for item in found if item.name.endswith(".yaml"))
