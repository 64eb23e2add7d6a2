"""Pages a second of `mundap collect` and of bare Scrapy on the same replica of HiDoc, in turn: `python benchmarks/bench_crawl.py`.

Bare Scrapy follows the same links, parses with the same functions and writes JSON lines; it keeps no pages and can
resume nothing. Both have robots.txt, eight requests under way and no delay; each run is a process of its own.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mundap.collect import hidoc
from mundap.collect.sources import HiDoc
from mundap.types import QA

PAGES, RUNS = 2000, 5
SERVER = "from mundap.collect.replica.server import *; import sys; run(0, Replica(bulk=int(sys.argv[1])))"


def bare(base: str, out: str) -> None:
    """Crawl with Scrapy alone; runs in a process of its own."""
    import scrapy
    from scrapy.crawler import AsyncCrawlerProcess

    def local(url: str) -> str:
        return url.replace("https://www.hidoc.co.kr", base)

    class Bare(scrapy.Spider):  # type: ignore[misc, unused-ignore]
        name = "bare"

        async def start(self) -> Any:
            yield scrapy.Request(local("https://www.hidoc.co.kr/healthqna/list?code=BULK&page=1"))

        def parse(self, response: Any) -> Iterator[Any]:
            real = response.url.replace(base, "https://www.hidoc.co.kr")
            for link in hidoc.links(response.text, real):
                yield scrapy.Request(local(link.url))
            for record in hidoc.records(response.text, real):
                if isinstance(record, QA):
                    yield {"id": record.id, "question": record.question, "answer": record.answer, "title": record.title}

    process = AsyncCrawlerProcess({
        "ROBOTSTXT_OBEY": True, "LOG_LEVEL": "CRITICAL", "TELNETCONSOLE_ENABLED": False, "CONCURRENT_REQUESTS_PER_DOMAIN": 8,
        "DOWNLOAD_DELAY": 0, "FEEDS": {out: {"format": "jsonlines"}},
    })  # fmt: skip
    process.crawl(Bare)
    process.start()


def once(kind: str, base: str) -> float:
    """Pages a second of one run, its start included; every question must be there."""
    with TemporaryDirectory() as folder:
        out, begun = Path(folder) / "out.jsonl", time.perf_counter()
        if kind == "bare":
            subprocess.run([sys.executable, __file__, base, str(out)], check=True)
            found = sum(1 for _ in out.open())
        else:
            source = HiDoc(permission="replica", base_url=base, tags=("BULK",))
            found = sum(isinstance(each, QA) for each in source.crawl(Path(folder) / "pages", out))
        seconds = time.perf_counter() - begun
    assert found == PAGES, f"{kind}: {found} records"
    return (PAGES + PAGES / 7) / seconds


def main() -> None:
    """Print the medians and their ratio as one JSON object."""
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(PAGES)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        base = server.stdout.readline().split()[3] + "/hidoc"
        speeds: dict[str, list[float]] = {"bare": [], "mundap": []}
        for _ in range(RUNS):
            for kind, found in speeds.items():
                found.append(once(kind, base))
    finally:
        server.terminate()
        server.wait()
    medians = {kind: round(statistics.median(found), 1) for kind, found in speeds.items()}
    spread = {kind: [round(min(found), 1), round(max(found), 1)] for kind, found in speeds.items()}
    print(
        json.dumps(
            {
                "pages": PAGES,
                "pages_a_second": medians,
                "range": spread,
                "ratio": round(medians["mundap"] / medians["bare"], 3),
            }
        )
    )


if __name__ == "__main__":
    bare(sys.argv[1], sys.argv[2]) if len(sys.argv) == 3 else main()
