"""Multiple choice: files of many shapes, lm-eval's own tasks on local data, every way of choosing, nothing asked twice."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from mundap import config, registry
from mundap.errors import ConfigError, ModelError, UserError
from mundap.evaluate import questions, tasks
from mundap.evaluate.choice import Choice
from mundap.evaluate.metrics import Context, Scored, Unfit, measure_of
from mundap.evaluate.targets import resolve
from mundap.models.hf import Hf
from mundap.models.scripted import Scripted
from mundap.prompts import render
from mundap.store import Work, write_jsonl
from mundap.types import Message, Options

for name in ("train", "asking"):
    sys.path.insert(0, str(Path(__file__).parent.parent / name))

ROWS = [
    {"question": f"What helps case {n}?", "options": ["rest", "water", "time", "a doctor"], "answer": "ABCD"[n % 4]}
    for n in range(6)
]


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from tiny import tiny

    torch.set_num_threads(1)
    return tiny(tmp_path_factory.mktemp("choice") / "tiny")


@pytest.fixture
def exam(tmp_path: Path) -> Path:
    path = tmp_path / "exam.jsonl"
    write_jsonl(path, [*ROWS, {"question": "열이 날 때는?", "options": list("가나다라마"), "answer": 5}])
    return path


@dataclass
class Stand:
    """A target around a model that exists already."""

    given: Any
    name: str = "stand"
    bare: bool = True
    at_once: int = 2

    @property
    def identity(self) -> Any:
        return self.name

    def model(self) -> Any:
        if self.given is None:
            raise AssertionError("the model is not needed")
        return self.given


def context_of(folder: Path, model: Any, notes: list[str] | None = None, **evaluate: Any) -> Context:
    recipe = config.parse({"evaluate": evaluate}, "test")
    target: Any = Stand(model)
    return Context(recipe, Work(folder), folder / "choice", [], target, (notes if notes is not None else []).append)


def scores(metric: Choice, context: Context) -> list[Scored]:
    metric.check(replace(context, target=None))
    return list(metric.score([], context))


def values(found: Sequence[Scored]) -> list[float | None]:
    return [score.value for score in found]


# files


def test_files_of_many_shapes_hold_the_same_question(tmp_path: Path) -> None:
    text, options = "Which, if any?", ("a bone", "a gland", "a, b", "none")
    lettered = dict(zip("ABCD", options, strict=True))
    shapes: dict[str, Any] = {
        "kmmlu": {"question": text, **lettered, "answer": 4, "Category": "Health", "Human Accuracy": 0.5},
        "medqa": {"question": text, "options": lettered, "answer": "none", "answer_idx": "D", "meta_info": "step1"},
        "medqa-hf": {"id": "1", "sent1": text, **{f"ending{n}": each for n, each in enumerate(options)}, "label": 3},
        "medmcqa": {"question": text, "opa": options[0], "opb": options[1], "opc": options[2], "opd": "none", "cop": 3},
        "mmlu": {"question": text, "choices": list(options), "answer": 3},
        "text": {"question": text, "choices": list(options), "answer": "none"},
    }
    want = questions.Question("1", text, options, 3)
    for name, row in shapes.items():
        path = tmp_path / f"{name}.jsonl"
        write_jsonl(path, [row])
        first = 0 if name in ("medqa-hf", "medmcqa", "mmlu") else None
        assert questions.read(path, first) == {name: (want,)}, name
    (tmp_path / "x_test.csv").write_text('"Which, if any?",a bone,a gland,"a, b",none,D\n', "utf-8-sig")
    (tmp_path / "y.csv").write_text('Question,A,B,C,D,E,Answer\n"Which, if any?",a bone,a gland,"a, b",none,,D\n')
    assert questions.read(tmp_path / "x_test.csv") == {"x": (want,)}
    assert questions.read(tmp_path / "y.csv") == {"y": (want,)}


def test_everything_wrong_in_a_file_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    write_jsonl(path, [
        {"options": ["x", "y"], "answer": "A"}, {"question": "q", "options": ["x"], "answer": "A"},
        {"question": "q", "options": ["x", "y"], "answer": "C"}, {"question": "q", "options": ["x", "y"]},
        {"id": 7, "question": "q", "options": ["x", "y"], "answer": 0},
        {"id": 7, "question": "q", "options": ["x", "y"], "answer": 5},
    ])  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        questions.read(path)
    told = "\n".join(caught.value.problems)
    for said in (
        "row 1: no question", "row 2: expected 2 to 10", "row 3: the answer is none of", "row 4: no answer",
        "id '7' stands twice", "question 7: there is no option number 5",
    ):  # fmt: skip
        assert said in told


def test_numbers_that_could_count_from_0_or_1_are_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    rows = [{"question": "q", "options": ["x", "y", "z"], "answer": number} for number in (1, 2)]
    write_jsonl(path, rows)
    with pytest.raises(ConfigError, match="first: 0"):
        questions.read(path)
    assert [each.answer for each in questions.read(path, 1)["q"]] == [0, 1]
    write_jsonl(path, [*rows, {**rows[0], "answer": 3}])
    assert [each.answer for each in questions.read(path)["q"]] == [0, 1, 2]


def test_a_folder_without_files_names_those_below(tmp_path: Path) -> None:
    (tmp_path / "data" / "test").mkdir(parents=True)
    (tmp_path / "data" / "test" / "a.csv").write_text("q,x,y,A\n")
    with pytest.raises(UserError, match="data/test"):
        questions.files_of(tmp_path)


# settings


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tasks": []}, "name at least one"),
        ({"tasks": [{"paht": "x"}]}, "paht"),
        ({"tasks": [{"name": "x"}]}, "give a `task` or a `path`"),
        ({"tasks": ["kmmlu_health", "kmmlu_health"]}, "two tasks are called"),
        ({"tasks": ["kmmlu_health"], "way": "luck"}, "luck"),
        ({"tasks": ["kmmlu_health"], "limit": 0}, "at least 1"),
    ],
)
def test_wrong_settings_are_told(given: Mapping[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        registry.create("metrics", "choice", **given)


def test_all_wrong_tasks_are_told_at_once(tmp_path: Path, exam: Path) -> None:
    metric = Choice(
        [{"path": "nowhere.jsonl"}, {"task": "kormedmcqa", "path": str(exam)}, {"path": str(exam)}], shots=1
    )
    with pytest.raises(ConfigError) as caught:
        metric.check(context_of(tmp_path, None))
    told = "\n".join(caught.value.problems)
    assert "nowhere" in told and "kormedmcqa_doctor" in told and "needs `examples`" in told


def test_a_hub_out_of_reach_is_told_within_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{probe.getsockname()[1]}")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_DATASETS_OFFLINE", raising=False)
    metric = Choice(["kormedmcqa", "kmmlu_health", "medqa_4options", "pubmedqa", "mmlu_medical"])
    began = time.monotonic()
    with pytest.raises(UserError, match=r"does not answer.*path: FILE") as caught:
        tasks.check_hub(metric.specs)
    assert time.monotonic() - began < 5
    assert "pubmedqa" in str(caught.value)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        metric.check(context_of(tmp_path, None))


# a transformers model


def by_hand(folder: Path, asked: Sequence[tuple[str, Sequence[str]]], between: str = " ") -> list[int]:
    """The likeliest option of each prompt, one full pass at a time."""
    import torch

    model = Hf(str(folder), dtype="fp32", template="model")
    found = []
    with model.alone() as opened, torch.no_grad():
        for prompt, options in asked:
            weighed = []
            for option in options:
                before = opened.tokenizer(prompt)["input_ids"]
                ids = opened.tokenizer(f"{prompt}{between}{option}")["input_ids"]
                assert ids[: len(before)] == before
                shown = opened.model(torch.tensor([ids])).logits[0].log_softmax(-1)
                weighed.append(float(sum(shown[n - 1, ids[n]] for n in range(len(before), len(ids)))))
            found.append(weighed.index(max(weighed)))
    return found


def prompt_of(row: Mapping[str, Any], ask: str) -> str:
    lines = "".join(f"{letter}. {option}\n" for letter, option in zip("ABCDE", row["options"], strict=False))
    return f"{row['question']}\n{lines}{ask}"


def test_a_transformers_model_chooses_what_it_holds_likeliest(tmp_path: Path, exam: Path, tiny_folder: Path) -> None:
    context = context_of(tmp_path, Hf(str(tiny_folder), dtype="fp32", template="model"))
    metric = Choice([{"path": str(exam), "name": "our-exam"}], batch=3)
    found = scores(metric, context)
    rows = [json.loads(line) for line in exam.read_text("utf-8").splitlines()]
    asked = [
        (prompt_of(row, "정답：" if row["answer"] == 5 else "Answer:"), "ABCDE"[: len(row["options"])]) for row in rows
    ]
    right = [0, 1, 2, 3, 0, 1, 4]
    assert values(found) == [float(a == b) for a, b in zip(by_hand(tiny_folder, asked), right, strict=True)]
    assert [score.example for score in found] == [str(n) for n in range(1, 8)]
    assert {score.metric for score in found} == {"choice:our-exam"}
    measure = measure_of(metric.measures, "choice:our-exam")
    assert measure.chance == pytest.approx((6 / 4 + 1 / 5) / 7) and measure.group == "choice"

    again = Choice([{"path": str(exam), "name": "our-exam"}], batch=3)
    again.check(replace(context_of(tmp_path, None), target=None))
    assert measure_of(again.measures, "choice:our-exam").chance == measure.chance
    assert values(scores(again, context_of(tmp_path, None))) == values(found)


def test_options_are_weighed_in_one_pass_and_batches_are_of_like_length(tmp_path: Path, tiny_folder: Path) -> None:
    lengths = [40, 3, 25, 9, 31, 16, 60, 5]
    rows = [{**ROWS[0], "question": f"What {'really ' * n}helps?"} for n in lengths]
    write_jsonl(tmp_path / "long.jsonl", rows)
    model, shapes = Hf(str(tiny_folder), dtype="fp32", template="model"), []

    def seen(_: Any, given: Any, options: Any) -> None:
        shapes.append(tuple((given[0] if given else options["input_ids"]).shape))

    with model.alone() as opened:
        hook = opened.model.register_forward_pre_hook(seen, with_kwargs=True)
    scores(Choice([{"path": str(tmp_path / "long.jsonl")}], batch=2), context_of(tmp_path, model))
    hook.remove()
    assert [rows for rows, _ in shapes] == [2] * 4  # 8 questions of 4 options
    assert [length for _, length in shapes] == sorted((length for _, length in shapes), reverse=True)
    assert shapes[0][1] > 4 * shapes[-1][1]


def test_a_model_in_halves_is_read_in_whole_numbers(tiny_folder: Path) -> None:
    import torch

    from mundap.evaluate.harness import whole_weights

    with Hf(str(tiny_folder), dtype="bf16").alone() as half, Hf(str(tiny_folder), dtype="fp32").alone() as whole:
        ids = torch.arange(5, 45).reshape(2, 20)
        with torch.no_grad(), whole_weights(half.model), whole_weights(whole.model):
            found, wanted = (opened.model(ids).logits[:, -1] for opened in (half, whole))
            assert found.dtype == wanted.dtype == torch.float32
            assert torch.allclose(found, wanted, atol=0.05 * float(wanted.abs().max()))
            exact = len(found[0].unique())
        with torch.no_grad():
            rounded = half.model(ids).logits[:, -1]
        assert rounded.dtype == torch.bfloat16 and len(rounded[0].unique()) < exact


def test_questions_as_a_chat_are_laid_out_by_the_models_template(tmp_path: Path, exam: Path, tiny_folder: Path) -> None:
    model = Hf(str(tiny_folder), dtype="fp32", template="mundap-ko")
    assert model.template is not None
    found = scores(Choice([{"path": str(exam)}], chat=True), context_of(tmp_path, model))
    rows = [json.loads(line) for line in exam.read_text("utf-8").splitlines()]
    asked = []
    for row in rows:
        said = prompt_of(row, "정답：" if row["answer"] == 5 else "Answer:")
        asked.append((render(model.template, [Message("user", said)]).text, "ABCDE"[: len(row["options"])]))
    chosen = by_hand(tiny_folder, asked, between="")  # after a chat's last words lm-eval puts no space
    assert values(found) == [float(a == b) for a, b in zip(chosen, [0, 1, 2, 3, 0, 1, 4], strict=True)]


def test_a_killed_run_goes_on(tmp_path: Path, exam: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mundap.evaluate import choice

    calls: list[int] = []

    class Bar(choice.Progress):
        def advance(self, amount: int, what: str = "") -> None:
            calls.append(amount)
            if len(calls) == 5:
                raise KeyboardInterrupt

    monkeypatch.setattr(choice, "Progress", Bar)
    metric = Choice([{"path": str(exam)}], batch=1)
    with pytest.raises(KeyboardInterrupt):
        scores(metric, context_of(tmp_path, Hf(str(tiny_folder), dtype="fp32", template="model")))
    assert not list((tmp_path / "choice").glob("*.jsonl"))
    found = scores(metric, context_of(tmp_path, Hf(str(tiny_folder), dtype="fp32", template="model")))
    assert len(calls) == 8  # the one whose results were lost with the run is asked again, the four before are not
    assert values(found) == values(
        scores(metric, context_of(tmp_path / "b", Hf(str(tiny_folder), dtype="fp32", template="model")))
    )
    assert [path.suffix for path in (tmp_path / "choice").iterdir()] == [".jsonl"]


def test_a_limit_draws_the_same_questions_for_every_target(tmp_path: Path, exam: Path) -> None:
    found = [
        scores(Choice([{"path": str(exam)}], way="words"), context_of(tmp_path / reply, Scripted([reply]), limit=3))
        for reply in ("A", "B")
    ]
    assert len(found[0]) == 3
    assert [score.example for score in found[0]] == [score.example for score in found[1]]


# in words


def test_words_are_read_and_what_names_nothing_is_wrong_with_a_reason(tmp_path: Path, exam: Path) -> None:
    model = Scripted(["A", "The answer is B.", "I cannot say.", "정답은 D입니다.", "**A**", "A or B", "E"])
    found = scores(
        Choice([{"path": str(exam), "general": True}], way="words"), replace_at_once(context_of(tmp_path, model))
    )
    assert values(found) == [1, 1, 0, 1, 1, 0, 1]
    assert [bool(score.reason) for score in found] == [False, False, True, False, False, True, False]
    assert "Reply with one of these" in model.prompts[0][0].content and "A, B, C, D, E" in model.prompts[6][0].content


def replace_at_once(context: Context) -> Context:
    target: Any = context.target
    target.at_once = 1
    return context


class Shaky(Scripted):
    """Fails at questions about case 2, as long as it is told to."""

    down = True

    def generate(self, messages: Sequence[Message], options: Options) -> Iterator[str]:
        if self.down and "case 2" in messages[0].content:
            raise ModelError("no answer")
        yield from super().generate(messages, options)


def test_questions_that_failed_are_counted_and_asked_again(tmp_path: Path, exam: Path) -> None:
    model, notes, metric = Shaky(["A"]), list[str](), Choice([{"path": str(exam)}], way="words")
    found = scores(metric, context_of(tmp_path, model, notes))
    assert values(found) == [1, 0, None, 0, 1, 0, 0] and found[2].reason
    assert "1 questions failed, the first: no answer" in notes[0]
    model.down, before = False, len(model.prompts)
    assert values(scores(metric, context_of(tmp_path, model))) == [1, 0, 0, 0, 1, 0, 0]
    assert len(model.prompts) == before + 1


def test_a_model_that_is_down_ends_the_run(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    write_jsonl(path, [{**ROWS[0], "question": f"case 2 and {n}?"} for n in range(20)])
    with pytest.raises(UserError, match="8 questions in a row"):
        scores(Choice([{"path": str(path)}], way="words"), context_of(tmp_path, Shaky(["A"])))


def test_rows_that_are_not_the_tasks_are_told_before_any_work(tmp_path: Path) -> None:
    path, good = tmp_path / "rows.jsonl", {"question": "열은?", **dict.fromkeys("ABCDE", "x"), "answer": 1}
    write_jsonl(path, [good, {**good, "answer": None}])
    with pytest.raises(ConfigError, match="row 2"):
        Choice([{"task": "kormedmcqa_nurse", "path": str(path)}]).check(context_of(tmp_path, None))
    asked = tmp_path / "other.yaml"
    asked.write_text("task: other\ndataset_path: json\noutput_type: generate_until\ndoc_to_text: question\n"
                     "doc_to_target: A\ntest_split: test\nmetric_list: [{metric: bleu}]\n")  # fmt: skip
    with pytest.raises(UserError, match="no multiple choice"), tasks.quiet():
        tasks._included(asked, tmp_path, "mine", tasks._local("json", {"test": path}, tmp_path))
    write_jsonl(path, [{"text": "x"}])
    with pytest.raises(ConfigError, match="kormedmcqa_nurse"):
        Choice([{"task": "kormedmcqa_nurse", "path": str(path)}]).check(context_of(tmp_path, None))


def test_lm_evals_own_tasks_run_on_local_files(tmp_path: Path) -> None:
    abcde = {letter: f"option {letter}" for letter in "ABCDE"}
    files: dict[str, list[dict[str, Any]]] = {
        "kormedmcqa_doctor": [
            {"question": "열이 나면?", **abcde, "answer": 2},
            {"question": "물은?", **abcde, "answer": 1},
        ],
        "kmmlu_health": [{"question": "건강은?", **{letter: abcde[letter] for letter in "ABCD"}, "answer": 2}],
        "medqa_4options": [
            {"sent1": "What?", "ending0": "w", "ending1": "x", "ending2": "y", "ending3": "z", "label": 1}
        ],
        "pubmedqa": [{"QUESTION": "Does it?", "CONTEXTS": ["It was seen."], "final_decision": "maybe"}],
    }
    listed = []
    for task, rows in files.items():
        write_jsonl(tmp_path / f"{task}.jsonl", rows)
        listed.append({"task": task, "path": str(tmp_path / f"{task}.jsonl")})
    model = Scripted(["B"])
    metric = Choice(listed, way="words")
    found = scores(metric, context_of(tmp_path, model))
    assert {(score.set, score.example): score.value for score in found} == {
        ("kormedmcqa_doctor", "1"): 1.0, ("kormedmcqa_doctor", "2"): 0.0, ("kmmlu_health", "1"): 1.0,
        ("medqa_4options", "1"): 1.0, ("pubmedqa", "1"): 0.0,
    }  # fmt: skip
    chances = {task: measure_of(metric.measures, f"choice:{task}").chance for task in files}
    assert chances == {
        "kormedmcqa_doctor": 0.2,
        "kmmlu_health": 0.25,
        "medqa_4options": 0.25,
        "pubmedqa": pytest.approx(1 / 3),
    }
    said = [prompt[0].content for prompt in model.prompts]
    assert any(text.startswith("열이 나면?\nA. option A") and text.endswith("정답：") for text in said)
    assert any(text.startswith("Abstract: It was seen.") for text in said)


def test_english_prompts_are_those_of_lm_evals_mmlu(tmp_path: Path) -> None:
    row = {"question": " Which one? ", "choices": ["w", "x", "y", "z"], "answer": 1}
    (tmp_path / "mine").mkdir()
    write_jsonl(tmp_path / "mine" / "anatomy_test.jsonl", [row, {**row, "answer": 0}])
    write_jsonl(tmp_path / "theirs.jsonl", [row, {**row, "answer": 0}])
    listed = tasks.specs([
        {"path": str(tmp_path / "mine"), "examples": str(tmp_path / "mine"), "name": "ours"},
        {"task": "mmlu_anatomy", "path": str(tmp_path / "theirs.jsonl"), "examples": str(tmp_path / "theirs.jsonl")},
    ])  # fmt: skip
    ours, theirs = tasks.load(listed, tmp_path / "rows", 1)
    said = [part.loaded.fewshot_context(part.loaded.eval_docs[0], num_fewshot=1) for part in (ours, theirs)]
    assert said[0] == said[1].replace(" Which one? ", "Which one?")
    assert said[0].startswith("The following are multiple choice questions") and said[0].count("Which one?") == 2


# servers


@contextmanager
def served(behave: Callable[[dict[str, Any], int], Any]) -> Iterator[Any]:
    from model_server import ModelServer

    with ModelServer(behave) as server:
        yield registry.create("models", "http", url=server.url, name="toy"), server


LIKELY = {" the": -0.1, " B": -1.0, "A": -3.0, " C": -2.0}
AS_OPENAI = {"tokens": [" the"], "token_logprobs": [-0.1], "top_logprobs": [LIKELY], "text_offset": [0]}
AS_LLAMA = {"content": [{"token": " the", "logprob": -0.1, "top_logprobs": [
    {"token": token, "logprob": value, "id": 1, "bytes": []} for token, value in LIKELY.items()]}]}  # fmt: skip


@pytest.mark.parametrize("told", [AS_OPENAI, AS_LLAMA])
def test_a_server_that_tells_probabilities_is_read_by_them(tmp_path: Path, exam: Path, told: dict[str, Any]) -> None:
    from model_server import Reply

    def behave(body: dict[str, Any], number: int) -> Reply:
        choice = {"index": 0, "text": " the", "finish_reason": "length", "logprobs": told}
        return Reply(body={"id": "x", "object": "text_completion", "created": 0, "model": "toy", "choices": [choice]})

    notes: list[str] = []
    with served(behave) as (model, server):
        found = scores(Choice([{"path": str(exam)}]), context_of(tmp_path, model, notes))
    assert values(found) == [0, 1, 0, 0, 0, 1, 0]
    assert not notes and len(server.asked) == 8 and all("prompt" in body for body in server.asked)


def test_a_server_with_chat_only_is_asked_in_words_and_that_is_noted(tmp_path: Path, exam: Path) -> None:
    from model_server import Reply, refused

    def behave(body: dict[str, Any], number: int) -> Reply:
        if "prompt" in body:
            return refused(404, "no completions here")
        piece = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "toy",
                 "choices": [{"index": 0, "delta": {"content": "C"}, "finish_reason": "stop"}]}  # fmt: skip
        text = f"data: {json.dumps(piece)}\n\ndata: [DONE]\n\n"
        return Reply(body=text.encode(), headers={"content-type": "text/event-stream"}, delay=0.2)

    notes: list[str] = []
    with served(behave) as (model, server):
        found = scores(Choice([{"path": str(exam)}]), context_of(tmp_path, model, notes))
    assert values(found) == [0, 0, 1, 0, 0, 0, 0]
    assert "in words" in notes[0]
    assert server.most_at_once == 2


def test_a_gguf_file_is_read_by_what_is_likely_to_follow() -> None:
    from mundap.models.llama import bundled

    found = bundled(threads=1).following("The capital of France is the city of", 20)
    assert max(found, key=lambda token: found[token]) == " Paris"
    assert len(found) == 20 and all(value <= 0 for value in found.values())


def test_an_assistant_is_not_asked(tmp_path: Path, exam: Path) -> None:
    recipe = config.parse({}, "test")
    [target] = resolve(["assistant"], recipe, Work(tmp_path))
    context = replace(context_of(tmp_path, None), target=target)
    with pytest.raises(Unfit):
        list(Choice([{"path": str(exam)}]).score([], context))


@pytest.mark.parametrize(
    ("said", "option"),
    [
        ("B", "B"), ("(b)", "B"), ("B.", "B"), (" B) water", "B"), ("The answer is C", "C"), ("정답은 D입니다", "D"),
        ("답: A번", "A"), ("A patient should rest.", None), ("It is B: water", "B"), ("A. or B.", None), ("", None),
        ("Both", None), ("I say B, not C", None), ("Option D is right", "D"), ("ABCD", None), ("Answer: **C**", "C"),
    ],
)  # fmt: skip
def test_an_answers_option(said: str, option: str | None) -> None:
    from mundap.evaluate.harness import named_option

    assert named_option(said, ["A", "B", "C", "D"]) == option


def test_options_that_are_words() -> None:
    from mundap.evaluate.harness import named_option

    assert named_option("Yes, it does.", ["yes", "no", "maybe"]) == "yes"
    assert named_option("There is no doubt, yes", ["yes", "no", "maybe"]) is None
