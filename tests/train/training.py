"""A small built dataset, a quick recipe, and a process that runs trainings which may be killed."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mundap import config, prompts
from mundap.config import Recipe
from mundap.store import Work
from mundap.types import Message

WORDS = ["머리", "배", "목", "허리", "무릎", "fever", "cough", "cold", "rest", "water"]


def built(root: Path, rows: int = 48, val: int = 8, template: str = "mundap-ko") -> Work:
    """A run's folder with what `mundap build` would have written."""
    build = root / "build"
    build.mkdir(parents=True, exist_ok=True)
    for name, count, start in (("train", rows, 0), ("val", val, 1000)):
        lines = (json.dumps(row(number, template), ensure_ascii=False) for number in range(start, start + count))
        (build / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    prompts.save(template, build)
    return Work(root)


def row(number: int, template: str) -> dict[str, Any]:
    question = f"{WORDS[number % 10]} {number} " + "아파요 " * (1 + number % 7)
    answer = f"쉬세요 {WORDS[number * 3 % 10]} " + "물 " * (1 + number % 5)
    if template == prompts.MODEL:
        pair: dict[str, Any] = {
            "prompt": [{"role": "user", "content": question}],
            "completion": [{"role": "assistant", "content": answer}],
        }
    else:
        pair = {"prompt": prompts.render(template, [Message("user", question)]).text, "completion": answer}
    return {"id": f"r{number}", "lang": "ko", **pair}


def recipe(base: Path | str, template: str = "mundap-ko", **train: Any) -> Recipe:
    """A quick training: a few steps at a high rate, checkpoints often."""
    settings = {
        "base": str(base), "steps": 12, "batch": 4, "save_every": 5, "evaluate_every": 6, "length": 128, "lr": 5e-3,
        "rank": 4, "dropout": 0.1, "samples": 1, "precision": "fp32", **train,
    }  # fmt: skip
    return config.parse({"name": "tiny", "build": {"template": template}, "train": settings}, "test")


def rows_fed(work: Work) -> list[list[str]]:
    """The number of each step in the log and the rows that it was made from."""
    lines = map(json.loads, (work.root / "train/log.jsonl").read_text("utf-8").splitlines())
    return [[line["step"], *line["rows"]] for line in lines if "loss" in line]


def weights(work: Work) -> dict[str, bytes]:
    """The bytes of each tensor of the adapter."""
    from safetensors.numpy import load_file

    found = load_file(work.root / "train/adapter/adapter_model.safetensors")
    return {name: weight.tobytes() for name, weight in found.items()}


@dataclass
class Forge:
    """Starts trainings in forked children of one process that has everything imported."""

    process: subprocess.Popen[str]

    def start(self, work: Work, settings: Recipe, fault: dict[str, Any] | None = None) -> int:
        """The pid of a training; `fault` says what befalls it (see forge.py)."""
        order = {"root": str(work.root), "recipe": settings.model_dump(mode="json"), "fault": fault or {}}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self._line()["pid"])

    def wait(self) -> dict[str, Any]:
        """How the training ended: `code` (negative: killed by that signal) and what it `said`."""
        return self._line()

    def run(self, work: Work, settings: Recipe, fault: dict[str, Any] | None = None) -> dict[str, Any]:
        self.start(work, settings, fault)
        return self.wait()

    def _line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found
