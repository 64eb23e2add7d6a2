"""Search by words: a tantivy (BM25) index over every name people use for a topic and every passage about it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from rapidfuzz import process
from rapidfuzz.distance import DamerauLevenshtein

from mundap.retrieve.index import open_index
from mundap.retrieve.tokens import Tokens, letters
from mundap.types import Lang, Passage, Section

# Tuned on the dev half of tests/retrieve/queries.jsonl alone; LOG.md has the table.
_GRAM = 0.25  # a pair of letters in common, against a morpheme in common
_EXACT = 0.5  # the whole query being a name, against a morpheme in common
_BODY = 0.35  # the best passage of a topic, against its best name
_MEANING = 0.45  # a word near in meaning, against the word itself
_SPELLING = 0.7  # a word near in spelling, against the word itself
_NEAR = 0.86  # cosine from which Kiwi's neighbours are taken
# An answer is confident when score + _COVER * coverage reaches _CONFIDENT: a strong match of few words or a good
# match of most words.
_COVER, _CONFIDENT = 6.0, 14.5
_HITS = 60
_SNIPPET = 120


@dataclass(frozen=True, slots=True)
class Term:
    """A search term and how far it counts (1 for the person's own word)."""

    text: str
    factor: float = 1.0


class Lexical:
    """A `Retriever`: one passage for each topic found, best topic first; empty when nothing is confident."""

    def __init__(self, sections: Iterable[Section], cache: Path | None = None) -> None:
        self._sections = {section.id: section for section in sections}
        self.tokens = Tokens(term for section in self._sections.values() for term in section.terms)
        index, vocabulary = open_index(list(self._sections.values()), self.tokens, cache)
        self._vocabulary = {letters(term): term for term in vocabulary}
        self._schema = index.schema
        self._searcher = index.searcher()

    def search(self, query: str, k: int = 8, lang: Lang | None = None) -> list[Passage]:
        """Up to `k` passages, the best section of each topic; `lang` fixes the language of their text."""
        ranked = self.ranked(query, k, lang)
        return ranked if ranked and self.confidence(query, ranked[0]) >= _CONFIDENT else []

    def ranked(self, query: str, k: int = 8, lang: Lang | None = None) -> list[Passage]:
        """As `search`, without asking whether the best is good enough."""
        terms = self.terms(query)
        names = self._best(self._name_query(query, terms))
        bodies = self._best(self._any("body", terms))
        scores = {t: names.get(t, (0.0, ""))[0] + _BODY * bodies.get(t, (0.0, ""))[0] for t in {*names, *bodies}}
        best = sorted(scores, key=lambda topic: (-scores[topic], topic))[:k]
        return [self._passage(t, scores[t], bodies.get(t, (0.0, ""))[1], terms, lang) for t in best]

    def confidence(self, query: str, best: Passage) -> float:
        """How sure the best passage is the subject: its score and how much of the query its topic explains."""
        return best.score + _COVER * self.coverage(query, best.topic)

    def knows(self, word: str) -> bool:
        """Whether a word means anything here: some topic has it, or it is in Kiwi's dictionary."""
        terms = self.tokens(word)
        return not terms or any(self._frequency(term) or self.tokens.similar(term, 1) for term in terms)

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
        return [Term(token)] if self._frequency(token) else self._stand_ins(token)

    @lru_cache(maxsize=4096)  # noqa: B019 (an index lives as long as its process)
    def _stand_ins(self, token: str) -> list[Term]:
        """Words that some topic has, near an unknown one in spelling, else in meaning; at most three."""
        spelt = letters(token)
        room = 0 if len(spelt) < 6 else 1 if len(spelt) < 10 else 2
        close = process.extract(
            spelt, self._vocabulary.keys(), scorer=DamerauLevenshtein.distance, score_cutoff=room, limit=3
        )
        if room and close:
            return [Term(self._vocabulary[other], _SPELLING) for other, _, _ in close]
        near = [(other, cosine) for other, cosine in self.tokens.similar(token) if cosine >= _NEAR]
        return [Term(other, _MEANING * cosine) for other, cosine in near if self._frequency(other)][:3]

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
        from tantivy import Occur, Query

        grams = [Term(gram, _GRAM) for gram in dict.fromkeys(self.tokens.grams(query))]
        exact = [Term(self.tokens.packed(query), _EXACT)]
        parts = [self._any("name", terms), self._any("gram", grams), self._any("exact", exact)]
        return Query.boolean_query([(Occur.Should, part) for part in parts])

    def _any(self, field: str, terms: Sequence[Term]) -> Any:
        from tantivy import Occur, Query

        scored = [(Occur.Should, Query.boost_query(self._term(field, term), term.factor)) for term in terms]
        return Query.boolean_query(scored) if scored else Query.empty_query()

    def _term(self, field: str, term: Term) -> Any:
        from tantivy import Query

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
