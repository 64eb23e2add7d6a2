"""Questions the bundled model makes for 300 MedQuAD answers: how many are accepted, why the others are not, who finds what.

`python benchmarks/augment_quality.py MEDQUAD [--seeds 300] [--plain] [--threads N] [--work FOLDER]`, where MEDQUAD is the folder or
JSON-lines file that the importer reads. The model is asked through its own OpenAI-compatible server, like any other.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mundap import config
from mundap.augment import stage as augment
from mundap.augment.generate import Seeds
from mundap.augment.roundtrip import Answers
from mundap.clean import stage as clean
from mundap.collect import stage as collect
from mundap.models.llama import bundled_path
from mundap.records import lines, parse
from mundap.store import Manifest, Work
from mundap.types import QA

KEY = "MUNDAP_PROOF_KEY"
SLOTS = 8  # requests the server works at together
DEEP = 10  # ranks are told up to here


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("medquad", type=Path)
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--count", type=int, default=4, help="questions asked for in one request")
    parser.add_argument("--plain", action="store_true", help="numbered lists instead of JSON by a schema")
    parser.add_argument("--threads", type=int, default=1, help="of the model; as many as cores that are free")
    parser.add_argument("--work", type=Path, help="a folder to keep; else a temporary one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, served(given.threads) as url:
        work = Work(given.work or Path(temporary))
        recipe = recipe_of(given, url)
        for name, run in (("collect", collect.run), ("clean", clean.run)):
            print(f"{name}: {run(recipe, work).kept:,} rows", flush=True)
        seconds, first = timed(recipe, work)
        (work.root / "augment/manifest.json").unlink()
        again, second = timed(recipe, work)
        report(recipe, work, first)
        counts = second.details["models"]["small"]
        print(
            f"first run {seconds:.0f} s; second {again:.0f} s: {counts['sent']} sent, {counts['cached']} from the ledger"
        )


def recipe_of(given: argparse.Namespace, url: str) -> config.Recipe:
    """Collect and clean MedQuAD, then generate."""
    step = {
        "use": "generate", "model": "small", "seeds": given.seeds, "count": given.count, "room": 700,
        "max_tokens": 30 * given.count, "structured": not given.plain,
    }  # fmt: skip
    model = {"use": "http", "url": url, "name": "SmolLM2-135M-Instruct", "key_from": KEY, "timeout": 600}
    plain = {
        "collect": {"sources": [{"use": "medquad", "path": str(given.medquad)}]},
        "augment": {"steps": [step], "at_once": SLOTS},
        "models": {"small": model},
    }
    return config.parse(plain, "augment_quality")


@contextmanager
def served(threads: int) -> Iterator[str]:
    """The bundled model behind llama.cpp's OpenAI-compatible server on this machine, shut by a key of its own."""
    import xllamacpp

    os.environ[KEY] = secrets.token_urlsafe(16)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(bundled_path())
    parameters.n_parallel, parameters.n_ctx = SLOTS, SLOTS * 1024
    parameters.cpuparams.n_threads = threads
    parameters.verbosity, parameters.ui = -1, False
    parameters.hostnames, parameters.api_keys = ["127.0.0.1"], [os.environ[KEY]]
    server = xllamacpp.Server(parameters)
    try:
        yield f"{server.listening_address}/v1"
    finally:
        del server


def timed(recipe: config.Recipe, work: Work) -> tuple[float, Manifest]:
    """Seconds that the augment stage takes, and its manifest."""
    began = time.perf_counter()
    made = augment.run(recipe, work)
    return time.perf_counter() - began, made


def report(recipe: config.Recipe, work: Work, manifest: Manifest) -> None:
    """Print the shares and the ranks."""
    asked = list(rows(work.root / "clean/out.jsonl"))
    accepted = [row for row in rows(work.root / "augment/out.jsonl") if row.question_origin == "generated"]
    refused = [json.loads(line) for line in (work.root / "augment/dropped.jsonl").read_text("utf-8").splitlines()]
    replies = [row for row in refused if "reply" in row["record"]]
    candidates = [row for row in refused if "question" in row["record"]]
    total = len(accepted) + len(candidates)
    print(f"questions: {interval(len(accepted), total)} accepted")
    print("replies refused:", dict(Counter(row["reason"] for row in replies)))
    print("questions refused:", dict(Counter(row["reason"] for row in candidates).most_common()))
    chosen = Seeds(int(recipe.augment.steps[0].config["seeds"]), recipe.seed).choice(asked)
    seeds = {row.id: row for row in asked if chosen(row)}
    print(f"seeds with a new question: {interval(len({row.group for row in accepted}), len(seeds))}")
    answers = Answers(row.answer for row in asked)
    made = [(row["record"]["question"], seeds[row["record"]["seed"]].answer) for row in candidates]
    ranks(answers, "questions as they were asked", [(row.question, row.answer) for row in seeds.values()])
    ranks(answers, "all questions made", [*made, *((row.question, row.answer) for row in accepted)])
    ranks(answers, "questions accepted", [(row.question, row.answer) for row in accepted])
    print("models:", json.dumps(manifest.details["models"]))


def ranks(answers: Answers, name: str, pairs: Sequence[tuple[str, str]]) -> None:
    """Print how often a question finds its own answer first, among three, among ten."""
    found = [answers.rank(question, answer, DEEP)[0] for question, answer in pairs]
    shares = [f"top {top} {interval(sum(0 < rank <= top for rank in found), len(found))}" for top in (1, 3, DEEP)]
    print(f"{name}: {', '.join(shares)}")


def interval(hits: int, total: int) -> str:
    """A share with its 95 % interval (Wilson 1927)."""
    if not total:
        return "0 of 0"
    share, z = hits / total, 1.96
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return f"{hits} of {total} = {share:.1%} [{middle - half:.1%}, {middle + half:.1%}]"


def rows(path: Path) -> Iterator[QA]:
    """The records of a file."""
    for line in lines(path):
        row: Any = parse(line, path.name)
        assert isinstance(row, QA), row
        yield row


if __name__ == "__main__":
    main()
