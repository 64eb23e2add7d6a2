"""What targets answered, kept as it comes: asked once, whatever the number of runs, and never lost when one is killed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any, Literal

from mundap.errors import ModelError, UserError
from mundap.evaluate.item_sets import GENERAL, Set
from mundap.evaluate.items import Item
from mundap.progress import Progress
from mundap.store import digest, write_jsonl
from mundap.types import Finish

_PATIENCE = 8  # answers that fail one after the other: then the model is broken, not the questions


@dataclass(frozen=True, slots=True)
class Answer:
    """What a target said to one item. `urgency` and `topics` are None for a bare model, which has neither.

    `topics` are those of the sources it named, `fixed` a reply that no model and no search had a part in. `prompt` and
    `completion` count `unit`s; `seconds` is the time from the question to the last word.
    """

    text: str
    finish: Finish = "stop"
    urgency: str | None = None
    rules: tuple[str, ...] = ()
    topics: tuple[str, ...] | None = None
    citations: tuple[str, ...] = ()
    fixed: bool = False
    prompt: int = 0
    completion: int = 0
    unit: Literal["token", "character"] = "token"
    seconds: float = 0.0
    model: str = ""
    reason: str = ""


Ask = Callable[[Item, int], Answer]  # an item, and for the how-manieth time it is asked, from 1
Answers = dict[str, tuple[Answer, ...]]  # by item
Asked = dict[str, tuple[Item, int]]  # by the key that an answer is kept under


class Replies:
    """The answers of one target. `folder` is `evaluate/replies`; `identity` is what makes the target's answers its own."""

    def __init__(self, folder: Path, name: str, identity: Any) -> None:
        self.path = folder / f"{file_name(name)}.jsonl"
        self._kept_path = folder / ".kept" / self.path.name
        self._identity = digest(identity)
        self._kept = dict(_kept(self._kept_path))

    def gather(
        self, name: str, answerer: Callable[[], Ask], sets: Sequence[Set], at_once: int = 1, times: int = 1
    ) -> list[Answers]:
        """So many answers to each item of each set, asked where there are none; then the file that people read.

        `answerer` makes what answers, and is not called when all is answered.
        Raises `UserError` when the model fails again and again; what was answered until then is kept.
        """
        numbers = range(1, times + 1)
        wanted = {self._key(item, n): (item, n) for each in sets for item in each.items for n in numbers}
        self._ask(name, answerer, {key: one for key, one in wanted.items() if key not in self._kept}, at_once)
        found = [
            {item.id: tuple(self._kept[self._key(item, n)] for n in numbers) for item in each.items} for each in sets
        ]
        pairs = zip(sets, found, strict=True)
        write_jsonl(
            self.path, (row for each, rows in pairs for item in rows for row in _rows(each.name, item, rows[item]))
        )
        return found

    def _key(self, item: Item, number: int) -> str:
        said = [[turn.role, turn.content] for turn in item.turns]
        again = [number] if number > 1 else []
        return digest([self._identity, item.lang, said, asdict(item.profile), item.kinds == GENERAL, *again])

    def _ask(self, name: str, answerer: Callable[[], Ask], items: Asked, at_once: int) -> None:
        if not items:
            return
        self._kept_path.parent.mkdir(parents=True, exist_ok=True)
        ask, failures, done, began = answerer(), 0, 0, monotonic()
        with self._kept_path.open("a", encoding="utf-8") as stream, Progress(f"evaluate: {name}", len(items)) as bar:
            for key, answer in _answered(ask, items, at_once):
                self._kept[key] = answer
                done += 1
                bar.advance(1, f"evaluate: {name}, {60 * done / max(monotonic() - began, 1e-9):.0f} a minute")
                failures = failures + 1 if answer.finish == "error" else 0
                if failures >= _PATIENCE:
                    raise UserError(
                        f"{name} failed {failures} times in a row, at last: {answer.reason}; see to it and run again: "
                        "what was answered is kept"
                    )
                if not failures:  # what failed is asked again by the next run
                    stream.write("\n" + json.dumps({"key": key, **asdict(answer)}, ensure_ascii=False))
                    stream.flush()


def file_name(target: str) -> str:
    """A target's name as that of a file: letters that are none of a file's become `_`, with a digest to tell them apart."""
    plain = "".join(letter if letter.isalnum() or letter in "-+." else "_" for letter in target)
    return plain if plain == target.replace(":", "_") and len(plain) < 100 else f"{plain[-60:]}-{digest(target)[:8]}"


def _answered(ask: Ask, items: Asked, at_once: int) -> Iterator[tuple[str, Answer]]:
    """Answers as they come, `at_once` on their way."""
    left = iter(items.items())
    with ThreadPoolExecutor(at_once, thread_name_prefix="mundap-evaluate") as pool:
        flying: dict[Future[Answer], str] = {}
        try:
            while True:
                flying |= {pool.submit(_one, ask, *one): key for key, one in islice(left, at_once - len(flying))}
                if not flying:
                    return
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    yield flying.pop(future), future.result()
        finally:
            for future in flying:
                future.cancel()


def _one(ask: Ask, item: Item, number: int) -> Answer:
    began = monotonic()
    try:
        answer = ask(item, number)
    except ModelError as error:
        answer = Answer("", "error", reason=str(error))
    return replace(answer, seconds=round(monotonic() - began, 4))


def _kept(path: Path) -> Iterator[tuple[str, Answer]]:
    """What was answered before; half a line that a kill left is passed over."""
    if not path.is_file():
        return
    known = {field.name for field in fields(Answer)}
    for line in path.read_text("utf-8", "replace").split("\n"):
        with suppress(ValueError, TypeError, AttributeError):
            row = json.loads(line)
            listed = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
            kept: dict[str, Any] = {key: listed[key] for key in known & listed.keys()}
            yield str(row["key"]), Answer(**kept)


def _rows(set_name: str, item: str, answers: Sequence[Answer]) -> Iterator[dict[str, Any]]:
    for number, answer in enumerate(answers, 1):
        usage = {"prompt": answer.prompt, "completion": answer.completion, "unit": answer.unit}
        yield {
            "set": set_name, "item": item, "number": number, "text": answer.text, "finish": answer.finish,
            "urgency": answer.urgency, "rules": answer.rules, "citations": answer.citations, "topics": answer.topics,
            "usage": usage, "seconds": answer.seconds, "model": answer.model, "reason": answer.reason,
        }  # fmt: skip
