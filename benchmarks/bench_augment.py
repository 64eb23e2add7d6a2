"""The asking machine against a bare asyncio client of the same library, on one local server with a fixed delay.

    python benchmarks/bench_augment.py [--requests 1600] [--delay 0.2] [--rounds 3]

Both send the same requests with 16 in flight, in turns; ours keeps every answer in its ledger. The ratio is of the
sums over all rounds. Overhead is measured one request at a time against a server that answers at once: the median of
ours less the median of the bare client's. The server runs in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from mundap import config
from mundap.asking.ask import Request
from mundap.asking.context import Context
from mundap.types import Message

TESTS = Path(__file__).parent.parent / "tests" / "augment"
AT_ONCE = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1600)
    parser.add_argument("--delay", type=float, default=0.2, help="seconds that the server takes for an answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.delay)
        return
    overhead()
    throughput(given.requests, given.delay, given.rounds)


def serve(delay: float) -> None:
    """Answer everything after `delay` seconds until standard input is closed."""
    sys.path.insert(0, str(TESTS))
    fake = import_module("model_server")
    reply = fake.Reply(body=fake.said("열이 39도까지 오르면 어떻게 해야 하나요? " * 8), delay=delay)
    with fake.ModelServer(lambda body, number: reply) as server:
        print(server.url, flush=True)
        sys.stdin.read()


@contextmanager
def running(delay: float) -> Iterator[str]:
    command = [sys.executable, __file__, "--serve", "--delay", str(delay)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()


def requests(count: int, first: int = 0) -> list[Request]:
    return [
        Request("bench", (Message("user", f"{n}. {'두통이 사흘째 계속됩니다. ' * 20}"),))
        for n in range(first, first + count)
    ]


def overhead(count: int = 300) -> None:
    """Median milliseconds of one request, one at a time: ours and the bare client's."""
    with running(0) as url, tempfile.TemporaryDirectory() as folder, context(url, Path(folder)) as ours:
        asker = ours.ask("helper")
        mine = [timed(partial(asker.one, each)) for each in requests(count)]
        bare = asyncio.run(one_by_one(url, requests(count)))
    mine, bare = mine[20:], bare[20:]  # the first ones open connections
    medians = [1000 * statistics.median(each) for each in (mine, bare)]
    print(
        f"one at a time: ours {medians[0]:.2f} ms, bare {medians[1]:.2f} ms, "
        f"overhead {medians[0] - medians[1]:.2f} ms a request (goal < 5)", flush=True,
    )  # fmt: skip


def throughput(count: int, delay: float, rounds: int) -> None:
    """Requests a second with 16 in flight, in turns."""
    seconds = {"bare": 0.0, "ours": 0.0}
    for round_ in range(rounds):
        with running(delay) as url, tempfile.TemporaryDirectory() as folder, context(url, Path(folder)) as ours:
            asked = requests(count, round_ * count)
            seconds["bare"] += timed(partial(asyncio.run, together(url, asked)))
            seconds["ours"] += timed(partial(list, ours.ask("helper").ask(asked)))
            counts = ours.report()["helper"]
            assert (counts["sent"], counts["failed"]) == (count, 0)
    rates = {name: rounds * count / took for name, took in seconds.items()}
    most = AT_ONCE / delay
    print(
        f"{AT_ONCE} in flight, {delay} s an answer (at most {most:.0f}/s): ours {rates['ours']:.1f}/s, "
        f"bare {rates['bare']:.1f}/s, ratio {rates['ours'] / rates['bare']:.3f} (goal >= 0.9)"
    )


def context(url: str, folder: Path) -> Context:
    models = {"helper": {"use": "http", "url": url, "name": "toy"}}
    return Context(config.parse({"models": models, "augment": {"at_once": AT_ONCE}}, "bench"), folder, "bench")


async def together(url: str, asked: list[Request]) -> None:
    """What one would write without this package: a semaphore, a gather, answers in memory."""
    from openai import AsyncOpenAI

    room = asyncio.Semaphore(AT_ONCE)
    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:

        async def one(request: Request) -> Any:
            async with room:
                return await client.chat.completions.create(**body(request))

        assert all(found.choices for found in await asyncio.gather(*map(one, asked)))


async def one_by_one(url: str, asked: list[Request]) -> list[float]:
    from openai import AsyncOpenAI

    seconds = []
    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        for request in asked:
            began = time.perf_counter()
            await client.chat.completions.create(**body(request))
            seconds.append(time.perf_counter() - began)
    return seconds


def body(request: Request) -> dict[str, Any]:
    messages = [{"role": line.role, "content": line.content} for line in request.messages]
    return {
        "model": "toy", "messages": messages, "max_tokens": request.max_tokens, "temperature": request.temperature, "seed": 1,
    }  # fmt: skip


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
