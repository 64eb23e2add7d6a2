"""What can be counted in the words of an answer: likeness to the doctor's, length, repetition, its end, its language."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

import yaml

from mundap.errors import MissingExtra
from mundap.evaluate.metrics import Case, Context, Kind, Measure, Scored

_INSTALL = "pip install 'mundap[evaluate]'"
_GRAM = 4  # words in a row whose repetition counts; three are often repeated for good reason (a medicine's name)
_CITATION = re.compile(r"\s*\[\d+(?:\s*,\s*\d+)*\]")
_HANGUL, _LATIN = re.compile("[가-힣]"), re.compile("[A-Za-z]")
_LETTER = re.compile(r"[^\W\d_]")
_MOSTLY = 0.5  # share of letters that must be of the language: names of medicines stand in Latin letters in Korean too


class Chrf:
    """chrF (sacrebleu's: character 6-grams, beta 2) against the doctor's answer, 0 to 100."""

    kind: Kind = "answers"
    measures: Mapping[str, Measure] = {"chrf": Measure("text", "higher", "", None, (0.0, 100.0))}

    def check(self, context: Context) -> Any:
        """Raise `MissingExtra` without sacrebleu."""
        try:
            import sacrebleu
        except ModuleNotFoundError as error:
            raise MissingExtra(f"the metric chrf needs the package 'sacrebleu': {_INSTALL}") from error
        return sacrebleu.__version__

    def score(self, cases: Sequence[Case], context: Context) -> Iterator[Scored]:
        """A score for each case whose item has a reference answer."""
        from sacrebleu.metrics.chrf import CHRF

        chrf = CHRF()
        for case in _referenced(cases):
            value = chrf.sentence_score(case.answer.text, [case.item.answer]).score
            yield case.scored("chrf", round(value, 4))


class Rouge:
    """ROUGE-L (F1 of the longest common subsequence) against the doctor's answer, 0 to 1.

    Korean is cut into Kiwi's morphemes, English as rouge_score does, whose own tokenizer would erase Hangul.
    """

    kind: Kind = "answers"
    measures: Mapping[str, Measure] = {"rouge": Measure("text")}

    def check(self, context: Context) -> Any:
        """Raise `MissingExtra` without rouge_score."""
        try:
            import rouge_score  # noqa: F401
        except ModuleNotFoundError as error:
            raise MissingExtra(f"the metric rouge needs the package 'rouge_score': {_INSTALL}") from error

    def score(self, cases: Sequence[Case], context: Context) -> Iterator[Scored]:
        """A score for each case whose item has a reference answer."""
        for case in _referenced(cases):
            cut = self.tokens[case.item.lang]
            yield case.scored("rouge", round(rouge(cut(case.item.answer), cut(case.answer.text)), 6))

    @cached_property
    def tokens(self) -> Mapping[str, Callable[[str], Sequence[str]]]:
        """What cuts each language into words; the references are cut once for all targets."""
        from rouge_score.tokenizers import DefaultTokenizer

        return {"ko": cache(_morphemes()), "en": cache(DefaultTokenizer(use_stemmer=False).tokenize)}


class Form:
    """Whether an answer is well made: its length, what it repeats, whether it ends, whether it keeps the language."""

    kind: Kind = "answers"
    depends = ("evaluate/words.yaml",)
    measures: Mapping[str, Measure] = {
        "answered": Measure("text"),
        "length": Measure("text", "none", "characters", None, None),
        "repetition": Measure("text", "lower"),
        "ends": Measure("text"),
        "language": Measure("text"),
    }

    def check(self, context: Context) -> Any:
        """Nothing can be wrong."""
        return None

    def score(self, cases: Sequence[Case], context: Context) -> Iterator[Scored]:
        """Five scores a case; an empty answer is only counted as such and as one that does not end."""
        for case in cases:
            found = form(plain(case.answer.text), case.answer.finish == "stop", case.item.lang)
            yield from (case.scored(name, value) for name, value in found.items())


def form(text: str, stopped: bool, lang: str) -> dict[str, float]:
    """The measures of one answer; `stopped`: the model ended it by itself."""
    if not text:
        return {"answered": 0.0, "ends": 0.0}
    return {
        "answered": 1.0, "length": len(text), "repetition": repetition(text), "ends": float(stopped and ends(text, lang)),
        "language": float(in_language(text, lang)),
    }  # fmt: skip


def rouge(reference: Sequence[str], said: Sequence[str]) -> float:
    """ROUGE-L's F1 of two lists of words."""
    same = common(reference, said)
    return 2 * same / (len(reference) + len(said)) if same else 0.0


def common(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence, by Hyyrö's bit-parallel method: a bit for each place of the first."""
    places: dict[str, int] = {}
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << place
    whole = (1 << len(one)) - 1
    row = whole
    for word in other:
        met = row & places.get(word, 0)
        row = ((row + met) | (row - met)) & whole
    return len(one) - row.bit_count()


def plain(text: str) -> str:
    """An answer without the numbers of its sources."""
    return _CITATION.sub("", text).strip()


def repetition(text: str) -> float:
    """The share of four words in a row that stood there before: 0 for a text that never repeats itself."""
    words = text.split()
    grams = [tuple(words[start : start + _GRAM]) for start in range(len(words) - _GRAM + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def ends(text: str, lang: str) -> bool:
    """Whether a text ends with a finished sentence: a mark that ends one, or a Korean ending without it."""
    last = text.rstrip().rstrip("\"'”’)]}*_`~ ")
    return bool(re.search(words(lang)["ending"], last))


def in_language(text: str, lang: str) -> bool:
    """Whether most letters are the language's."""
    letters = len(_LETTER.findall(text))
    own = len((_HANGUL if lang == "ko" else _LATIN).findall(text))
    return letters > 0 and own / letters >= _MOSTLY


@cache
def words(lang: str) -> Mapping[str, str]:
    """The patterns of `words.yaml` for a language, each as one regular expression."""
    raw: Mapping[str, Mapping[str, Sequence[str]]]
    raw = yaml.safe_load((files("mundap.evaluate") / "words.yaml").read_text("utf-8"))
    return {name: "|".join(f"(?:{each})" for each in found[lang]) for name, found in raw.items()}


def _referenced(cases: Sequence[Case]) -> Iterator[Case]:
    return (case for case in cases if case.item.answer.strip())


def _morphemes() -> Callable[[str], Sequence[str]]:
    from kiwipiepy import Kiwi

    kiwi = Kiwi(num_workers=1)
    return lambda text: [token.form for token in kiwi.tokenize(text)]
