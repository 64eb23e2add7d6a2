"""The embedded knowledge: whole, in two languages, without diagnoses or stray numbers; broken files are told all at once."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from mundap.errors import ConfigError
from mundap.knowledge import load
from mundap.knowledge.passages import LANGS, sections
from mundap.knowledge.schema import MIN_HANGUL, Topic
from mundap.types import Lang

TOPICS = load.topics()
FOLDER = Path(load.__file__).parent / "topics"
AT_LEAST = {"symptom": 40, "condition": 15, "medicine": 15, "first_aid": 10}
# SAFETY.md 5. 1339 is no emergency line and may not be given; 1393 was replaced by 109.
HOTLINES = {"119", "109", "1577-0199", "1388", "1366", "112", "1342", "129", "1855-2221"}
NUMBER = r"(?:\+?\d[\d-]{1,}\d)"
CALLED = re.compile(
    rf"(?:call|ring|dial|phone|line|text) ({NUMBER})"
    rf"|({NUMBER})\s*번?(?:에|에서|으로|로|에게|을|를|나)?\s*(?:바로\s*|꼭\s*|24시간\s*|즉시\s*)*(?:전화|연락|신고|문의|도움|상담|부르|불러|구급)"
    r"|(?<![\d.])(\d{2,4}-\d{3,4}(?:-\d{4})?)(?![\d%]|\s?(?:mg|ml|kcal|mm|분|초|회|일|주|세|도|개|°|days?|hours?|minutes?|weeks?|years?))"
    r"|\b(911|999|988|1339|1393)\b"
)
DIAGNOSIS = {
    "ko": re.compile(
        r"(?:당신|환자분|고객님|질문자님|회원님)(?:은|는|께서는)|걸리셨(?:습니다|어요)"
        r"|(?:으로|로)\s*진단(?:됩니다|합니다)|확률(?:은|이)?\s*\d"
    ),
    "en": re.compile(
        r"(?:^|[.;] )You (?:probably |clearly )?(?:have (?:a |an |the )?(?!to\b|had\b|been\b)\w+|are suffering)"
        r"|your diagnosis",
        re.IGNORECASE,
    ),
}


def texts(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text of a topic with its place."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(inner, (*place, str(key)))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from texts(inner, (*place, str(number)))
    elif isinstance(value, str):
        yield place, value


def spoken(topic: Topic, lang: Lang) -> Iterator[tuple[str, str]]:
    """The texts of one language that a person may read."""
    for place, text in texts(topic.model_dump(exclude={"references", "aliases"})):
        if lang in place:
            yield "/".join((topic.id, *place)), text


def test_there_is_enough_of_every_kind() -> None:
    counts = Counter(topic.kind for topic in TOPICS.values())
    assert {kind: counts[kind] for kind in AT_LEAST if counts[kind] < AT_LEAST[kind]} == {}
    assert len(TOPICS) >= 80


def test_every_file_is_a_topic() -> None:
    assert sorted(TOPICS) == sorted(path.stem for path in FOLDER.glob("*.yaml"))
    assert [path.name for path in FOLDER.iterdir() if path.suffix != ".yaml"] == []


def test_korean_is_korean_and_english_is_english() -> None:
    wrong = [
        place
        for topic in TOPICS.values()
        for lang in LANGS
        for place, text in spoken(topic, lang)
        if bool(re.search("[가-힣]", text)) != (lang == "ko")
        or re.search("[ㄱ-ㅎㅏ-ㅣ\u3040-\u30ff\u4e00-\u9fff\ufffd]", text)
    ]
    assert wrong == []


def test_aliases_are_in_their_language() -> None:
    assert [alias for topic in TOPICS.values() for alias in topic.aliases.en if re.search("[ㄱ-ㅎ가-힣]", alias)] == []
    for topic in TOPICS.values():
        hangul = sum(bool(re.search("[ㄱ-ㅎ가-힣]", alias)) for alias in topic.aliases.ko)
        assert hangul * 2 > len(topic.aliases.ko), topic.id


@pytest.mark.parametrize("lang", LANGS)
def test_no_name_belongs_to_two_topics(lang: Lang) -> None:
    owners: dict[str, list[str]] = defaultdict(list)
    for topic in TOPICS.values():
        for alias in topic.aliases[lang]:
            owners["".join(alias.casefold().split())].append(topic.id)
    assert {alias: ids for alias, ids in owners.items() if len(set(ids)) > 1} == {}


def test_only_numbers_of_the_hotline_table_are_given() -> None:
    found = {
        (place, number)
        for topic in TOPICS.values()
        for lang in LANGS
        for place, text in spoken(topic, lang)
        for match in CALLED.finditer(text)
        if (number := next(filter(None, match.groups()))) not in HOTLINES
    }
    assert found == set()


def test_the_search_for_numbers_finds_them() -> None:
    told = (
        "02-123-4567",
        "1339에 전화하세요",
        "call 1588",
        "1588-1234로 문의하세요",
        "911",
        "120번에 문의하세요",
        "1339로 연락하세요",
    )
    for text in told:
        assert CALLED.search(text), text
    for text in ("혈압 120/80", "5-10분", "하루 100-200 mg", "2023년", "after 120 hours"):
        assert not CALLED.search(text), text


@pytest.mark.parametrize("lang", LANGS)
def test_nobody_is_diagnosed(lang: Lang) -> None:
    found = [
        (place, text)
        for topic in TOPICS.values()
        for place, text in spoken(topic, lang)
        if DIAGNOSIS[lang].search(text)
    ]
    assert found == []


def test_situations_have_the_form_that_answers_weave() -> None:
    for topic in TOPICS.values():
        for items in (topic.see_doctor.today, topic.see_doctor.this_week, topic.go_now):
            assert [item for item in items.ko if not item.endswith("때")] == [], topic.id
            sentences = [item for item in items.en if item.endswith(".") or re.match(r"[A-Z][a-z]+ ", item)]
            assert sentences == [], topic.id


def test_sentences_are_whole() -> None:
    for topic in TOPICS.values():
        for lists in (topic.causes, topic.self_care, topic.tests, topic.prevention):
            for text in (*lists.ko, *lists.en) if lists else ():
                assert text.endswith((".", "!", "?", ".)")), (topic.id, text)


def test_questions_are_questions() -> None:
    for topic in TOPICS.values():
        for question in topic.ask:
            assert question.ko.endswith("?"), (topic.id, question.ko)
            assert question.en.endswith("?"), (topic.id, question.en)


def test_labels_are_of_medicines_sold_without_prescription() -> None:
    assert [t.id for t in TOPICS.values() if t.medicine and t.medicine.label and t.medicine.prescription] == []


def test_no_topic_claims_a_review_that_did_not_happen() -> None:
    assert {topic.review for topic in TOPICS.values()} == {"draft, not reviewed by a clinician"}


def test_departments_are_known_and_named_in_both_languages() -> None:
    names = load.departments()
    assert {"family_medicine", "neurology"} <= set(names)
    for name in names.values():
        assert re.search("[가-힣]", name.ko)
        assert not re.search("[가-힣]", name.en)


def test_topics_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        TOPICS["headache"].kind = "test"  # type: ignore[misc]


def test_sections_are_unique_and_never_empty() -> None:
    found = list(sections(TOPICS.values()))
    assert len({section.id for section in found}) == len(found)
    assert {section.lang for section in found} == set(get_args(Lang))
    for section in found:
        assert section.id == f"{section.topic}/{section.name}/{section.lang}"
        assert section.text.strip()
        assert section.names
        assert bool(re.search("[가-힣]", section.text)) == (section.lang == "ko")


def test_every_topic_has_the_same_sections_in_both_languages() -> None:
    for topic in TOPICS.values():
        names = {lang: [s.name for s in sections([topic]) if s.lang == lang] for lang in LANGS}
        assert names["ko"] == names["en"]
        assert {"summary", "causes", "self_care", "go_now", "today", "this_week"} <= set(names["ko"])


def test_brands_are_terms_of_a_medicine() -> None:
    terms = {term for section in sections(TOPICS.values()) for term in section.terms}
    assert any("타이레놀" in term for term in terms)
    headache = TOPICS["headache"]
    names = {headache.title.ko, headache.title.en, *headache.aliases.ko, *headache.aliases.en}
    assert {term for section in sections([headache]) for term in section.terms} <= names


def broken(tmp_path: Path, **changes: Any) -> Path:
    """A copy of a good topic with some keys changed; None takes a key out."""
    raw = yaml.safe_load((FOLDER / "headache.yaml").read_text("utf-8")) | changes
    path = tmp_path / f"{changes.get('file', raw['id'])}.yaml"
    raw = {key: value for key, value in raw.items() if value is not None and key != "file"}
    path.write_text(yaml.safe_dump(raw, allow_unicode=True), "utf-8")
    return path


def test_broken_files_are_all_told_at_once(tmp_path: Path) -> None:
    good = yaml.safe_load((FOLDER / "headache.yaml").read_text("utf-8"))
    text = {"ko": "머리가 아픕니다.", "en": "The head hurts."}
    short = {
        "causes": {"ko": ["짧은 글."], "en": ["Short."]},
        "self_care": {"ko": ["짧은 글."], "en": ["Short."]},
        "see_doctor": {"today": {"ko": ["아플 때"], "en": ["pain"]}, "this_week": {"ko": ["아플 때"], "en": ["pain"]}},
        "go_now": {"ko": ["아플 때"], "en": ["pain"]},
        "groups": {"child": text, "elderly": text},
        "summary": text,
        "tests": None,
        "prevention": None,
        "medicines": None,
    }
    paths = [
        broken(tmp_path, id="unknown_key", sumary=good["summary"]),
        broken(tmp_path, id="no_english", title={"ko": "두통"}),
        broken(
            tmp_path,
            id="unequal",
            causes={"ko": [*good["causes"]["ko"], "하나 더 있습니다."], "en": good["causes"]["en"]},
        ),
        broken(tmp_path, id="no_department", departments=["hospital"]),
        broken(tmp_path, id="other_name", file="this_name"),
        broken(tmp_path, id="too_short", **short),
        broken(tmp_path, id="odd_kind", kind="illness"),
        broken(tmp_path, id="no_medicine", kind="medicine"),
        broken(tmp_path, id="few_words", aliases={"ko": ["두통"], "en": ["headache"]}),
        broken(tmp_path, id="odd_group", groups={"robots": text, "child": text}),
        broken(tmp_path, id="headache"),
    ]
    (tmp_path / "bad_yaml.yaml").write_text("id: [", "utf-8")
    (tmp_path / "not_utf8.yaml").write_bytes("id: 두통".encode("cp949"))
    (tmp_path / "a_list.yaml").write_text("- a\n- b\n", "utf-8")
    (tmp_path / "empty.yaml").write_text("", "utf-8")
    again = tmp_path / "again" / "headache.yaml"
    again.parent.mkdir()
    again.write_bytes(paths[-1].read_bytes())
    paths += [tmp_path / f"{name}.yaml" for name in ("bad_yaml", "not_utf8", "a_list", "empty")] + [again]
    with pytest.raises(ConfigError) as caught:
        load.read(paths)
    problems = "\n".join(caught.value.problems)
    for said in (
        "unknown_key.yaml: sumary: Extra inputs are not permitted",
        "no_english.yaml: title.en: Field required",
        "unequal.yaml: causes: Value error, 6 Korean items but 5 English ones",
        "no_department.yaml: department 'hospital' is not in departments.yaml",
        "this_name.yaml: id is 'other_name'; the file must be named other_name.yaml",
        "too_short.yaml: topic: Value error, only ",
        f"at least {MIN_HANGUL} are needed",
        "odd_kind.yaml: kind: Input should be 'symptom'",
        "no_medicine.yaml: topic: Value error, `medicine:` belongs to topics of kind medicine",
        "few_words.yaml: aliases.ko: ",
        "odd_group.yaml: groups.robots",
        "bad_yaml.yaml: not valid YAML: ",
        "not_utf8.yaml: not UTF-8 at byte 4; save the file as UTF-8",
        "a_list.yaml: topic: Input should be a valid dictionary",
        "empty.yaml: topic: Input should be a valid dictionary",
        "headache.yaml: id 'headache' is taken already",
    ):
        assert said in problems
    assert str(caught.value).startswith(f"knowledge topics: {len(caught.value.problems)} problems")


def test_a_good_file_is_read_from_anywhere(tmp_path: Path) -> None:
    assert load.read([broken(tmp_path)]) == {"headache": TOPICS["headache"]}
