"""Errors a person can act on: each says what happened, with the value, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class UserError(Exception):
    """A problem the message explains. Faces print it without a traceback and exit with `exit_code`."""

    exit_code = 1


class ConfigError(UserError):
    """One or more problems in a file a person wrote; all of them are reported at once."""

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        self.where = where
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"{where}: {count} problem{'s' if count != 1 else ''}\n{lines}")


class UnknownName(UserError):
    """A name that is not registered, with the closest names that are."""


class MissingExtra(UserError):
    """An optional library that is not installed, with the exact command that installs it."""


class ModelError(UserError):
    """A model that cannot be loaded or stopped answering."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'? Known: …` for the end of an error message."""
    known = sorted(known)
    close = get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return f"{hint} Known: {', '.join(known)}" if known else hint
