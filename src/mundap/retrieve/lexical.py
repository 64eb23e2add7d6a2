"""Search by words: a tantivy (BM25) index over every name people use for a topic and every passage about it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mundap.retrieve.index import open_index
from mundap.retrieve.tokens import Tokens
from mundap.types import Lang, Passage, Section

# Tuned on the dev half of tests/retrieve/queries.jsonl alone; LOG.md has the table.
_GRAM = 0.25  # a pair of letters in common, against a morpheme in common
_BODY = 0.35  # the best passage of a topic, against its best name
_STAND_IN = 0.45  # a word near in meaning or spelling, against the word itself
_NEAR = 0.86  # cosine from which Kiwi's neighbours are taken
_CONFIDENT = 0.35  # share of the query's information that the best topic must explain
_HITS = 60
_SNIPPET = 120


@dataclass(frozen=True, slots=True)
class Term:
    """A search term, how far it counts (1 for the person's own word), and the typing errors allowed in it."""

    text: str
    factor: float = 1.0
    distance: int = 0


class Lexical:
    """A `Retriever`: one passage for each topic found, best topic first; empty when nothing is confident."""

    def __init__(self, sections: Iterable[Section], cache: Path | None = None) -> None:
        self._sections = {section.id: section for section in sections}
        self.tokens = Tokens(term for section in self._sections.values() for term in section.terms)
        self._index = open_index(list(self._sections.values()), self.tokens, cache)
        self._schema = self._index.schema
        self._searcher = self._index.searcher()

    def search(self, query: str, k: int = 8, lang: Lang | None = None) -> list[Passage]:
        """Up to `k` passages, the best section of each topic; `lang` fixes the language of their text."""
        ranked = self.ranked(query, k, lang)
        return ranked if ranked and self.coverage(query, ranked[0].topic) >= _CONFIDENT else []

    def ranked(self, query: str, k: int = 8, lang: Lang | None = None) -> list[Passage]:
        """As `search`, without asking whether the best is good enough."""
        terms = self.terms(query)
        names = self._best(self._name_query(query, terms))
        bodies = self._best(self._any("body", terms))
        scores = {t: names.get(t, (0.0, ""))[0] + _BODY * bodies.get(t, (0.0, ""))[0] for t in {*names, *bodies}}
        best = sorted(scores, key=lambda topic: (-scores[topic], topic))[:k]
        return [self._passage(t, scores[t], bodies.get(t, (0.0, ""))[1], terms, lang) for t in best]

    def coverage(self, query: str, topic: str) -> float:
        """Share (0 to 1) of the query's information, in inverse document frequency, that a topic's words explain."""
        tokens = self.tokens(query)
        weights = [self._weight(token) for token in tokens]
        explained = [weight * self._explained(token, topic) for token, weight in zip(tokens, weights, strict=True)]
        return sum(explained) / sum(weights) if weights else 0.0

    def terms(self, query: str) -> list[Term]:
        """The query's terms; a word that no topic has is replaced by words near it that some topic has."""
        return [term for token in dict.fromkeys(self.tokens(query)) for term in self._known(token)]

    def _known(self, token: str) -> list[Term]:
        if self._frequency(token):
            return [Term(token)]
        if "/" not in token:
            return [Term(token, _STAND_IN, 1 if len(token) < 8 else 2)] if len(token) > 3 else []
        return self._neighbours(token)

    @lru_cache(maxsize=4096)  # noqa: B019 (an index lives as long as its process)
    def _neighbours(self, token: str) -> list[Term]:
        near = [(other, cosine) for other, cosine in self.tokens.similar(token) if cosine >= _NEAR]
        return [Term(other, _STAND_IN * cosine) for other, cosine in near if self._frequency(other)][:3]

    def _frequency(self, token: str) -> int:
        return int(self._searcher.doc_freq("name", token) + self._searcher.doc_freq("body", token))

    def _weight(self, token: str) -> float:
        return math.log1p(self._searcher.num_docs / (1 + self._frequency(token)))

    def _explained(self, token: str, topic: str) -> float:
        return max((term.factor for term in self._known(token) if self._has(topic, term)), default=0.0)

    def _has(self, topic: str, term: Term) -> bool:
        from tantivy import Occur, Query

        either = Query.boolean_query([(Occur.Should, self._term(field, term)) for field in ("name", "body")])
        within = Query.term_query(self._schema, "topic", topic)
        found = self._searcher.search(Query.boolean_query([(Occur.Must, within), (Occur.Must, either)]), 1)
        return bool(found.hits)

    def _name_query(self, query: str, terms: Sequence[Term]) -> Any:
        grams = [Term(gram, _GRAM) for gram in dict.fromkeys(self.tokens.grams(query))]
        from tantivy import Occur, Query

        parts = [self._any("name", terms), self._any("gram", grams)]
        return Query.boolean_query([(Occur.Should, part) for part in parts])

    def _any(self, field: str, terms: Sequence[Term]) -> Any:
        from tantivy import Occur, Query

        scored = [(Occur.Should, Query.boost_query(self._term(field, term), term.factor)) for term in terms]
        return Query.boolean_query(scored) if scored else Query.empty_query()

    def _term(self, field: str, term: Term) -> Any:
        from tantivy import Query

        if term.distance:
            return Query.fuzzy_term_query(self._schema, field, term.text, distance=term.distance)
        return Query.term_query(self._schema, field, term.text)

    def _best(self, query: Any) -> dict[str, tuple[float, str]]:
        """Topic to the score of its best document and that document's section."""
        best: dict[str, tuple[float, str]] = {}
        for score, address in self._searcher.search(query, _HITS).hits:
            document = self._searcher.doc(address)
            best.setdefault(document["topic"][0], (score, document["section"][0]))
        return best

    def _passage(self, topic: str, score: float, best: str, terms: Sequence[Term], lang: Lang | None) -> Passage:
        name, found_in = (best.split("/")[1], best.split("/")[2]) if best else ("summary", "ko")
        section = self._sections[f"{topic}/{name}/{lang or found_in}"]
        return Passage(
            id=section.id, topic=topic, section=name, lang=section.lang, title=section.title,
            title_en=section.title_en, text=section.text, score=round(score, 3), source=section.source,
            snippet=_snippet(section.text, [term.text.split("/")[0] for term in terms]),
        )  # fmt: skip


def _snippet(text: str, words: Sequence[str]) -> str:
    """The part of a text around the first word found in it, cut at spaces, with … where cut."""
    at = min((place for place in (text.lower().find(word) for word in words) if place >= 0), default=0)
    start = text.rfind(" ", 0, max(at - _SNIPPET // 3, 0)) + 1 if at > _SNIPPET // 3 else 0
    cut = text[start : start + _SNIPPET]
    tail = len(text) > start + _SNIPPET
    return ("…" if start else "") + (cut.rsplit(" ", 1)[0] + "…" if tail else cut)
