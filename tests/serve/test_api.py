"""The API over a real socket: OpenAI's client, curl and raw bytes; every limit and every kind of bad input."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai  # noqa: TID253 - the client under test
import pytest
from serve_fakes import FakeEngine, FakeEngines, Live, serving

QUESTION = [{"role": "user", "content": "머리가 아파요"}]
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def client(live: Live) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{live.url}/v1", api_key="unused", max_retries=0)


def post(live: Live, body: Any, **options: Any) -> httpx.Response:
    return httpx.post(live.url + CHAT, json=body, timeout=10, **options)


def raw(live: Live, body: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
    given = {"content-type": "application/json"} | (headers or {})
    return httpx.post(live.url + CHAT, content=body, headers=given, timeout=10)


def test_openai_client_gets_an_answer_with_the_extension(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="quick", messages=QUESTION, temperature=0.3)
    assert answer.choices[0].message.content.startswith("머리가 아파요 문장1입니다.")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    extra = answer.model_extra["mundap"]
    assert extra["urgency"] == "routine"
    assert extra["ai_generated"] is True
    assert "진단·처방이 아닙니다" in extra["notice"]
    assert extra["citations"][0] == {
        "n": 1,
        "topic": "headache",
        "title": "두통",
        "source": "https://example.org/headache",
        "publisher": "질병관리청",
        "year": 2025,
        "snippet": "두통은 흔합니다.",
    }


def test_openai_client_streams_sentence_by_sentence_with_the_extension_last(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="quick", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert len(pieces) == 3
    assert all(piece.endswith("입니다. ") for piece in pieces)
    last = next(chunk for chunk in reversed(chunks) if chunk.choices)
    assert last.choices[0].finish_reason == "stop"
    assert last.model_extra["mundap"]["follow_ups"] == ["언제 시작됐나요?"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens > 0


def test_curl_streams_events_that_end_with_done(live: Live) -> None:
    curl = shutil.which("curl")
    assert curl is not None, "curl is not installed"
    body = json.dumps({"messages": QUESTION, "stream": True})
    out = subprocess.run(
        [curl, "-sN", live.url + CHAT, "-H", "Content-Type: application/json", "-d", body],
        capture_output=True,
        timeout=20,
    ).stdout.decode()
    events = [line for line in out.splitlines() if line]
    assert all(line.startswith("data: ") for line in events)
    assert events[-1] == "data: [DONE]"
    assert "머리가 아파요 문장1입니다." in out  # Korean as it is, not as escapes.


def test_streaming_arrives_while_the_engine_still_writes(live: Live) -> None:
    body = {"model": "slow", "messages": QUESTION, "stream": True}
    with httpx.stream("POST", live.url + CHAT, json=body, timeout=10) as response:
        times = [time.monotonic() for line, _ in zip(response.iter_lines(), range(9), strict=False) if line]
    assert times[-1] - times[0] > 0.1


def test_profile_system_messages_and_parts_reach_the_engine(live: Live) -> None:
    parts = [{"type": "text", "text": "약"}, {"type": "text", "text": "먹어도 되나요"}]
    body = {
        "messages": [{"role": "system", "content": "존댓말"}, {"role": "user", "content": parts}],
        "mundap": {
            "profile": {"age": 31, "sex": "female", "pregnant_weeks": 20, "medicines": ["  철분\n제 "]},
            "lang": "ko",
        },
    }
    answer = post(live, body).json()
    history, profile, lang = live.engines.engines["quick"].asked[-1]
    assert [(m.role, m.content) for m in history] == [("system", "존댓말"), ("user", "약\n먹어도 되나요")]
    assert (profile.age, profile.sex, profile.pregnant_weeks, profile.medicines, lang) == (
        31,
        "female",
        20,
        ("철분 제",),
        "ko",
    )
    assert answer["mundap"]["profile_used"] == ["임신 20주"]


def test_max_tokens_and_stop_cut_an_answer(live: Live) -> None:
    whole = post(live, {"messages": QUESTION}).json()["choices"][0]
    short = post(live, {"messages": QUESTION, "max_tokens": 5}).json()["choices"][0]
    assert short["finish_reason"] == "length"
    assert 0 < len(short["message"]["content"]) < 12
    stopped = post(live, {"messages": QUESTION, "stop": "문장2"}).json()["choices"][0]
    assert stopped["finish_reason"] == "stop"
    assert stopped["message"]["content"] == "머리가 아파요 문장1입니다. 머리가 아파요 "
    assert whole["message"]["content"].startswith(stopped["message"]["content"])


@pytest.mark.parametrize(
    "limits", [{"max_tokens": 1}, {"stop": "119"}, {"max_completion_tokens": 2, "stop": ["지금", "끝"]}]
)
@pytest.mark.parametrize("stream", [False, True])
def test_no_limit_ever_cuts_an_emergency_reply(client: openai.OpenAI, limits: dict[str, Any], stream: bool) -> None:
    messages: Any = [{"role": "user", "content": "119 불러야 하나요"}]
    answer: Any = client.chat.completions.create(model="quick", messages=messages, stream=stream, **limits)
    text = "".join(c.choices[0].delta.content or "" for c in answer) if stream else answer.choices[0].message.content
    assert text == "지금 119에 전화하세요. 끝까지 읽으세요."


def test_models_and_health(live: Live, client: openai.OpenAI) -> None:
    assert next(iter(client.models.list())).id == "quick"
    assert client.models.retrieve("slow").id == "slow"
    health = httpx.get(live.url + "/health").json()
    assert health["status"] == "ok"
    assert health["version"]
    assert health["models"][0] == "quick"


def test_unknown_model_names_those_there_are(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-9", messages=QUESTION)
    assert caught.value.code == "model_not_found"
    assert "quick, slow" in caught.value.message


BAD = {
    "no messages": ({"messages": []}, "invalid_request"),
    "no user last": ({"messages": [*QUESTION, {"role": "assistant", "content": "네"}]}, "invalid_request"),
    "blank": ({"messages": [{"role": "user", "content": "  "}]}, "invalid_request"),
    "role": ({"messages": [{"role": "tool", "content": "x"}]}, "invalid_request"),
    "image": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        "invalid_request",
    ),
    "number": ({"messages": 7}, "invalid_request"),
    "n": ({"messages": QUESTION, "n": 2}, "invalid_request"),
    "tools": ({"messages": QUESTION, "tools": [{}]}, "invalid_request"),
    "temperature": ({"messages": QUESTION, "temperature": 9}, "invalid_request"),
    "max_tokens": ({"messages": QUESTION, "max_tokens": 0}, "invalid_request"),
    "stop": ({"messages": QUESTION, "stop": [""]}, "invalid_request"),
    "profile typo": ({"messages": QUESTION, "mundap": {"profile": {"aeg": 3}}}, "invalid_request"),
    "profile range": ({"messages": QUESTION, "mundap": {"profile": {"age": 400}}}, "invalid_request"),
    "profile sex": ({"messages": QUESTION, "mundap": {"profile": {"sex": "x"}}}, "invalid_request"),
    "long message": ({"messages": [{"role": "user", "content": "가" * 4001}]}, "message_too_long"),
    "long history": ({"messages": [{"role": "user", "content": "가"}] * 21}, "history_too_long"),
    "endless history": ({"messages": [{"role": "assistant", "content": "가"}] * 1200 + QUESTION}, "history_too_long"),
    "list": ([1], "invalid_request"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_requests_get_400_in_openai_shape_without_their_words(live: Live, name: str) -> None:
    body, code = BAD[name]
    response = post(live, body)
    error = response.json()["error"]
    assert response.status_code == 400
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["code"] == code
    assert "머리가" not in response.text
    assert "Traceback" not in response.text


def test_twenty_turns_and_four_thousand_characters_are_taken(live: Live) -> None:
    turns = [{"role": role, "content": "가"} for _ in range(19) for role in ("user", "assistant")]
    assert post(live, {"messages": [*turns, {"role": "user", "content": "가" * 4000}]}).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"messages": NaN}',
        b"[" * 60_000,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b'{"a":' * 9_000,
        b'{"messages":[{"role":"user","content":"\\ud800"}]}',
        b'"\\udfff"',
        b"null",
        b'{"messages":[{"role":"user","content":"x"}],"mundap":{"\\ud800":1}}',
        b'{"messages":[{"role":"user","content":"x"}],"temperature":NaN}',
    ],
)
def test_malformed_bodies_get_400(live: Live, body: bytes) -> None:
    response = raw(live, body)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_text_plain_is_not_taken_for_json(live: Live) -> None:
    # A form on another site can send text/plain without asking first.
    assert raw(live, json.dumps({"messages": QUESTION}).encode(), {"content-type": "text/plain"}).status_code == 400


def test_large_bodies_are_refused_at_once_declared_or_endless(live: Live) -> None:
    assert raw(live, b" " * (64 * 1024 + 1)).status_code == 413
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", live.port), 5) as sock:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        sock.sendall(f"{head}Content-Length: 104857600\r\n\r\n".encode())
        assert b" 413 " in sock.recv(4096)
    with socket.create_connection(("127.0.0.1", live.port), 5) as sock:
        sock.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        try:
            for _ in range(200):
                sock.sendall(b"1000\r\n" + b" " * 4096 + b"\r\n")
        except OSError:
            pass  # Closed on us, which is the point.
        else:
            assert b" 413 " in sock.recv(4096)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "path", ["/v1/nothing", "/docs", "/openapi.json", "/../etc/passwd", "/%2e%2e/etc/passwd", "/v1/models/../../x"]
)
def test_unknown_paths_are_404_in_openai_shape(live: Live, path: str) -> None:
    response = httpx.get(live.url + path)
    assert response.status_code == 404
    assert response.json()["error"]["code"] in ("not_found", "model_not_found")


def test_wrong_method_is_405(live: Live) -> None:
    assert httpx.get(live.url + CHAT).status_code == 405


def test_security_headers_and_no_permission_for_other_sites(live: Live) -> None:
    headers = httpx.get(live.url + "/health", headers={"Origin": "https://evil.example"}).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe-eval" not in headers["content-security-policy"]
    assert not [name for name in headers if name.startswith("access-control-")]
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    preflight = httpx.options(live.url + CHAT, headers=asked)
    assert not [name for name in preflight.headers if name.startswith("access-control-")]
    assert post(live, {"messages": QUESTION}, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_a_failing_engine_is_an_error_with_the_number_to_call_and_no_detail(live: Live, client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="broken", messages=QUESTION)
    assert "119" in caught.value.message
    assert "secret" not in caught.value.message
    with pytest.raises(openai.APIError) as streamed:
        list(client.chat.completions.create(model="broken", messages=QUESTION, stream=True))
    assert "119" in streamed.value.message


def test_a_model_that_cannot_open_says_why(client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError, match="weights are missing"):
        client.chat.completions.create(model="unopenable", messages=QUESTION)


def test_the_deadline_ends_a_reply(client: openai.OpenAI) -> None:
    started = time.monotonic()
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="stuck", messages=QUESTION)
    assert caught.value.code == "timeout"
    assert time.monotonic() - started < 3.9


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_stops_the_engine(live: Live, stream: bool) -> None:
    engine = live.engines.engines["slow"]
    engine.closed.clear()
    body = json.dumps({"model": "slow", "messages": QUESTION, "stream": stream}).encode()
    with socket.create_connection(("127.0.0.1", live.port), 5) as sock:
        sock.sendall(
            f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        time.sleep(0.3)
    assert engine.closed.wait(2), "the generator was not closed"
    made = engine.made
    time.sleep(0.2)
    assert engine.made == made


def test_nothing_that_was_said_is_logged(
    live: Live, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "주민번호 900101-1234567"
    messages = [{"role": "user", "content": secret}]
    with caplog.at_level("DEBUG", "mundap"):
        for body in ({"messages": messages}, {"messages": messages, "model": "broken"}, {"messages": messages, "n": 3}):
            post(live, body)
        httpx.get(f"{live.url}/v1/models?q={secret}")
    said = caplog.text + "".join(capfd.readouterr())
    assert "reply failed: RuntimeError at" in said
    assert "900101" not in said
    assert "secret detail" not in said


def test_emergency_replies_do_not_wait_behind_slow_models(live: Live) -> None:
    body = {"model": "slow", "messages": QUESTION, "stream": True}
    with contextlib.ExitStack() as streams:
        for _ in range(20):
            streams.enter_context(httpx.stream("POST", live.url + CHAT, json=body))
        started = time.monotonic()
        answer = post(live, {"messages": [{"role": "user", "content": "119 불러야 하나요"}]}).json()
        assert answer["mundap"]["urgency"] == "emergency"
        assert time.monotonic() - started < 0.5


@pytest.fixture(scope="module")
def small() -> Iterator[Live]:
    engines = FakeEngines(FakeEngine("quick"), FakeEngine("slow", sentences=200, pause=0.05))
    with serving(engines, page=False, api_key="열쇠-key", limit=2) as server:
        yield server


def test_key_is_needed_everywhere_but_health(small: Live) -> None:
    assert httpx.get(small.url + "/health").status_code == 200
    for header in ({}, {"Authorization": "Bearer nope"}, {"Authorization": "Basic !!!"}):
        response = httpx.get(small.url + "/v1/models", headers=header)
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "invalid_api_key"
    assert "www-authenticate" in httpx.get(small.url + "/").headers
    key = {"Authorization": "Bearer 열쇠-key".encode()}
    assert httpx.get(small.url + "/v1/models", headers=key).status_code == 200
    assert httpx.get(small.url + "/v1/models", auth=("anyone", "열쇠-key")).status_code == 200
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{small.url}/v1", api_key="wrong", max_retries=0).models.list()


def test_more_than_the_server_takes_is_refused_at_once_and_places_come_back(small: Live) -> None:
    key = {"Authorization": "Bearer 열쇠-key".encode()}
    body = {"model": "slow", "messages": QUESTION, "stream": True}
    with (
        httpx.stream("POST", small.url + CHAT, json=body, headers=key),
        httpx.stream("POST", small.url + CHAT, json=body, headers=key),
    ):
        started = time.monotonic()
        refused = post(small, {"messages": QUESTION}, headers=key)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["code"] == "overloaded"
        assert time.monotonic() - started < 0.2
    ends = time.monotonic() + 2
    while (again := post(small, {"messages": QUESTION}, headers=key)).status_code != 200 and time.monotonic() < ends:
        time.sleep(0.05)
    assert again.status_code == 200


def test_sampling_reaches_the_engine_and_what_is_not_possible_is_refused(live: Live, engines: FakeEngines) -> None:
    messages = [{"role": "user", "content": "두통이 있어요"}]
    body = {"model": "quick", "messages": messages, "temperature": 0.7, "seed": 3, "repetition_penalty": 1.2}
    assert httpx.post(f"{live.url}/v1/chat/completions", json=body, timeout=20).status_code == 200
    assert engines.get("quick").sampling == {"temperature": 0.7, "seed": 3, "repeat_penalty": 1.2}
    refused = httpx.post(f"{live.url}/v1/chat/completions", json=body | {"presence_penalty": 1.0}, timeout=20)
    assert refused.status_code == 400 and "presence_penalty" in refused.text
