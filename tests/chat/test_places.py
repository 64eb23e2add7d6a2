"""What may be given as a model becomes the entry that a recipe would hold for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mundap.chat.places import described
from mundap.errors import UserError


def made(run: Path, *names: str, base: str = "bundled") -> Path:
    for name in names:
        path = run / name
        if path.suffix == ".gguf":
            path.parent.mkdir(parents=True)
            path.touch()
        else:
            path.mkdir(parents=True)
    adapter = run / "train/adapter"
    adapter.mkdir(parents=True, exist_ok=True)
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}), "utf-8")
    return run


def test_a_run_answers_with_the_furthest_form_of_its_model(tmp_path: Path) -> None:
    run = made(tmp_path / "quick", "export/model.gguf", "merge/model")
    assert described(str(run)) == {
        "use": "gguf", "path": str(run / "export/model.gguf"), "name": "quick", "languages": ["en"]
    }  # fmt: skip
    (run / "export/model.gguf").unlink()
    assert described(str(run))["path"] == str(run / "merge/model")
    assert described(str(run))["use"] == "hf"


def test_a_run_on_a_korean_base_may_answer_in_both_languages_or_in_the_one_it_was_trained_on(tmp_path: Path) -> None:
    run = made(tmp_path / "ko", base="owner/korean")
    assert "languages" not in described(str(run))
    (run / "recipe.yaml").write_text("train: {lang: ko}\n", "utf-8")
    assert described(str(run))["languages"] == ["ko"]


def test_a_folder_of_weights_a_hub_id_and_a_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    assert described(str(tmp_path)) == {"use": "hf", "path": str(tmp_path)}
    assert described("owner/name-7b") == {"use": "hf", "path": "owner/name-7b"}
    assert described("bundled") == {"use": "bundled"}
    assert described("http://localhost:8000/v1#qwen") == {
        "use": "http",
        "url": "http://localhost:8000/v1",
        "name": "qwen",
    }


@pytest.mark.parametrize(
    ("model", "said"), [("bundeld", "did you mean 'bundled'"), ("runs/none/x", "no model 'runs/none/x'")]
)
def test_anything_else_is_one_message(model: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        described(model)


def test_an_unfinished_run_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no model.*mundap run"):
        described(str(tmp_path))
