"""A merged model answers as base and adapter do, or there is none; never onto few bits, never onto another base."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
torch = pytest.importorskip("torch")

from finished import finished, recipe  # noqa: E402

from mundap import prompts  # noqa: E402
from mundap.errors import ModelError, UserError  # noqa: E402
from mundap.models.bases import open_base  # noqa: E402
from mundap.models.hf import Hf  # noqa: E402
from mundap.store import Work  # noqa: E402
from mundap.train import merge  # noqa: E402
from mundap.types import Message, Options  # noqa: E402


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return finished(tmp_path_factory.mktemp("tuned"))


@pytest.fixture
def work(tuned: Work, tmp_path: Path) -> Work:
    """A copy of the run that a test may change; the base stays where it is."""
    shutil.copytree(tuned.root, tmp_path / "run")
    (tmp_path / "base").symlink_to(tuned.root.parent / "base")
    config = tmp_path / "run/train/adapter/adapter_config.json"
    change(config, base_model_name_or_path=str(tmp_path / "base"))
    return Work(tmp_path / "run")


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), "utf-8")


@pytest.mark.parametrize("architecture", ["llama", "gpt_neox", "qwen3", "exaone4"])
def test_merged_is_base_and_adapter(tmp_path: Path, architecture: str) -> None:
    work = finished(tmp_path, architecture)
    found = merge.run(recipe(work), work).details
    assert found["rows"] == 3 and found["positions"] > 30
    assert abs(found["divergence"]) < 1e-6 and found["largest_difference"] < 1e-4 and found["top1_agreement"] == 1
    tuned, base = (open_base(str(path), "fp32").model for path in (work.root / "merge/model", tmp_path / "base"))
    texts = [list(range(40))]
    before = [merge._distribution(tuned, ids) for ids in texts]
    assert merge.compare(before, tuned, texts).largest == 0
    assert merge.compare(before, base, texts).divergence > 1e-4  # the adapter does something


def test_it_answers_by_the_template_it_was_trained_on(work: Work) -> None:
    merge.run(recipe(work), work)
    model, asked = Hf(str(work.root / "merge/model")), [Message("user", "배가 아파요")]
    assert model.template == prompts.template("mundap-ko")
    assert "".join(model.generate(asked, Options(max_tokens=8, temperature=0, repeat_penalty=1.0)))


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_sixteen_bits_are_compared_too(work: Work, dtype: str) -> None:
    found = merge.run(recipe(work, merge={"dtype": dtype}), work).details
    assert found["dtype"] == dtype and found["clearly_other"] == 0
    stored = json.loads((work.root / "merge/model/config.json").read_text())
    assert stored["dtype"] == {"bf16": "bfloat16", "fp16": "float16"}[dtype]


def test_the_folder_has_all_that_answering_needs(work: Work) -> None:
    chat = {"generation": {"temperature": 0.3, "max_tokens": 200}}
    merge.run(recipe(work, chat=chat), work)
    folder = work.root / "merge/model"
    assert prompts.saved(folder) == prompts.template("mundap-ko")
    settings = json.loads((folder / "generation_config.json").read_text())
    assert settings["eos_token_id"] in (2, [2]) and settings["max_new_tokens"] == 200 and settings["temperature"] == 0.3
    assert str(work.root.parent) not in (folder / "config.json").read_text()
    from transformers import AutoTokenizer

    rows = [{"role": "user", "content": "배가 아파요"}]
    text = AutoTokenizer.from_pretrained(folder).apply_chat_template(rows, tokenize=False, add_generation_prompt=True)
    assert text == prompts.render("mundap-ko", [Message("user", "배가 아파요")]).text


def test_the_models_own_template_stays(tmp_path: Path) -> None:
    from tiny import CHAT

    work = finished(tmp_path, template=prompts.MODEL)
    merge.run(recipe(work, build={"template": "model"}), work)
    assert (work.root / "merge/model/chat_template.jinja").read_text() == CHAT


def test_done_once_and_again_when_the_adapter_changes(work: Work) -> None:
    first = merge.run(recipe(work), work)
    stamp = (work.root / "merge/model/model.safetensors").stat().st_mtime_ns
    assert merge.run(recipe(work), work) == first
    assert (work.root / "merge/model/model.safetensors").stat().st_mtime_ns == stamp
    change(work.root / "train/adapter/adapter_config.json", lora_alpha=16)
    assert merge.run(recipe(work), work).key != first.key


def test_what_a_killed_run_left_is_gone(work: Work) -> None:
    (work.folder("merge") / ".work" / "model").mkdir(parents=True)
    (work.folder("merge") / ".work" / "model" / "half").write_text("")
    merge.run(recipe(work), work)
    assert sorted(path.name for path in (work.root / "merge").iterdir()) == ["manifest.json", "model"]
    assert not (work.root / "merge/model/half").exists()


def test_a_model_that_was_trained_whole_needs_no_merging(work: Work) -> None:
    shutil.copytree(work.root.parent / "base", work.root / "train/model")
    prompts.save("mundap-ko", work.root / "train/model")
    shutil.rmtree(work.root / "train/adapter")
    found = merge.run(recipe(work, train={"method": "full"}), work)
    assert found.details["method"] == "full" and abs(found.details["divergence"]) < 1e-6
    assert "### 답변" in (work.root / "merge/model/chat_template.jinja").read_text()


def test_a_wrong_merge_is_not_kept(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    from peft import PeftModel

    monkeypatch.setattr(PeftModel, "merge_and_unload", lambda self, **_: self.unload(), raising=False)
    with pytest.raises(ModelError, match="does not answer as base and adapter do"):
        merge.run(recipe(work), work)
    assert list((work.root / "merge").iterdir()) == []


def test_nothing_trained(tmp_path: Path) -> None:
    work = Work(tmp_path / "run")
    with pytest.raises(UserError, match="run `mundap train`"):
        merge.run(recipe(work), work)


@pytest.mark.usefixtures("work")
class TestRefused:
    """Before the base is opened."""

    @pytest.fixture(autouse=True)
    def _closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(merge, "open_base", lambda *_: pytest.fail("the base was opened"))

    def test_another_base(self, work: Work) -> None:
        with pytest.raises(UserError, match="was trained on .*base', not on 'bundled'"):
            merge.run(recipe(work, train={"base": "bundled"}), work)

    def test_a_base_that_changed(self, work: Work) -> None:
        (work.root.parent / "base").unlink()
        shutil.copytree(Path(merge.__file__).parent, work.root.parent / "base")
        for name in ("config.json", "model.safetensors"):
            (work.root.parent / "base" / name).write_text("{}")
        with pytest.raises(UserError, match="is not what it was when"):
            merge.run(recipe(work), work)

    def test_a_base_in_four_bits(self, work: Work) -> None:
        base = work.root.parent / "base"
        target = base.resolve()
        base.unlink()
        shutil.copytree(target, base)
        change(base / "config.json", quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})
        (work.root / "train/manifest.json").unlink()
        with pytest.raises(UserError, match="stored quantised .bitsandbytes.*16-bit original"):
            merge.run(recipe(work), work)

    def test_no_rows_to_compare_on(self, work: Work) -> None:
        (work.root / "build/val.jsonl").write_text("")
        with pytest.raises(UserError, match="run `mundap build`"):
            merge.run(recipe(work), work)

    def test_no_template(self, work: Work) -> None:
        (work.root / "train/adapter/template.json").unlink()
        with pytest.raises(UserError, match=r"no template.json in .*adapter"):
            merge.run(recipe(work), work)

    def test_an_adapter_cut_short(self, work: Work) -> None:
        (work.root / "train/adapter/adapter_model.safetensors").unlink()
        with pytest.raises(ModelError, match=r"no adapter_model.safetensors"):
            merge.run(recipe(work), work)


def test_no_room(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mundap.train.place.shutil.disk_usage", lambda _: type("Usage", (), {"free": 1 << 20}))
    with pytest.raises(UserError, match="needs .* GB of disk"):
        merge.run(recipe(work), work)
    assert list((work.root / "merge").iterdir()) == []
