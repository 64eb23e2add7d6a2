"""One retriever for all tests of the conversation: loading Kiwi takes seconds."""

from collections.abc import Callable, Sequence

import pytest

from mundap.chat.engine import Engine
from mundap.knowledge import load
from mundap.knowledge.passages import sections
from mundap.protocols import Model
from mundap.retrieve.lexical import Lexical
from mundap.types import Message, Profile, Reply

Ask = Callable[..., Reply]


@pytest.fixture(scope="session")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> Lexical:
    return Lexical(sections(load.topics().values()), tmp_path_factory.mktemp("index"))


@pytest.fixture(scope="session")
def ask(retriever: Lexical) -> Ask:
    """`ask("…", "…", profile=…, model=…)`: send messages in turn, return the last reply; pieces must add up to it."""

    def send(*turns: str, profile: Profile | None = None, model: Model | None = None) -> Reply:
        engine = Engine(retriever, model=model)
        history: list[Message] = []
        for turn in turns:
            history.append(Message("user", turn))
            reply = finished(engine, history, profile)
            history.append(Message("assistant", reply.text))
        return reply

    return send


def finished(engine: Engine, history: Sequence[Message], profile: Profile | None = None) -> Reply:
    events = list(engine.reply(history, profile))
    reply = events[-1]
    assert isinstance(reply, Reply)
    assert "".join(event for event in events if isinstance(event, str)) == reply.text
    return reply
