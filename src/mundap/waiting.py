"""How long to wait before a server is asked again: as long as it says, else a pause that grows and varies."""

from __future__ import annotations

import random
import time
from email.utils import parsedate_to_datetime


def retry_after(said: str | None) -> float | None:
    """The seconds that a `Retry-After` asks for, a number or a date (RFC 9110, 10.2.3); None when it says neither."""
    said = (said or "").strip()
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def pause(attempt: int, first: float, longest: float, dice: random.Random | None = None) -> float:
    """Seconds before the next try (`attempt` counts from 0): doubling, and never the same for two requests."""
    return min(longest, first * 2.0**attempt) * (dice or random).uniform(0.5, 1.0)
