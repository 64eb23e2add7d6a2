from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from shaky import Book, Failing

from mundap.errors import ModelError, UserError
from mundap.translate import roundtrip
from mundap.translate.cache import Cache
from mundap.translate.shielded import Shielded, Translation
from mundap.types import Lang

TEXT = "Take 500 mg of ibuprofen 3 times a day, but do not take 250 mg more."
SENT = "Take ⟦0⟧ of ⟦1⟧ ⟦2⟧ times a day, but do not take ⟦3⟧ more."
GOOD = "⟦1⟧ ⟦0⟧을 하루 ⟦2⟧번 드시되 ⟦3⟧을 더 드시지는 마세요."
PLAIN = TEXT.replace("ibuprofen", "ibuprofen")
DONE = "이부프로펜 500 mg을 하루 3번 드시되 250 mg을 더 드시지는 마세요."


def translated(engine: object, text: str = TEXT, **config: object) -> Translation:
    return Shielded(engine, **config).translate([text], "en", "ko")[0]


def test_a_good_engine() -> None:
    book = Book({SENT: GOOD})
    assert translated(book) == Translation(DONE)
    assert book.asked == [(SENT,)]


def test_paragraphs_bullets_and_numbers_alone_stay() -> None:
    book = Book({"Rest.": "쉬세요.", "Drink water.": "물을 드세요."})
    done = translated(book, "Rest. 120/80\n\n - Drink water.\n - Rest.\n")
    assert done == Translation("쉬세요. 120/80\n\n - 물을 드세요.\n - 쉬세요.\n")
    assert book.asked == [("Rest.", "Drink water.")]


def test_sentences_go_together_in_batches() -> None:
    lines = {f"Rest {word}.": f"{word} 쉬세요." for word in ("early", "late", "well", "now", "here")}
    book = Book(dict.fromkeys(lines, "오래 쉬세요."))
    Shielded(book, batch=2).translate(list(lines), "en", "ko")
    assert [len(part) for part in book.asked] == [2, 2, 1]


# An engine that spoils a good translation, and the check that notices.
SPOILERS: list[tuple[str, Callable[[str], str], str]] = [
    ("drops a number", lambda text: text.replace("⟦0⟧을", "그것을"), "placeholders"),
    ("drops it and what came back was never sent", lambda text: text.replace("⟦0⟧", "⟦7⟧"), "placeholders"),
    ("says a placeholder twice", lambda text: text.replace("⟦3⟧", "⟦3⟧ ⟦3⟧"), "placeholders"),
    ("changes places", lambda text: text.replace("⟦0⟧", "⟦x⟧").replace("⟦3⟧", "⟦0⟧").replace("⟦x⟧", "⟦3⟧"), "order"),
    ("changes mg to g", lambda text: text.replace("⟦0⟧", "500 g"), "units"),
    ("changes a dose", lambda text: text.replace("⟦3⟧", "25 mg"), "numbers"),
    ("loses the not", lambda text: text.replace("드시지는 마세요", "드세요"), "negation"),
    ("refuses", lambda text: "죄송하지만 의학적인 내용은 번역해 드릴 수 없습니다.", "refusal"),
    ("talks about itself", lambda text: f"Here is the translation: {text}", "refusal"),
    ("repeats", lambda text: f"{text} " + "드세요 " * 8, "repetition"),
    ("answers in English", lambda text: SENT, "untranslated"),
    ("answers in Chinese", lambda text: "每天⟦2⟧次服用⟦0⟧的⟦1⟧,不要再吃⟦3⟧。", "untranslated"),
    ("says nothing", lambda text: "", "empty"),
    ("says only the beginning", lambda text: "⟦1⟧ ⟦0⟧ ⟦2⟧ ⟦3⟧", "negation"),
    ("goes on and on", lambda text: text + " 그리고 오늘은 날씨가 좋으니 산책도 하시고 책도 읽으시고 친구도 만나세요." * 6, "length"),
    ("names another drug", lambda text: text.replace("⟦1⟧", "타이레놀"), "medicines"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "check"), [row[1:] for row in SPOILERS], ids=[row[0] for row in SPOILERS])
def test_an_engine_that_goes_wrong_is_noticed(spoil: Callable[[str], str], check: str) -> None:
    book = Book({SENT: GOOD, TEXT: GOOD}, spoil)
    done = translated(book)
    assert check in done.problems
    assert not done.fit
    assert len(book.asked) == 2  # once more, then it is over


def test_a_slip_is_asked_for_once_more() -> None:
    book = Book({SENT: GOOD}, lambda text: text if len(book.asked) > 1 else text.replace("마세요", "세요"))
    assert translated(book) == Translation(DONE)
    assert len(book.asked) == 2


def test_an_engine_that_loses_placeholders_gets_the_sentence_as_it_is() -> None:
    book = Book({SENT: "이부프로펜을 하루 세 번 드세요.", TEXT: DONE})
    assert translated(book) == Translation(DONE)
    assert book.asked == [(SENT,), (TEXT,)]


def test_only_what_failed_is_asked_again_and_alone() -> None:
    lines = {"It hurts.": "아파요.", "Rest.": "", "It swells.": ""}
    book = Book(lines)
    done = Shielded(book).translate(list(lines), "en", "ko")
    assert [one.problems for one in done] == [(), ("empty",), ("empty",)]
    assert book.asked == [("It hurts.", "Rest.", "It swells."), ("Rest.",), ("It swells.",)]


def test_a_flag_is_no_problem_unless_the_recipe_says_so() -> None:
    lines = {"It is a migraine.": "머리 병입니다."}
    done = translated(Book(lines), "It is a migraine.")
    assert (done.text, done.problems, done.flags) == ("머리 병입니다.", (), ("glossary",))
    assert done.details == ("glossary: migraine",)
    assert translated(Book(lines), "It is a migraine.", drop=["glossary"]).problems == ("glossary",)
    with pytest.raises(UserError, match="did you mean 'glossary'"):
        Shielded(Book({}), drop=["glosary"])


def test_names_that_change_places_are_flagged() -> None:
    text, sent = "Take ibuprofen, not aspirin.", "Take ⟦0⟧, not ⟦1⟧."
    done = translated(Book({sent: "⟦1⟧이 아니라 ⟦0⟧을 드세요."}), text)
    assert (done.text, done.flags) == ("아스피린이 아니라 이부프로펜을 드세요.", ("names_order",))


def test_the_terms_that_occur_are_told_to_an_engine_that_takes_them() -> None:
    class Told(Book):
        def with_terms(
            self, texts: Sequence[str], source: Lang, target: Lang, terms: Sequence[Sequence[tuple[str, str]]]
        ) -> list[str]:
            self.terms = terms
            return self(texts, source, target)

    book = Told({"A migraine after ⟦0⟧.": "⟦0⟧ 뒤의 편두통."})
    assert translated(book, "A migraine after ibuprofen.").fit
    assert book.terms == [[("migraine", "편두통")]]


def test_the_way_from_korean() -> None:
    book = Book({"하루 ⟦0⟧번 ⟦1⟧을 드시지 마세요.": "Do not take ⟦1⟧ ⟦0⟧ times a day."})
    done = Shielded(book).translate(["하루 3번 이부프로펜을 드시지 마세요."], "ko", "en")
    assert done == [Translation("Do not take ibuprofen 3 times a day.")]


def test_too_few_answers_are_an_error_of_the_engine() -> None:
    class Short(Book):
        def __call__(self, texts: Sequence[str], source: Lang, target: Lang) -> list[str]:
            return super().__call__(texts, source, target)[: 1 if len(texts) == 1 else -1]

    book = Short({"It hurts.": "아파요.", "Rest.": "쉬세요."})
    assert [one.text for one in Shielded(book).translate(["It hurts.", "Rest."], "en", "ko")] == ["아파요.", "쉬세요."]
    assert len(book.asked) == 3


def test_an_engine_that_breaks_on_one_text_only_loses_that() -> None:
    engine = Failing(RuntimeError("no"), "bad")
    done = Shielded(engine).translate(["A head that hurts", "A bad head hurts", "Your head hurts"], "en", "ko")
    assert [one.problems for one in done] == [(), ("engine",), ()]
    assert done[1].details == ("engine: RuntimeError",)


@pytest.mark.parametrize("error", [ModelError("the quota is used up"), RuntimeError("no")])
def test_an_engine_that_breaks_on_everything_ends_the_work(error: Exception) -> None:
    engine = Failing(error)
    with pytest.raises(ModelError, match=str(error)):
        Shielded(engine).translate([f"Head {n} hurts" for n in range(50)], "en", "ko")
    assert engine.calls == 4  # all together, then three of them alone


def test_an_engine_that_breaks_at_the_end_ends_the_work() -> None:
    texts = ["Your head hurts", "My head hurts", "A bad head hurts"]
    with pytest.raises(ModelError, match="the quota is used up"):
        Shielded(Failing(ModelError("the quota is used up"), "bad")).translate(texts, "en", "ko")


def test_a_wrong_setting_ends_it_at_once() -> None:
    engine = Failing(UserError("no such language"))
    with pytest.raises(UserError, match="no such language"):
        Shielded(engine).translate(["It hurts."], "en", "ko")
    assert engine.calls == 1


def test_a_conversation_does_not_wait_for_a_broken_engine() -> None:
    engine = Failing(ModelError("down"))
    with pytest.raises(ModelError, match="down"):
        Shielded(engine).try_one("It hurts.", "en", "ko")
    assert engine.calls == 1
    assert Shielded(Book({"It hurts.": "아파요."})).try_one("It hurts.", "en", "ko") == Translation("아파요.")


def test_as_a_plain_translator_it_never_returns_what_failed() -> None:
    good = Shielded(Book({"It hurts.": "아파요."}))
    assert good(["It hurts."], "en", "ko") == ["아파요."]
    with pytest.raises(ModelError, match="numbers: 5 missing; 6 new"):
        Shielded(Book({"It hurts 5 days.": "6일 아파요."}))(["It hurts 5 days."], "en", "ko")


def test_nothing_is_asked_twice(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache.sqlite")
    first = Book({SENT: GOOD, "It hurts.": "", "Rest.": "쉬세요."})
    texts = [TEXT, "It hurts.", "Rest. Rest."]
    before = Shielded(first, cache).translate(texts, "en", "ko")
    again = Book({})
    assert Shielded(again, cache).translate(texts, "en", "ko") == before
    assert again.asked == []
    assert [one.problems for one in before] == [(), ("empty",), ()]
    cache.close()


@pytest.mark.parametrize("change", ["name", "model", "version"])
def test_another_engine_is_asked_anew(tmp_path: Path, change: str) -> None:
    cache = Cache(tmp_path / "cache.sqlite")
    Shielded(Book({"Rest.": "쉬세요."}), cache).translate(["Rest."], "en", "ko")
    other = Book({"Rest.": "쉬십시오."})
    setattr(other, change, "other")
    assert Shielded(other, cache).translate(["Rest."], "en", "ko")[0].text == "쉬십시오."
    cache.close()


def test_what_was_done_before_the_engine_broke_is_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache.sqlite")
    texts = [f"Head {n} hurts." for n in range(8)]
    book = Book({text: text.replace("Head", "머리").replace("hurts", "아파요") for text in texts})

    def dying(text: str) -> str:
        if len(book.asked) > 2:
            raise ModelError("the quota is used up")
        return text

    book.spoil = dying
    with pytest.raises(ModelError):
        Shielded(book, cache, batch=2).translate(texts, "en", "ko")
    book.spoil, book.asked = str, []
    Shielded(book, cache, batch=2).translate(texts, "en", "ko")
    assert [text for part in book.asked for text in part] == texts[4:]
    cache.close()


def test_final_errors_come_through() -> None:
    class Over(ModelError):
        pass

    engine = Failing(Over("enough"))
    with pytest.raises(Over):
        Shielded(engine, final=(Over,)).translate(["It hurts.", "Rest."], "en", "ko")
    assert engine.calls == 1


def test_a_round_trip_that_comes_back_as_something_else() -> None:
    back = Shielded(Book({"머리가 아파요.": "My head hurts.", "쉬세요.": "Buy a big red car."}))
    texts, done = ["My head hurts.", "Rest now."], ["머리가 아파요.", "쉬세요."]
    assert roundtrip.doubtful(texts, done, back, "en", "ko") == [False, True]


def test_the_page_of_a_text_without_letters_is_copied() -> None:
    assert translated(Book({}), "120/80\n\n???") == Translation("120/80\n\n???")
    assert translated(Book({}), "") == Translation("")
    assert re.fullmatch(r"[a-z]+", Shielded(Failing(RuntimeError())).name)
