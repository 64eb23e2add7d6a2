"""What is exported answers the same everywhere, and says what could not be made."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
torch = pytest.importorskip("torch")

from finished import finished, recipe  # noqa: E402

from mundap import prompts  # noqa: E402
from mundap.errors import UserError  # noqa: E402
from mundap.models.llama import Llama  # noqa: E402
from mundap.prompts import Template  # noqa: E402
from mundap.store import Work  # noqa: E402
from mundap.train import export, gguf_check, gguf_file, merge, ollama  # noqa: E402
from mundap.train.gguf_tokenizer import Unsupported  # noqa: E402
from mundap.types import Message, Options  # noqa: E402


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Work:
    work = finished(tmp_path_factory.mktemp("merged"))
    merge.run(recipe(work), work)
    return work


@pytest.fixture(scope="module")
def exported(merged: Work) -> Work:
    export.run(recipe(merged), merged)
    return merged


def test_three_forms_lie_there(exported: Work) -> None:
    folder = exported.root / "export"
    assert {path.name for path in folder.iterdir()} == {"model", "model.gguf", "Modelfile", "manifest.json"}
    details = json.loads((folder / "manifest.json").read_text())["details"]
    assert details["gguf"] == {"quantise": "q8_0", "texts_cut_alike": len(gguf_file.table()["probes"])}
    assert details["bytes"]["model.gguf"] == (folder / "model.gguf").stat().st_size
    same = (folder / "model/model.safetensors").read_bytes()
    assert same == (exported.root / "merge/model/model.safetensors").read_bytes()


def test_a_second_time_nothing_is_done(exported: Work) -> None:
    stamp = (exported.root / "export/model.gguf").stat().st_mtime_ns
    export.run(recipe(exported), exported)
    assert (exported.root / "export/model.gguf").stat().st_mtime_ns == stamp


def test_the_file_lays_out_a_conversation_as_training_did(exported: Work) -> None:
    """llama.cpp itself renders the chat template, for a conversation of every form."""
    path = exported.root / "export/model.gguf"
    trial = gguf_check.Trial(path, 512)
    for rows in (
        [("user", "배가 아파요")],
        [("system", "짧게 답하세요."), ("user", "배가 아파요")],
        [("user", "열이 나요"), ("assistant", "쉬세요."), ("user", "얼마나요?")],
    ):
        messages = [Message(role, content) for role, content in rows]  # type: ignore[arg-type]
        asked = {"messages": [{"role": role, "content": content} for role, content in rows]}
        assert trial._ask("apply-template", asked)["prompt"] == prompts.render("mundap-ko", messages, "<|im_end|>").text


def test_it_runs_as_a_chat_model(exported: Work) -> None:
    pieces = list(Llama(exported.root / "export/model.gguf", context=256, parallel=1).generate(
        [Message("user", "배가 아파요")], Options(max_tokens=4, temperature=0)))  # fmt: skip
    assert isinstance("".join(pieces), str)


def test_only_what_is_asked_for(merged: Work, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(merged.root / "merge", tmp_path / "merge")
    done = export.run(recipe(merged, export={"formats": ["gguf"], "quantise": "f16"}), Work(tmp_path))
    assert sorted(done.details["bytes"]) == ["model.gguf"]


def test_a_form_that_cannot_be_made_is_said_and_the_rest_is_made(
    merged: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    def refused(*_: object) -> int:
        raise Unsupported("the two cut a text differently")

    shutil.copytree(merged.root / "merge", tmp_path / "merge")
    monkeypatch.setattr(gguf_check, "compare_tokens", refused)
    done = export.run(recipe(merged), Work(tmp_path))
    assert done.dropped == {"gguf: the two cut a text differently": 1}
    assert "no GGUF file was made, the rest was" in capsys.readouterr().err
    assert sorted(done.details["bytes"]) == ["Modelfile", "model"]
    assert (tmp_path / "export/Modelfile").read_text().startswith("FROM ./model\n")


def test_nothing_merged(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run `mundap merge`"):
        export.run(recipe(Work(tmp_path / "run")), Work(tmp_path / "run"))


def test_the_modelfile_stops_where_training_stopped(exported: Work) -> None:
    text = (exported.root / "export/Modelfile").read_text("utf-8")
    assert text.startswith("FROM ./model.gguf\nTEMPLATE ")
    for stop in ("### 질문:", "### 답변:", "<|im_end|>"):
        assert f'PARAMETER stop "{stop}"' in text
    assert "PARAMETER num_ctx 512" in text and "PARAMETER temperature 0\n" in text


# Rendered by Go's text/template (LOG.md), which is not at hand in the tests: what it was given then is held fast here.
GO = {
    "mundap-ko": "{{ range $i, $m := .Messages }}{{ if eq $i 0 }}{{ end }}"
    '{{ if eq .Role "system" }}{{ .Content }}\n\n{{ end }}'
    '{{ if eq .Role "user" }}### 질문:\n{{ .Content }}\n\n{{ end }}'
    '{{ if eq .Role "assistant" }}### 답변:\n{{ .Content }}</s>\n\n{{ end }}'
    '{{ if and (eq (len (slice $.Messages $i)) 1) (ne .Role "assistant") }}### 답변:\n{{ end }}{{ end }}',
}


def test_the_go_template_is_the_one_that_was_tried() -> None:
    assert ollama.go_template(prompts.template("mundap-ko"), "</s>") == GO["mundap-ko"]


def test_a_template_with_and_without_a_system_message_asks_which_it_is() -> None:
    text = ollama.go_template(prompts.template("alpaca"), "</s>")
    assert (
        '{{ if eq (index $.Messages 0).Role "system" }}### Input:\n{{ else }}### Instruction:\n{{ end }}{{ .Content }}'
        in text
    )


def test_braces_of_a_template_are_text_in_go() -> None:
    definition = {role: {"before": "{{x}}", "after": ""} for role in ("system", "user", "assistant")}
    text = ollama.go_template(Template("braces", definition), "")
    assert '{{ "{{" }}x}}{{ .Content }}' in text


class Tokenizer:
    """A tokenizer with a chat template and nothing else."""

    def __init__(self, jinja: str) -> None:
        self.jinja = jinja

    def apply_chat_template(self, rows: list[dict[str, str]], tokenize: bool, add_generation_prompt: bool) -> str:
        from jinja2 import Environment

        made = Environment().from_string(self.jinja)
        return str(made.render(messages=rows, add_generation_prompt=add_generation_prompt))


def test_a_models_own_template_is_taken_apart() -> None:
    from tiny import CHAT

    found = ollama.parts_of(Tokenizer(CHAT))
    assert found is not None
    assert found.definition["user"] == {"before": "<|im_start|>user\n", "after": "<|im_end|>\n"}
    assert found.definition["assistant"] == {"before": "<|im_start|>assistant\n", "after": "<|im_end|>\n"}


def test_a_template_that_does_more_is_left_to_ollama() -> None:
    counting = "{% for m in messages %}{{ loop.index }}{{ m['role'] }}:{{ m['content'] }}{% endfor %}"
    assert ollama.parts_of(Tokenizer(counting)) is None
    assert ollama.parts_of(Tokenizer("{{ messages[5]['content'] }}")) is None
