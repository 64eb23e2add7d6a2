"""The latencies that a person feels: help, start to first answer, composed answers, triage, search; and memory."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from measure import MUNDAP, free_port, memory, percentile, server, timed, wait_for

from mundap.chat.engine import Engine
from mundap.knowledge import load
from mundap.knowledge.passages import sections
from mundap.retrieve.lexical import Lexical
from mundap.safety.triage import triage
from mundap.types import Message

QUERIES = [
    json.loads(line)["query"]
    for line in (Path(__file__).parent.parent / "tests/retrieve/queries.jsonl").read_text("utf-8").splitlines()
]
USERS, EACH = 50, 4


def main() -> None:
    print(f"| {'measure':<44} | {'value':>12} |\n|{'-' * 46}|{'-' * 14}|")
    for name, value in [*command(), *in_process(), *over_http()]:
        print(f"| {name:<44} | {value:>12} |", flush=True)


def command() -> list[tuple[str, str]]:
    """`mundap --help` as a whole process; `mundap serve` from its start to its first whole answer."""
    runs = [timed(lambda: subprocess.run([MUNDAP, "--help"], stdout=subprocess.DEVNULL, check=True)) for _ in range(11)]
    starts = [first_answer() for _ in range(4)][1:]
    return [
        ("mundap --help, median of 11", f"{percentile(runs, 0.5):.2f} s"),
        ("mundap serve to first answer, median of 3", f"{percentile(starts, 0.5):.1f} s"),
    ]


def first_answer() -> float:
    port = free_port()
    started = time.perf_counter()
    process = subprocess.Popen([MUNDAP, "serve", "--port", str(port)], stdout=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        ask(f"http://127.0.0.1:{port}", "두통이 너무 심해요")
        return time.perf_counter() - started
    finally:
        process.terminate()
        process.wait(20)


def in_process() -> list[tuple[str, str]]:
    """Triage, search and composed answers, one after the other."""
    index = Lexical(sections(load.topics().values()))
    engine = Engine(index)
    index.search("두통")
    texts = [f"{query} {n}" for n in range(4) for query in QUERIES]  # the number keeps caches from answering
    triaged = [timed(partial(triage, text)) for text in texts]
    found = [timed(partial(index.search, text)) for text in texts]
    composed = [timed(partial(answer, engine, text)) for text in texts]
    return [
        (f"triage p99 ({len(triaged)} messages)", f"{percentile(triaged, 0.99) * 1e3:.1f} ms"),
        (f"search p99 ({len(found)} queries)", f"{percentile(found, 0.99) * 1e3:.1f} ms"),
        (f"composed answer p95 ({len(composed)} questions)", f"{percentile(composed, 0.95) * 1e3:.1f} ms"),
    ]


def answer(engine: Engine, question: str) -> None:
    deque(engine.reply([Message("user", question)]), maxlen=0)


def over_http() -> list[tuple[str, str]]:
    """Fifty people at once, each asking a few questions one after the other; and the server's memory."""
    with server() as (address, process):
        ask(address, "두통")
        before = memory(process)
        with ThreadPoolExecutor(USERS) as people:
            started = time.perf_counter()
            waits = [wait for waits in people.map(lambda n: person(address, n), range(USERS)) for wait in waits]
            seconds = time.perf_counter() - started
        after = memory(process)
    return [
        (f"{USERS} users at once: answers a second", f"{len(waits) / seconds:.0f}"),
        (f"{USERS} users at once: p50 / p95", f"{percentile(waits, 0.5):.2f} / {percentile(waits, 0.95):.2f} s"),
        ("server memory after one answer", f"{before:.0f} MiB"),
        (f"server memory after {len(waits) + 1} answers", f"{after:.0f} MiB"),
    ]


def person(address: str, number: int) -> list[float]:
    return [timed(partial(ask, address, QUERIES[(number * EACH + n) % len(QUERIES)])) for n in range(EACH)]


def ask(address: str, question: str) -> None:
    body = json.dumps({"model": "compose", "messages": [{"role": "user", "content": question}]}).encode()
    request = urllib.request.Request(f"{address}/v1/chat/completions", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        assert json.load(response)["choices"][0]["message"]["content"]


if __name__ == "__main__":
    main()
