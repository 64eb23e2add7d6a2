"""The server as a process and the page as plain HTTP: start, stop, refusals, and what Gradio must not offer."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serve_fakes import FakeEngine, FakeEngines, Live, serving

from mundap.errors import UserError
from mundap.serve.app import bind, check_address, check_host, run
from mundap.types import Message

RUN = """
import sys; sys.path.insert(0, {here!r})
from serve_fakes import FakeEngine, FakeEngines
from mundap.serve.app import run
run("127.0.0.1", 0, FakeEngines(FakeEngine("quick"), FakeEngine("slow", 30, 0.1)))
"""


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    code = RUN.format(here=str(Path(__file__).parent))
    source = str(Path(__file__).parents[2] / "src")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))}
    started = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=environment)  # fmt: skip
    yield started
    started.kill()
    started.communicate()


def test_starts_within_five_seconds_and_ends_with_zero_on_sigterm(process: subprocess.Popen[str]) -> None:
    began = time.monotonic()
    assert process.stdout is not None
    line = process.stdout.readline()
    url = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert url, line
    answer = httpx.post(f"{url[0]}/v1/chat/completions", json={"messages": [{"role": "user", "content": "배"}]})
    took = time.monotonic() - began
    assert answer.status_code == 200
    assert took < 5, f"{took:.1f} s to the first answer"
    # A page that is open and a stream that is under way must not hold the server back for ever.
    body = {"model": "slow", "stream": True, "messages": [{"role": "user", "content": "비밀이야기"}]}
    with (
        httpx.stream("GET", f"{url[0]}/gradio_api/heartbeat/abc"),
        httpx.stream("POST", f"{url[0]}/v1/chat/completions", json=body) as stream,
    ):
        lines = stream.iter_lines()
        next(lines)
        process.send_signal(signal.SIGTERM)
        rest = [line for line in lines if line]
        assert process.wait(30) == 0
    assert "[DONE]" in rest[-1] or "shutting_down" in rest[-1]
    out, err = process.communicate()
    assert "비밀이야기" not in out + err
    assert "Traceback" not in err


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.7", "::", "example.com", ""])
def test_other_hosts_need_a_key(host: str) -> None:
    with pytest.raises(UserError, match="API key"):
        check_host(host, None, insecure=False)
    check_host(host, "key", insecure=False)
    check_host(host, None, insecure=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_this_machine_needs_none(host: str) -> None:
    check_host(host, None, insecure=False)


def test_a_port_in_use_is_told_before_anything_is_built() -> None:
    engines = FakeEngines(FakeEngine("quick"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(UserError, match=f"port {port} .* another"):
            run("127.0.0.1", port, engines)
        with pytest.raises(UserError, match=str(port)):
            check_address("127.0.0.1", port, None, False)
        assert time.monotonic() - started < 1


def test_a_host_that_does_not_exist_is_a_user_error() -> None:
    with pytest.raises(UserError, match="nowhere"):
        bind("nowhere.invalid", 80)


@pytest.fixture(scope="module")
def page() -> Iterator[Live]:
    engines = FakeEngines(FakeEngine("quick"), FakeEngine("broken", fails="inner detail"))
    with serving(engines) as live:
        yield live


def test_page_is_strict_about_scripts(page: Live) -> None:
    response = httpx.get(page.url)
    policy = response.headers["content-security-policy"]
    nonce = re.search(r"script-src 'self' 'nonce-(\w+)';", policy)
    assert nonce
    assert "unsafe-eval" not in policy
    assert all(f"nonce={nonce[1]}" in tag for tag in re.findall(r"<script[^>]*>", response.text))
    assert httpx.get(page.url).headers["content-security-policy"] != policy
    assert response.headers["cache-control"] == "no-store"


def test_page_tells_first_that_it_is_ai(page: Live) -> None:
    text = httpx.get(page.url).text
    assert "AI가 만드는 일반 건강정보이며 진단·처방이 아닙니다" in text
    assert "아직 의료인의 검토를 받지 않았습니다" in text
    assert "tel:119" in text


@pytest.mark.parametrize("path", [
    "/gradio_api/upload", "/gradio_api/info", "/gradio_api/openapi.json", "/gradio_api/runs", "/gradio_api/call/send",
    "/gradio_api/api/send", "/gradio_api/run/predict", "/gradio_api/file=/etc/passwd", "/gradio_api/file/etc/passwd",
    "/gradio_api/proxy=http://127.0.0.1:1/", "/file=/etc/passwd", "/monitoring", "/docs", "/openapi.json", "/login",
    "/gradio_api/process_recording", "/gradio_api/vibe-edit", "/gradio_api/dev/reload", "/gradio_api/deep_link",
    "/static/../../../../etc/passwd", "/static/%2e%2e/%2e%2e/etc/passwd", "/assets/..%2f..%2fetc%2fpasswd",
    "/custom_component/x/client/y/z", "/gradio_api/stream/a/1/2/playlist.m3u8", "/page.css", "/etc/passwd", "/.env",
])  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_gradio_offers_nothing_else(page: Live, path: str, method: str) -> None:
    response = httpx.request(method, page.url + path)
    assert response.status_code in (403, 404, 405)
    assert "root:" not in response.text


def test_page_keeps_no_history_and_reports_to_nobody(page: Live) -> None:
    config = json.loads(re.search(r"window.gradio_config = (\{.*?\});</script>", httpx.get(page.url).text)[1])  # type: ignore[index]
    assert config["run_history"] is False
    assert config["analytics_enabled"] is False
    assert config["footer_links"] == []
    assert not config.get("show_error")
    kinds = {component["type"] for component in config["components"]}
    assert not kinds & {
        "file",
        "image",
        "audio",
        "video",
        "uploadbutton",
        "downloadbutton",
        "multimodaltextbox",
        "fileexplorer",
    }


def _join(page: Live, data: list[Any], fn: int = 0, **extra: Any) -> httpx.Response:
    body = {"data": data, "fn_index": fn, "session_hash": "abc123", **extra}
    return httpx.post(f"{page.url}/gradio_api/queue/join", content=json.dumps(body), timeout=10,
                      headers={"content-type": "application/json"})  # fmt: skip


def test_an_altered_page_is_held_to_the_limits(page: Live) -> None:
    engine = page.engines.engines["quick"]
    before = len(engine.asked)
    texts = ["가"] * 60 + ["나" * 9000]
    history = [{"role": "user", "content": [{"type": "text", "text": text}]} for text in texts]
    assert _join(page, ["질문", history, [], "quick", {}, "ko"]).status_code == 200
    ends = time.monotonic() + 5
    while len(engine.asked) == before and time.monotonic() < ends:
        time.sleep(0.05)
    asked: tuple[Message, ...] = engine.asked[-1][0]
    assert len(asked) == 20
    assert max(len(message.content) for message in asked) == 4000


@pytest.mark.parametrize(
    "data",
    [
        [],
        ["x"],
        [1, 2, 3, 4, 5, 6],
        ["비밀이야기", ["비밀이야기"], {}, "nobody", [], "xx"],
        ["\ud800", [], [], "quick", {}, "ko"],
    ],
)
def test_malformed_page_requests_do_no_harm_and_are_not_quoted(
    page: Live, data: list[Any], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for response in (_join(page, data), _join(page, data, fn=999)):
        assert "Traceback" not in response.text
        assert "site-packages" not in response.text
    time.sleep(0.2)
    assert httpx.get(page.url + "/health").status_code == 200
    assert "비밀이야기" not in "".join(capfd.readouterr()) + caplog.text


def test_page_bodies_are_limited(page: Live) -> None:
    assert _join(page, ["가" * 1_100_000]).status_code == 413


def test_key_guards_the_page_too() -> None:
    with serving(FakeEngines(FakeEngine("quick")), api_key="key") as live:
        assert httpx.get(live.url).status_code == 401
        assert httpx.get(live.url, auth=("any", "key")).status_code == 200
        assert httpx.get(live.url + "/page.js").status_code == 401
