from __future__ import annotations

import pytest
import yaml

from mundap.translate import checks, glossary
from mundap.translate.amounts import numbers, units
from mundap.translate.checks import Pair, check

GLOSSARY = glossary.load()
# Right translations, in the looser wording that people use, some with numbers in words on one side.
RIGHT = [
    ("Take two tablets three times a day after meals.", "하루 3번, 식사 후에 두 알씩 드세요."),
    ("Use it for a week at most.", "길어도 일주일만 쓰세요."),
    ("About 100 thousand people, 1.5 million in all.", "약 10만 명, 모두 150만 명입니다."),
    ("One and a half hours later, half of it is gone.", "한 시간 반이 지나면 절반이 사라집니다."),
    ("A fever above 38.5 °C for twenty-four hours", "38.5도가 넘는 열이 하루 동안 이어질 때"),
    ("Do not take it with alcohol.", "술과 함께 드시지 마세요."),
    ("Do not sponge with cold water.", "찬물로 닦는 것은 피하세요."),
    ("It is not only safe but cheap.", "안전할 뿐만 아니라 값도 쌉니다."),
    ("You must see a doctor.", "병원에 가지 않으면 안 됩니다."),
    ("Avoid salty food.", "짠 음식은 드시지 마세요."),
    ("In May 2020, on the 5th", "2020년 5월 5일에"),
    ("2 to 3 weeks", "이삼 주"),
    ("Vitamin B12 and T4 were normal.", "비타민 B12와 T4는 정상이었습니다."),
    ("500 micrograms in 10 ml", "10ml에 500마이크로그램"),
    ("MRI", "MRI"),
    ("Yes.", "네."),
    ("I'm sorry to hear that.", "힘드시겠어요."),
]
# What each check must notice.
WRONG = [
    ("Take 500 mg of it.", "50 mg을 드세요.", "numbers"),
    ("Take two tablets.", "세 알을 드세요.", "numbers"),
    ("Check vitamin B12.", "비타민 B6를 검사하세요.", "numbers"),
    ("Wait 3 days, then 5 days more.", "3일을 기다리고 더 기다리세요.", "numbers"),
    ("It costs 5 thousand won.", "5만 원입니다.", "numbers"),
    ("Give 5 mg to the child.", "아이에게 5 g을 주세요.", "units"),
    ("Give 50 mcg to the child.", "아이에게 50 mg을 주세요.", "units"),
    ("Rest for two weeks.", "2개월 동안 쉬세요.", "units"),
    ("Take it 3 times.", "3알을 드세요.", "units"),
    ("Add 5 ml of water.", "물 5를 넣으세요.", "units"),
    ("Do not take it with alcohol.", "술과 함께 드세요.", "negation"),
    ("Never stop it by yourself.", "스스로 끊으세요.", "negation"),
    ("Take it with food.", "음식과 함께 드시지 마세요.", "negation"),
    ("It hurts at night.", "죄송하지만 의학 내용은 번역해 드릴 수 없습니다.", "refusal"),
    ("It hurts at night.", "Translation: 밤에 아픕니다.", "refusal"),
    ("It hurts at night.", "It hurts at night.", "untranslated"),
    ("It hurts and I cannot sleep at all these days.", "아파서 and I cannot sleep at all 잡니다.", "untranslated"),
    ("It hurts at night.", "夜に痛みます。", "untranslated"),
    ("It hurts at night.", "아픕니다 아픕니다 아픕니다 아픕니다", "repetition"),
    ("It hurts very much at night when I lie down on my left side in bed.", "아픕니다.", "length"),
    ("Stop.", "그만두시고 오늘은 집에서 푹 쉬시면서 따뜻한 차를 자주 드시고 일찍 주무세요.", "length"),
    ("Is aspirin safe?", "진통제는 안전한가요?", "medicines"),
    ("It may be a migraine.", "머리 병일 수 있어요.", "glossary"),
    ("Give 5 mg, then 10 mg.", "10 mg을 주고 5 mg을 주세요.", "order"),
    ("See https://a.kr/bc for more.", "더 자세한 것은 누리집을 보세요.", "placeholders"),
    ("Call [이름1] now.", "지금 [이름]에게 전화하세요.", "placeholders"),
]  # fmt: skip


def failed(source: str, target: str, lang: str = "en") -> list[str]:
    other = "ko" if lang == "en" else "en"
    return [problem.check for problem in check(Pair(source, target, lang, other), GLOSSARY)]


@pytest.mark.parametrize(("english", "korean"), RIGHT)
def test_a_right_translation_passes_both_ways(english: str, korean: str) -> None:
    assert failed(english, korean) == []
    assert [name for name in failed(korean, english, "ko") if name != "length"] == []


@pytest.mark.parametrize(("source", "target", "name"), WRONG)
def test_a_wrong_one_does_not(source: str, target: str, name: str) -> None:
    assert name in failed(source, target)


@pytest.mark.parametrize(
    ("source", "target", "name"),
    [
        ("술과 함께 드시지 마세요.", "Take it with alcohol.", "negation"),
        ("약을 드세요.", "Do not take the medicine.", "negation"),
        ("5mg씩 드세요.", "Take 5 g each time.", "units"),
        ("두 알씩 드세요.", "Take 3 each time.", "numbers"),
        ("밤에 아파요.", "밤에 아파요.", "untranslated"),
        ("밤에 아파요.", "I'm sorry, but I can't translate that.", "refusal"),
        ("편두통이 있어요.", "I have a cold.", "glossary"),
    ],
)
def test_the_way_from_korean(source: str, target: str, name: str) -> None:
    assert name in failed(source, target, "ko")


def test_an_empty_translation_is_only_empty() -> None:
    assert failed("It hurts.", " ") == ["empty"]


def test_every_check_has_an_action_and_every_action_a_check() -> None:
    assert set(checks.actions().values()) == {"drop", "flag"}
    names = {name for *_, name in WRONG} | {"empty", "engine", "names_order", "round_trip"}
    assert names == set(checks.actions())


def test_a_detail_holds_no_sentence() -> None:
    for source, target, _ in WRONG:
        for problem in check(Pair(source, target, "en", "ko"), GLOSSARY):
            assert source not in problem.detail and target not in problem.detail


def test_numbers_in_korean_words() -> None:
    found = numbers("두통과 세포 이야기: 하루 두 번, 열두 시간, 3만 5천 명, 백신 5개", "ko")
    assert found.firm == {2, 12}
    assert sorted(found.digits) == [5, 35000]
    assert {1, 24} <= found.soft


def test_units_of_ranges_and_of_words() -> None:
    assert units("5~10mg, two weeks, 두 달, 120/80 mmHg") == {
        5: {"mg"}, 10: {"mg"}, 2: {"week", "month"}, 120: {"mmhg"}, 80: {"mmhg"},
    }  # fmt: skip


def test_patterns_end_on_hostile_text() -> None:
    for text in ("1" * 4000, "1," * 2000, "가" * 4000, "a " * 2000, "지 않" * 1500, "1 to " * 1000, "⟦" * 3000):
        assert failed("It hurts.", text)


def test_the_data_has_no_key_twice() -> None:
    def keys(node: yaml.Node) -> None:
        if isinstance(node, yaml.MappingNode):
            names = [key.value for key, _ in node.value]
            assert len(names) == len(set(names)), names
            for _, value in node.value:
                keys(value)

    from importlib.resources import files

    keys(yaml.compose((files("mundap.translate") / "checks.yaml").read_text("utf-8")))
