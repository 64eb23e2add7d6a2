"""Names lead to factories, wrong ones to advice; a plugin is found with no edit here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mundap import registry
from mundap.errors import MissingExtra, UnknownName, UserError
from mundap.protocols import Model

SOURCE = Path(registry.__file__).parents[1]
PLUGIN = Path(__file__).parent / "plugin" / "toy_mundap"


def test_built_in_names_are_sorted() -> None:
    assert registry.names("models") == sorted(registry.names("models"))
    assert {"bundled", "gguf", "http", "scripted"} <= set(registry.names("models"))
    assert "lexical" in registry.names("retrievers")


@pytest.mark.parametrize("kind", list(registry.BUILT_IN))
def test_every_built_in_can_be_found(kind: str) -> None:
    assert all(callable(registry.find(kind, name)) for name in registry.names(kind))


def test_the_closest_name_is_proposed() -> None:
    with pytest.raises(UnknownName, match=r"no model is called 'scriptd'; did you mean 'scripted'\? Known: .*gguf"):
        registry.create("models", "scriptd")


def test_a_name_far_from_all_gets_the_list() -> None:
    with pytest.raises(UnknownName, match=r"no retriever is called 'zzz'\. Known: .*lexical"):
        registry.find("retrievers", "zzz")


def test_an_unknown_kind_is_said_with_the_closest() -> None:
    with pytest.raises(UnknownName, match="no kind of thing is called 'model'; did you mean 'models'"):
        registry.names("model")


def test_check_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "import_module", lambda name: pytest.fail(f"imported {name}"))
    registry.check("models", "gguf")


def test_config_becomes_keyword_arguments() -> None:
    model = registry.create("models", "scripted", replies=["안녕하세요."])
    assert isinstance(model, Model)


@pytest.mark.parametrize(
    ("name", "config", "said"),
    [
        ("scripted", {"replys": ["a"], "replies": ["b"]}, "did you mean 'replies'"),
        ("scripted", {}, "missing a required argument: 'replies'"),
        ("bundled", {"thread": 2}, "did you mean 'threads'"),
        ("gguf", {"context": 512}, "missing a required argument: 'path'. Known: path, name"),
    ],
)
def test_wrong_arguments_are_a_persons_mistake(name: str, config: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        registry.create("models", name, **config)
    assert f"model {name!r} does not take that" in str(caught.value)
    assert said in str(caught.value)


def test_a_bug_inside_a_factory_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def buggy() -> None:
        raise TypeError("bug")

    monkeypatch.setattr(registry, "find", lambda kind, name: buggy)
    with pytest.raises(TypeError, match="^bug$"):
        registry.create("models", "scripted")


@pytest.mark.parametrize("when", ["found", "made"])
def test_a_missing_package_comes_with_its_command(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def needs() -> None:
        raise ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")

    monkeypatch.setattr(
        registry, *(("import_module", lambda _: needs()) if when == "found" else ("find", lambda *_: needs))
    )
    with pytest.raises(MissingExtra, match=r"model 'gguf' needs the package 'torch': pip install torch"):
        registry.create("models", "gguf")


def test_a_missing_part_of_mundap_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.BUILT_IN["models"], "gone", "mundap.models.gone:Gone")  # type: ignore[arg-type]
    with pytest.raises(ModuleNotFoundError):
        registry.create("models", "gone")


PROBE = """
import json, sys
from mundap import config, registry
from mundap.chat.engines import Engines
from mundap.errors import UserError
from mundap.types import Message, Options, Reply

def said(call):
    try:
        call()
    except UserError as error:
        return f"{type(error).__name__}: {error}"

recipe = config.parse({"chat": {"model": "twice", "retrieve": "first"}, "models": {"twice": {"use": "echo", "times": 2}}}, "here")
engines = Engines(recipe=recipe)
engine = engines.get("twice")
events = list(engine.reply([Message("user", "머리가 아파요")]))
print(json.dumps({
    "names": [registry.names("models"), registry.names("retrievers")],
    "text": list(registry.create("models", "echo", times=2).generate([Message("user", "네")], Options())),
    "engines": engines.names(), "engine": engine.name, "retriever": type(engine.retriever).__name__,
    "replied": isinstance(events[-1], Reply) and bool(events[-1].text),
    "by name": Engines(model="echo").get("echo").name,
    "wrong": said(lambda: registry.create("models", "echo", time=2)),
    "needy": said(lambda: registry.create("models", "needy")),
    "broken": said(lambda: registry.create("models", "broken")),
}))
"""


@pytest.fixture(scope="module")
def plugged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What mundap says in a process where the toy plugin is installed."""
    target = tmp_path_factory.mktemp("site")
    install = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "TMPDIR": str(tmp_path_factory.mktemp("tmp"))}
    subprocess.run(
        [sys.executable, "-m", "pip", *install, "--target", str(target), str(PLUGIN)], check=True, env=environment
    )
    path = os.pathsep.join([str(target), str(SOURCE), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_plugin_adds_a_model_and_a_retriever(plugged: dict[str, Any]) -> None:
    models, retrievers = plugged["names"]
    assert "echo" in models
    assert "scripted" in models
    assert {"first", "lexical"} <= set(retrievers)
    assert plugged["text"] == ["네", "네"]


def test_a_recipe_can_use_a_plugin(plugged: dict[str, Any]) -> None:
    assert plugged["engines"][0] == "twice"
    assert plugged["engine"] == "echo"
    assert plugged["retriever"] == "First"
    assert plugged["replied"]
    assert plugged["by name"] == "echo"


def test_a_plugin_gets_the_same_errors(plugged: dict[str, Any]) -> None:
    assert "model 'echo' does not take that" in plugged["wrong"]
    assert "did you mean 'times'" in plugged["wrong"]
    for name in ("needy", "broken"):
        assert plugged[name] == (
            f"MissingExtra: model {name!r} needs the package 'toy_mundap_needs_this': pip install toy_mundap_needs_this"
        )
