"""General rows beside the medical ones, so that general ability stays: a seeded sample of files in Alpaca's form."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path

from mundap.config import Mix
from mundap.dataset import tables
from mundap.dataset.rows import Rules, general
from mundap.dataset.split import number
from mundap.errors import ConfigError, UserError
from mundap.types import Example


def name(mix: Mix) -> str:
    """What its rows are called in the counts."""
    return Path(mix.path).name.partition(".")[0]


def check(mixes: Sequence[Mix]) -> None:
    """Raise `ConfigError` with every file of general rows that is not there or that nobody can read."""
    problems = [
        f"mix.{place}.path: {mix.path} is no file that ends in {', '.join(tables.SUFFIXES)}"
        for place, mix in enumerate(mixes)
        if not (Path(mix.path).expanduser().is_file() and tables.readable(Path(mix.path)))
    ]
    if problems:
        raise ConfigError("build", problems)


def check_rows(mixes: Sequence[Mix]) -> None:
    """Raise `UserError` when a file is broken or none of its rows is in Alpaca's form."""
    for mix in mixes:
        problems = set()
        for row in tables.rows(Path(mix.path).expanduser()):
            made = general(row, name(mix), mix.licence)
            if isinstance(made, Example):
                break
            problems.add(made)
        else:
            why = ", ".join(sorted(problems)) or "it is empty"
            raise UserError(f"{mix.path} holds no row with instruction, input and output: {why}")


def draw(mix: Mix, wanted: int, seed: int, rules: Rules) -> tuple[list[Example], int]:
    """Up to `wanted` rows that fit the rules, each row as likely as any other, in order of the file; how many it has."""
    count = 0

    def numbered() -> Iterator[tuple[int, int, Example]]:
        nonlocal count
        seen = set[int]()
        for count, row in enumerate(tables.rows(Path(mix.path).expanduser()), 1):
            made = general(row, name(mix), mix.licence)
            if isinstance(made, Example) and not rules.unfit(made) and (key := number(made.id)) not in seen:
                seen.add(key)
                yield number(f"mix {seed} {made.id}"), count, made

    drawn = heapq.nsmallest(wanted, numbered(), key=lambda each: each[:2])
    return [row for _, _, row in sorted(drawn, key=lambda each: each[1])], count
