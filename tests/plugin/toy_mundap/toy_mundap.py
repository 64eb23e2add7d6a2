"""A model that repeats the question and a retriever that finds the first topics: a whole mundap plugin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mundap.types import Lang, Message, Options, Passage, Section


class Echo:
    """Says what it was asked, `times` over."""

    languages: frozenset[Lang] = frozenset({"ko", "en"})

    def __init__(self, times: int = 1) -> None:
        self.name, self.times = "echo", times

    def generate(self, messages: Sequence[Message], options: Options) -> Iterator[str]:
        """The last message, `times` over."""
        for _ in range(self.times):
            yield messages[-1].content


class Needy:
    """A model that finds only when it is made that a library is missing."""

    def __init__(self) -> None:
        import toy_mundap_needs_this  # noqa: F401


class First:
    """Finds the first sections there are, whatever the query."""

    def __init__(self, sections: Iterable[Section]) -> None:
        self.sections = list(sections)

    def search(self, query: str, k: int = 8, lang: Lang | None = None) -> list[Passage]:
        """The first `k` sections in the language."""
        fitting = [section for section in self.sections if lang in (None, section.lang)][:k]
        return [
            Passage(
                id=section.id, topic=section.topic, section=section.name, lang=section.lang, title=section.title,
                title_en=section.title_en, text=section.text, score=1.0, source=section.source,
            )
            for section in fitting
        ]  # fmt: skip
