"""Asking a server that behaves well and one that does not."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from email.utils import formatdate
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from model_server import ModelServer, Reply, echo, refused, said
from pydantic import BaseModel, ConfigDict

from mundap.asking.ask import Answer, Asker, OverBudget, Request, Task
from mundap.asking.context import Context
from mundap.asking.ledger import Ledger, Outcome
from mundap.asking.limits import Budget
from mundap.errors import ModelError, UnknownName, UserError
from mundap.types import Message, Options

Made = Callable[..., Context]


def requests(count: int, **options: Any) -> list[Request]:
    return [Request("p1", (Message("user", f"질문 {n}"),), **options) for n in range(count)]


def ask(context: Context, *asked: Request) -> list[Answer]:
    return list(context.ask("helper").ask(asked))


def test_answers_come_in_order_many_at_once(server: ModelServer, contexts_of: Made) -> None:
    server.behave = lambda body, number: Reply(body=said(body["messages"][-1]["content"]), delay=0.05 * (number % 3))
    answers = ask(contexts_of(server, at_once=8), *requests(40))
    assert [answer.texts for answer in answers] == [(f"질문 {n}",) for n in range(40)]
    assert server.most_at_once == 8
    assert {(answer.prompt_tokens, answer.completion_tokens, answer.cached) for answer in answers} == {(10, 5, False)}


def test_requests_are_taken_lazily(server: ModelServer, contexts_of: Made) -> None:
    taken: list[int] = []

    def source() -> Any:
        for n, request in enumerate(requests(100)):
            taken.append(n)
            yield request

    answers = contexts_of(server, at_once=2).ask("helper").ask(source())
    assert not taken
    next(answers)
    assert len(taken) == 8
    next(answers)
    assert len(taken) == 9
    answers.close()  # type: ignore[attr-defined]


def test_nothing_is_asked_twice(server: ModelServer, contexts_of: Made) -> None:
    first = ask(contexts_of(server), *requests(5), *requests(5))
    assert len(server.asked) == 5
    second = ask(contexts_of(server), *requests(6))
    assert len(server.asked) == 6
    assert [answer.texts for answer in second[:5]] == [answer.texts for answer in first[:5]]
    assert [answer.cached for answer in second] == [True] * 5 + [False]


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid")
    questions: list[str]


@pytest.mark.parametrize(
    "other",
    [
        {"key": "p2"}, {"messages": (Message("system", "질문 0"),)}, {"max_tokens": 9}, {"temperature": 0.1}, {"n": 2},
        {"seed": 3}, {"schema": Form},
    ],
    ids=str,
)  # fmt: skip
def test_all_that_matters_is_part_of_a_request(server: ModelServer, contexts_of: Made, other: dict[str, Any]) -> None:
    given: dict[str, Any] = {"key": "p1", "messages": (Message("user", "질문 0"),), **other}
    ask(contexts_of(server), *requests(1), Request(**given))
    assert len(server.asked) == 2


def test_the_recipes_seed_asks_anew_and_an_address_does_not(server: ModelServer, contexts_of: Made) -> None:
    ask(contexts_of(server), *requests(2))
    seeds = {body["seed"] for body in server.asked}
    ask(contexts_of(server, key=43), *requests(2))
    assert len(server.asked) == 4
    assert len({body["seed"] for body in server.asked} - seeds) == 1
    with ModelServer() as moved:
        ask(contexts_of(moved), *requests(2))
        assert not moved.asked


def test_samples_and_cut_answers(server: ModelServer, contexts_of: Made) -> None:
    server.behave = lambda body, number: Reply(body=said("가", "나", finish="length"))
    [answer] = ask(contexts_of(server), *requests(1, n=2))
    assert answer.texts == ("가", "나") and answer.cut
    assert server.asked[0]["n"] == 2
    assert ask(contexts_of(server), *requests(1, n=2))[0].cut


def test_structured_output_is_asked_for(server: ModelServer, contexts_of: Made) -> None:
    ask(contexts_of(server), *requests(1, schema=Form))
    form = server.asked[0]["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["schema"]["required"] == ["questions"]


def test_a_server_without_structured_output_is_asked_without_it(server: ModelServer, contexts_of: Made) -> None:
    def behave(body: dict[str, Any], number: int) -> Reply:
        return refused(400, "response_format is not supported") if "response_format" in body else echo(body, number)

    server.behave = behave
    answers = ask(contexts_of(server, at_once=1), *requests(5, schema=Form))
    assert [answer.error for answer in answers] == [""] * 5
    assert sum("response_format" in body for body in server.asked) == 1


def test_a_refusal_for_another_reason_keeps_structured_output(server: ModelServer, contexts_of: Made) -> None:
    def behave(body: dict[str, Any], number: int) -> Reply:
        long = body["messages"][-1]["content"] == "질문 0"
        return refused(400, "too many tokens", "context_length_exceeded") if long else echo(body, number)

    server.behave = behave
    first, second = ask(contexts_of(server, at_once=1), *requests(2, schema=Form))
    assert first.error == "HTTP 400 context_length_exceeded" and first.texts == ()
    assert not second.error
    assert ["response_format" in body for body in server.asked] == [True, False, True]


def test_options_that_a_server_does_not_know(server: ModelServer, contexts_of: Made) -> None:
    def behave(body: dict[str, Any], number: int) -> Reply:
        if "max_tokens" in body:
            return refused(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        if "seed" in body:
            return refused(422, "seed: extra fields not permitted")
        return echo(body, number)

    server.behave = behave
    answers = ask(contexts_of(server, at_once=1), *requests(3))
    assert not any(answer.error for answer in answers)
    assert len(server.asked) == 5
    assert server.asked[-1]["max_completion_tokens"] == 512


@pytest.mark.parametrize("after", ["0.3", "date"])
def test_a_busy_server_is_left_alone_as_long_as_it_says(server: ModelServer, contexts_of: Made, after: str) -> None:
    times: list[float] = []

    def behave(body: dict[str, Any], number: int) -> Reply:
        times.append(time.monotonic())
        said_after = formatdate(time.time() + 1.5, usegmt=True) if after == "date" else after
        return refused(429, "slow down", **{"retry-after": said_after}) if number == 1 else echo(body, number)

    server.behave = behave
    answers = ask(contexts_of(server, at_once=1), *requests(3))
    assert not any(answer.error for answer in answers)
    assert times[1] - times[0] > 0.29
    assert len(times) == 4


def test_pauses_grow(server: ModelServer, contexts_of: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mundap.asking.server.FIRST_PAUSE", 0.1)
    times: list[float] = []

    def behave(body: dict[str, Any], number: int) -> Reply:
        times.append(time.monotonic())
        return echo(body, number) if number == 4 else refused(500, "fault")

    server.behave = behave
    [answer] = ask(contexts_of(server), *requests(1))
    assert answer.texts
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert 0.05 <= gaps[0] < 0.2 < gaps[2] + 0.01 and len(gaps) == 3


WRONG = {
    "not JSON": Reply(body=b'{"choices": ['),
    "another type": Reply(body=b"<html>down for maintenance</html>", headers={"content-type": "text/html"}),
    "another shape": Reply(body={"choices": 7}),
    "no choices": Reply(body={"object": "chat.completion", "choices": []}),
    "no text": Reply(body={**said("x"), "choices": [{"message": {"content": None}, "index": 0}]}),
    "a list": Reply(body=[1, 2]),
    "cut in the head": Reply(body=said("x"), cut=9),
    "cut in the body": Reply(body=said("x"), cut=150),
    "nothing at all": Reply(body=b"", cut=0),
    "a fault": Reply(500, {"error": "x"}),
    "a bad gateway": Reply(502, b"<html>", {"content-type": "text/html"}),
    "slow": Reply(body=said("x"), delay=0.6),
    "wrong length": Reply(body=b"{}", headers={"content-length": "2000"}),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_bad_answer_is_asked_again_then_failed(server: ModelServer, contexts_of: Made, wrong: Reply) -> None:
    seen: dict[str, int] = {}

    def behave(body: dict[str, Any], number: int) -> Reply:
        text = body["messages"][-1]["content"]
        seen[text] = seen.get(text, 0) + 1
        always, once = text == "질문 0", text == "질문 1" and seen[text] == 1
        return wrong if always or once else echo(body, number)

    server.behave = behave
    context = contexts_of(server, timeout=0.3, retries=2)
    answers = ask(context, *requests(4))
    assert answers[0].error and not answers[0].texts
    assert [answer.texts for answer in answers[1:]] == [(f"you said: 질문 {n}",) for n in (1, 2, 3)]
    assert (seen["질문 0"], seen["질문 1"]) == (3, 2)
    assert context.report()["helper"]["failed"] == 1


ENDS = {
    "is the key": refused(401, "Incorrect API key provided: sk-abc", "invalid_api_key"),
    "quota is used up": refused(429, "You exceeded your current quota", "insufficient_quota"),
    "asks to wait 9,000 s": refused(429, "come back tomorrow", **{"retry-after": "9000"}),
    "called 'toy'": refused(404, "no such model"),
    "HTTP|PaymentRequired|APIStatusError": refused(402, "pay first"),
}


@pytest.mark.parametrize("message", ENDS)
def test_a_failing_key_or_quota_ends_the_run_and_loses_nothing(
    server: ModelServer, contexts_of: Made, message: str
) -> None:
    server.behave = lambda body, number: ENDS[message] if number > 5 else echo(body, number)
    with pytest.raises(UserError, match=message) as caught:
        ask(contexts_of(server, at_once=2), *requests(50))
    assert server.url in str(caught.value) and "run again" in str(caught.value)
    sent = len(server.asked)
    assert sent <= 5 + 2
    server.behave = echo
    answers = ask(contexts_of(server), *requests(50))
    assert all(answer.texts for answer in answers)
    assert len(server.asked) == sent + 50 - 5


def test_a_server_that_is_not_there(contexts_of: Made) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    with pytest.raises(UserError, match="is it running") as caught:
        ask(contexts_of(url, retries=2), *requests(20))
    assert url in str(caught.value)


def test_a_server_that_stays_busy(server: ModelServer, contexts_of: Made) -> None:
    server.behave = lambda body, number: refused(429, "busy")
    with pytest.raises(UserError, match="it is busy"):
        ask(contexts_of(server, retries=2), *requests(3))


def test_a_server_that_fails_always_ends_the_run(server: ModelServer, contexts_of: Made) -> None:
    server.behave = lambda body, number: Reply(500, {"error": "x"})
    with pytest.raises(UserError, match="16 requests in a row"):
        ask(contexts_of(server, retries=0, at_once=4), *requests(200))
    assert len(server.asked) < 16 + 4


def test_a_server_that_refuses_everything_ends_the_run(server: ModelServer, contexts_of: Made) -> None:
    server.behave = lambda body, number: refused(400, "no such option")
    with pytest.raises(UserError, match=r"16 requests in a row .*HTTP 400"):
        ask(contexts_of(server, at_once=4), *requests(200))


def test_many_refusals_beside_answers_do_not(server: ModelServer, contexts_of: Made) -> None:
    server.behave = lambda body, number: refused(400, "too long") if number > 1 else echo(body, number)
    answers = ask(contexts_of(server, at_once=1), *requests(40))
    assert [answer.error for answer in answers] == [""] + ["HTTP 400"] * 39
    answers = ask(contexts_of(server, at_once=1), *requests(40))
    assert sum(bool(answer.error) for answer in answers) == 39


def test_what_is_left_when_nobody_wants_the_rest_is_kept(server: ModelServer, contexts_of: Made) -> None:
    server.behave = lambda body, number: Reply(body=said("x"), delay=0.01 * number)
    context = contexts_of(server, at_once=2)
    answers = context.ask("helper").ask(requests(50))
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert context.budget.spent == 15 * len(server.asked) == 15 * 8


def test_the_words_of_a_server_do_not_reach_a_record(server: ModelServer, contexts_of: Made) -> None:
    server.behave = lambda body, number: refused(400, f"bad prompt: {body['messages']}", "x" * 50)
    [answer] = ask(contexts_of(server), *requests(1))
    assert answer.error == "HTTP 400"


def test_the_budget_of_requests(server: ModelServer, contexts_of: Made) -> None:
    answers = ask(contexts_of(server, requests=7), *requests(20))
    assert [answer.unasked for answer in answers] == [False] * 7 + [True] * 13
    assert len(server.asked) == 7
    answers = ask(contexts_of(server, requests=9), *requests(20))
    assert [answer.unasked for answer in answers] == [False] * 9 + [True] * 11
    assert len(server.asked) == 9


@pytest.mark.parametrize("at_once", [1, 3, 16])
def test_the_budget_of_tokens_ends_at_the_same_request(server: ModelServer, contexts_of: Made, at_once: int) -> None:
    server.behave = lambda body, number: Reply(body=said("x"), delay=0.002 * (number % 5))
    asked = requests(60, max_tokens=20)
    context = contexts_of(server, tokens=500, at_once=at_once)
    answers = ask(context, *asked)
    # 15 tokens were spent by each; the next one may need 46: its 10 bytes, 16 for the template, 20 to write.
    assert sum(not answer.unasked for answer in answers) == (500 - 46) // 15 + 1
    assert context.budget.spent <= 500
    assert context.report()["helper"]["unasked"] == 60 - 31


def test_a_pace_of_requests_a_minute(server: ModelServer, contexts_of: Made) -> None:
    began = time.monotonic()
    ask(contexts_of(server, requests_per_minute=600), *requests(60))  # 50 at once, then 10 a second
    assert 0.85 < time.monotonic() - began < 3


def test_a_pace_of_tokens_a_minute(server: ModelServer, contexts_of: Made) -> None:
    began = time.monotonic()
    asked = requests(3, max_tokens=1000)
    ask(contexts_of(server, tokens_per_minute=60_000, at_once=1), *asked)
    assert time.monotonic() - began < 2  # what was not needed is given back
    server.behave = lambda body, number: Reply(body=said("x", completion=4000))
    ask(contexts_of(server, tokens_per_minute=240_000, at_once=1, key=1), *requests(8, max_tokens=4000))
    assert 2.5 < time.monotonic() - began < 8


def test_a_model_of_this_process(contexts_of: Made, tmp_path: Any) -> None:
    from mundap import config

    raw = {"models": {"helper": {"use": "scripted", "replies": ["하나", "둘", "셋"]}}}
    with Context(config.parse(raw, "test"), tmp_path / "inside", "toy") as context:
        answers = ask(context, *requests(2), *requests(1, n=2, max_tokens=1))
        assert [answer.texts for answer in answers] == [("하나",), ("둘",), ("셋", "셋")]
        assert answers[2].cut and not answers[0].cut
        assert context.origin("helper", "abc") == "toy:scripted:abc"
    with Context(config.parse(raw, "test"), tmp_path / "inside", "toy") as context:
        assert [answer.texts[0] for answer in ask(context, *requests(2))] == ["하나", "둘"]
        assert context.report()["helper"]["sent"] == 0


def test_a_failing_model_of_this_process(tmp_path: Any) -> None:
    from mundap import config

    raw = {"models": {"helper": {"use": "scripted", "replies": ["하나 둘 셋"], "fail_after": 1}}}
    with Context(config.parse(raw, "test"), tmp_path, "toy") as context:
        [answer] = ask(context, *requests(1))
        assert "told to fail" in answer.error


def test_a_model_behind_the_ledger(server: ModelServer, contexts_of: Made) -> None:
    context = contexts_of(server, requests=3)
    model = context.model("helper")
    options = Options(max_tokens=40, stop=("!",))
    server.behave = lambda body, number: Reply(body=said("안녕! 뒤"))
    threads = [
        threading.Thread(target=lambda: heard.append("".join(model.generate([Message("user", "같은 말")], options))))
        for _ in range(3)
    ]
    heard: list[str] = []
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == ["안녕"] * 3
    assert len(server.asked) == 1
    with pytest.raises(OverBudget, match="budget"):
        list(model.generate([Message("user", "다른 말")], options))
    assert issubclass(OverBudget, ModelError)


def test_a_model_that_is_not_in_the_recipe(server: ModelServer, contexts_of: Made) -> None:
    with pytest.raises(UnknownName, match=r"'helpr'.*did you mean 'helper'"):
        contexts_of(server).ask("helpr")


def test_the_name_of_a_servers_only_model(server: ModelServer, tmp_path: Any) -> None:
    from mundap import config

    raw = {"models": {"helper": {"use": "http", "url": server.url}}}
    with Context(config.parse(raw, "test"), tmp_path, "toy") as context:
        ask(context, *requests(1))
        assert context.ask("helper").name == "toy" == server.asked[0]["model"]


def test_the_key_is_sent_and_never_written(
    server: ModelServer, contexts_of: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-1234")
    context = contexts_of(server)
    ask(context, *requests(1))
    assert server.keys == {"bearer sk-secret-1234"}
    context.close()
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"sk-secret" not in written and "질문".encode() not in written
    assert json.dumps("you said: 질문 0").encode() in written


class Instant:
    """An engine whose answers have landed before anybody looks."""

    def start(self, task: Task) -> Future[Answer]:
        task.begin()
        future: Future[Answer] = Future()
        future.set_result(task.settle(Outcome(("네",), 1, 1)))
        return future

    def stop(self) -> None: ...

    def close(self) -> None: ...


def test_an_answer_that_lands_at_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    answers = Asker("instant", "x", ledger, Budget(), Instant).ask(requests(3))
    assert [answer.texts for answer in answers] == [("네",)] * 3
    ledger.close()
