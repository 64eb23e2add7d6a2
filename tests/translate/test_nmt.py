"""Local translation models, small and with random weights: the path works. Nothing here says anything about quality."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import small

from mundap import registry
from mundap.errors import MissingExtra, ModelError, UserError
from mundap.protocols import Translator
from mundap.translate.nmt import Nmt

pytestmark = [
    # The Marian tokenizer asks for an optional library that only evens out punctuation.
    pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses:UserWarning"),
]
TEXTS = ["Take one tablet twice a day with water.", "", "Rest.", "See a doctor today if it gets worse."]
MAKERS: dict[str, Callable[[Path], Path]] = {
    "marian": small.marian, "m2m": small.m2m, "nllb": small.nllb, "madlad": small.madlad
}  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Several threads only get in each other's way with models this small."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {name: tmp_path_factory.mktemp(name) for name in MAKERS}
    return {name: MAKERS[name](folder) for name, folder in made.items()}


def nmt(path: Path, **config: Any) -> Nmt:
    made: Nmt = registry.create("translators", "nmt", **{"path": str(path), "length": 24, "beams": 2, **config})
    return made


@pytest.mark.parametrize("name", MAKERS)
def test_texts_come_out_one_for_one_and_always_the_same(folders: dict[str, Path], name: str) -> None:
    engine = nmt(folders[name], batch=2)
    assert isinstance(engine, Translator)
    found = engine(TEXTS, "en", "ko")
    assert len(found) == len(TEXTS) and found[1] == ""
    assert nmt(folders[name], batch=1)(TEXTS, "en", "ko") == found
    assert engine(TEXTS[::-1], "en", "ko") == found[::-1]


@pytest.mark.parametrize(("name", "korean", "english"), [("nllb", "kor_Hang", "eng_Latn"), ("m2m", "__ko__", "__en__")])
def test_the_language_is_forced(folders: dict[str, Path], name: str, korean: str, english: str) -> None:
    engine = nmt(folders[name])
    asked = listen(engine)
    found = engine(["Rest."], "en", "ko")
    engine(["쉬세요."], "ko", "en")
    tokenizer = engine._models[0]._tokenizer
    (to_korean, begins_korean), (to_english, begins_english) = asked
    assert (tokenizer.convert_ids_to_tokens([to_korean, to_english])) == [korean, english]
    assert (begins_korean, begins_english) == (to_korean, to_english)
    assert korean not in found[0] and english not in found[0]


def listen(engine: Nmt) -> list[tuple[int, int]]:
    """The forced token and the first token made, for each call of the model."""
    model: Any = engine._models[0]._backend._model  # type: ignore[attr-defined]
    asked: list[tuple[int, int]] = []
    generate = model.generate

    def heard(**config: Any) -> Any:
        found = generate(**config)
        asked.append((config["forced_bos_token_id"], int(found[0, 1])))
        return found

    model.generate = heard
    return asked


def test_the_source_language_stands_before_the_text(folders: dict[str, Path]) -> None:
    directed = nmt(folders["nllb"])._models[0]
    directed(["쉬세요."], "ko", "en")
    assert directed._tokenizer.convert_ids_to_tokens(directed._tokens("", "쉬세요."))[0] == "kor_Hang"


def test_madlad_is_told_by_a_prefix(folders: dict[str, Path]) -> None:
    directed = nmt(folders["madlad"])._models[0]
    tokens = directed._tokenizer.convert_ids_to_tokens(directed._tokens(directed._mark("prefix", "ko"), "Rest."))
    assert tokens[0] == "<2ko>" and tokens[-1] == "</s>"


def test_a_model_of_one_direction_needs_another_for_the_way_back(folders: dict[str, Path], tmp_path: Path) -> None:
    back = small.marian(tmp_path, "kor", "eng")
    with pytest.raises(UserError, match="back"):
        nmt(folders["marian"])(["쉬세요."], "ko", "en")
    both = nmt(folders["marian"], back=str(back))
    assert len(both(["쉬세요."], "ko", "en")) == len(both(["Rest."], "en", "ko")) == 1
    assert both.version != nmt(folders["marian"]).version


def test_a_text_longer_than_the_model_takes_is_translated_in_parts(folders: dict[str, Path]) -> None:
    directed = nmt(folders["marian"], length=30)._models[0]
    rows: list[list[int]] = []
    translate = directed._backend.translate

    def noted(given: list[list[int]], forced: str, most: int) -> list[str]:
        rows.extend(given)
        return translate(given, forced, most)

    directed._backend.translate = noted  # type: ignore[method-assign,assignment]
    (found,) = directed(["Rest in a quiet room. " * 8], "en", "ko")
    assert found and len(rows) >= 4 and max(map(len, rows)) <= 30


def test_nllb_says_what_it_may_not_be_used_for(folders: dict[str, Path]) -> None:
    assert "CC BY-NC" in nmt(folders["nllb"]).notice and "medical" in nmt(folders["nllb"]).notice
    assert nmt(folders["nllb"]).licence == "CC BY-NC 4.0" and nmt(folders["m2m"]).licence == ""
    assert nmt(folders["m2m"]).notice == nmt(folders["marian"]).notice == ""


def test_two_models_of_one_name_differ_in_version(folders: dict[str, Path], tmp_path: Path) -> None:
    assert nmt(folders["marian"]).version == nmt(folders["marian"]).version
    other = shutil.copytree(folders["marian"], tmp_path / folders["marian"].name)
    config = json.loads((other / "config.json").read_text("utf-8"))
    (other / "config.json").write_text(json.dumps({**config, "dropout": 0.2}), "utf-8")
    assert nmt(other).version != nmt(folders["marian"]).version


def test_what_is_not_there_is_not_downloaded() -> None:
    with pytest.raises(ModelError, match="hf download facebook/nllb-none"):
        nmt(Path("facebook/nllb-none"))


def test_a_folder_that_is_no_model_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="safetensors"):
        nmt(tmp_path)


def test_pickled_weights_and_the_models_own_code_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    pickled = shutil.copytree(folders["marian"], tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        nmt(pickled)
    canary, coded = tmp_path / "canary", shutil.copytree(folders["marian"], tmp_path / "coded")
    (coded / "own.py").write_text(f"open({str(canary)!r}, 'w')\nclass Own: pass\n", "utf-8")
    config = json.loads((coded / "config.json").read_text("utf-8"))
    own = {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForSeq2SeqLM": "own.Own"}}
    (coded / "config.json").write_text(json.dumps({**config, **own}), "utf-8")
    with pytest.raises(ModelError):
        nmt(coded)
    assert not canary.exists()


def test_a_converted_model_asks_for_ctranslate2(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted = shutil.copytree(folders["marian"], tmp_path / "converted")
    (converted / "model.bin").write_bytes(b"")
    (converted / "shared_vocabulary.json").write_text("[]", "utf-8")
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(MissingExtra, match="pip install ctranslate2"):
        nmt(converted)
