"""The round trip: does searching all answers with a question find the answer it was made from?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mundap.augment.lexicon import words
from mundap.store import digest

_WRITER_BYTES = 30_000_000
_QUERY_TERMS = 64


class Answers:
    """The distinct answers of a run behind BM25 (tantivy), to ask which of them a question finds."""

    def __init__(self, answers: Iterable[str]) -> None:
        from tantivy import Document, Index, SchemaBuilder

        builder = SchemaBuilder()
        builder.add_text_field("answer", stored=True, tokenizer_name="raw", index_option="basic")
        builder.add_text_field("body", tokenizer_name="whitespace", index_option="freq")
        index: Any = Index(builder.build())
        writer, seen = index.writer(_WRITER_BYTES, 1), set()
        for text in answers:
            name = digest(text)
            if name not in seen:
                seen.add(name)
                writer.add_document(Document(answer=name, body=" ".join(words(text))))
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
        self._schema, self._searcher = index.schema, index.searcher()

    def rank(self, question: str, answer: str, within: int) -> tuple[int, float]:
        """The place (from 1) at which a question finds the answer among the first `within`, and its score; else 0, 0."""
        name = digest(answer)
        for place, (score, address) in enumerate(self._searcher.search(self._query(question), within).hits, 1):
            if self._searcher.doc(address)["answer"][0] == name:
                return place, float(score)
        return 0, 0.0

    def _query(self, question: str) -> Any:
        from tantivy import Occur, Query

        terms = dict.fromkeys(words(question)[:_QUERY_TERMS])
        parts = [(Occur.Should, Query.term_query(self._schema, "body", term)) for term in terms]
        return Query.boolean_query(parts) if parts else Query.empty_query()
