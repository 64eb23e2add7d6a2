from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mundap.translate.sentences import pieces
from mundap.translate.shield import Name, protect, restore

QUICK = settings(max_examples=150, deadline=None)
# Text made of what the shield and the splitter look for, and anything else.
PARTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["500 mg", "5 to 10 mL", "1,000", "38.5°C", "1/2", "3 times", "3번", "120/80 mmHg", "٣", "½"]),
    st.sampled_from(["[이름1]", "[1]", "⟦0⟧", "⟦", "⟧", "https://a.kr/b?c=1", "a@b.co.kr", "Dr. Kim", "e.g. "]),
    st.sampled_from(
        [". ", "! ", "\n", "\n\n", "- ", "1. ", "  * ", "가. ", "다. ", "\r\n", "\t", "?", "(ⓐ) ", "\u3000"]
    ),
)
TEXTS = st.lists(PARTS, max_size=14).map("".join)


@QUICK
@given(TEXTS, st.sampled_from(["ko", "en"]))
def test_what_is_protected_comes_back(text: str, target: str) -> None:
    shield = protect(text, target)
    assert shield.original == text
    restored = restore(shield.text, shield.slots)
    assert restored.whole
    assert restored.text == (text if target == "en" else restored.text)


@QUICK
@given(TEXTS, st.sampled_from(["ko", "en"]))
def test_the_pieces_of_a_text_are_the_text(text: str, lang: str) -> None:
    found = pieces(text, lang)
    assert "".join(piece.before + piece.text for piece in found) == text
    assert all(piece.text == piece.text.strip() for piece in found)


def slots(text: str, target: str = "ko") -> list[str]:
    return [slot.source for slot in protect(text, target).slots]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Take 500 mg with water.", ["500 mg"]),
        ("5 to 10 mL/kg/day", ["5 to 10 mL/kg/day"]),
        ("38.5 °C and 101°F", ["38.5 °C", "101°F"]),
        ("BP 120/80 mmHg, glucose 126 mg/dL", ["120/80 mmHg", "126 mg/dL"]),
        ("1,000 units, 1/2 tablet, 2.5%", ["1,000", "1/2", "2.5%"]),
        ("3 times a day, 2 tablets", ["3", "2"]),
        ("하루 3번 2알씩 500mg, 38.5도", ["3", "2", "500mg", "38.5"]),
        ("See https://a.kr/b?c=1). Mail a.b@c.co.kr", ["https://a.kr/b?c=1", "a.b@c.co.kr"]),
        ("[이름1]님, [1]", ["[이름1]", "[1]"]),
        ("COVID-19, vitamin B12 and L4-5", []),
        ("45 years old, for 3 days, in 2020", []),
        ("2020-05-03 또는 02-1234-5678", ["2020-05-03", "02-1234-5678"]),
    ],
)
def test_what_becomes_a_placeholder_and_what_stays(text: str, kept: list[str]) -> None:
    assert slots(text) == kept


def test_a_range_is_written_as_korean_writes_it() -> None:
    shield = protect("5 to 10 mg", "ko")
    assert restore("⟦0⟧을 드세요", shield.slots).text == "5~10 mg을 드세요"


def test_names_come_back_in_the_other_language_with_the_particle_that_fits() -> None:
    text = "Take ibuprofen, not metformin."
    shield = protect(text, "ko", [Name(5, 14, "이부프로펜"), Name(20, 29, "메트포르민")])
    assert shield.text == "Take ⟦0⟧, not ⟦1⟧."
    assert shield.original == text
    assert restore("⟦1⟧가 아니라 ⟦0⟧를 드세요", shield.slots).text == "메트포르민이 아니라 이부프로펜을 드세요"


@pytest.mark.parametrize(
    ("word", "given", "fitting"),
    [("와파린", "를", "을"), ("와파린", "로", "으로"), ("리튬", "와", "과"), ("인슐린", "는", "은"), ("니아신", "가", "이"),
     ("실데나필", "으로", "로"), ("카페시타빈", "이며", "이며"), ("아시클로버", "을", "를"), ("vitamin C", "을", "을")],
)  # fmt: skip
def test_particles(word: str, given: str, fitting: str) -> None:
    slots = protect("x", "ko", [Name(0, 1, word)]).slots
    assert restore(f"⟦0⟧{given} 드세요", slots).text == f"{word}{fitting} 드세요"


def test_what_went_wrong_with_placeholders_is_told() -> None:
    kept = protect("500 mg and 250 mg and 5 mL", "ko").slots
    told = restore("⟦0⟧ ⟦ 0 ⟧ ⟦2⟧ ⟦7⟧ ⟦", kept)
    assert (told.missing, told.repeated, told.invented) == ((1,), (0,), ("⟦7⟧", "⟦"))
    assert not told.whole
    assert restore("⟦2⟧ ⟦0⟧ ⟦1⟧", kept).order == (2, 0, 1)


def sentences(text: str, lang: str = "en") -> list[str]:
    return [piece.text for piece in pieces(text, lang) if piece.text]


def test_english_sentences() -> None:
    text = 'Dr. Smith gave 2.5 mg. (See e.g. Advil.) Did it help? "Yes." [1] No, 3 p.m. It hurt; see Fig. 2.'
    assert sentences(text) == [
        "Dr. Smith gave 2.5 mg.", "(See e.g. Advil.)", "Did it help?", '"Yes." [1]', "No, 3 p.m.", "It hurt; see Fig. 2.",
    ]  # fmt: skip


def test_bullets_blank_lines_and_spaces_are_between_the_sentences() -> None:
    found = pieces("Rest:\n\n  - Drink  water. Sleep.\n  2) Eat.\n\n", "en")
    assert [(piece.before, piece.text) for piece in found] == [
        ("", "Rest:"), ("\n\n  - ", "Drink  water."), (" ", "Sleep."), ("\n  2) ", "Eat."), ("\n\n", ""),
    ]  # fmt: skip


def test_a_list_in_one_line() -> None:
    found = pieces("Key points    - Drink water.   - Rest.", "en")
    assert [(piece.before, piece.text) for piece in found] == [
        ("", "Key points"), ("    - ", "Drink water."), ("   - ", "Rest."),
    ]  # fmt: skip


def test_a_line_wrapped_by_hand_is_one_sentence() -> None:
    assert sentences("Drink plenty of\nwater every day.\nThen rest.") == [
        "Drink plenty of\nwater every day.",
        "Then rest.",
    ]


def test_korean_sentences() -> None:
    assert sentences("열이 나요. 38.5도예요! 왜죠?\n1. 쉬세요~ 네", "ko") == [
        "열이 나요.",
        "38.5도예요!",
        "왜죠?",
        "쉬세요~",
        "네",
    ]


def test_korean_that_runs_on_is_split_by_its_grammar() -> None:
    text = (
        "머리가 아프고 열이 나서 어제 병원에 다녀왔어요 약을 받아서 먹었는데도 낫지 않아요 오늘은 기침도 나고 목도 아픕니다 "
        * 4
    )
    assert len(sentences(text, "ko")) > 4


def test_a_sentence_without_end_is_cut_at_a_comma() -> None:
    found = sentences("pain here, " * 200)
    assert max(map(len, found)) <= 800
    assert all(text.endswith(",") for text in found)
