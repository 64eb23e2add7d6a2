"""Search by words: a tantivy (BM25) index over every name people use for a topic and every passage about it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from rapidfuzz import process
from rapidfuzz.distance import DamerauLevenshtein

from mundap.retrieve.index import open_index
from mundap.retrieve.tokens import Tokens, letters
from mundap.types import Lang, Passage, Section

# Matching. Tuned on tests/retrieve: the dev half of queries.jsonl and dev_more.jsonl; LOG.md has the tables.
_GRAM = 0.25  # a pair of letters in common, against a morpheme in common
_EXACT = 0.5  # the whole query being a name, against a morpheme in common
_MEANING = 0.45  # a word near in meaning, against the word itself
_SPELLING = 0.7  # a word near in spelling, against the word itself
_NEAR = 0.86  # cosine from which Kiwi's neighbours are taken
# Ranking. A topic's score is its best four names and best three passages, weighted, and how much of the query's
# information its words explain (0 to 1): one name that fits half a question is worth less than several that fit it all.
_NAMES, _BODIES, _COVER, _IN_BODY = (1.0, 0.5, 0.15, 0.15), (0.2, 0.3, 0.3), 24.0, 0.5
_CONFIDENT = 28.0
_CANDIDATES, _HITS = 12, 200
_ILLNESS = re.compile(r"..(증후군|증|병|염|암|종|술|수술|장애)/N$")
_SNIPPET = 120
_HALF = 300  # letters of each end of a very long query that are looked at


@dataclass(frozen=True, slots=True)
class Term:
    """A search term and how far it counts (1 for the person's own word)."""

    text: str
    factor: float = 1.0


class Lexical:
    """A `Retriever`: one passage for each topic found, best topic first; empty when nothing is confident."""

    confident = _CONFIDENT

    def __init__(self, sections: Iterable[Section], cache: Path | None = None) -> None:
        self._sections = {section.id: section for section in sections}
        self.tokens = Tokens(term for section in self._sections.values() for term in section.terms)
        index, self._topics = open_index(list(self._sections.values()), self.tokens, cache)
        self._spellings = {letters(term): term for term in self._topics["name"]}
        self._written = " ".join({self.tokens.packed(name) for s in self._sections.values() for name in s.names})
        self._schema = index.schema
        self._searcher = index.searcher()

    def search(self, query: str, k: int = 8, lang: Lang | None = None) -> list[Passage]:
        """Up to `k` passages, the best section of each topic; `lang` fixes the language of their text."""
        query = _cut(query)
        ranked = self.ranked(query, k, lang)
        return ranked if ranked and ranked[0].score >= _CONFIDENT and not self._names_another(query) else []

    def ranked(self, query: str, k: int = 8, lang: Lang | None = None) -> list[Passage]:
        """As `search`, without asking whether the best is good enough."""
        query = _cut(query)
        terms = self.terms(query)
        names, bodies = self._hits(self._name_query(query, terms)), self._hits(self._any("body", terms))
        explained = self._coverage(query)
        scores = {
            topic: _weighted(names.get(topic), _NAMES)
            + _weighted(bodies.get(topic), _BODIES)
            + _COVER * explained(topic)
            for topic in _likely(names, bodies)
        }
        best = sorted(scores, key=lambda topic: (-scores[topic], topic))[:k]
        return [self._passage(topic, scores[topic], bodies.get(topic), terms, lang) for topic in best]

    def knows(self, word: str) -> bool:
        """Whether a word means anything as a whole: some topic has it, or it is in Kiwi's dictionary."""
        terms = self.tokens(word)
        return len(terms) == 1 and (bool(self._known(terms[0])) or bool(self.tokens.similar(terms[0])))

    def unfamiliar(self, text: str) -> list[str]:
        """Long nouns of a text that neither a topic nor Kiwi's dictionary has: names, most likely."""
        nouns = [term[:-2] for term in self.tokens(_cut(text)) if term.endswith("/N")]
        return [noun for noun in nouns if len(noun) > 3 and not self.knows(noun)]

    def _names_another(self, query: str) -> bool:
        """Whether the query names an illness or operation that no topic has (루푸스병, 다운증후군)."""
        strange = [term[:-2] for term in self.tokens(query) if _ILLNESS.search(term) and not self._known(term)]
        return any(name not in self._written for name in strange)

    def _coverage(self, query: str) -> Callable[[str], float]:
        """For a topic, the share (0 to 1) of the query's information, in log inverse frequency, that it explains."""
        tokens = self.tokens(query)
        weights = [(self._weight(token), self._known(token)) for token in tokens]
        total = sum(weight for weight, _ in weights) or 1.0
        return lambda topic: sum(weight * self._explained(known, topic) for weight, known in weights) / total

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
            spelt, self._spellings.keys(), scorer=DamerauLevenshtein.distance, score_cutoff=room, limit=3
        )
        if room and close:
            return [Term(self._spellings[other], _SPELLING) for other, _, _ in close]
        near = [(other, cosine) for other, cosine in self.tokens.similar(token) if cosine >= _NEAR]
        return [Term(other, _MEANING * cosine) for other, cosine in near if self._frequency(other)][:3]

    def _frequency(self, token: str) -> int:
        return int(self._searcher.doc_freq("name", token) + self._searcher.doc_freq("body", token))

    def _weight(self, token: str) -> float:
        return math.log1p(self._searcher.num_docs / (1 + self._frequency(token)))

    def _explained(self, known: Sequence[Term], topic: str) -> float:
        """How far a topic knows a word: in full when it is among its names, half when only in its passages."""
        return max((term.factor * self._stands(topic, term.text) for term in known), default=0.0)

    def _stands(self, topic: str, term: str) -> float:
        if topic in self._topics["name"].get(term, ()):
            return 1.0
        return _IN_BODY if topic in self._topics["body"].get(term, ()) else 0.0

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

    def _hits(self, query: Any) -> dict[str, list[tuple[float, str]]]:
        """Topic to its best documents, each with its score and its section."""
        found: dict[str, list[tuple[float, str]]] = {}
        for score, address in self._searcher.search(query, _HITS).hits:
            document = self._searcher.doc(address)
            found.setdefault(document["topic"][0], []).append((score, document["section"][0]))
        return found

    def _passage(
        self, topic: str, score: float, found: Hits | None, terms: Sequence[Term], lang: Lang | None
    ) -> Passage:
        _, name, found_in = found[0][1].split("/") if found else ("", "summary", "ko")
        section = (
            self._sections.get(f"{topic}/{name}/{lang or found_in}") or self._sections[f"{topic}/{name}/{found_in}"]
        )
        return Passage(
            id=section.id, topic=topic, section=name, lang=section.lang, title=section.title,
            title_en=section.title_en, text=section.text, score=round(score, 3), source=section.source,
            snippet=_snippet(section.text, [term.text.split("/")[0] for term in terms]),
        )  # fmt: skip


Hits = Sequence[tuple[float, str]]


def _weighted(hits: Hits | None, weights: Sequence[float]) -> float:
    return sum(weight * score for weight, (score, _) in zip(weights, hits or (), strict=False))


def _likely(names: Mapping[str, Hits], bodies: Mapping[str, Hits]) -> list[str]:
    """The topics worth a closer look."""
    first = {t: _weighted(names.get(t), _NAMES[:1]) + _weighted(bodies.get(t), _BODIES[:1]) for t in {*names, *bodies}}
    return sorted(first, key=lambda topic: (-first[topic], topic))[:_CANDIDATES]


def _cut(query: str) -> str:
    """The beginning and the end of a very long query: its subject stands in one of them."""
    return query if len(query) <= 2 * _HALF else f"{query[:_HALF]} {query[-_HALF:]}"


def _snippet(text: str, words: Sequence[str]) -> str:
    """The part of a text around the first word found in it, cut at spaces, with … where cut."""
    at = min((place for place in (text.lower().find(word) for word in words) if place >= 0), default=0)
    start = text.rfind(" ", 0, max(at - _SNIPPET // 3, 0)) + 1 if at > _SNIPPET // 3 else 0
    cut = text[start : start + _SNIPPET]
    tail = len(text) > start + _SNIPPET
    return ("…" if start else "") + (cut.rsplit(" ", 1)[0] + "…" if tail else cut)
