"""Text to search terms: Kiwi morphemes for Korean (typing errors mended), stemmed words for English."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cached_property
from importlib.resources import files
from typing import Any

import yaml

# Morphemes that carry meaning, by the first letters of Kiwi's tag, and the class that keeps homographs apart
# (열/N fever, 열/V open). XR (root) joins adjectives: 먹먹하다 is tagged either way.
_CLASSES = {"NN": "N", "NR": "N", "XR": "V", "VV": "V", "VA": "V", "SL": "E", "MA": "M", "SN": "E"}
_MAX_CHARACTERS = 4000


def letters(term: str) -> str:
    """A term as single letters (jamo), so that a misspelt syllable is one letter away: `오줌/N` -> `ㅇㅗㅈㅜㅁ/N`."""
    return unicodedata.normalize("NFD", term)


class Tokens:
    """A tokenizer with its own user dictionary. Kiwi loads on first use (about two seconds) and then is shared."""

    def __init__(self, dictionary: Iterable[str] = ()) -> None:
        self._dictionary = sorted({word for word in dictionary if " " not in word})

    def __call__(self, text: str) -> list[str]:
        """Search terms in order, e.g. `머리가 아퍼요` -> `["머리/N", "아프/V"]`. Long text is cut at 4,000 characters."""
        text = text[:_MAX_CHARACTERS].encode("utf-8", "ignore").decode()
        if not any("가" <= letter <= "힣" for letter in text):
            return self.english(text)
        for wrong, right in self._spellings.items():
            text = text.replace(wrong, right)
        tokens = self.kiwi.tokenize(text, normalize_coda=True, typos="basic_with_continual")
        return [term for token in tokens for term in self._terms(token.form, str(token.tag))]

    def english(self, text: str) -> list[str]:
        """Lower-case stems without stop words."""
        return [word for word in self._english.analyze(text) if word not in self._stop]

    def grams(self, text: str) -> list[str]:
        """Overlapping pairs of characters of the text without its spaces: what survives misspelling and spacing."""
        return list(self._grams.analyze(self.packed(text)))

    @staticmethod
    def packed(text: str) -> str:
        """A whole text as one term, spaces aside, for asking whether it is exactly somebody's name."""
        return "".join(text[:_MAX_CHARACTERS].lower().split()).encode("utf-8", "ignore").decode()

    def similar(self, term: str, top: int = 8) -> list[tuple[str, float]]:
        """Korean morphemes near in meaning by Kiwi's own embedding, with their cosine, nearest first."""
        form, _, kind = term.rpartition("/")
        tags = {"N": ("NNG",), "V": ("VA", "VV", "XR"), "M": ("MAG",)}.get(kind, ())
        near = [other for tag in tags for other in self._near(form, tag, top)]
        return sorted(near, key=lambda pair: -pair[1])

    def _near(self, form: str, tag: str, top: int) -> list[tuple[str, float]]:
        try:
            found = self.kiwi.most_similar_morphemes((form, tag), top_n=top)
        except ValueError:  # not in Kiwi's vocabulary under that tag
            return []
        return [(term, other.score) for other in found for term in self._terms(other.form, str(other.tag))]

    def _terms(self, form: str, tag: str) -> list[str]:
        kind = _CLASSES.get(tag[:2])
        if kind == "E":
            return self.english(form)
        if kind is None or tag.startswith("NNB"):
            return []
        if kind == "V":
            form = form.removesuffix("하") or form
        # Kiwi knows some names of several words (세균성 질염); each word is a term.
        terms = [f"{part}/{kind}" for part in form.split()]
        return [term for term in terms if term not in self._stop]

    @cached_property
    def kiwi(self) -> Any:
        """Kiwi's default model with our medicine names added as proper nouns."""
        from kiwipiepy import Kiwi

        kiwi = Kiwi(num_workers=1)
        for word in self._dictionary:
            kiwi.add_user_word(word, "NNP", 3.0)
        return kiwi

    @cached_property
    def _english(self) -> Any:
        from tantivy import Filter, TextAnalyzerBuilder, Tokenizer

        chain = TextAnalyzerBuilder(Tokenizer.simple()).filter(Filter.lowercase())
        return chain.filter(Filter.stopword("english")).filter(Filter.stemmer("english")).build()

    @cached_property
    def _grams(self) -> Any:
        from tantivy import Filter, TextAnalyzerBuilder, Tokenizer

        return TextAnalyzerBuilder(Tokenizer.ngram(2, 2, False)).filter(Filter.lowercase()).build()

    @cached_property
    def _stop(self) -> frozenset[str]:
        return frozenset(word for words in _data("stopwords").values() for word in words)

    @cached_property
    def _spellings(self) -> dict[str, str]:
        return dict(_data("spellings"))


def _data(name: str) -> Any:
    return yaml.load((files("mundap.retrieve") / f"{name}.yaml").read_text("utf-8"), Loader=yaml.CSafeLoader)
