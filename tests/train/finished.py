"""A run whose training is done, without training: a tiny base, an adapter with random weights, a built dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tiny import tiny

from mundap import config, prompts
from mundap.config import Recipe
from mundap.models.bases import locate
from mundap.store import Manifest, Work
from mundap.train.plan import base_digest


def finished(root: Path, architecture: str = "llama", template: str = "mundap-ko") -> Work:
    """The run's folder; the base is beside it, in `base`."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base, work = tiny(root / "base", architecture), Work(root / "run")
    adapter = work.folder("train") / "adapter"
    settings = LoraConfig(
        r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False
    )
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings)
    model.peft_config["default"].base_model_name_or_path = str(base)
    model.save_pretrained(adapter)
    AutoTokenizer.from_pretrained(base).save_pretrained(adapter)
    prompts.save(template, adapter)
    details = {
        "base_digest": base_digest(locate(str(base))), "steps": 12, "tokens": 3456, "device": "cpu, 1 threads",
        "training_seconds": 75.0, "template": {"name": template}, "precision": "fp32", "settings": {"lr": 0.0003},
        "val_before": {"val_loss": 3.25}, "val_after": {"val_loss": 2.5},
    }  # fmt: skip
    work.finish(Manifest("train", "key", versions={"mundap": "0.1.0", "torch": "2.13"}, details=details))
    built(work, template)
    return work


def built(work: Work, template: str = "mundap-ko") -> None:
    """Rows as `mundap build` writes them."""
    asked, answer = "머리가 아파요.", "물을 마시고 쉬세요."
    pair: dict[str, Any] = {"prompt": f"### 질문:\n{asked}\n\n### 답변:\n", "completion": answer}
    if template == prompts.MODEL:
        pair = {
            "prompt": [{"role": "user", "content": asked}],
            "completion": [{"role": "assistant", "content": answer}],
        }
    rows = [{"id": f"r{number}", "lang": "ko", **pair} for number in range(3)]
    (work.folder("build") / "val.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sources([("train", "CC BY 4.0", ""), ("val", "MIT", ""), ("test", "", "")], work)


def sources(rows: list[tuple[str, str, str]], work: Work) -> None:
    """`build/out.jsonl` with rows of these splits, licences and permissions."""
    lines = [
        {"id": f"r{number}", "split": split, "licence": licence, "permission": permission, "lang": "ko", "origin": "asked",
         "source": f"https://example.org/q/{number}"}
        for number, (split, licence, permission) in enumerate(rows)
    ]  # fmt: skip
    (work.folder("build") / "out.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def recipe(work: Work, **sections: Any) -> Recipe:
    """A recipe for the run."""
    base = {"base": str(work.root.parent / "base")}
    given = {"name": "tuned", **sections, "train": {**base, **sections.get("train", {})}}
    return config.parse(given, "test")
