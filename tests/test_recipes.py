"""Every recipe that is shipped: it parses, says what is missing, and goes the whole way with a tiny model of its kind."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from mundap import cli, config, pipeline, prompts
from mundap.config import Recipe
from mundap.knowledge import load
from mundap.knowledge.passages import sections
from mundap.models.hf import Hf
from mundap.store import Work
from mundap.train.licences import bases
from mundap.train.shapes import shape_of
from mundap.types import Message, Options

sys.path.insert(0, str(Path(__file__).parent / "train"))

RECIPES = {path.stem: path for path in sorted((Path(__file__).parent.parent / "recipes").glob("*.yaml"))}
LARGE = (
    "alpaca-7b-lora-translated",
    "korean-2026",
    "polyglot-ko-12.8b-qlora",
    "polyglot-ko-5.8b-lora",
    "specification",
)
PRECISION = {"lora": None, "int8": "int8", "qlora": "nf4"}
# Which architecture stands for the base; the first of a recipe is its own, others are those that its comments name.
CASES = [
    ("polyglot-ko-12.8b-qlora", "gpt_neox", "qlora"),
    ("polyglot-ko-5.8b-lora", "gpt_neox", "lora"),
    ("specification", "gpt_neox", "int8"),
    *(("alpaca-7b-lora-translated", "llama", method) for method in PRECISION),
    ("korean-2026", "llama", "lora"),
    *(("korean-2026", "qwen3", method) for method in PRECISION),
    *(("korean-2026", "exaone4", method) for method in PRECISION),
]
QUICK = {
    "steps": 3, "batch": 4, "accumulate": 1, "lr": 5e-3, "warmup": 0, "length": 512, "samples": 0, "save_every": 100,
    "evaluate_every": 100, "precision": "fp32",
}  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_it_parses(name: str) -> None:
    config.read(RECIPES[name])


@pytest.mark.parametrize("name", LARGE)
def test_check_says_what_is_missing(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("NCP_APIGW_API_KEY_ID", "NCP_APIGW_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    said = pipeline.problems(config.read(RECIPES[name]))
    text = RECIPES[name].read_text("utf-8")
    assert ("permission: " in "".join(said)) == ("use: hidoc" in text)
    assert any("no file or folder data/" in each for each in said)
    assert ("NCP_APIGW_API_KEY" in "".join(said)) == ("papago" in text)
    done = CliRunner().invoke(cli.app, ["check", str(RECIPES[name])])
    assert done.exit_code == 1 and f"{name}.yaml: {len(said)} problems" in str(done.exception)
    assert "GB" in done.output


def test_check_finds_nothing_where_nothing_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NCP_APIGW_API_KEY_ID", "id")
    monkeypatch.setenv("NCP_APIGW_API_KEY", "key")
    recipe = swapped("korean-2026", rows(tmp_path / "rows.jsonl", "ko"), augment=None)
    assert pipeline.problems(recipe) == []


@pytest.mark.parametrize("name", LARGE)
def test_the_licence_of_the_base_is_named_and_its_rows_fit(name: str) -> None:
    recipe, text = config.read(RECIPES[name]), RECIPES[name].read_text("utf-8")
    licence = bases()[recipe.train.base]["licence"]
    assert licence.lower().split()[0] in text.lower()
    assert recipe.train.length <= shape_of(recipe.train.base).context and recipe.build.length == recipe.train.length


def test_the_specification_s_setting() -> None:
    train = config.read(RECIPES["specification"]).train
    assert (train.lr, train.optimizer, train.weight_decay, train.scheduler) == (3e-5, "adamw_torch", 0, "cosine")
    assert (train.epochs, train.base) == (1.5, "EleutherAI/polyglot-ko-12.8b") and train.budget


def rows(path: Path, lang: str) -> Path:
    """Questions and short answers out of the package's own knowledge."""
    found = [each for each in sections(load.topics().values()) if each.lang == lang][:160:3]
    ask = {"ko": "{} 때문에 걱정돼요. {} 이야기를 알려 주세요.", "en": "I worry about {}. What should I know: {}?"}[
        lang
    ]
    lines = [
        {"instruction": ask.format(each.name, each.id), "input": "", "output": each.text.partition(".")[0][:60] + "."}
        for each in found
    ]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
    return path


def swapped(name: str, path: Path, augment: Any = (), **train: Any) -> Recipe:
    """A recipe as it is shipped, with other rows, a few steps, and without the translator that needs a key."""
    raw = yaml.safe_load(RECIPES[name].read_text("utf-8"))
    lang = raw["train"]["lang"]
    raw["collect"] = {
        "sources": [{"use": "alpaca", "path": str(path), "lang": lang, "permission": "written for mundap"}]
    }
    if augment is not None and "augment" in raw:
        raw["augment"]["steps"] = [step for step in raw["augment"]["steps"] if "engine" not in step]
    raw["clean"]["workers"] = 1
    raw["build"] |= {"val": 0.1, "length": 512}
    raw["train"] |= {**QUICK, **train}
    return config.parse(raw, name)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {"": tmp_path_factory.mktemp("recipes")}


def built(name: str, folders: dict[str, Path]) -> Path:
    """The run of a recipe up to its dataset, made once."""
    if name not in folders:
        root = folders[""] / name
        root.mkdir()
        lang = yaml.safe_load(RECIPES[name].read_text("utf-8"))["train"]["lang"]
        list(pipeline.run(swapped(name, rows(root / "rows.jsonl", lang)), Work(root / "run"), last="build"))
        folders[name] = root
    return folders[name]


def base(architecture: str, folders: dict[str, Path]) -> Path:
    from tiny import tiny

    found = folders[""] / f"base-{architecture}"
    return found if found.exists() else tiny(found, architecture)


@pytest.mark.parametrize(("name", "architecture", "method"), CASES, ids=["-".join(case) for case in CASES])
def test_the_whole_way(
    name: str, architecture: str, method: str, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    torch.set_num_threads(1)
    monkeypatch.setattr("mundap.train.curves.find_spec", lambda name: None)
    root = built(name, folders)
    shutil.copytree(root / "run", tmp_path / "run")
    recipe = swapped(name, root / "rows.jsonl", base=str(base(architecture, folders)), method=method)
    done = {each.stage: each for each in pipeline.run(recipe, Work(tmp_path / "run"), "train", "export")}
    assert set(done) == {"train", "merge", "export"} and done["train"].kept > 20
    assert done["train"].details["precision"] == {**PRECISION, "lora": "fp32"}[method]
    assert done["merge"].details["divergence"] < 0.02
    folder = tmp_path / "run/export/model"
    wanted = "gguf" in recipe.export.formats and architecture in ("llama", "qwen3")
    assert (tmp_path / "run/export/model.gguf").is_file() == wanted
    tuned = Hf(str(folder), quantise=PRECISION[method])  # type: ignore[arg-type]
    kept = prompts.saved(folder)
    assert kept is not None and kept.name == recipe.build.template
    assert isinstance("".join(tuned.generate([Message("user", "배가 아파요")], Options(max_tokens=4))), str)


def test_the_translator_stands_around_the_english_model(monkeypatch: pytest.MonkeyPatch) -> None:
    from mundap.chat.engines import Engines

    monkeypatch.setenv("NCP_APIGW_API_KEY_ID", "id")
    monkeypatch.setenv("NCP_APIGW_API_KEY", "key")
    engines = Engines(None, config.read(RECIPES["alpaca-7b-lora-translated"]))
    assert engines._interpreter is not None and engines._interpreter.name.startswith("papago")
