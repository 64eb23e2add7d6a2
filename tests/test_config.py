"""One YAML file becomes a recipe, or one report of everything that is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mundap.config import Recipe, parse, read
from mundap.errors import ConfigError, UserError

GOOD = """
name: first-try
chat:
  model: helper
  retrieve: lexical
  generation: {temperature: 0.5}
models:
  helper: {use: http, url: "http://localhost:8000/v1", name: qwen}
"""


def saved(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems(raw: Any, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(raw, "recipe.yaml", overrides)
    assert str(caught.value).startswith(f"recipe.yaml: {len(caught.value.problems)} problem")
    return caught.value.problems


def test_a_recipe_is_read(tmp_path: Path) -> None:
    recipe = read(saved(tmp_path, GOOD))
    assert recipe.name == "first-try"
    assert recipe.chat.model == "helper"
    assert recipe.chat.generation.temperature == 0.5
    assert recipe.chat.generation.max_tokens == 300
    assert recipe.models["helper"].use == "http"
    assert recipe.models["helper"].config == {"url": "http://localhost:8000/v1", "name": "qwen"}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_an_empty_file_is_all_defaults(text: str, tmp_path: Path) -> None:
    assert read(saved(tmp_path, text)) == Recipe()


def test_every_problem_comes_at_once() -> None:
    raw = {
        "nmae": "x",
        "seed": "many",
        "chat": {"modell": "a", "model": "helpr", "retrieve": "lexcal", "generation": {"temperture": 1, "top_p": 7}},
        "models": {"helper": {"use": "htp"}, "other": {"url": "x"}},
    }
    found = problems(raw, "nonsense", "chat.retrieve.deep=1")
    for start in (
        "-o 'nonsense': write it as key=value",
        "-o 'chat.retrieve.deep=1': chat.retrieve is not a section",
        "nmae: unknown key; did you mean 'name'?",
        "seed: Input should be a valid integer",
        "chat.modell: unknown key; did you mean 'model'?",
        "chat.generation.temperture: unknown key; did you mean 'temperature'?",
        "chat.generation.top_p: Input should be less than or equal to 1 (found 7)",
        "models.helper.use: no model is called 'htp'; did you mean 'http'?",
        "models.other.use: Field required",
        "chat.retrieve: no retriever is called 'lexcal'; did you mean 'lexical'?",
        "chat.model: no model 'helpr'; did you mean 'helper'?",
    ):
        assert any(problem.startswith(start) for problem in found), (start, found)
    assert len(found) == 11


def test_a_name_is_checked_when_nothing_else_is_wrong() -> None:
    assert problems({"chat": {"retrieve": "dens"}})[0].startswith("chat.retrieve: no retriever is called 'dens'")


@pytest.mark.parametrize(
    ("override", "place", "value"),
    [
        ("chat.generation.temperature=1e-4", "temperature", 1e-4),
        ("chat.generation.temperature=1E-4", "temperature", 1e-4),
        ("chat.generation.temperature=1", "temperature", 1.0),
        ("chat.generation.top_p=.5", "top_p", 0.5),
        ("chat.generation.max_tokens=64", "max_tokens", 64),
        ("chat.generation.seed=null", "seed", None),
        ("chat.generation={seed: 7}", "seed", 7),
    ],
)
def test_overrides_are_coerced(override: str, place: str, value: Any) -> None:
    found = getattr(parse({}, "here", [override]).chat.generation, place)
    assert found == value
    assert type(found) is type(value)


def test_overrides_make_sections_and_the_last_wins() -> None:
    recipe = parse({}, "here", ["models.m.use=scripted", "models.m.replies=[a, b]", "chat.model=x", "chat.model=m"])
    assert recipe.models["m"].config == {"replies": ["a", "b"]}
    assert recipe.chat.model == "m"


def test_a_value_may_hold_equals_signs() -> None:
    assert (
        parse({}, "here", ["models.m.use=http", "models.m.url=http://h/v1?a=b"])
        .models["m"]
        .config["url"]
        .endswith("a=b")
    )


@pytest.mark.parametrize("override", ["", "=1", "name", "seed=[1", "name.x=1", "seed='", "chat.generation.top_p=high"])
def test_a_bad_override_is_a_problem(override: str) -> None:
    assert len(problems({"name": "x"}, override)) == 1


def test_plain_data_is_left_as_it_was() -> None:
    raw: dict[str, Any] = {"chat": {}}
    parse(raw, "here", ["chat.retrieve=lexical", "seed=1"])
    assert raw == {"chat": {}}


@pytest.mark.parametrize("raw", [[], [1], "text", 3, 1.5, True])
def test_something_else_than_keys_and_values(raw: Any) -> None:
    assert problems(raw) == (f"expected keys and values, found {type(raw).__name__}",)


@pytest.mark.parametrize("text", ["[]", "- a", "text", "3"])
def test_a_file_of_something_else(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected keys and values, found"):
        read(saved(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    [
        "chat: [",
        "a: b: c",
        "name: \x00",
        "\tname: x",
        "머리: 아파요".encode("cp949"),
        "seed: 2001-99-99",
        "? [a]\n: b",
        "name: !!python/object:os.system x",
        "- " * 20_000 + "a",
    ],
)
def test_bad_yaml_is_one_clear_problem(text: str | bytes, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"recipe\.yaml: 1 problem\n  - not valid YAML: .+"):
        read(saved(tmp_path, text))


def test_a_missing_file_and_a_folder_are_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no recipe .*gone\.yaml"):
        read(tmp_path / "gone.yaml")
    with pytest.raises(UserError, match="cannot read"):
        read(tmp_path)


def test_keys_must_be_words() -> None:
    said = {"1: Keys should be strings (found 1)", "chat.3: Keys should be strings (found 3)"}
    assert set(problems({1: 2, "chat": {3: 4}})) == said


@pytest.mark.parametrize("name", ["../x", "", "-x", "가", "a b", 7])
def test_a_name_is_safe_for_a_folder(name: Any) -> None:
    assert problems({"name": name})[0].startswith("name: ")


def test_the_key_changes_with_every_value_and_not_with_order() -> None:
    base = parse({"name": "a", "chat": {"retrieve": "lexical"}}, "here")
    assert base.key == parse({"chat": {"retrieve": "lexical"}, "name": "a"}, "there").key
    models = ["models.m.use=scripted", "models.m.replies=[a]"]
    others = [["seed=1"], ["name=b"], ["chat.generation.temperature=0.3"], models, [*models, "models.m.replies=[b]"]]
    keys = {parse({"name": "a"}, "here", overrides).key for overrides in others}
    assert len(keys | {base.key}) == len(others) + 1


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse({}, "here").chat.generation.temperature = 1.0  # type: ignore[misc]
