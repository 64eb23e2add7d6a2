"""Engines of the real ones' shape that answer at once, slowly, wrongly or not at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

from mundap.errors import UserError
from mundap.serve.app import bind, create_app
from mundap.types import Citation, Lang, Level, Message, Profile, Reply, Urgency, Usage


@dataclass(frozen=True)
class Hotline:
    number: str
    name: str
    hours: str


@dataclass(frozen=True)
class Card:
    title: str
    call: str
    do: tuple[str, ...]
    dont: tuple[str, ...]
    ask: tuple[str, ...]
    hotlines: tuple[Hotline, ...]


class FakeEngine:
    """Says what it was asked, a sentence at a time, `pause` seconds apart; counts what it started and closed."""

    def __init__(self, name: str, sentences: int = 3, pause: float = 0.0, fails: str = "") -> None:
        self.name, self.sentences, self.pause, self.fails = name, sentences, pause, fails
        self.asked: list[tuple[tuple[Message, ...], Profile | None, Lang | None]] = []
        self.closed = threading.Event()
        self.made = 0

    def reply(
        self,
        history: Sequence[Message],
        profile: Profile | None = None,
        lang: Lang | None = None,
        sampling: Mapping[str, float] | None = None,
    ) -> Iterator[str | Reply]:
        self.asked.append((tuple(history), profile, lang))
        self.sampling = dict(sampling or {})
        try:
            yield from self._sentences(history, profile, lang or "ko")
        finally:
            self.closed.set()

    def _sentences(self, history: Sequence[Message], profile: Profile | None, lang: Lang) -> Iterator[str | Reply]:
        question, text = history[-1].content, ""
        if self.fails:
            raise RuntimeError(f"{self.fails}: {question}")
        if "119" in question:
            yield "지금 119에 전화하세요. "
            yield "끝까지 읽으세요."
            urgency = Urgency(Level.EMERGENCY, ("stroke",), ("119",))
            yield Reply("지금 119에 전화하세요. 끝까지 읽으세요.", lang, urgency, model=self.name)
            return
        for number in range(self.sentences):
            time.sleep(self.pause)
            piece = f"{question} 문장{number + 1}입니다. "
            self.made += 1
            text += piece
            yield piece
        used = (f"임신 {profile.pregnant_weeks}주",) if profile and profile.pregnant_weeks else ()
        cited = Citation(1, "headache", "두통", "https://example.org/headache", "질병관리청", 2025, "두통은 흔합니다.")
        yield Reply(
            text,
            lang,
            citations=(cited,),
            follow_ups=("언제 시작됐나요?",),
            profile_used=used,
            model=self.name,
            usage=Usage(7, len(text), "character"),
            seconds=0.1,
        )


class FakeEngines:
    """A few fakes by name, the first the default."""

    def __init__(self, *engines: FakeEngine) -> None:
        self.engines = {engine.name: engine for engine in engines}
        self.is_closed = False

    def names(self) -> list[str]:
        return [*self.engines, "unopenable"]

    def label(self, name: str, lang: Lang) -> str:
        return f"{name} ({lang})"

    def get(self, name: str) -> Any:
        if name not in self.engines:
            raise UserError(f"{name}: the weights are missing")
        return self.engines[name]

    def redirect_card(self, urgency: Urgency, lang: Lang) -> Card:
        title = "지금 119에 전화하세요"
        return Card(
            title, "바로 전화하세요.", ("눕히세요.",), ("먹이지 마세요.",), (), (Hotline("119", "구급", "24시간"),)
        )

    def close(self) -> None:
        self.is_closed = True


@dataclass
class Live:
    """A server that runs in a thread, and where it is."""

    url: str
    port: int
    engines: FakeEngines


@contextmanager
def serving(engines: Any, **options: Any) -> Iterator[Live]:
    """The real application over a real socket, on a free port."""
    sock = bind("127.0.0.1", 0)
    port = sock.getsockname()[1]
    config = uvicorn.Config(create_app(engines, **options), log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield Live(f"http://127.0.0.1:{port}", port, engines)
    server.should_exit = True
    thread.join(10)
    sock.close()
