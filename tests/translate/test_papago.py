"""Papago's documented interface on this machine: what is sent, and what each of its refusals becomes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from servers import Answer, Asked, Loopback, papago, papago_error, serving

from mundap import registry
from mundap.errors import ModelError, UserError
from mundap.protocols import Translator
from mundap.translate.papago import Papago

ID, KEY = "id-0123456789", "secret-9876543210"


@pytest.fixture
def server() -> Iterator[Loopback]:
    with serving(papago) as server:
        yield server


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCP_APIGW_API_KEY_ID", ID)
    monkeypatch.setenv("NCP_APIGW_API_KEY", f"{KEY}\n")


def engine(server: Loopback, **config: Any) -> Papago:
    made: Papago = registry.create("translators", "papago", **{"url": f"{server.url}/nmt/v1/translation", **config})
    return made


def failure(server: Loopback, *script: Answer, **config: Any) -> str:
    server.script = list(script)
    with pytest.raises(ModelError) as caught:
        engine(server, **{"tries": 2, **config})(["Take it with water."], "en", "ko")
    message = str(caught.value)
    assert "Papago" in message and server.url in message
    assert ID not in message and KEY not in message
    return message


def test_what_is_sent_is_what_the_documentation_says(server: Loopback) -> None:
    papago = engine(server, glossary="g-1")
    assert isinstance(papago, Translator)
    assert papago(["Take it with water."], "en", "ko") == ["→Take it with water.←"]
    asked = server.seen[0]
    assert asked.path == "/nmt/v1/translation"
    assert (asked.headers["x-ncp-apigw-api-key-id"], asked.headers["x-ncp-apigw-api-key"]) == (ID, KEY)
    assert asked.body == {
        "source": "en", "target": "ko", "text": "Take it with water.", "honorific": True, "glossaryKey": "g-1"
    }  # fmt: skip
    papago(["물과 함께 드세요."], "ko", "en")
    assert server.seen[1].body["honorific"] is False


def test_the_order_stays_when_several_are_asked_at_once(server: Loopback) -> None:
    texts = [f"Sentence {n}." for n in range(12)] + ["", "  "]
    found = engine(server, at_once=4, requests=0)(texts, "en", "ko")
    assert found == [f"→Sentence {n}.←" for n in range(12)] + ["", ""]


def test_long_texts_are_cut_at_sentences(server: Loopback) -> None:
    sentence = "Rest and drink enough water every day. "
    text = sentence * 300
    found = engine(server, requests=0)([text.strip()], "en", "ko")[0]
    sent = [asked.body["text"] for asked in server.seen]
    assert len(sent) > 1 and max(map(len, sent)) <= 5000
    assert all(part.strip().endswith("day.") for part in sent)
    assert "".join(sent) == text.strip()
    assert found.count("→") == len(sent) and found.count("Rest") == 300


def test_too_fast_is_waited_for_as_long_as_the_server_says(server: Loopback) -> None:
    server.script = [papago_error(429, "410", "Throttle Limited", **{"Retry-After": "1"})]
    assert engine(server)(["Rest."], "en", "ko") == ["→Rest.←"]
    assert 1.0 <= server.seen[1].at - server.seen[0].at < 3


def test_a_used_up_quota_ends_at_once_and_says_what_to_do(server: Loopback) -> None:
    message = failure(server, papago_error(429, "400", "Quota Exceeded"))
    assert "quota is used up" in message and "console" in message
    assert len(server.seen) == 1


def test_a_wait_that_is_too_long_is_not_waited(server: Loopback) -> None:
    began = time.monotonic()
    message = failure(server, papago_error(429, "420", "Rate Limited", **{"Retry-After": "3600"}))
    assert "3600 s" in message and time.monotonic() - began < 2


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_names_the_variable_and_not_the_key(server: Loopback, status: int) -> None:
    message = failure(server, papago_error(status, "200", f"Authentication Failed for {ID} with {KEY}"))
    assert "NCP_APIGW_API_KEY_ID" in message and "***" in message
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "answer",
    [
        papago_error(500, "N2MT99", "internal"),
        papago_error(503, "500", "Endpoint Error"),
        Answer("<html>busy</html>", 502),
        Answer("<html>hello</html>"),
        Answer({"message": {}}),
        Answer({"message": {"result": {"translatedText": None}}}),
        Answer([1]),
        Answer({"message": {"result": {"translatedText": "반쯤 온 답"}}}, cut=True),
        Answer({}, slow=5),
    ],
    ids=["500", "503", "502", "html", "empty", "null", "list", "cut", "slow"],
)
def test_what_may_pass_is_tried_again_and_given_up_in_the_end(server: Loopback, answer: Answer) -> None:
    server.script = [answer]
    assert engine(server, timeout=0.3)(["Rest."], "en", "ko") == ["→Rest.←"]
    message = failure(server, answer, answer, timeout=0.3)
    assert "failed 2 times" in message and len(server.seen) == 4


def test_an_error_of_the_request_is_not_tried_again(server: Loopback) -> None:
    message = failure(server, papago_error(400, "N2MT08", "text parameter exceeds max length"))
    assert "N2MT08" in message and len(server.seen) == 1
    message = failure(server, Answer({"errorCode": "N2MT05", "errorMessage": "same languages"}, 400))
    assert "N2MT05" in message


def test_a_server_that_is_not_there_is_said_to_be(server: Loopback) -> None:
    papago = engine(server, url="http://127.0.0.1:9/nmt", tries=2)
    with pytest.raises(ModelError, match="failed 2 times"):
        papago(["Rest."], "en", "ko")


def test_one_failure_stops_the_rest(server: Loopback) -> None:
    server.good = lambda asked: papago_error(429, "400", "Quota Exceeded")
    with pytest.raises(ModelError, match="quota"):
        engine(server, at_once=2, requests=0)([f"Sentence {n}." for n in range(200)], "en", "ko")
    assert len(server.seen) < 50


def test_the_pace_is_kept_between_threads(server: Loopback) -> None:
    times: list[float] = []
    lock = threading.Lock()

    def note(asked: Asked) -> Answer:
        with lock:
            times.append(asked.at)
        return papago(asked)

    server.good = note
    engine(server, at_once=8, requests=10)([f"Sentence {n}." for n in range(16)], "en", "ko")
    assert max(times) - min(times) >= 0.5


def test_without_keys_or_with_a_wrong_address_nothing_begins(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="https"):
        engine(server, url="http://papago.example/nmt")
    monkeypatch.setenv("NCP_APIGW_API_KEY", "비밀")
    with pytest.raises(UserError, match="NCP_APIGW_API_KEY"):
        engine(server)
    monkeypatch.delenv("NCP_APIGW_API_KEY")
    with pytest.raises(UserError, match="set the environment variable NCP_APIGW_API_KEY"):
        engine(server)
    assert server.seen == []
