"""What targets are asked: our own items, the run's held-out rows, files of items, of tasks (KULLM) and of labelled texts.

A set is named in `evaluate.sets`: `own`, `own-ko`, `own-en`, `test` (the rows that `mundap build` held out) or a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mundap.errors import ConfigError, UserError, did_you_mean
from mundap.evaluate import items
from mundap.evaluate.items import Item
from mundap.store import Work, digest, read_jsonl
from mundap.types import Lang, Level, Message

OWN = ("own", "own-ko", "own-en")
TEST = "test"
GENERAL = ("general",)  # the kind of an item that is no medical question: it is asked as it stands
_HANGUL = re.compile("[가-힣]")
_LEVELS = {level.word: level for level in Level}


@dataclass(frozen=True)
class Set:
    """Items under a name. Results are comparable only where the digest is the same."""

    name: str
    items: tuple[Item, ...]

    @cached_property
    def digest(self) -> str:
        """A digest of the items, whatever their order."""
        return items.set_digest(self.items)


def load(names: Sequence[str], work: Work, limit: int | None = None, seed: int = 0) -> list[Set]:
    """The sets of these names, each cut to `limit` items that the seed chooses.

    Raises `ConfigError` with everything that is wrong in any of them.
    """
    found, problems = dict[str, Set](), []
    for place, name in enumerate(names):
        try:
            one = Set(*_named(name, work))
            if one.name in found:
                raise UserError(f"two sets are called {one.name!r}; give the second file another name")
            found[one.name] = Set(one.name, sample(one.items, limit, seed))
        except UserError as error:
            problems.append(f"sets.{place}: {error}")
    if problems:
        raise ConfigError("evaluate", problems)
    return list(found.values())


def sample(among: Sequence[Item], limit: int | None, seed: int) -> tuple[Item, ...]:
    """At most `limit` items, the same whatever the order of the file, in its order."""
    if limit is None or limit >= len(among):
        return tuple(among)
    chosen = {item.id for item in sorted(among, key=lambda item: digest([seed, item.id]))[:limit]}
    return tuple(item for item in among if item.id in chosen)


def task(item: Item) -> tuple[str, str]:
    """An item as instruction and input; the input is empty where the whole stands in one message."""
    before = "\n".join(turn.content for turn in item.turns if turn.role == "system")
    return (before, item.question) if before else (item.question, "")


def read(path: Path) -> tuple[Item, ...]:
    """The items of a file; what its rows are shows in their keys. Raises `UserError` for one without any."""
    if path.suffix != ".jsonl":
        return items.read(path)
    rows = list(read_jsonl(path))
    make = next((make for keys, make in _SHAPES if rows and keys <= rows[0].keys()), None)
    if make is None:
        return items.read(path)
    try:
        found = tuple(make(row, number) for number, row in enumerate(rows, 1))
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise UserError(f"{path}: a row is not like the first one ({type(error).__name__}: {error})") from error
    return _distinct(found, path)


def _named(name: str, work: Work) -> tuple[str, tuple[Item, ...]]:
    if name in OWN:
        lang: Any = name.partition("-")[2] or None
        return name, items.load(lang)
    if name == TEST:
        return name, held_out(work)
    path = Path(name).expanduser()
    if not path.is_file():
        raise UserError(f"no file {name!r} and no set of that name{did_you_mean(name, (*OWN, TEST))}")
    return path.name.partition(".")[0], read(path)


def held_out(work: Work) -> tuple[Item, ...]:
    """The rows of the run's dataset that nothing was trained on. Raises `UserError` when there are none."""
    path = work.root / "build" / "out.jsonl"
    if not path.is_file():
        raise UserError(f"no file {path}; run `mundap build` for this recipe first")
    found = tuple(_built(row) for row in read_jsonl(path) if row.get("split") == TEST)
    if not found:
        raise UserError(
            f"{path} has no rows held out for testing; set build.test above 0, or leave out the set {TEST!r}"
        )
    return found


def _built(row: Mapping[str, Any]) -> Item:
    talk = tuple(Message(turn["role"], turn["content"]) for turn in row.get("turns") or ())
    kinds = GENERAL if row.get("origin") == "general" else ("dialogue",) if talk else ("question",)
    turns = talk[:-1] if talk else (Message("user", row["input"] or row["instruction"]),)
    return Item(str(row["id"]), turns, row.get("lang", "ko"), kinds=kinds, answer=row["output"])


def _kullm(row: Mapping[str, Any], number: int) -> Item:
    first = row["instances"][0]
    return _general(str(row.get("id") or number), row["instruction"], first.get("input") or "", "")


def _alpaca(row: Mapping[str, Any], number: int) -> Item:
    return _general(str(row.get("id") or number), row["instruction"], row.get("input") or "", row.get("output") or "")


def _general(name: str, instruction: str, given: str, answer: str) -> Item:
    turns = (
        (Message("system", instruction), Message("user", given)) if given.strip() else (Message("user", instruction),)
    )
    return Item(name, turns, _lang(instruction + given), kinds=GENERAL, answer=answer)


def _labelled(row: Mapping[str, Any], number: int) -> Item:
    if row["level"] not in _LEVELS:
        raise TypeError(f"level {row['level']!r} is none of {', '.join(_LEVELS)}")
    said = row.get("turns") or [row["text"]]
    turns = tuple(Message("user", text) for text in said)
    kinds = tuple(f"{key}-{row[key]}" for key in ("class", "kind") if row.get(key))
    lang = row.get("lang") or _lang(said[-1])
    return Item(str(row.get("id") or number), turns, lang, urgency=_LEVELS[row["level"]], kinds=kinds)


def _record(row: Mapping[str, Any], number: int) -> Item:
    asked = Message("user", row["question"])
    return Item(str(row.get("id") or number), (asked,), row.get("lang") or _lang(row["question"]), answer=row["answer"])


_SHAPES: Sequence[tuple[set[str], Callable[[Mapping[str, Any], int], Item]]] = (
    ({"instruction", "instances"}, _kullm),
    ({"instruction"}, _alpaca),
    ({"text", "level"}, _labelled),
    ({"turns", "level"}, _labelled),
    ({"question", "answer"}, _record),
)


def _lang(text: str) -> Lang:
    return "ko" if _HANGUL.search(text) else "en"


def _distinct(found: Iterable[Item], path: Path) -> tuple[Item, ...]:
    kept: dict[str, Item] = {}
    for item in found:
        if item.id in kept:
            raise UserError(f"{path}: the id {item.id!r} stands on two rows; ids must differ")
        if not item.turns or not item.question.strip():
            raise UserError(f"{path}: item {item.id!r} asks nothing")
        kept[item.id] = item
    return tuple(kept.values())
