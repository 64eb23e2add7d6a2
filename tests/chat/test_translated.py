"""Korean in, an English model, Korean out: nothing shows that was not checked in both languages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest

from mundap import config
from mundap.chat.engine import Engine
from mundap.chat.engines import Engines
from mundap.errors import ConfigError, ModelError, UserError
from mundap.models.scripted import Scripted
from mundap.retrieve.lexical import Lexical
from mundap.translate.shielded import Shielded
from mundap.types import Lang, Level, Message, Options, Reply

ASKED = "두통이 있어요. 어떻게 하면 좋을까요?"
REST = "Rest in a quiet, dark room and sip water."
SCREENS = "Take a break from screens and do not skip meals or sleep."
BRAIN = "Most headaches are tension-type or migraine and do not come from damage to the brain."
DAYS = "Taking painkillers on more than about ten days a month can itself make headaches more frequent."
KOREAN = {
    "두통이 있어요.": "I have a headache.",
    "저는 ⟦0⟧인데 두통이 있어요.": "I am ⟦0⟧ and I have a headache.",
    "어떻게 하면 좋을까요?": "What should I do?",
    REST: "조용하고 어두운 방에서 쉬고 물을 조금씩 드세요.",
    SCREENS: "화면을 잠시 끄고 끼니와 잠을 거르지 마세요.",
    BRAIN: "두통은 대부분 긴장형 두통이나 편두통이며 뇌 손상에서 오는 것이 아닙니다.",
    DAYS: "진통제를 한 달에 열흘 넘게 먹으면 그 자체로 두통이 더 잦아질 수 있습니다.",
}


class Phrasebook:
    """A translator that knows some sentences by heart; what it was asked is kept."""

    name, model, version, notice = "phrasebook", "1", "1", ""

    def __init__(self, known: Mapping[str, str]) -> None:
        self.known = dict(known)
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str], source: Lang, target: Lang) -> list[str]:
        self.asked += texts
        return [self.known[text] for text in texts]


class Broken(Phrasebook):
    """A translator that fails after so many calls."""

    def __init__(self, known: Mapping[str, str], after: int, error: Exception) -> None:
        super().__init__(known)
        self.after, self.error = after, error

    def __call__(self, texts: Sequence[str], source: Lang, target: Lang) -> list[str]:
        if self.after <= 0:
            raise self.error
        self.after -= 1
        return super().__call__(texts, source, target)


def answer(engine: Engine, *turns: str) -> Reply:
    history = [Message("user", turn) for turn in turns]
    events = list(engine.reply(history))
    reply = events[-1]
    assert isinstance(reply, Reply)
    assert "".join(event for event in events if isinstance(event, str)) == reply.text
    return reply


def chat(retriever: Lexical, model: Scripted, translator: Phrasebook) -> Engine:
    return Engine(retriever, model=model, interpreter=Shielded(translator, final=(Exception,)))


def english(*sentences: str) -> Scripted:
    return Scripted([" ".join(sentences)], languages=("en",))


def test_korean_goes_to_an_english_model_and_comes_back_korean(retriever: Lexical) -> None:
    model, translator = english(REST), Phrasebook(KOREAN)
    reply = answer(chat(retriever, model, translator), ASKED)
    assert reply.text.startswith(f"{KOREAN[REST]} [1]")
    assert (reply.lang, reply.finish, reply.why) == ("ko", "stop", "")
    assert reply.model == "scripted + phrasebook"
    assert "바로 119" in reply.text and [citation.n for citation in reply.citations] == [1]
    assert "두통" in reply.citations[0].snippet
    system, user = model.prompts[0]
    assert "I have a headache. What should I do?" in user.content
    assert "Rest in a quiet, dark room and sip water." in user.content
    assert not any("가" <= letter <= "힣" for letter in system.content + user.content)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("아버지가 갑자기 말이 어눌하고 한쪽 팔에 힘이 없어요", Level.EMERGENCY),
        ("그만 살고 싶어요", Level.CRISIS),
    ],
)
def test_an_emergency_is_found_in_the_own_words_and_nothing_is_translated(
    retriever: Lexical, text: str, level: Level
) -> None:
    model, translator = english(REST), Phrasebook({text: "I have a mild headache."})
    reply = answer(chat(retriever, model, translator), text)
    assert reply.urgency.level == level and reply.model == "fixed"
    assert translator.asked == [] and model.prompts == []


def test_an_emergency_said_earlier_is_not_translated_away(retriever: Lexical) -> None:
    model, translator = english(REST), Phrasebook(KOREAN)
    reply = answer(chat(retriever, model, translator), "가슴을 쥐어짜는 것처럼 아프고 식은땀이 나요", "두통이 있어요.")
    assert reply.urgency.level == Level.EMERGENCY
    assert translator.asked == []


def test_each_sentence_is_shown_before_the_next_one_is_written(retriever: Lexical) -> None:
    written: list[str] = []

    class Slowly(Scripted):
        def generate(self, messages: Sequence[Message], options: Options) -> Iterator[str]:
            for sentence in (REST, SCREENS):
                written.append(sentence)
                yield f"{sentence} "

    translator = Phrasebook(KOREAN)
    events = chat(retriever, Slowly([], languages=("en",)), translator).reply([Message("user", ASKED)])
    assert next(events) == f"{KOREAN[REST]} [1]"
    assert SCREENS not in translator.asked
    assert next(events) == f" {KOREAN[SCREENS]} [1]"
    assert written == [REST, SCREENS]


def test_a_person_who_leaves_stops_the_model(retriever: Lexical) -> None:
    stopped: list[bool] = []

    class Noting(Scripted):
        def generate(self, messages: Sequence[Message], options: Options) -> Iterator[str]:
            try:
                yield f"{REST} "
                yield SCREENS
            finally:
                stopped.append(True)

    translator = Phrasebook(KOREAN)
    events = chat(retriever, Noting([], languages=("en",)), translator).reply([Message("user", ASKED)])
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert stopped == [True] and SCREENS not in translator.asked


def test_an_english_question_goes_straight_to_the_model(retriever: Lexical) -> None:
    model, translator = english(REST), Phrasebook({})
    reply = answer(chat(retriever, model, translator), "I have a headache")
    assert reply.lang == "en" and reply.text.startswith(REST)
    assert translator.asked == []
    assert reply.model == "scripted"


def test_a_model_that_may_not_answer_in_english_is_not_asked(retriever: Lexical) -> None:
    model, translator = Scripted([REST], languages=("ko",)), Phrasebook(KOREAN)
    reply = answer(chat(retriever, model, translator), ASKED)
    assert reply.model == "compose" and model.prompts == [] and translator.asked == []


BAD: dict[str, tuple[str, str]] = {
    "loses the not": (BRAIN, "대부분의 두통은 긴장형이나 편두통이며 뇌 손상에서 옵니다."),
    "changes a number": (DAYS, "진통제를 한 달에 20일 넘게 먹으면 그 자체로 두통이 더 잦아질 수 있습니다."),
    "stays English": (REST, REST),
    "refuses": (REST, "죄송하지만 이 요청은 도와드릴 수 없습니다."),
    "repeats": (REST, "물을 드세요 물을 드세요 물을 드세요 물을 드세요 물을 드세요 물을 드세요."),
    "is empty": (REST, ""),
    "says something else": (REST, "매일 아침 소금물로 코를 씻으면 감기가 사라집니다."),
    "says nothing": (REST, "모르는 문장입니다."),
    "diagnoses": (REST, "환자분은 편두통입니다, 조용하고 어두운 방에서 쉬세요."),
    "doses": (REST, "조용한 방에서 쉬고 타이레놀 500mg을 드세요."),
    "gives a number to call": (REST, "조용하고 어두운 방에서 쉬고 02-123-4567로 전화하세요."),
    "runs on": (REST, "조용하고 어두운 방에서 쉬고 물을 천천히 드세요. " * 9),
}


@pytest.mark.parametrize(("sentence", "bad"), BAD.values(), ids=list(BAD))
def test_what_a_translator_gets_wrong_never_shows(retriever: Lexical, sentence: str, bad: str) -> None:
    translator = Phrasebook({**KOREAN, sentence: bad})
    asked = "두통은 왜 생기나요?"
    translator.known[asked] = "Why do headaches happen?"
    model = english(sentence, SCREENS if sentence != DAYS else BRAIN)
    reply = answer(chat(retriever, model, translator), asked if sentence == DAYS else ASKED)
    assert translator.asked.count(sentence) >= 1
    assert reply.model == "scripted + phrasebook", reply.why
    assert not bad or bad.strip()[:15] not in reply.text
    alone = answer(chat(retriever, english(sentence), translator), asked if sentence == DAYS else ASKED)
    assert alone.model == "compose" and "phrasebook" in alone.why and "검사" in alone.why
    assert not bad or bad.strip()[:15] not in alone.text


def test_a_question_that_is_not_translated_well_is_answered_from_the_sources(retriever: Lexical) -> None:
    model = english(REST)
    translator = Phrasebook({"두통이 3일째 있어요.": "I have had a headache for 30 days."})
    reply = answer(chat(retriever, model, translator), "두통이 3일째 있어요.")
    assert reply.model == "compose" and "검사를 통과하지 못해" in reply.why
    assert model.prompts == [] and "두통" in reply.text


ERRORS: list[Exception] = [ModelError("quota used up"), UserError("no key"), RuntimeError("비밀 두통 010-1234-5678")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("after", [0, 1])
def test_a_translator_that_is_down_leaves_a_composed_answer(
    retriever: Lexical, caplog: pytest.LogCaptureFixture, error: Exception, after: int
) -> None:
    reply = answer(chat(retriever, english(REST), Broken(KOREAN, after, error)), "두통이 있어요.")
    assert reply.model == "compose" and reply.finish == "stop"
    assert "phrasebook" in reply.why and "두통" in reply.text
    assert "비밀" not in caplog.text and "010" not in caplog.text


def test_a_translator_that_dies_after_a_sentence_ends_with_safety_and_an_error(retriever: Lexical) -> None:
    model = english(REST, SCREENS)
    reply = answer(chat(retriever, model, Broken(KOREAN, 2, ModelError("gone"))), "두통이 있어요.")
    assert reply.text.startswith(KOREAN[REST]) and "바로 119" in reply.text
    assert reply.finish == "error" and KOREAN[SCREENS] not in reply.text


def test_a_model_that_fails_is_not_blamed_on_the_translator(retriever: Lexical) -> None:
    model = Scripted([REST], languages=("en",), fail_after=0)
    reply = answer(chat(retriever, model, Phrasebook(KOREAN)), ASKED)
    assert reply.model == "compose" and "scripted" in reply.why and "phrasebook" not in reply.why


def test_who_somebody_is_does_not_reach_the_translator(retriever: Lexical) -> None:
    translator = Phrasebook(KOREAN)
    reply = answer(chat(retriever, english(REST), translator), "저는 김철수인데 두통이 있어요.")
    assert reply.text.startswith(KOREAN[REST])
    assert translator.asked and not any("김철수" in text for text in translator.asked)


RECIPE = {
    "models": {
        "small": {"use": "scripted", "replies": [REST], "languages": ["en"]},
        "helper": {"use": "scripted", "replies": ["I have a headache.", KOREAN[REST]]},
    },
    "chat": {"model": "small", "translate": {"use": "llm", "model": "helper"}},
}


def test_a_recipe_puts_a_model_of_its_own_in_between(capsys: pytest.CaptureFixture[str]) -> None:
    from mundap.chat import terminal
    from mundap.types import Profile

    engines = Engines(recipe=config.parse(RECIPE, "test"))
    terminal.one(engines, "두통이 있어요.", Profile(), as_json=True)
    shown = capsys.readouterr()
    assert KOREAN[REST] in shown.out and '"model": "scripted + llm"' in shown.out
    assert shown.err == ""


def test_a_licence_notice_is_shown_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mundap.translate.llm.Llm.notice", "for research only")
    Engines(recipe=config.parse(RECIPE, "test"))
    assert "llm: for research only" in capsys.readouterr().err


def test_a_translator_of_one_direction_is_refused_before_anybody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_to_korean(_: object, source: Lang, target: Lang) -> None:
        if target == "en":
            raise UserError("does not translate ko to en")

    monkeypatch.setattr("mundap.translate.llm.Llm.directed", only_to_korean, raising=False)
    with pytest.raises(UserError, match="ko to en"):
        Engines(recipe=config.parse(RECIPE, "test"))


@pytest.mark.parametrize(
    ("translate", "said"),
    [
        ({"use": "papgo"}, "did you mean 'papago'"),
        ("deepll", "did you mean 'deepl'"),
        ({"use": "llm", "model": "helpr"}, "did you mean 'helper'"),
        ({"use": "llm"}, "chat.translate.model"),
    ],
)
def test_a_wrong_translator_is_found_when_the_recipe_is_read(translate: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config.parse({**RECIPE, "chat": {"translate": translate}}, "test")


def test_a_missing_key_is_said_before_anybody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NCP_APIGW_API_KEY_ID", raising=False)
    with pytest.raises(UserError, match="NCP_APIGW_API_KEY_ID"):
        Engines(recipe=config.parse({"chat": {"translate": "papago"}}, "test"))
