"""Find and mask what identifies a person in Korean text: numbers, addresses, names. Clinical values stay.

Layer 1 is patterns with validators, layer 2 rules for names (SAFETY.md 5.2); both are data. Offsets are code points of
the text in NFC. A masked text can be masked again without change.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from mundap.safety import privacy_data
from mundap.safety.privacy_checks import CHECKS
from mundap.safety.privacy_data import Rule
from mundap.safety.privacy_names import names

_HIDDEN = re.compile("[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff\U000e0000-\U000e007f]")
_SPELLED = re.compile(r"(?:[0-9공영일이삼사오육륙칠팔구](?:[ ,.\-~]|\s?(?:다시|대시|에|의)\s?)?){7,}")
_SYLLABLES = str.maketrans("공영일이삼사오육륙칠팔구", "001234566789")
# Full-width signs, dashes and spaces as their ASCII forms, one character for one.
_FORMS = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},
    **str.maketrans("–—‐‑‒−―ㅡ〜∼\u00a0\u3000\u2002\u2003\u2009", "--------~~     "),
}  # fmt: skip
# What follows the last digit of a dictated number when 이 is not a 2 but "is": 팔이에요.
_COPULA = re.compile("이(?:에요|예요|고|라|구요|며|죠|거든|네요|었|십|신|요)")
_LINE = re.compile(r"(?<![\d-])1\d{3}[- ]?\d{4}(?![\d-])")
_HANGUL = re.compile("[가-힣]")
_TOKEN = re.compile(r"\[([가-힣]+)(\d+)\]")
_BEFORE, _AFTER = 24, 14


@dataclass(frozen=True, slots=True)
class Span:
    """`text[start:end]` identifies somebody; `type` says how (RRN, PHONE, NAME, …)."""

    start: int
    end: int
    type: str


@dataclass(frozen=True, slots=True)
class Masked:
    """A text with each span replaced by a token such as `[이름1]`; the spans are those of the text before, in NFC."""

    text: str
    spans: tuple[Span, ...]


def mask(text: str) -> Masked:
    """Mask one text by itself."""
    return mask_all((text,))[0]


def mask_all(texts: Sequence[str]) -> list[Masked]:
    """Mask the texts of one record: the same value gets the same token in all of them."""
    texts = [unicodedata.normalize("NFC", text) for text in texts]
    tokens = _Tokens(texts)
    return [_masked(text, find(text), tokens) for text in texts]


def find(text: str) -> tuple[Span, ...]:
    """The spans of a text in NFC, in order, without overlaps; earlier rules win."""
    plain, places = _plain(text)
    taken: list[Span] = [Span(start, end, "") for start, end in _kept(plain)]
    for span in (*_ruled(plain), *names(plain)):
        found = Span(*span)
        if not any(found.start < other.end and other.start < found.end for other in taken):
            taken.append(found)
    kept = (Span(places[span.start], places[span.end - 1] + 1, span.type) for span in taken if span.type)
    return tuple(sorted(kept, key=lambda span: span.start))


def _kept(plain: str) -> Iterator[tuple[int, int]]:
    """Where tokens and the numbers of help lines stand: nothing there is masked."""
    for found in _TOKEN.finditer(plain):
        yield found.span()
    for found in _LINE.finditer(plain):
        if re.sub(r"\D", "", found.group()) in privacy_data.public_numbers():
            yield found.span()


def _plain(text: str) -> tuple[str, Sequence[int]]:
    """A form that is easy to match, and where each of its characters stands in the text."""
    if text.isascii():
        return text, range(len(text))
    places: Sequence[int] = range(len(text))
    if _HIDDEN.search(text):
        places = [place for place, letter in enumerate(text) if not _HIDDEN.match(letter)]
        text = _HIDDEN.sub("", text)
    return _SPELLED.sub(_read, text.translate(_FORMS)), places


def _read(found: re.Match[str]) -> str:
    """공일공 일이삼사 오육칠팔 -> 010 1234 5678, when the run begins like a number that is dictated."""
    text = found.group()
    if (tail := _COPULA.search(found.string, found.start(), found.end() + 3)) and tail.start() >= found.end() - 2:
        text = found.string[found.start() : tail.start()]
    spelled = sum(letter in "공영일이삼사오육륙칠팔구" for letter in text)
    return text.translate(_SYLLABLES) + found.group()[len(text) :] if spelled >= 4 else found.group()


def _ruled(plain: str) -> Iterator[tuple[int, int, str]]:
    digits, hangul, letters = sum(map(str.isdigit, plain)), _HANGUL.search(plain) is not None, frozenset(plain)
    for rule in privacy_data.rules():
        if not rule.worth(digits, hangul, letters):
            continue
        for found in rule.pattern.finditer(plain):
            start, end = found.span("v" if "v" in rule.pattern.groupindex else 0)
            start, end = _trimmed(plain, start, end)
            if start < end and _holds(rule, plain, start, end):
                yield start, end, rule.type


def _trimmed(plain: str, start: int, end: int) -> tuple[int, int]:
    """Without spaces and signs at the ends."""
    while end > start and plain[end - 1] in " \n,.:;-~":
        end -= 1
    while start < end and plain[start] in " \n,.:;-~":
        start += 1
    return start, end


def _holds(rule: Rule, plain: str, start: int, end: int) -> bool:
    near = f"{plain[max(0, start - _BEFORE) : start]}\n{plain[end : end + _AFTER]}"
    value = plain[start:end]
    return (
        (not rule.check or CHECKS[rule.check](value))
        and (rule.cue is None or rule.cue.search(near) is not None)
        and (rule.unless is None or rule.unless.search(near) is None)
        and (rule.unless_value is None or rule.unless_value.search(value) is None)
    )


@dataclass
class _Tokens:
    """Numbers the values of each type in the order they appear, after the tokens a text already holds."""

    texts: Iterable[str]
    _known: dict[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._last: dict[str, int] = {}
        for text in self.texts:
            for word, number in _TOKEN.findall(text):
                self._last[word] = max(self._last.get(word, 0), int(number))

    def of(self, kind: str, value: str) -> str:
        """The token of a value, the same whatever its spaces, hyphens and letter case."""
        key = (kind, re.sub(r"[\W_]+", "", value).lower())
        if key not in self._known:
            word = privacy_data.tokens()[kind]
            self._last[word] = self._last.get(word, 0) + 1
            self._known[key] = f"[{word}{self._last[word]}]"
        return self._known[key]


def _masked(text: str, spans: tuple[Span, ...], tokens: _Tokens) -> Masked:
    parts: list[str] = []
    place = 0
    for span in spans:
        parts += text[place : span.start], tokens.of(span.type, text[span.start : span.end])
        place = span.end
    return Masked("".join(parts) + text[place:], spans)
