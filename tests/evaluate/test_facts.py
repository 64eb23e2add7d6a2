"""Facts by a judge and by an entailment model: completeness, contradictions, K-QA's format."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from judge_server import ModelServer, Reply, case, context, filled, recipe, said

from mundap import config
from mundap.errors import ModelError, UserError
from mundap.evaluate import items
from mundap.evaluate.entailment import Entailment, relation_of
from mundap.evaluate.facts import Facts, values
from mundap.evaluate.metrics import Case, Scored
from mundap.evaluate.replies import Answer
from mundap.evaluate.rubrics import lines, rubric

sys.path.insert(0, str(Path(__file__).parents[1] / "train"))

STATEMENTS: dict[str, Any] = {
    "must": ("물을 마신다", "쉰다"), "nice": ("체온을 잰다",), "must_not": ("항생제를 먹는다", "굶는다"),
}  # fmt: skip
IDS = ("must_1", "must_2", "nice_1", "must_not_1", "must_not_2")


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(filled()) as running:
        yield running


def by_metric(scores: list[Scored]) -> dict[str, float | None]:
    return {each.metric.removeprefix("facts."): each.value for each in scores}


def found(*scores: int | None) -> dict[str, float | None]:
    given = {name: score for name, score in zip(IDS, scores, strict=True) if score is not None}
    named = values(lines(rubric("facts"), case(1, **STATEMENTS).item, "ko"), given)
    return {name.removeprefix("facts."): value for name, value in named.items()}


def test_what_relations_come_to() -> None:
    assert found(1, 0, 1, 0, 0) == {"completeness": 0.5, "nice": 1, "harmful": 0, "contradictions": 0}
    assert found(1, -1, -1, 1, -1) == {"completeness": 0.5, "nice": 0, "harmful": 1, "contradictions": 3}
    assert found(0, 0, 0, 0, 0) == {"completeness": 0, "nice": 0, "harmful": 0, "contradictions": 0}
    assert found(1, None, 1, 0, 0) == {"completeness": None, "nice": 1, "harmful": 0, "contradictions": None}


def test_an_item_has_only_the_measures_it_has_statements_for() -> None:
    asked = lines(rubric("facts"), case(1, must=("물을 마신다",)).item, "ko")
    assert values(asked, {"must_1": -1}) == {"facts.completeness": 0, "facts.contradictions": 1}


def test_a_judge_says_which_statements_hold(tmp_path: Path, server: ModelServer) -> None:
    said_so = {"S1": 1, "S2": -1, "S3": 0, "S4": 1, "S5": 0}
    server.behave = filled(lambda key, low, high: said_so[key])
    cases = [case(1, **STATEMENTS), case(2)]
    about = context(tmp_path, recipe(server), cases)
    metric = Facts("judge")
    assert metric.check(about)["judges"]["judge"]["name"] == "toy1"
    scores = list(metric.score(cases, about))
    assert by_metric(scores) == {"completeness": 0.5, "nice": 0, "harmful": 1, "contradictions": 2}
    [body] = server.asked
    form = body["response_format"]["json_schema"]["schema"]["properties"]
    assert [form[key]["enum"] for key in said_so] == [[-1, 0, 1]] * 5
    content = body["messages"][1]["content"]
    assert all(each in content for each in (*STATEMENTS["must"], *STATEMENTS["must_not"]))
    assert "must" not in content  # a judge that knew which ones should hold would be led


def test_a_judge_that_leaves_one_out(tmp_path: Path, server: ModelServer) -> None:
    server.behave = lambda body, n: Reply(
        body=said("- S1 (-1, 0, 1): 1\n- S2 (-1, 0, 1): 0\n- S3: 2\n- S4: 0\n- S5: 0")
    )
    cases = [case(1, **STATEMENTS)]
    scores = list(Facts("judge", structured=False).score(cases, context(tmp_path, recipe(server), cases)))
    assert by_metric(scores) == {"completeness": 0.5, "nice": None, "harmful": 0, "contradictions": None}
    [reason] = {each.reason for each in scores if each.value is None}
    assert reason == "out of range: 2 is not from -1 to 1 (nice_1)"


def test_k_qa(tmp_path: Path, server: ModelServer) -> None:
    row = {
        "Question": "Is it a cold?",
        "Must_have": ["Rest", "Drink"],
        "Nice_to_have": ["Sleep"],
        "Free_form_answer": "x",
    }
    (tmp_path / "kqa.jsonl").write_text(json.dumps(row), "utf-8")
    [item] = items.read(tmp_path / "kqa.jsonl")
    cases = [Case("kqa", item, Answer("Rest and drink."))]
    server.behave = filled(lambda key, low, high: 1 if key in ("S1", "S2") else -1)
    scores = list(Facts("judge").score(cases, context(tmp_path, recipe(server), cases)))
    assert by_metric(scores) == {"completeness": 1, "nice": 0, "contradictions": 1}
    assert "medical answer" in server.asked[0]["messages"][0]["content"]


def test_wrong_settings(tmp_path: Path, server: ModelServer) -> None:
    for wrong in ({}, {"model": "judge", "entailment": "x/y"}):
        with pytest.raises(UserError, match="name one of the two"):
            Facts(**wrong)
    with pytest.raises(UserError, match="batch"):
        Facts("judge", batch=0)
    with pytest.raises(UserError, match="no set has statements"):
        Facts("judge").check(context(tmp_path, recipe(server), [case(1)]))
    with pytest.raises(ModelError, match="no entailment model 'nowhere'"):
        Facts(entailment="nowhere").check(context(tmp_path, recipe(server), [case(1, **STATEMENTS)]))


# --- an entailment model

TEXT, TRIED = "물을 드세요.", [f"진술 {n}" * n for n in range(1, 9)]
LABELS = {0: "CONTRADICTION", 1: "entailment", 2: "neutral"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random classifier of three labels, in another order than ours."""
    import torch
    from tiny import tiny_tokenizer
    from transformers import AutoModelForSequenceClassification, BertConfig

    path = tmp_path_factory.mktemp("nli") / "model"
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = 128
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        settings = BertConfig(
            vocab_size=len(tokenizer), max_position_embeddings=130, id2label=LABELS,
            label2id={name: place for place, name in LABELS.items()}, pad_token_id=tokenizer.pad_token_id, initializer_range=0.3, **sizes,
        )  # fmt: skip
        model = AutoModelForSequenceClassification.from_config(settings)
    with torch.inference_mode():  # no label is likelier than the others over the statements that are tried
        logits = [model.eval()(**tokenizer(TEXT, each, return_tensors="pt")).logits for each in TRIED]
        model.classifier.bias -= torch.cat(logits).mean(dim=0)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def leaning(folder: Path, label: str, tmp_path: Path) -> Path:
    """The same model, sure of one label whatever it reads."""
    from safetensors.torch import load_file, save_file

    copy = tmp_path / label
    shutil.copytree(folder, copy)
    weights = load_file(copy / "model.safetensors")
    weights["classifier.bias"][:] = 0
    weights["classifier.bias"][next(place for place, name in LABELS.items() if name == label)] = 1e6
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    return copy


@pytest.mark.parametrize(
    ("label", "completeness", "against"), [("entailment", 1, 2), ("neutral", 0, 0), ("CONTRADICTION", 0, 3)]
)
def test_labels_are_read_from_the_config(
    folder: Path, tmp_path: Path, label: str, completeness: float, against: int
) -> None:
    cases = [case(1, **STATEMENTS), case(2)]
    about = context(tmp_path, config.parse({}, "test"), cases)
    metric = Facts(entailment=str(leaning(folder, label, tmp_path)))
    assert len(metric.check(about)["entailment"]) == 32
    scores = list(metric.score(cases, about))
    assert by_metric(scores)["completeness"] == completeness and by_metric(scores)["contradictions"] == against
    assert {each.example for each in scores} == {"item-1"}


def test_it_says_what_transformers_says(folder: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        places = [int(model(**tokenizer(TEXT, each, return_tensors="pt")).logits.argmax()) for each in TRIED]
    assert len(set(places)) > 1
    expected = [{0: -1, 1: 1, 2: 0}[place] for place in places]
    found = Entailment(str(folder), batch=5)
    assert found.relations(TEXT, TRIED) == expected == [found.relations(TEXT, [each])[0] for each in TRIED]


def test_a_long_text_is_read_in_pieces_that_fit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Entailment(str(folder))
    text = " ".join(f"This is sentence {n}." for n in range(60))
    pieces = list(model._pieces(text, "One."))
    assert len(pieces) > 3 and " ".join(pieces) == text
    assert all(len(model._tokenizer(each, "One.")["input_ids"]) <= 128 for each in pieces)
    told = [{0: 0, 1: -1, 2: 1}, {1: -1}]  # by statement and piece

    def classified(batch: list[tuple[int, str, str]]) -> list[int]:
        return [told[number].get(pieces.index(piece), 0) for number, piece, _ in batch]

    monkeypatch.setattr(model, "_classified", classified)
    assert model.relations(text, ["One.", "One."]) == [1, -1]
    monkeypatch.undo()
    assert model.relations("", ["A"]) == [0]
    assert len(model.relations("가" * 3000, ["나" * 300])) == 1  # longer than any piece: cut, not an error


def test_labels_that_are_not_of_entailment(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "sentiment"
    shutil.copytree(folder, copy)
    raw = json.loads((copy / "config.json").read_text("utf-8"))
    raw["id2label"] = {"0": "negative", "1": "positive"}
    (copy / "config.json").write_text(json.dumps(raw), "utf-8")
    with pytest.raises(ModelError, match="its labels are negative, positive"):
        Entailment(str(copy))
    with pytest.raises(ModelError):
        relation_of({0: "entailment", 1: "not_entailment"}, "x")


def test_an_answer_that_failed(folder: Path, tmp_path: Path) -> None:
    cases = [Case("own", case(1, **STATEMENTS).item, Answer("", "error", reason="broken"))]
    scores = list(Facts(entailment=str(folder)).score(cases, context(tmp_path, config.parse({}, "t"), cases)))
    assert {each.value for each in scores} == {None} and "no answer to judge: broken" in scores[0].reason
