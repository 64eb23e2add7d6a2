"""A step that looks at one record at a time: what it changed is noted in the trail, so it can run in any process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace

from mundap.types import QA, Drop

Change = Callable[[QA], QA | str]


@dataclass(frozen=True, slots=True)
class RowStep:
    """A `protocols.Step` made from a function that returns the record, a changed one, or the reason to drop it."""

    name: str
    change: Change
    rowwise: bool = True

    def __call__(self, records: Iterable[QA]) -> Iterator[QA | Drop]:
        return map(self.one, records)

    def one(self, record: QA) -> QA | Drop:
        """The record after this step; its name is added to the trail when something changed."""
        found = self.change(record)
        if isinstance(found, str):
            return Drop(asdict(record), self.name, found)
        return record if found == record else replace(found, trail=(*found.trail, self.name))
