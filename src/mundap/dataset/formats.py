"""The files of a dataset: Alpaca JSON and prompt-completion JSON lines for each split, and all rows with their origin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from mundap import prompts
from mundap.dataset.split import SPLITS
from mundap.types import Drop, Example, Message

Part = str | list[dict[str, str]]


def alpaca(row: Example) -> dict[str, str]:
    """A row as other tools load it: these three keys and no more."""
    return {"instruction": row.instruction, "input": row.input, "output": row.output}


def pairs(row: Example, template: str) -> list[tuple[Part, Part]]:
    """Prompt and completion, laid out; of a dialogue one for each of the doctor's turns, so that all are learnt.

    The completion has no EOS, which the trainer adds. With `template: model` both are lists of messages.
    """
    talk = prompts.messages_of(row)
    ends = [place for place, message in enumerate(talk) if message.role == "assistant"]
    return [_pair(talk[: end + 1], template) for end in ends]


def _pair(talk: list[Message], template: str) -> tuple[Part, Part]:
    if template == prompts.MODEL:
        return [asdict(line) for line in talk[:-1]], [asdict(talk[-1])]
    rendered = prompts.render(template, talk)
    start, end = rendered.spans[-1]
    return rendered.text[:start], rendered.text[start:end]


class Writer:
    """`with Writer(folder, template) as out: out.row(example)`: all files of the dataset at once, each row as it comes."""

    def __init__(self, folder: Path, template: str) -> None:
        self._folder, self._template, self._stack = folder, template, ExitStack()
        self._first = dict.fromkeys(SPLITS, True)

    def __enter__(self) -> Writer:
        names = ["out.jsonl", "dropped.jsonl", "overlap.jsonl"]
        names += [f"{split}.{ending}" for split in SPLITS for ending in ("json", "jsonl")]
        self._files = {name: self._open(name) for name in names}
        for split in SPLITS:
            self._files[f"{split}.json"].write("[")
        return self

    def __exit__(self, *_: object) -> None:
        for split in SPLITS:
            self._files[f"{split}.json"].write("\n]\n" if not self._first[split] else "]\n")
        self._stack.close()

    def row(self, row: Example) -> list[tuple[Part, Part]]:
        """Write a row to its split's files and to `out.jsonl`; its prompts and completions."""
        made = pairs(row, self._template)
        for number, (prompt, completion) in enumerate(made):
            name = f"{row.id}#{number}" if len(made) > 1 else row.id
            self._line(f"{row.split}.jsonl", {"id": name, "lang": row.lang, "prompt": prompt, "completion": completion})
        self._files[f"{row.split}.json"].write(("\n" if self._first[row.split] else ",\n") + _json(alpaca(row)))
        self._first[row.split] = False
        self._line("out.jsonl", asdict(row))
        return made

    def drop(self, drop: Drop) -> None:
        """Write what is left out, with its reason."""
        self._line("dropped.jsonl", asdict(drop))

    def overlap(self, found: Mapping[str, Any]) -> None:
        """Write an overlap: ids, never texts."""
        self._line("overlap.jsonl", found)

    def _line(self, name: str, value: Mapping[str, Any]) -> None:
        self._files[name].write(_json(value) + "\n")

    def _open(self, name: str) -> TextIO:
        opened = (self._folder / name).open("w", encoding="utf-8", errors="backslashreplace", newline="\n")
        return self._stack.enter_context(opened)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
