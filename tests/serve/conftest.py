"""One server over fake engines for all API tests, and one with the run pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from serve_fakes import FakeEngine, FakeEngines, Live, serving
from studio_run import root, studio  # noqa: F401  fixtures


@pytest.fixture(scope="session")
def engines() -> FakeEngines:
    return FakeEngines(
        FakeEngine("quick"),
        FakeEngine("slow", sentences=200, pause=0.05),
        FakeEngine("stuck", sentences=1, pause=4.0),
        FakeEngine("broken", fails="secret detail"),
    )


@pytest.fixture(scope="session")
def live(engines: FakeEngines) -> Iterator[Live]:
    """One server, without the page, for all API tests."""
    with serving(engines, page=False, deadline=3.0) as server:
        yield server
