"""Seconds that `mundap evaluate` takes for 2,000 items when every reply is kept and every score must be made anew.

Four scripted models answer items with a reference answer; then their scores are thrown away and the stage runs again with the
metrics that need neither judge nor loaded model. The design's goal is 60 s. `python benchmarks/bench_evaluate.py [--items 2000]`
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from measure import timed

from mundap import config
from mundap.config import Recipe
from mundap.evaluate import stage
from mundap.store import Work

PARTS = ("머리", "배", "허리", "무릎", "어깨", "목", "눈", "귀")
SAID = (
    "물을 자주 드시고 푹 쉬세요. 사흘이 지나도 그대로면 내과에서 진료를 받으세요.",
    "따뜻한 찜질이 도움이 됩니다. 아픈 동안 무거운 것을 들지 마세요.",
    "언제부터 아프셨나요? 다른 증상이 있으면 알려 주세요.",
)
METRICS = ("form", "chrf", "rouge", "behaviour", "speed")


def main() -> None:
    """How long asking and scoring take together, and scoring by itself."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=2000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mundap-bench-") as folder:
        work, recipe = Work(Path(folder) / "run"), settings(items(Path(folder) / "items.jsonl", asked.items))
        first = timed(lambda: stage.run(recipe, work))
        shutil.rmtree(work.root / "evaluate" / ".scores")
        (work.root / "evaluate" / "manifest.json").unlink()
        again = timed(lambda: stage.run(recipe, work))
        done = work.manifest("evaluate")
    told = {"items": asked.items, "targets": 4, "scores": done.kept if done else 0}
    print(json.dumps({**told, "asked_and_scored_s": round(first, 1), "scored_s": round(again, 1)}))


def items(path: Path, count: int) -> Path:
    """A file of items, each with a question of its own and a reference answer."""
    with path.open("w", encoding="utf-8") as stream:
        for number in range(count):
            asked = f"{PARTS[number % len(PARTS)]}이 {number}일째 아픈데 어떻게 하면 좋을까요?"
            row = {"id": f"q{number}", "lang": "ko", "urgency": "routine", "departments": ["internal_medicine"],
                   "turns": [{"user": asked}], "answer": f"{SAID[number % 2]} 열이 나면 병원에 가세요."}  # fmt: skip
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


def settings(path: Path) -> Recipe:
    """Four models that say the same few things, each in an order of its own."""
    models = {
        f"model{start}": {"use": "scripted", "replies": [*SAID[start % 3 :], *SAID[: start % 3]]} for start in range(4)
    }
    asked = {"targets": list(models), "sets": [str(path)], "metrics": [{"use": name} for name in METRICS]}
    return config.parse({"models": models, "evaluate": asked}, "bench")


if __name__ == "__main__":
    main()
