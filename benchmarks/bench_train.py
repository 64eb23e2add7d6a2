"""Useful tokens a second of the quickstart's training against a padded loop in the manner of alpaca-lora, on the same rows.

Ours is `mundap train` as recipes/quickstart.yaml has it: the bundled SmolLM2-135M, in bf16 where the CPU computes in it,
LoRA of rank 16 on all linear layers, batches of 8 rows of like length, the head over learnt positions only. The rival is the
loop of alpaca-lora's `finetune.py` as far as it bears on speed: rows in random order, `DataCollatorForSeq2Seq` that pads each
batch to its longest row and on to a multiple of 8, a forward pass that makes all logits, cross-entropy over prompt and answer,
AdamW, its dropout of 0.05 in the adapter. It gets our model, rank, layers, batch size and threads, and, in its favour, no
gradient checkpointing (its script turns that on) and no Trainer around it. `padded` computes in fp32, as that script does
where there is no GPU; `halves` is the same loop given our precision; `cutoff` is `padded` with every row as long as the longest
that the recipe allows (512), as many scripts do. Useful tokens are those of the rows, prompt and answer; padding is not.
Rounds alternate, so that all see the same machine.

`python benchmarks/bench_train.py [--steps 6] [--rounds 2] [--built RUN]`; RUN is a run of the quickstart with its dataset.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

QUICKSTART = Path(__file__).parents[1] / "recipes" / "quickstart.yaml"


def main() -> None:
    """One line a round and loop, then the ratios of the sums."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--built", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mundap-bench-") as folder:
        run = asked.built or built(Path(folder) / "quickstart")
        loops: dict[str, Callable[[int], tuple[int, float, float]]] = {
            "ours": lambda number: ours(run, Path(folder) / f"ours-{number}", asked.steps, number),
            "padded": lambda number: rival(run, asked.steps, number),
            "halves": lambda number: rival(run, asked.steps, number, halves=True),
            "cutoff": lambda number: rival(run, asked.steps, number, cutoff=True),
        }
        sums = {name: [0.0, 0.0] for name in loops}
        for number in range(asked.rounds):
            for name, measured in loops.items():
                tokens, seconds, share = measured(number)
                sums[name] = [sums[name][0] + tokens, sums[name][1] + seconds]
                told = {
                    "round": number,
                    "loop": name,
                    "tokens_per_second": round(tokens / seconds, 1),
                    "useful": round(share, 3),
                }
                print(json.dumps(told), flush=True)
        speeds = {name: tokens / seconds for name, (tokens, seconds) in sums.items()}
        print(json.dumps({name: round(speeds["ours"] / speeds[name], 2) for name in ("padded", "halves", "cutoff")}))


def settings(steps: int, seed: int) -> Any:
    """The quickstart's recipe for a few steps from the beginning of an epoch; only what is measured is left."""
    from mundap import config

    more = [f"train.steps={steps}", "train.samples=0", "train.save_every=100000", f"seed={seed}"]
    return config.read(QUICKSTART, more)


def built(folder: Path) -> Path:
    """The dataset of the quickstart, made from its replicas."""
    from mundap import config, pipeline
    from mundap.store import Work

    list(pipeline.run(config.read(QUICKSTART), Work(folder), last="build"))
    return folder


def ours(run: Path, folder: Path, steps: int, seed: int) -> tuple[int, float, float]:
    """Tokens and seconds of `mundap train` in its steps, by its own log, and the share of places that were no padding."""
    from mundap.store import Work, read_jsonl
    from mundap.train import stage

    shutil.copytree(run / "build", folder / "build")
    (folder / "build" / "val.jsonl").write_text("")
    stage.run(settings(steps, seed), Work(folder))
    log = [row for row in read_jsonl(folder / "train" / "log.jsonl") if "loss" in row]
    sizes = {row.id: len(row.ids) for row in rows(run)}
    places = sum(max(sizes[name] for name in row["rows"]) * len(row["rows"]) for row in log)
    tokens = sum(row["tokens"] for row in log)
    return tokens, sum(row["seconds"] for row in log), tokens / places


def rows(run: Path) -> list[Any]:
    """The rows that training sees, as tokens."""
    from mundap.models.bases import ends_of, tokenizer_of
    from mundap.train import data

    train = settings(1, 0).train
    tokenizer = tokenizer_of(train.base)
    encoder = data.Encoder(tokenizer, ends_of(train.base, tokenizer), train.length)
    return data.encoded(data.read(run / "build" / "train.jsonl"), encoder, train.lang)[0]


def rival(run: Path, steps: int, seed: int, cutoff: bool = False, halves: bool = False) -> tuple[int, float, float]:
    """The padded loop: tokens of its rows, seconds of its steps, and the share of places that were no padding."""
    import torch

    train = settings(steps, seed).train
    model, tokenizer = tuned(train, halves)
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=train.lr)
    model.train()
    tokens, places, seconds = 0, 0, 0.0
    for batch in batches(rows(run), tokenizer, train, steps, cutoff, seed):
        began = perf_counter()
        model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds += perf_counter() - began
        tokens, places = tokens + int(batch["attention_mask"].sum()), places + batch["input_ids"].numel()
    return tokens, seconds, tokens / places


def tuned(train: Any, halves: bool) -> tuple[Any, Any]:
    """The base with an adapter of our rank and alpaca-lora's dropout, without anything of ours around it."""
    from peft import LoraConfig, get_peft_model

    from mundap.models.bases import best_method, open_base

    opened = open_base(train.base, best_method() if halves else "fp32")
    adapter = LoraConfig(
        r=train.rank,
        lora_alpha=2 * train.rank,
        lora_dropout=0.05,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    opened.model.config.use_cache = False
    return get_peft_model(opened.model, adapter), opened.tokenizer


def batches(
    found: Sequence[Any], tokenizer: Any, train: Any, steps: int, cutoff: bool, seed: int
) -> Iterator[Mapping[str, Any]]:
    """Random batches as alpaca-lora's collator makes them; with `cutoff` all rows are as long as the longest may be."""
    import numpy as np
    from transformers import DataCollatorForSeq2Seq

    how = (
        {"padding": "max_length", "max_length": train.length} if cutoff else {"padding": True, "pad_to_multiple_of": 8}
    )
    collator = DataCollatorForSeq2Seq(tokenizer, return_tensors="pt", **how)
    order = np.random.default_rng(seed).permutation(len(found))[: steps * train.batch]
    for start in range(0, len(order), train.batch):
        part = [found[place].ids.tolist() for place in order[start : start + train.batch]]
        yield dict(
            collator([{"input_ids": ids, "labels": list(ids), "attention_mask": [1] * len(ids)} for ids in part])
        )


if __name__ == "__main__":
    main()
