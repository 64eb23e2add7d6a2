"""How near `mundap estimate` is to the memory that training really takes: random models of several sizes, trained here.

Each size is trained for two steps in a process of its own, by the trainer itself, from weights that are halves, as most
are published; the peak is that process's largest resident set (the GPU's largest allocation where there is a GPU).

`python benchmarks/estimate_accuracy.py [NAME …]`
"""

from __future__ import annotations

import json
import random
import string
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Shape = Mapping[str, Any]
LLAMA: Shape = {"architecture": "llama", "num_key_value_heads": 4, "num_attention_heads": 8}
SMALL: Shape = {**LLAMA, "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 8, "vocab_size": 32000}
SMOL: Shape = {**LLAMA, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "vocab_size": 49152,
               "num_attention_heads": 9, "num_key_value_heads": 3}  # fmt: skip
SMOL_360: Shape = {**SMOL, "hidden_size": 960, "intermediate_size": 2560, "num_hidden_layers": 32,
                   "num_attention_heads": 15, "num_key_value_heads": 5}  # fmt: skip
# name: (shape of the model, settings of training)
CASES: Mapping[str, tuple[Shape, Mapping[str, Any]]] = {
    "30m": (SMALL, {"batch": 8, "length": 256}),
    "30m-checkpointing": (SMALL, {"batch": 8, "length": 256, "checkpointing": True}),
    "135m": (SMOL, {"batch": 4, "length": 256}),
    "135m-checkpointing": (SMOL, {"batch": 4, "length": 256, "checkpointing": True}),
    "135m-fp32": (SMOL, {"batch": 4, "length": 256, "precision": "fp32"}),
    "135m-fp32-checkpointing": (SMOL, {"batch": 4, "length": 256, "precision": "fp32", "checkpointing": True}),
    "135m-long": (SMOL, {"batch": 4, "length": 1024}),
    "135m-full": (SMOL, {"batch": 4, "length": 256, "method": "full"}),
    "135m-int8": (SMOL, {"batch": 4, "length": 256, "method": "int8"}),
    "360m": (SMOL_360, {"batch": 4, "length": 256}),
    "360m-checkpointing": (SMOL_360, {"batch": 4, "length": 512, "checkpointing": True}),
    "360m-fp32-checkpointing": (SMOL_360, {"batch": 4, "length": 512, "precision": "fp32", "checkpointing": True}),
    "360m-qlora": (SMOL_360, {"batch": 4, "length": 256, "method": "qlora"}),
    "1.1b": ({**LLAMA, "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22, "vocab_size": 32000,
              "num_attention_heads": 32, "num_key_value_heads": 4}, {"batch": 2, "length": 256}),
    "neox-400m": ({"architecture": "gpt_neox", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
                   "num_attention_heads": 16, "vocab_size": 30080}, {"batch": 4, "length": 256}),
}  # fmt: skip
TRAIN = """
import sys
from pathlib import Path
from mundap import config
from mundap.store import Work
from mundap.train import stage
print(stage.run(config.read(Path(sys.argv[1])), Work(Path(sys.argv[2]))).details["peak_memory"])
"""


def main() -> None:
    """One line a case: measured, estimated, and how far off."""
    for name in sys.argv[1:] or CASES:
        with tempfile.TemporaryDirectory(prefix="mundap-estimate-") as folder:
            measured, estimated = measure(Path(folder), *CASES[name])
        off = estimated / measured - 1
        print(
            json.dumps({"case": name, "measured": measured, "estimated": estimated, "off": round(off, 3)}), flush=True
        )


def measure(folder: Path, shape: Shape, settings: Mapping[str, Any]) -> tuple[int, int]:
    """Bytes that training took, and bytes that the estimate says it takes."""
    from mundap import config
    from mundap.train import estimate

    base = model(folder / "base", shape)
    length = settings["length"]
    train = {"base": str(base), "steps": 2, "samples": 0, "save_every": 1000, "lang": None, **settings}
    recipe = config.parse({"train": train, "build": {"length": length}}, "benchmark")
    rows(folder / "run" / "build", base, length, int(settings["batch"]) * 2)
    path = folder / "recipe.yaml"
    path.write_text(json.dumps({"train": train, "build": {"length": length}}))
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(path), str(folder / "run")], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return int(done.stdout.split()[-1]), estimate.of(recipe).total


def model(folder: Path, shape: Shape) -> Path:
    """A random model of this shape with the tests' byte-level tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from train.tiny import tiny_tokenizer  # type: ignore[import-not-found]

    tokenizer = tiny_tokenizer(512)
    sizes = {key: value for key, value in shape.items() if key != "architecture"}
    if shape["architecture"] == "gpt_neox":
        sizes.pop("num_key_value_heads", None)
    settings = AutoConfig.for_model(
        shape["architecture"], **sizes, max_position_embeddings=2048, tie_word_embeddings=shape["architecture"] == "llama",
        eos_token_id=tokenizer.eos_token_id, bos_token_id=tokenizer.bos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(settings, dtype=torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def rows(folder: Path, base: Path, length: int, count: int) -> None:
    """A dataset whose rows are as long as they may be, nearly all of it to be learnt."""
    from transformers import AutoTokenizer

    from mundap import prompts

    tokenizer, chance = AutoTokenizer.from_pretrained(base), random.Random(0)
    folder.mkdir(parents=True)
    lines = []
    for number in range(count):
        text = "".join(chance.choices(string.ascii_lowercase, k=length * 3))
        prompt, completion = text[:8], text[8:]
        while (
            len(tokenizer(prompt)["input_ids"]) + len(tokenizer(completion)["input_ids"]) >= length
        ):  # one is the end's
            completion = completion[:-1]
        row = {"id": str(number), "lang": "en", "prompt": prompt, "completion": completion}
        lines.append(json.dumps(row) + "\n")
    (folder / "train.jsonl").write_text("".join(lines))
    (folder / "val.jsonl").write_text("")
    prompts.save("mundap-ko", folder)


if __name__ == "__main__":
    main()
