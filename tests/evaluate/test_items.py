"""Our own medical set is what it says it is, stands apart from what it measures, and a user's own file is checked whole."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mundap.errors import ConfigError, UserError
from mundap.evaluate import items
from mundap.evaluate.items import Item, load, read, set_digest
from mundap.knowledge.load import departments, topics
from mundap.types import Level, Message, Profile

TESTS = Path(__file__).parent.parent
KINDS = {
    "symptom", "medicine", "interaction", "pregnancy", "child", "elderly", "chronic", "mental", "first_aid", "test", "prevention",
    "unknown_subject", "leading_question", "unsupported_claim", "indirect", "typo", "spoken",
}  # fmt: skip
ROW: dict[str, Any] = {"id": "own-1", "turns": [{"user": "열이 나요"}]}


def test_how_many_and_half_of_them_talks() -> None:
    assert {lang: (len(load(lang)), sum(item.talk for item in load(lang))) for lang in ("ko", "en")} == {
        "ko": (150, 75),
        "en": (50, 25),
    }
    assert len(load()) == 200 == len({item.id for item in load()})
    assert all(2 <= len(item.turns) <= 4 for item in load() if item.talk)


@pytest.mark.parametrize("lang", ["ko", "en"])
def test_levels_are_spread(lang: items.Lang) -> None:
    found = Counter(item.urgency for item in load(lang))
    share = {level: found[level] / len(load(lang)) for level in Level}
    assert share[Level.ROUTINE] == pytest.approx(0.65, abs=0.03)
    assert share[Level.URGENT] == pytest.approx(0.20, abs=0.03)
    assert share[Level.EMERGENCY] + share[Level.CRISIS] == pytest.approx(0.15, abs=0.03)
    assert found[Level.CRISIS] >= 2


def test_departments_kinds_and_profiles_are_spread() -> None:
    assert {name for item in load("ko") for name in item.departments} == set(departments())
    kinds = Counter(kind for item in load() for kind in item.kinds)
    assert set(kinds) == KINDS
    assert min(kinds.values()) >= 5
    assert len({topic for item in load() for topic in item.topics or ()}) > len(topics()) * 0.7
    assert sum(item.topics == () for item in load()) >= 20
    assert sum(item.profile != Profile() for item in load()) > 150
    assert sum(item.profile.pregnant_weeks is not None for item in load()) >= 8
    assert sum(bool(item.profile.medicines) for item in load()) >= 40
    assert sum(bool(item.profile.allergies) for item in load()) >= 5


@pytest.mark.parametrize("item", load(), ids=lambda item: item.id)
def test_item_is_whole(item: Item) -> None:
    assert item.urgency is not None and item.departments and item.kinds and item.topics is not None
    assert 2 <= len(item.must) <= 6 and len(item.nice) <= 3 and 1 <= len(item.must_not) <= 4 and len(item.ask_back) <= 4
    assert not item.reviewed, "no clinician has reviewed it"
    assert ("unknown_subject" in item.kinds) <= (not item.topics)
    hangul = any("가" <= letter <= "힣" for letter in " ".join((item.question, *item.must, *item.must_not)))
    assert hangul == (item.lang == "ko")
    said = " ".join(item.must)
    if item.urgency == Level.CRISIS:
        assert "109" in said or "112" in said
    if item.urgency == Level.EMERGENCY:
        assert any(word in said for word in ("119", "응급실", "emergency", "go tonight", "분만"))


def test_talks_need_what_was_said_or_a_question_back() -> None:
    """A talk's last message alone is not the whole question: there is an answer before it or more of the person's words."""
    for item in load():
        if item.talk:
            assert item.turns[0].role == "user" and len({turn.content for turn in item.turns}) == len(item.turns)
    assert sum(bool(item.ask_back) for item in load() if item.talk) >= 30


def grams(text: str) -> frozenset[str]:
    """Runs of five letters, whatever the spacing and marks between them."""
    letters = "".join(letter for letter in text.lower() if letter.isalnum())
    return frozenset(letters[at : at + 5] for at in range(len(letters) - 4))


def leaves(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from leaves(each)


def others() -> set[str]:
    """Every text of the topics and of the tests' data."""
    texts = {text for topic in topics().values() for text in leaves(topic.model_dump())}
    for path in sorted(TESTS.rglob("*.jsonl")):
        texts |= {text for line in path.read_text("utf-8").splitlines() for text in leaves(json.loads(line))}
    return texts


def nearest(mine: Iterable[str], against: Iterable[str]) -> dict[str, float]:
    """For each of my texts, the highest Jaccard of its five-letter runs with another's."""
    owned = {text: grams(text) for text in mine}
    holders = defaultdict(list)
    for text, own in owned.items():
        for gram in own:
            holders[gram].append(text)
    best = dict.fromkeys(owned, 0.0)
    for other in map(grams, against):
        if len(other) >= 4:  # shorter ones are names of illnesses and medicines, which everybody uses
            for text, shared in Counter(text for gram in other for text in holders.get(gram, ())).items():
                best[text] = max(best[text], shared / (len(other) + len(owned[text]) - shared))
    return best


def test_the_set_stands_apart_from_the_topics_and_the_other_tests() -> None:
    found = others()
    assert len(found) > 20000
    turns = {turn.content for item in load() for turn in item.turns if turn.role == "user"}
    whole = {" ".join(turn.content for turn in item.turns if turn.role == "user") for item in load()}
    facts = {said for item in load() for said in (*item.must, *item.nice, *item.must_not, *item.ask_back)}
    limits = [(turns, 8, 0.3), (whole, 8, 0.2), (facts, 16, 0.4)]
    for texts, length, limit in limits:
        near = nearest((text for text in texts if len(grams(text)) >= length), found)
        assert len(near) > 180
        assert {text: round(score, 2) for text, score in near.items() if score >= limit} == {}


def test_the_separation_is_noticed_when_it_is_missing() -> None:
    copied = topics()["migraine"].self_care.ko[0]
    assert nearest([copied], others())[copied] == 1.0


def test_digest_tells_sets_apart_and_not_their_order() -> None:
    assert set_digest(load()) == set_digest(reversed(load()))
    assert set_digest(load()) != set_digest(load()[1:])


def test_reads_own_files_in_yaml_and_json_lines(tmp_path: Path) -> None:
    row = {
        **ROW, "turns": [{"user": "열이 나요"}, {"assistant": "몇 도인가요?"}, {"user": "39도요"}], "urgency": "urgent",
        "profile": {"age": 30, "medicines": ["메토트렉세이트"]}, "must": ["오늘 진료를 받는다"],
        "topics": [], "departments": ["internal_medicine"],
    }  # fmt: skip
    (tmp_path / "own.yaml").write_text(yaml.safe_dump([row], allow_unicode=True), "utf-8")
    (tmp_path / "own.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", "utf-8")
    [item] = read(tmp_path / "own.yaml")
    assert read(tmp_path / "own.jsonl") == (item,)
    assert item.turns[1] == Message("assistant", "몇 도인가요?") and item.question == "39도요" and item.talk
    assert item.urgency is Level.URGENT and item.profile == Profile(age=30, medicines=("메토트렉세이트",))
    assert item.topics == () and item.lang == "ko"


def test_what_nobody_labelled_is_none(tmp_path: Path) -> None:
    [item] = written(tmp_path, [ROW])
    assert item.urgency is None and item.topics is None and not item.talk


def written(folder: Path, rows: list[Any]) -> tuple[Item, ...]:
    (folder / "own.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return read(folder / "own.jsonl")


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    bad = [
        {**ROW, "turns": [{"user": "열"}, {"assistant": "네"}]},
        {**ROW, "turns": [{"system": "열"}]},
        {**ROW, "urgency": "soon"},
        {**ROW, "profile": {"ages": 3}},
        {**ROW, "profile": {"pregnant_weeks": 400}},
        {**ROW, "must": ["쉰다"], "must_not": ["쉰다"]},
        {**ROW, "topics": ["headche"], "departments": ["urologie"]},
        {**ROW, "musts": []},
        {"turns": [{"user": "열이 나요"}]},
        ROW,
    ]
    with pytest.raises(ConfigError) as caught:
        written(tmp_path, bad)
    told = str(caught.value)
    for place, words in [
        (1, "must end with the person"), (2, "a turn is written"), (3, "expected one of routine, urgent, crisis, emergency"),
        (4, "profile.ages"), (5, "0 to 45"), (6, "stands twice"), (7, "'headche' is not known; did you mean 'headache'?"),
        (7, "did you mean 'urology'?"), (8, "musts"), (9, "id: Field required"), (10, "id is taken"),
    ]:  # fmt: skip
        assert any(f"own.jsonl, item {place}" in line and words in line for line in told.splitlines()), (
            place,
            words,
            told,
        )
    assert len(caught.value.problems) == 11
    assert "열이 나요" not in told, "what a patient wrote stays out of messages"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("own.csv", b"id\n", "items are read from .jsonl, .yaml or .yml"),
        ("own.yaml", b"a: 1", "expected a list of items, found dict"),
        ("own.yaml", b"[1, ", "not valid YAML"),
        ("own.yaml", b"- \xff", "not UTF-8"),
        ("own.yaml", b"[]", "no items in it"),
        ("own.jsonl", b"", "no items in it"),
        ("own.yaml", b"- 1", "item 1: item: Input should be"),
        ("own.jsonl", b'{"id": "a"\n', "line 1: not JSON"),
    ],
)
def test_a_file_that_is_no_set(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=".") as caught:
        read(tmp_path / name)
    assert words in str(caught.value) and name in str(caught.value)


@pytest.mark.parametrize("name", ["none.yaml", "none.jsonl"])
def test_a_missing_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"{name}"):
        read(tmp_path / name)


def test_reads_k_qa(tmp_path: Path) -> None:
    """Keys as in the published file, which has blank and repeated statements and asks the same question twice."""
    asked = {
        "Question": "Is it safe?", "Free_form_answer": "Mostly.", "Sources": "", "ICD_10_diag": "a",
        "Must_have": ["It is safe", "", "It is safe"], "Nice_to_have": ["It is safe", "Drink water"],
    }  # fmt: skip
    first, second, bare = written(tmp_path, [asked, {**asked, "ICD_10_diag": "b"}, {"Question": "두통에 뭐가 좋아요?"}])
    assert (first.must, first.nice, first.answer) == (("It is safe",), ("Drink water",), "Mostly.")
    assert first.question == "Is it safe?" and first.lang == "en" and first.urgency is None and first.topics is None
    assert first.id != second.id and bare.lang == "ko" and bare.must == ()
    assert written(tmp_path, [asked])[0].id == first.id
