"""Everything a stranger may implement, on one page. What config names is a factory; its keyword arguments are its config."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from mundap.types import QA, Drop, Example, Lang, Message, Options, Passage, Reply, Score


@runtime_checkable
class Source(Protocol):
    """Where questions and answers come from."""

    def read(self) -> Iterator[QA | Drop]:
        """Yield records, and a `Drop` for every row that could not become one."""
        ...


@runtime_checkable
class Step(Protocol):
    """One step over a stream: a new record or a `Drop` for each one that goes in."""

    def __call__(self, records: Iterable[QA]) -> Iterator[QA | Drop]: ...


@runtime_checkable
class Model(Protocol):
    """A language model. `name` is shown under its answers; `languages` are those it may answer patients in."""

    @property
    def name(self) -> str: ...

    @property
    def languages(self) -> frozenset[Lang]: ...

    def generate(self, messages: Sequence[Message], options: Options) -> Iterator[str]:
        """Yield text as it is made, whole characters only. Closing the iterator stops the model. Raises `ModelError`."""
        ...


@runtime_checkable
class Translator(Protocol):
    """Texts from one language to the other, one out for each in, in order."""

    def __call__(self, texts: Sequence[str], source: Lang, target: Lang) -> list[str]: ...


@runtime_checkable
class Retriever(Protocol):
    """Finds passages for a query. An empty list means that nothing is confident enough to answer from."""

    def search(self, query: str, k: int = 8, lang: Lang | None = None) -> list[Passage]: ...


@runtime_checkable
class Metric(Protocol):
    """Scores one reply to one example."""

    def __call__(self, example: Example, reply: Reply) -> Score: ...
