"""`mundap doctor`: what is listed."""

from __future__ import annotations

import tomllib
from pathlib import Path

from mundap import health


def test_every_extra_is_listed_with_what_installs_it() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    listed = {line.name: line for line in health.report() if line.name.startswith("extra ")}
    assert set(listed) == {f"extra {name}" for name in project["optional-dependencies"]}
    assert all(line.ok or f"mundap[{name[6:]}]" in line.detail for name, line in listed.items())
    assert not any(line.needed for line in listed.values())
