from __future__ import annotations

import random

import pytest

from mundap.augment import filters
from mundap.augment.novelty import Novelty, morphemes, rouge
from mundap.augment.roundtrip import Answers
from mundap.augment.sieve import Sieve
from mundap.types import QA

KOREAN = QA(
    "k", "", "말씀하신 증상은 편두통일 수 있습니다. 조용하고 어두운 방에서 쉬고 물을 충분히 드세요. 아세트아미노펜은 하루 4000 mg을 "
    "넘기지 마시고, 두통이 사흘 넘게 계속되면 신경과 진료를 받아 보시기 바랍니다."
)  # fmt: skip
ENGLISH = QA(
    "e", "", "Gout is a kind of arthritis. It happens when uric acid builds up in blood and causes inflammation in the joints. "
    "Avoid alcohol and foods high in purines, and ask your doctor about medicines.", title="Gout", lang="en",
)  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "편두통이 있을 때 어떻게 쉬면 좋을까요?", "머리가 아픈 지 사흘이 됐는데 병원에 가야 하나요?",
        "편두통에는 어느 과 진료를 보면 되는지 궁금합니다",
        "두통이 있을 때 타이레놀을 하루에 얼마까지 먹어도 되는지 알려 주세요.", "두통이 3일째인데 괜찮은가요?",
    ],
)  # fmt: skip
def test_good_korean_questions_pass(text: str) -> None:
    assert filters.question(text, KOREAN) == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("두통이요?", "too short"),
        ("편두통이 있는데 " + "정말로 " * 80 + "괜찮을까요?", "too long"),
        ("What should I do about a migraine?", "another language"),
        ("안녕하세요 편두통인데 어떻게 하나요?", "greeting"),
        ("편두통은 어떻게 낫나요? 감사합니다", "greeting"),
        ("위 답변에서 편두통은 무엇이라고 하나요?", "speaks of its prompt"),
        ("편두통이 자주 있습니다 힘듭니다.", "not a question"),
        ("홍길동 원장님, 편두통은 왜 생기나요?", "names somebody"),
        ("[이름1] 편두통은 왜 생기나요?", "names somebody"),
        ("서울대학교병원에 가면 편두통이 낫나요?", "names somebody"),
        ("조용하고 어두운 방에서 쉬고 물을 충분히 마시면 되나요?", "copies the answer"),
        ("머리가 아픈 지 5일 됐는데 병원에 가야 하나요?", "a number its source lacks"),
        ("서른다섯 살인데 편두통이 올 수 있나요?", "a number its source lacks"),
        ("저는 여자인데 편두통에 어떻게 쉬나요?", "an age or sex its source lacks"),
        ("임신 중인데 편두통에 어떻게 하나요?", "an age or sex its source lacks"),
        ("편두통이 있고 설사도 하는데 어떻게 하나요?", "a medical term its source lacks"),
        ("편두통인데 속이 메스껍고 토를 하나요?", "a medical term its source lacks"),
        ("편두통에 이부프로펜을 먹어도 되나요?", "a medical term its source lacks"),
    ],
)
def test_bad_korean_questions_do_not(text: str, reason: str) -> None:
    assert filters.question(text, KOREAN) == reason


@pytest.mark.parametrize(
    "text",
    ["What is gout and why does it happen?", "Which foods should I avoid with gout?", "Please tell me why gout comes"],
)
def test_good_english_questions_pass(text: str) -> None:
    assert filters.question(text, ENGLISH) == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Gout is a disease of joints.", "not a question"),
        ("Hello doctor, what is gout?", "greeting"),
        ("Why does gout come? Which foods? Why does gout come?", "repeats itself"),
        ("According to the passage, what is gout?", "speaks of its prompt"),
        ("Can a 45 year old get gout?", "a number its source lacks"),
        ("Can gout last for two weeks?", "a number its source lacks"),
        ("Can women get gout too?", "an age or sex its source lacks"),
        ("Is Marfan syndrome like gout?", "a name its source lacks"),
        ("Does gout cause chest pain?", "a medical term its source lacks"),
        ("Does colchicine help with gout?", "a medical term its source lacks"),
        ("Can gout lead to nephropathy?", "a medical term its source lacks"),
        ("What happens when uric acid builds up in blood and causes trouble?", "copies the answer"),
        ("통풍은 왜 생기나요?", "another language"),
    ],
)
def test_bad_english_questions_do_not(text: str, reason: str) -> None:
    assert filters.question(text, ENGLISH) == reason


def test_what_the_answer_repeats_of_the_asker_may_be_copied() -> None:
    seed = QA("a", "", "말씀하신 가슴이 답답하고 숨이 차는 증상은 진료가 필요합니다.")
    assert filters.copied("가슴이 답답하고 숨이 차는 증상은 왜 그런가요?", seed) == ""
    other = QA("a", "", "가슴이 답답하고 숨이 차는 증상은 진료가 필요합니다.")
    assert filters.copied("가슴이 답답하고 숨이 차는 증상은 왜 그런가요?", other) == "copies the answer"


def test_a_title_may_be_copied() -> None:
    name = "congenital hereditary endothelial dystrophy of the cornea type one"
    seed = QA("a", "", f"There is no cure for {name} yet.", title=name, lang="en")
    assert filters.copied(f"Is there a cure for {name}?", seed) == ""


@pytest.mark.parametrize(
    ("title", "good"),
    [
        ("두통이 계속됩니다", True), ("질문", False), ("질문 있어요", False), ("#NAME?", False),
        ("본 게시물은 질문자 본인의 요청으로 삭제되었습니다.", False), ("홍길동 원장님께 묻습니다 두통", False),
    ],
)  # fmt: skip
def test_which_titles_can_stand_for_a_question(title: str, good: bool) -> None:
    assert filters.title(QA("a", "", "답", title=title)) is good


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Gout is a kind of arthritis. Avoid alcohol and foods high in purines.", ""),
        ("Gout is caused by eating sugar every day.", "a sentence its source does not carry"),
        ("Gout is a kind of arthritis. Uric acid builds up in blood within 12 hours.", "must not be said: number"),
        ("Take colchicine for gout. Gout is a kind of arthritis.", "a sentence its source does not carry"),
        ("", "empty"),
    ],
)
def test_an_answer_needs_the_doctors_words(text: str, reason: str) -> None:
    assert filters.answer(text, ENGLISH) == reason


def test_rouge_is_what_it_says() -> None:
    # Lin 2004: the longest common subsequence abe in 5 and 6 words: P = 3/6, R = 3/5, F = 6/11.
    assert rouge(list("abcde"), list("abxyze")) == pytest.approx(6 / 11)
    assert rouge([], []) == 0


def test_novelty_finds_what_comparing_with_all_finds() -> None:
    dice = random.Random(5)
    texts = [" ".join(dice.choices("abcdefgh", k=dice.randint(1, 9))) for _ in range(400)]
    kept, index = [], Novelty()
    for text in texts:
        near = any(rouge(morphemes(text), morphemes(other)) >= 0.7 - 1e-12 for other in kept)
        assert index.taken(text) == near, text
        if not near:
            kept.append(text)
            index.add(text)
    assert 20 < len(kept) < 400


def test_korean_questions_are_compared_by_morphemes() -> None:
    index = Novelty(["편두통이 있을 때 어떻게 쉬면 좋을까요?"])
    assert index.taken("편두통이 있을 때는 어떻게 쉬면 좋나요?")
    assert not index.taken("편두통에는 어느 과 진료를 보면 되나요?")


def test_a_question_finds_its_own_answer_or_not() -> None:
    answers = Answers([KOREAN.answer, ENGLISH.answer, KOREAN.answer, "무릎이 아프면 쉬고 찜질을 하세요."])
    assert answers.rank("편두통이 있을 때 어떻게 쉬면 좋을까요?", KOREAN.answer, 3)[0] == 1
    assert answers.rank("무릎 찜질을 해도 되나요?", KOREAN.answer, 1) == (0, 0.0)
    assert answers.rank("???", KOREAN.answer, 3) == (0, 0.0)


def test_the_sieve_gives_the_first_reason_and_remembers() -> None:
    sieve = Sieve([KOREAN, QA("b", "무릎이 아픈데 어떻게 하나요?", "무릎이 아프면 쉬고 찜질을 하세요.")])
    good = sieve.judge("편두통이 있을 때 어떻게 쉬면 좋을까요?", KOREAN)
    assert (good.reason, good.rank) == ("", 1)
    sieve.keep(good.text)
    assert sieve.judge("편두통이 있을 때 어떻게 쉬면 좋을까요?", KOREAN).reason == "like another question"


def test_a_question_that_finds_other_answers_first_is_refused() -> None:
    others = [QA(f"o{n}", "", f"두통이 계속되면 쉬세요. 두통 두통 {n}번 진료") for n in range(5)]
    seed = QA(
        "s",
        "",
        "여러 가지 까닭이 있습니다. 자세한 설명을 길게 드리자면 잠을 잘 자고 물을 마시며 지켜보는 것이 좋고 두통도 있을 수 있습니다.",
    )
    assert Sieve([*others, seed]).judge("두통이 계속되면 쉬어야 하나요?", seed).reason == "does not find its own answer"
