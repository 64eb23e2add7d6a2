"""Targets: names to models, what each is given, what makes its answers its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mundap import config, prompts
from mundap.config import Use
from mundap.errors import ConfigError
from mundap.evaluate import targets
from mundap.evaluate.item_sets import GENERAL
from mundap.evaluate.items import Item
from mundap.evaluate.replies import file_name
from mundap.evaluate.targets import Target, by_model, fingerprint, messages, resolve
from mundap.store import Manifest, Work
from mundap.types import Message

ASKED = Item("q1", (Message("user", "머리가 아파요"),))
SAID = {"use": "scripted", "replies": ["물을 드시고 쉬세요."]}


def recipe(**sections: Any) -> config.Recipe:
    return config.parse({"models": {"said": SAID}, **sections}, "test")


def target(name: str, root: Path, **sections: Any) -> Target:
    return resolve([name], recipe(**sections), Work(root))[0]


def test_everything_wrong_is_told_at_once_and_nothing_is_loaded(tmp_path: Path) -> None:
    names = ["sayd", "tuned", "translated:said", "said", "said", "said+nowhere", "nosuch.gguf"]
    with pytest.raises(ConfigError) as raised:
        resolve(names, recipe(), Work(tmp_path))
    problems = raised.value.problems
    assert len(problems) == 6
    assert "did you mean 'said'" in problems[0] and "mundap train" in problems[1] and "chat.translate" in problems[2]
    assert "not on `scripted`" in problems[3] and "no target 'nosuch.gguf'" in problems[4] and "twice" in problems[5]


def test_a_medical_item_is_laid_out_as_a_row_and_a_task_as_it_stands() -> None:
    system = prompts.instruction("ko")
    assert messages(ASKED) == (Message("system", system), *ASKED.turns)
    task = replace(ASKED, kinds=GENERAL, turns=(Message("system", "고치세요"), Message("user", "글")))
    assert messages(task) == task.turns
    talk = replace(ASKED, turns=(Message("assistant", "어디가요?"), Message("user", "머리요")))
    assert [line.role for line in messages(talk)] == ["user", "assistant", "user"]
    assert messages(talk)[0].content == prompts.instruction("ko", True)


def test_a_bare_model_answers_and_a_cut_answer_says_so(tmp_path: Path) -> None:
    answer = target("said", tmp_path).answerer()(ASKED, 1)
    assert (answer.text, answer.finish, answer.urgency, answer.topics) == ("물을 드시고 쉬세요.", "stop", None, None)
    models = {"said": {**SAID, "piece": 1, "replies": ["가" * 40]}}
    short = target("said", tmp_path, models=models, chat={"generation": {"max_tokens": 16}})
    cut = short.answerer()(ASKED, 1)
    assert (cut.text, cut.finish, cut.completion) == ("가" * 16, "length", 16)


def test_the_assistant_sends_for_help_before_any_model(tmp_path: Path) -> None:
    urgent = replace(ASKED, turns=(Message("user", "아버지가 쓰러졌는데 숨을 안 쉬어요"),))
    alone, helped = resolve(["assistant", "assistant:said"], recipe(), Work(tmp_path))
    for one in (alone, helped):
        answer = one.answerer()(urgent, 1)
        assert answer.fixed and answer.urgency == "emergency" and "119" in answer.text and answer.rules
    routine = alone.answerer()(ASKED, 1)
    assert routine.urgency == "routine" and routine.topics and routine.citations and routine.unit == "character"


def test_a_translated_model_is_asked_in_english_and_answers_in_korean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = {"머리가 아파요": "My head hurts", "Please rest.": "쉬세요."}
    given = {
        "models": {"said": {**SAID, "replies": ["Please rest."]}},
        "chat": {"translate": {"use": "nmt", "path": "x"}},
    }
    monkeypatch.setattr(targets, "_translator", lambda recipe: lambda texts, source, to: [book[text] for text in texts])
    chosen = target("translated:said", tmp_path, **given)
    assert chosen.answerer()(ASKED, 1).text == "쉬세요."
    assert [line.content for line in chosen.model().prompts[-1]][-1] == "My head hurts"  # type: ignore[attr-defined]
    assert chosen.answerer()(replace(ASKED, lang="en"), 1).text == "Please rest."


def test_targets_of_one_model_stand_beside_each_other_and_share_it(tmp_path: Path) -> None:
    models = {"said": SAID, "more": {**SAID, "replies": ["x"]}}
    found = resolve(["said", "more", "assistant", "assistant:said"], recipe(models=models), Work(tmp_path))
    ordered = by_model(found)
    assert [each.name for each in ordered] == ["said", "assistant:said", "more", "assistant"]
    assert ordered[0].model() is ordered[1].model()
    first = ordered[0].model()
    ordered[2].model()
    assert ordered[0].model() is not first  # one at a time


def test_what_makes_answers_a_target_s_own(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"one")
    before = fingerprint(str(path))
    path.write_bytes(b"two")
    assert fingerprint(str(path)) != before and fingerprint("owner/name") == "owner/name"
    here, there = (
        target("s", tmp_path, models={"s": {"use": "http", "url": url, "name": "q"}}).identity
        for url in ("http://a/v1", "http://b/v1")
    )
    assert (
        here
        == there
        != target("s", tmp_path, models={"s": {"use": "http", "url": "http://a/v1", "name": "r"}}).identity
    )
    warm = target("said", tmp_path, chat={"generation": {"temperature": 0.5}})
    assert warm.identity != target("said", tmp_path).identity
    assert "code" in target("assistant", tmp_path).identity and "code" not in warm.identity


def test_an_adapter_of_another_template_is_refused(tmp_path: Path) -> None:
    adapter = tmp_path / "train" / "adapter"
    adapter.mkdir(parents=True)
    (adapter / "adapter_config.json").write_text("{}")
    prompts.save("alpaca", adapter)
    with pytest.raises(ConfigError, match="template 'alpaca', not 'mundap-ko'"):
        target("tuned", tmp_path)


def test_every_target_has_a_file_of_its_own() -> None:
    names = ["base", "assistant", "assistant:base", "assistant_base/x", "assistant_base:x", "../up", "a" * 300]
    files = [file_name(name) for name in names]
    assert len(set(files)) == len(names) and not [name for name in files if "/" in name or len(name) > 120]
    assert files[:3] == ["base", "assistant", "assistant_base"]


def test_base_and_tuned_are_opened_in_what_training_computed_in(tmp_path: Path) -> None:
    assert target("base", tmp_path).use == Use(use="hf", path="bundled", template="mundap-ko", name="base")
    before = target("base", tmp_path).identity
    Work(tmp_path).finish(Manifest("train", "key", details={"computed_in": "bf16"}))
    trained = target("base", tmp_path)
    assert trained.use is not None and trained.use.config["dtype"] == "bf16" and trained.identity != before
