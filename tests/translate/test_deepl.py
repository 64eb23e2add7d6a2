"""DeepL's documented interface on this machine, through its own client: what is sent, and what each refusal becomes."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from servers import Answer, Loopback, deepl, deepl_text, serving

from mundap import registry
from mundap.errors import ModelError, UserError
from mundap.protocols import Translator
from mundap.translate.deepl import DeepL

KEY = "0123-deepl-secret:fx"


@pytest.fixture
def server() -> Iterator[Loopback]:
    with serving(deepl) as server:
        yield server


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPL_AUTH_KEY", KEY)


def engine(server: Loopback, **config: Any) -> DeepL:
    made: DeepL = registry.create("translators", "deepl", **{"url": server.url, **config})
    return made


def failure(server: Loopback, *script: Answer, **config: Any) -> str:
    server.script = list(script)
    with pytest.raises(ModelError) as caught:
        engine(server, **{"tries": 2, **config})(["Take it with water."], "en", "ko")
    assert KEY not in str(caught.value)
    return str(caught.value)


def test_what_is_sent_is_what_the_documentation_says(server: Loopback) -> None:
    translator = engine(server, glossary="def3a26b")
    assert isinstance(translator, Translator)
    assert translator(["Rest.", "", "Drink water."], "en", "ko") == ["→Rest.←", "", "→Drink water.←"]
    (asked,) = server.seen
    assert asked.path == "/v2/translate"
    assert asked.headers["authorization"] == f"DeepL-Auth-Key {KEY}"
    assert asked.body["text"] == ["Rest.", "Drink water."]
    sent = {key: asked.body[key] for key in ("source_lang", "target_lang", "formality", "glossary_id")}
    assert sent == {"source_lang": "EN", "target_lang": "KO", "formality": "prefer_more", "glossary_id": "def3a26b"}
    translator(["쉬세요."], "ko", "en")
    assert (server.seen[1].body["source_lang"], server.seen[1].body["target_lang"]) == ("KO", "EN-US")


def test_placeholders_are_marked_as_not_to_be_touched_and_come_back_bare(server: Loopback) -> None:
    found = engine(server)(["Take ⟦0⟧ & rest if it is < ⟦1⟧."], "en", "ko")
    assert server.seen[0].body["text"] == ["Take <x>⟦0⟧</x> &amp; rest if it is &lt; <x>⟦1⟧</x>."]
    assert server.seen[0].body["ignore_tags"] == ["x"] and server.seen[0].body["tag_handling"] == "xml"
    assert found == ["→Take ⟦0⟧ & rest if it is < ⟦1⟧.←"]


def test_terms_go_with_their_own_text_only(server: Loopback) -> None:
    texts = ["Rest.", "It is shingles.", "Drink water."]
    terms = [[], [("shingles", "대상포진")], []]
    assert engine(server).with_terms(texts, "en", "ko", terms) == [f"→{text}←" for text in texts]
    assert len(server.seen) == 1 and "custom_instructions" not in server.seen.pop().body
    found = engine(server, instructions=True).with_terms(texts, "en", "ko", terms)
    assert found == [f"→{text}←" for text in texts]
    told = {tuple(asked.body["text"]): asked.body.get("custom_instructions") for asked in server.seen}
    assert told[("Rest.", "Drink water.")] is None
    (instruction,) = told[("It is shingles.",)] or ["", ""]
    assert "shingles" in instruction and "대상포진" in instruction


def test_many_texts_go_in_several_requests(server: Loopback) -> None:
    texts = [f"Sentence {n}." for n in range(120)]
    assert engine(server)(texts, "en", "ko") == [f"→{text}←" for text in texts]
    assert [len(asked.body["text"]) for asked in server.seen] == [50, 50, 20]


def test_too_many_requests_are_waited_for_as_long_as_the_server_says(server: Loopback) -> None:
    server.script = [Answer({"message": "Too many requests"}, 429, {"Retry-After": "1"})]
    assert engine(server)(["Rest."], "en", "ko") == ["→Rest.←"]
    assert 1.0 <= server.seen[1].at - server.seen[0].at < 3


def test_a_used_up_quota_ends_at_once_and_says_what_to_do(server: Loopback) -> None:
    message = failure(server, Answer({"message": "Quota Exceeded"}, 456))
    assert "quota of this billing period" in message and "next month" in message
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_names_the_variable_and_not_the_key(server: Loopback, status: int) -> None:
    message = failure(server, Answer({"message": f"Forbidden for {KEY}"}, status))
    assert "DEEPL_AUTH_KEY" in message
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer({"message": "internal"}, 500),
        Answer("busy", 503),
        Answer("<html>hello</html>"),
        Answer({"translations": []}),
        Answer({"translations": [deepl_text("하나")] * 2}),
        Answer({"translations": [{"text": "하나"}]}),
        Answer({"translations": 3}),
        Answer([1]),
        Answer({"translations": [deepl_text("반쯤 온 답")]}, cut=True),
        Answer({}, slow=5),
    ],
    ids=["500", "503", "html", "none", "two", "shape", "number", "list", "cut", "slow"],
)
def test_what_may_pass_is_tried_again_and_given_up_in_the_end(server: Loopback, answer: Answer) -> None:
    server.script = [answer]
    assert engine(server, timeout=0.3)(["Rest."], "en", "ko") == ["→Rest.←"]
    assert "failed 2 times" in failure(server, answer, answer, timeout=0.3)
    assert len(server.seen) == 4


def test_an_error_of_the_request_is_not_tried_again(server: Loopback) -> None:
    assert "formality" in failure(server, Answer({"message": "formality is not supported"}, 400))
    assert len(server.seen) == 1


def test_a_server_that_is_not_there_is_given_up_in_time(server: Loopback) -> None:
    began = time.monotonic()
    with pytest.raises(ModelError, match="DeepL failed 2 times"):
        engine(server, url="http://127.0.0.1:9", tries=2)(["Rest."], "en", "ko")
    assert time.monotonic() - began < 5


def test_no_text_reaches_the_log(server: Loopback, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        engine(server)(["A secret complaint."], "en", "ko")
    assert "secret" not in caplog.text


def test_without_a_key_nothing_begins(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEEPL_AUTH_KEY")
    with pytest.raises(UserError, match="set the environment variable DEEPL_AUTH_KEY"):
        engine(server)
