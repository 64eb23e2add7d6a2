"""Names of people in Korean text: read off a word by its parts (surname, given name, title, particle) and what is near.

Words near a name decide how sure its parts must be: after `성함은` or before `씨` most syllables will do; standing
alone it must be a common name, followed by a particle, and no word of the language.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from mundap.safety.privacy_data import expanded, words

Found = tuple[int, int, str]
_RUN = re.compile(r"[가-힣]+")
_PARTICLES = (
    "이시고|이시며|이신데요|이신|이셔서|이시라|이십니다|이라고|라고|이라는|라는|이란|입니다|입니다만|이구요|이고요|이고|이며|이에요|예요|이예요|이요|인데요|인데|이랑|하고|한테서|한테|에게서|에게|께서는|께서|께|"
    "이가|이는|이를|이도|이의|이|가|은|는|을|를|의|도|와|과|랑|만|로|으로|야|아|고요|구요|였습니다|이었습니다|이신데|이십니다|드림|올림|배상|이세요|요|부터|까지|보다|처럼|네|이네"
)
_AGE = re.compile(r"\s?[(,:]?\s?(?:만\s?|남,?\s?|여,?\s?)?\d{1,3}\s?(?:세|살)|\s?\((?:남|여|\d)")
# The holder of an account stands after its number.
_NUMBER = re.compile(r"(?<![\d-])\d[\d-]{9,} ")
_SPACED = re.compile(
    r"(?<![가-힣])([가-힣]) ([가-힣]) ([가-힣])(?=(?:입니다|이?라고|이?고|이에요|예요|인데|이?며|님|씨|[은는이가])?(?![가-힣]))"
)
_COPULA = r"이?라고|이?라는|입니다|인데|이고|이구|예요|이에요|이라|이?요|이며|이라구|이올시다"
_START = re.compile(r"(?:^|[.!?\n]\s*|안녕하(?:세요|십니까)[,.!~]?\s{0,2})(?=[가-힣])")
_SPACED_TITLE = re.compile(r"(?<![가-힣])([가-힣] [가-힣] [가-힣]) ?(?:님|씨|선생님|원장|교수)(?=[은는이가께의 ,.]|$)")
_LABEL_GAP = r"\s{0,2}(?:[:：=]|은|는|이|가|\()?\s{0,2}[:'\"“‘]?\s?"
_LOOSE, _WHOLE, _ROLE, _STRICT = "loose", "whole", "role", "strict"


def names(text: str) -> Iterator[Found]:
    """The spans of names, the surest kinds first."""
    if not _RUN.search(text):
        return
    yield from _labelled(text)
    yield from _titled(text)
    yield from _roles(text)
    yield from _selves(text)
    yield from _opening(text)
    yield from _alone(text)


def _labelled(text: str) -> Iterator[Found]:
    """성함은 홍길동 · 이름: 김 민 지 · 예금주 박철수"""
    for found in _label().finditer(text):
        if spaced := _SPACED.match(text, found.end()):
            if spaced[1] in words("surnames"):
                yield *spaced.span(), "NAME"
        elif run := _RUN.match(text, found.end()):
            yield from _first(text, run, _LOOSE)
    for found in _NUMBER.finditer(text):
        if run := _RUN.match(text, found.end()):
            yield from _first(text, run, _ROLE, r"$|앞|께|명의")


def _titled(text: str) -> Iterator[Found]:
    """홍길동 씨 · 민지님 · 박 교수님"""
    for found in _before_title().finditer(text):
        word, start = found["name"], found.start("name")
        if _is_name(word, _LOOSE if found["title"] in _SURE else _WHOLE) or (
            word in words("given") and _is_polite(found)
        ):
            yield start, start + len(word), "NAME"
        elif word in words("plain_surnames") and found["title"] in _LEARNED:
            yield start, start + 1, "NAME"
    for found in _SPACED_TITLE.finditer(text):
        if found[1][0] in words("surnames"):
            yield *found.span(1), "NAME"


# What looks like a given name after a noun of one letter: 편이나, 남이라, 안해도.
_BOUND = frozenset(f"이{end}" for end in "나라란랑며자지래서고네니") | {"해도", "하고", "하지", "하는"}
# Last syllables that make a noun and a particle or suffix of a word (이상은, 정도로, 심장이, 방충제), by level.
_AFTER_NOUN = {
    _LOOSE: "", _WHOLE: "은이도로의가만과와를을", _ROLE: "은이도로의가만과와를을인한중제증염통실식장랑나대해",
    _STRICT: "은이나도로의가만인한란라서지자기하해화성용상형과와를을일아애예랑중래제증염통실원식장",
}  # fmt: skip
_POLITE = frozenset({"씨", "님", "군", "양"})
_LEARNED = frozenset({"원장님", "원장", "교수님", "교수", "박사님", "과장님", "선생님", "간호사님", "실장님", "약사님"})


_SURE = _LEARNED | {"씨", "님"}


def _is_polite(found: re.Match[str]) -> bool:
    return found["title"] in _POLITE


def _roles(text: str) -> Iterator[Found]:
    """전문의 홍길동 · 아들 민준이가"""
    for found in _role().finditer(text):
        run = _RUN.match(text, found.end())
        if run is None:
            if (spaced := _SPACED.match(text, found.end())) and spaced[1] in words("surnames"):
                yield *spaced.span(), "NAME"
            continue
        if found["role"] in words("relations"):
            yield from _given(run, found["role"])
        if not found["particle"]:
            yield from _first(text, run, _ROLE)
        else:  # 담당 의사는 홍길동입니다; not 환자는 이상이
            yield from _first(text, run, _WHOLE, _COPULA.replace("|이?요", ""))
    for found in _parent().finditer(text):
        yield *found.span("name"), "NAME"


def _selves(text: str) -> Iterator[Found]:
    """저는 김민수라고 합니다 · 저 이서연인데요"""
    for found in _self().finditer(text):
        if run := _RUN.match(text, found.end()):
            yield from _first(
                text, run, _WHOLE, r"이?라고|이?라는|입니다|인데|이고|이구|예요|이에요|이라|이?요|이며|이라구|이올시다"
            )


def _opening(text: str) -> Iterator[Found]:
    """김민수입니다. · 안녕하세요 이서연이에요: a whole name that begins a sentence and is all it says first."""
    for found in _START.finditer(text):
        if run := _RUN.match(text, found.end()):
            yield from _first(text, run, _ROLE, _COPULA.replace("|이?요", "").replace("|이라|", "|"))


def _alone(text: str) -> Iterator[Found]:
    """김철수가 어제 · 김영희, 45세"""
    for run in _RUN.finditer(text):
        measured = text[run.start() - 1 : run.start()].isalnum()  # 38도대래요: a number and its unit
        if len(run.group()) >= 3 and run.group()[0] in _initials() and not measured:
            yield from _first(text, run, _STRICT)


def _first(text: str, run: re.Match[str], level: str, ending: str = "") -> Iterator[Found]:
    """The name at the beginning of a run of Hangul, when the rest is a title and particles."""
    word = run.group()
    for size in (3, 4, 2, 5):
        name, rest = word[:size], word[size:]
        if (
            len(name) == size
            and _is_name(name, level)
            and _rest(ending).fullmatch(rest)
            and _fits(text, run, size, level)
        ):
            yield run.start(), run.start() + size, "NAME"
            return


def _fits(text: str, run: re.Match[str], size: int, level: str) -> bool:
    """Alone, a name of four letters is rare, and one without a particle must stand before an age or a sex."""
    if level != _STRICT:
        return size != 2 or level == _LOOSE
    if size != 3 or len(run.group()) > size:
        return size == 3
    return _AGE.match(text, run.end()) is not None


def _given(run: re.Match[str], role: str) -> Iterator[Found]:
    """민준이가: a well-known given name after a word for a relative."""
    word = run.group()
    if word[:2] in words("wordy") or (role in ("우리", "저희") and len(word) < 3):
        return
    if word[:2] in words("given") and _rest("").fullmatch(word[2:]):
        yield run.start(), run.start() + 2, "NAME"


def _is_name(word: str, level: str) -> bool:
    if word in _stops() or word in words("titles") or word in words("roles"):
        return False
    return any(_is_whole(word, surname, level) for surname in (word[:2], word[:1]) if surname in words("surnames"))


def _is_whole(word: str, surname: str, level: str) -> bool:
    """Whether what follows the surname is a given name, as sure as the level asks."""
    given = word[len(surname) :]
    if len(given) == 1:
        sure = len(surname) == 2 or (level == _LOOSE and word not in words("nouns"))
        return sure and given in words("single" if len(surname) == 1 else "second")
    if len(given) != 2 or (level != _LOOSE and given in _BOUND):
        return False
    if level in (_ROLE, _STRICT) and surname not in words("common_surnames"):
        return False
    common = "common_" if level == _STRICT else ""
    parts = given[0] in words(f"{common}first") and given[1] in words(f"{common}second")
    return (parts or (level != _STRICT and given in words("given"))) and not (
        word[:2] in words("nouns") and word[2] in _AFTER_NOUN[level]
    )


@cache
def _stops() -> frozenset[str]:
    return words("stop") | words("kiwi") | words("verbs")


@cache
def _initials() -> frozenset[str]:
    return frozenset(surname[0] for surname in words("common_surnames"))


@cache
def _rest(ending: str) -> re.Pattern[str]:
    """What may follow a name in the same word."""
    titles = "|".join(sorted(words("titles") - {"남", "여"}, key=len, reverse=True))
    return re.compile(f"(?:{ending}).*" if ending else f"(?:{titles})?(?:{_PARTICLES}){{0,2}}")


@cache
def _label() -> re.Pattern[str]:
    return re.compile(
        f"{expanded('<notdrug>')}(?:{'|'.join(sorted(words('labels'), key=len, reverse=True))}){_LABEL_GAP}(?=[가-힣])"
    )


@cache
def _before_title() -> re.Pattern[str]:
    titles = "|".join(sorted(words("titles") - {"남", "여"}, key=len, reverse=True))
    return re.compile(
        rf"(?<![가-힣])(?P<name>[가-힣]{{1,4}}?)\s?(?P<title>{titles})(?=(?:{_PARTICLES}|들)?(?:{_PARTICLES})?(?![가-힣]))"
    )


@cache
def _role() -> re.Pattern[str]:
    roles = "|".join(sorted(words("roles"), key=len, reverse=True))
    return re.compile(
        rf"(?<![가-힣])(?:[가-힣]{{1,8}})?(?P<role>{roles}|우리|저희)(?:인|의|\s이름은|(?P<particle>는|은|가|이|께서는))?[\s,(:'\"“‘]{{1,3}}(?=[가-힣])"
    )


@cache
def _parent() -> re.Pattern[str]:
    """서준이 엄마, 하은 맘"""
    given = "|".join(sorted(words("given") - words("wordy")))
    return re.compile(
        rf"(?<![가-힣])(?P<name>{given})이?\s?(?:네\s)?(?:{'|'.join(sorted(words('parents')))})(?=(?:{_PARTICLES})?(?![가-힣]))"
    )


@cache
def _self() -> re.Pattern[str]:
    return re.compile(
        rf"(?<![가-힣])(?:{'|'.join(sorted(words('selves'), key=len, reverse=True))})\s{{1,2}}(?=[가-힣])"
    )
