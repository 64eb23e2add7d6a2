"""Real-shaped questions and answers, made: clinical sentences inside the wrappings of SITES.md C1. All persons are invented."""

from __future__ import annotations

import random
from collections.abc import Iterator

from hypothesis import strategies as st

NAMES = ("김철수", "이영희", "박민준", "최지우", "정하은", "남궁민", "한지훈", "서예린")
DEPARTMENTS = ("신경과", "정형외과", "이비인후과", "소아청소년과", "피부과", "소화기내과", "정신건강의학과", "산부인과")
HEADS = (
    "안녕하세요, 하이닥 {d} 상담의 {n} 입니다. ",
    "안녕하세요.  하이닥 {d} 상담의 {n}입니다. ",
    "안녕하세요? 하이닥 운동상담사 '{n}'입니다. ",
    "안녕하십니까, 하이닥-네이버 지식iN 상담의사 {n} 입니다. ",
    "대한의사협회·네이버 지식iN 상담의사 {n} 입니다. ",
    "네이버 지식iN 상담 약사 {n}입니다. ",
    "안녕하세요. {d} 전문의 {n}입니다. 질문 주셔서 감사합니다. ",
    "안녕하세요 하이닥 상담의 \"{n}\" 입니다. 문의하신 내용에 답변 드리겠습니다. ",
    "",
)  # fmt: skip
TAILS = (
    " 감사합니다.",
    " 답변이 도움이 되셨기를 바랍니다. 감사합니다.",
    " 쾌유를 빕니다. 하이닥 상담의 {n} 드림",
    " 정확한 검진과 판단은 {d} 진찰을 받고 들으시기 바랍니다. 감사합니다.",
    " 답변을 참고하시기 전에 1. 온라인 상에서의 답변은 제한적인 정보에 따른 견해로 법적인 책임이 없는 참고 정보로만 고려해주세요."
    " 2. 정확한 의학적 검진과 판단은 가까운 병원에 방문하셔서 전문의에게 들으시기 바랍니다.",
    "",
)
DRUGS = ("타이레놀", "이부프로펜", "아목시실린", "암로디핀", "메트포르민", "오메프라졸", "와파린", "레보티록신")
UNITS = ("mg", "ml", "도", "%", "회", "일", "주", "개월", "시간", "cm", "mmHg", "정")
# Clinical sentences: {v} is a number with its unit, {g} a medicine; negations are in the sentences.
CLINICAL = (
    "혈압이 {v} 이상이면 진료가 필요합니다.",
    "{g} {v}을 하루 3회 식후에 복용하세요.",
    "{g}은 술과 함께 드시면 안 됩니다.",
    "이 증상만으로는 암이 아닙니다.",
    "{v} 동안 낫지 않으면 다시 검사해야 합니다.",
    "염증은 없고 {g}은 끊지 마세요.",
    "두통은 대개 {v} 안에 좋아지지만 구토가 있으면 바로 오셔야 합니다.",
    "임신 중에는 {g}을 못 드십니다.",
    "수치가 {v}에서 {v}로 떨어졌다면 수술하지 않아도 됩니다.",
    "피부과 전문의 진료를 권합니다.",
    "체온 37.5도, 맥박 72회, 혈압 120/80은 정상입니다.",
    "감기에는 항생제가 필요 없습니다.",
    "환자 본인의 {v} 전 검사 결과를 확인해야 합니다.",
    "인후염입니다.",
    "외과 수술이 아니라 물리치료로 충분합니다.",
    "담배를 끊으시면 도움이 됩니다.",
    "스트레칭은 증상 회복에 도움이 됩니다.",
    "온라인 상담으로는 {v} 이상의 결절을 구별하지 못합니다.",
)
QUESTIONS = (
    "머리가 {v}째 아파요. {g} 먹어도 되나요?",
    "아이가 열이 39도인데 {g} {v} 먹였어요 안 내려요",
    "건강검진에서 AST {v} 나왔는데 괜찮나요",
    "배가 아프고 설사를 해요 병원에 안 가도 될까요?",
    "<o:p></o:p>허리가 아픈데 {v}째 못 자요 ㅠㅠ",
    "안녕하세요. 혈압약 {g}을 먹는데 어지러워요. 감사합니다.",
    "- 성별 : 여\n- 혈압 : 120/80\n- 키/체중 : 160/55\n- 가족력(암, 당뇨 등) : 없음\n- 상담내용 : {g} 복용 중인데 {v} 더 먹어도 되나요",
)  # fmt: skip
NOISE = ("&nbsp;", "\u200b", "<br>", "<!--StartFragment-->", "\u00a0", "", "", "")


def values() -> st.SearchStrategy[str]:
    """A number with its unit."""
    number = st.one_of(
        st.integers(1, 999).map(str), st.floats(0.1, 99, allow_nan=False).map(lambda value: f"{value:.1f}")
    )
    return st.tuples(number, st.sampled_from(UNITS)).map("".join)


@st.composite
def clinical(draw: st.DrawFn, least: int = 1) -> str:
    """Clinical sentences with values and medicines."""
    sentences = draw(st.lists(st.sampled_from(CLINICAL), min_size=least, max_size=6, unique=True))
    return " ".join(_filled(sentence, draw) for sentence in sentences)


def _filled(sentence: str, draw: st.DrawFn) -> str:
    while "{v}" in sentence:
        sentence = sentence.replace("{v}", draw(values()), 1)
    return sentence.replace("{g}", draw(st.sampled_from(DRUGS)))


@st.composite
def wrapped(draw: st.DrawFn) -> tuple[str, str, str]:
    """A clinical core, the same in its wrapping, and the doctor's name."""
    core, name = draw(clinical(3)), draw(st.sampled_from(NAMES))
    fill = {"n": name, "d": draw(st.sampled_from(DEPARTMENTS))}
    head, tail = draw(st.sampled_from(HEADS)).format(**fill), draw(st.sampled_from(TAILS)).format(**fill)
    return core, head + core + tail, name


def rows(count: int, seed: int = 0) -> Iterator[dict[str, str]]:
    """Rows in the shapes of C1 with duplicates, near duplicates, stock answers, deleted and damaged ones."""
    dice = random.Random(seed)
    texts: list[tuple[str, str]] = []
    for place in range(count):
        question, answer = _pair(dice)
        if texts and dice.random() < 0.15:
            question, answer = _again(dice, *dice.choice(texts), question, answer)
        texts.append((question, answer))
        yield {"id": f"r{place:07d}", "question": question, "answer": answer, "title": question[:30]}


def _pair(dice: random.Random) -> tuple[str, str]:
    def fill(text: str) -> str:
        while "{v}" in text:
            text = text.replace("{v}", f"{dice.randint(1, 400)}{dice.choice(UNITS)}", 1)
        text = text.replace("{g}", dice.choice(DRUGS)).replace("{n}", dice.choice(NAMES))
        return text.replace("{d}", dice.choice(DEPARTMENTS))

    core = " ".join(dice.sample(CLINICAL, dice.randint(2, 5))).replace(". ", dice.choice((". ", ". ", ".", ".\n")))
    question = " ".join(dice.sample(QUESTIONS[:-1], 2)) if dice.random() < 0.9 else QUESTIONS[-1]
    answer = fill(dice.choice(HEADS) + dice.choice(NOISE) + core + dice.choice(NOISE) + dice.choice(TAILS))
    return _damaged(dice, fill(question)), answer


def _damaged(dice: random.Random, question: str) -> str:
    chance = dice.random()
    if chance < 0.01:
        return '"본 게시물은 질문자 본인의 요청으로 삭제되었습니다."'
    return (
        "#NAME?"
        if chance < 0.02
        else f"{question} 제 번호는 010-{dice.randint(2000, 9999)}-1234예요"
        if chance < 0.04
        else question
    )


def _again(dice: random.Random, question: str, answer: str, other: str, fresh: str) -> tuple[str, str]:
    """An exact copy, a copy with another end, a stock answer, or the same question to another doctor."""
    return dice.choice(
        ((question, answer), (f"{question} 답변요", answer + " 참고하세요."), (other, answer), (question, fresh))
    )
