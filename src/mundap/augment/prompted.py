"""One prompt put to one model: the request for each record, and the trail entry of what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from mundap.asking.ask import Answer, Request
from mundap.augment import wording
from mundap.errors import UserError
from mundap.types import QA, Lang

if TYPE_CHECKING:
    from pydantic import BaseModel

    from mundap.asking.context import Context

# Records taken at a time, and of these the ones that a model is asked about: enough to keep a server busy in little memory.
RECORDS, ASKED = 8192, 256
_DIGITS = 12  # of a prompt's digest, in a trail


class Prompted:
    """The prompt `kind` for the recipe's model `model`. `room` is how many characters of an answer a request holds.

    `structured` asks for JSON by a schema where the server can; else, and with `structured: false`, for plain lines.
    """

    def __init__(
        self, context: Context, model: str, kind: str, schema: type[BaseModel] | None, max_tokens: int,
        temperature: float, room: int, structured: bool,
    ) -> None:  # fmt: skip
        between("max_tokens", max_tokens, 16, 16_384)
        between("temperature", temperature, 0, 2, whole=False)
        between("room", room, 200, 100_000)
        self._context, self._model, self._kind = context, model, kind
        self._schema = schema if structured else None
        self._max_tokens, self._temperature, self._room = max_tokens, temperature, room
        self._asker = context.ask(model)

    def request(self, record: QA, sample: int = 0, **values: str | int) -> Request:
        """What is asked about a record; `values` fill the prompt beside its title, question and answer."""
        texts = {"title": record.title or "-", "question": record.question, **values}
        answer = wording.shortened(record.answer, self._room)
        filled = wording.messages(self._kind, record.lang, answer=answer, **texts)
        key = f"{self._kind}:{wording.prompt_digest(self._kind, record.lang)}:{record.id}:{sample}"
        return Request(key, filled, self._schema, self._max_tokens, self._temperature)

    def ask(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """The answers, in order."""
        return self._asker.ask(requests)

    def origin(self, lang: Lang) -> str:
        """The trail entry: step, model, digest of the prompt."""
        return self._context.origin(self._model, wording.prompt_digest(self._kind, lang)[:_DIGITS])


def between(name: str, value: float, low: float, high: float, whole: bool = True) -> None:
    """Raise `UserError` unless a number of the recipe, a `whole` one or any, lies between two others."""
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        raise UserError(f"{name} is {value!r}; it must be a {'whole ' * whole}number from {low:g} to {high:g}")


def chunks(records: Iterable[QA], asked: Callable[[QA], bool]) -> Iterator[list[QA]]:
    """The records in order, in lists that end after 256 that are `asked` about, or after 8,192."""
    chunk: list[QA] = []
    count = 0
    for record in records:
        chunk.append(record)
        count += asked(record)
        if count == ASKED or len(chunk) == RECORDS:
            yield chunk
            chunk, count = [], 0
    if chunk:
        yield chunk
