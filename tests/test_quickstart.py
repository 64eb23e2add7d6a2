"""The README's quickstart, from pages to a tuned model that answers: the shipped recipe with fewer steps."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = Path(__file__).parents[1] / "recipes" / "quickstart.yaml"
MUNDAP = Path(sys.executable).parent / "mundap"
SMALL = (
    "build.val=0",
    "build.test=0.02",
    "train.steps=2",
    "train.samples=0",
    "evaluate.targets=[tuned, assistant]",
    "evaluate.limit=1",
    "evaluate.resamples=100",
    "chat.generation.max_tokens=16",
)
STAGES = ("collect", "clean", "augment", "build", "train", "merge", "export", "evaluate")


def mundap(folder: Path, *arguments: str) -> str:
    done = subprocess.run([MUNDAP, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(900)
def test_from_pages_to_a_tuned_model_that_answers(tmp_path: Path) -> None:
    overrides = [part for override in SMALL for part in ("-o", override)]
    told = mundap(tmp_path, "run", str(RECIPE), *overrides)
    run = tmp_path / "runs" / "quickstart"
    manifests = {name: (run / name / "manifest.json") for name in STAGES}
    assert all(path.is_file() for path in manifests.values())
    assert "mundap chat --model runs/quickstart" in told
    rows = json.loads(manifests["build"].read_text("utf-8"))
    assert rows["kept"] > 300
    assert (run / "evaluate/report.html").is_file()

    before = {name: path.stat().st_mtime_ns for name, path in manifests.items()}
    mundap(tmp_path, "run", str(RECIPE), *overrides)
    assert {name: path.stat().st_mtime_ns for name, path in manifests.items()} == before  # nothing was done again

    asked = ("chat", "--model", "runs/quickstart", "--json", "--ask")
    english = json.loads(mundap(tmp_path, *asked, "My knee hurts when I climb stairs"))
    assert english["text"] and english["citations"]
    urgent = json.loads(mundap(tmp_path, *asked, "my dad suddenly cannot speak properly and his arm is weak"))
    assert (urgent["urgency"], urgent["model"]) == ("emergency", "fixed")
