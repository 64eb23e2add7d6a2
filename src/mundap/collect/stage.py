"""The stage: every source of the recipe, in its order, into `out.jsonl` and `dropped.jsonl`; crawls first, side by side."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

from mundap import registry
from mundap.collect import report
from mundap.collect.record import STEP
from mundap.collect.replica.server import SITES, Replica
from mundap.collect.sources import Crawl
from mundap.config import Recipe, Use
from mundap.errors import ConfigError, UserError
from mundap.protocols import Source
from mundap.store import Manifest, Work, digest, replacing
from mundap.types import QA, Drop

_CRAWLS_AT_ONCE = 4  # of different sites; sources of one site wait for each other
_EXAMPLES = 5  # addresses named for each selector that found nothing


@dataclass
class _Counts:
    """What went in and out."""

    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    sources: list[dict[str, Any]] = field(default_factory=list)
    misfits: dict[str, list[str]] = field(default_factory=dict)


def run(recipe: Recipe, work: Work) -> Manifest:
    """Collect. Raises `ConfigError` with every problem of every source before anything is fetched."""
    begun = time.monotonic()
    sources = _sources(recipe.collect.sources, recipe.collect.demo_site)
    inputs = {f"{number} {use.use}": _digest(source) for number, (use, source) in enumerate(sources)}
    key = digest([recipe.collect.model_dump(mode="json"), inputs, _code()])
    done = work.fresh(STEP, key)
    if done is not None:
        return done
    folder = _swept(work.folder(STEP))
    cache = Path(recipe.collect.cache) if recipe.collect.cache else work.root.parent / "pages"
    with _demo_site(sources) if recipe.collect.demo_site else nullcontext(sources) as found:
        counts, hosts = _collect(found, folder, cache)
    manifest = Manifest(
        STEP, key, counts.kept, dict(sorted(counts.dropped.items())), inputs, recipe.seed, round(time.monotonic() - begun, 2),
        {"mundap": version("mundap")}, {"sources": counts.sources, "hosts": hosts, "misfits": counts.misfits},
    )  # fmt: skip
    work.finish(manifest)
    shutil.rmtree(folder / "crawl", ignore_errors=True)
    report.show(manifest)
    return manifest


@contextmanager
def _demo_site(sources: Sequence[tuple[Use, Source]]) -> Iterator[Sequence[tuple[Use, Source]]]:
    """The sources with every site among them looked for behind a free port of this machine, where its replica answers."""
    with Replica().running() as address:
        yield [
            (use, replace(source, base_url=f"{address}/{use.use}") if isinstance(source, Crawl) else source)
            for use, source in sources
        ]


def _sources(uses: Sequence[Use], demo_site: bool = False) -> list[tuple[Use, Source]]:
    made, problems = [], []
    for number, use in enumerate(uses):
        # The port is not known yet, and must not be part of what decides whether the stage is fresh.
        stand_in = {"base_url": "http://127.0.0.1"} if demo_site and use.use in SITES else {}
        try:
            made.append((use, registry.create("sources", use.use, **use.config | stand_in)))
        except ConfigError as error:
            problems += [f"sources.{number} ({use.use}): {problem}" for problem in error.problems]
        except UserError as error:
            problems.append(f"sources.{number}: {error}")
    if problems or not uses:
        raise ConfigError("collect", problems or ["no sources; add collect.sources"])
    return made


def problems(recipe: Recipe) -> list[str]:
    """What is wrong with every source: its config, a permission or a file that is not there. Nothing is fetched."""
    found: list[str] = []
    for number, use in enumerate(recipe.collect.sources):
        try:
            for _, source in _sources([use], recipe.collect.demo_site):
                getattr(source, "inputs", ())
        except ConfigError as error:
            found += [problem.replace("sources.0", f"collect.sources.{number}", 1) for problem in error.problems]
        except UserError as error:
            found.append(f"collect.sources.{number} ({use.use}): {error}")
    return found


def _collect(sources: Sequence[tuple[Use, Source]], folder: Path, cache: Path) -> tuple[_Counts, dict[str, Any]]:
    with report.Progress() as progress:
        streams, hosts = _crawled(sources, folder / "crawl", cache, progress), _Hosts()
        counts, seen = _Counts(), set[str]()
        with ExitStack() as stack:
            out, dropped = (stack.enter_context(replacing(folder / name)) for name in ("out.jsonl", "dropped.jsonl"))
            for number, (use, source) in enumerate(sources):
                begun, before = time.monotonic(), (counts.kept, counts.dropped.total())
                records = hosts.read(streams[number]) if number in streams else source.read()
                _write(progress.counted(use.use, records), out, dropped, counts, seen)
                now = (counts.kept - before[0], counts.dropped.total() - before[1], round(time.monotonic() - begun, 2))
                counts.sources.append({"use": use.use, **dict(zip(("kept", "dropped", "seconds"), now, strict=True))})
    return counts, hosts.counts


def _write(records: Iterable[QA | Drop], out: TextIO, dropped: TextIO, counts: _Counts, seen: set[str]) -> None:
    """Each record to its file. One that came before, from an overlapping list, is a refusal too."""
    for record in records:
        if isinstance(record, QA) and record.id in seen:
            record = Drop({"id": record.id, "source": record.source}, record.trail[0], "collected twice")
        if isinstance(record, QA):
            seen.add(record.id)
            counts.kept += 1
            out.write(_line(record))
        else:
            counts.dropped[record.reason] += 1
            if record.reason.startswith("selector "):
                examples = counts.misfits.setdefault(record.reason, [])
                examples += [str(record.record.get("url", ""))][: _EXAMPLES - len(examples)]
            dropped.write(_line(record))


def _line(record: QA | Drop) -> str:
    return json.dumps(asdict(record), ensure_ascii=False) + "\n"


class _Hosts:
    """The reports of the crawls, added up by host."""

    def __init__(self) -> None:
        self.counts: dict[str, Any] = {}

    def read(self, out: Path) -> Iterator[QA | Drop]:
        """What a crawl found; its report is taken along."""
        from mundap.collect import sources

        for host, found in sources.report(out).items():
            known = self.counts.setdefault(host, {})
            for name, value in found.items():
                known[name] = round(known.get(name, 0) + value, 2)
        return sources.found(out)


def _crawled(
    sources: Sequence[tuple[Use, Source]], folder: Path, cache: Path, progress: report.Progress
) -> dict[int, Path]:
    """Crawl every site among the sources; the file that each crawl wrote, by the source's number."""
    crawls = {number: source for number, (_, source) in enumerate(sources) if hasattr(source, "crawl")}
    groups: dict[str, list[int]] = {}
    for number in crawls:
        groups.setdefault(sources[number][0].use, []).append(number)
    folder.mkdir(parents=True, exist_ok=True)
    outs = {number: folder / f"{number:03d}-{sources[number][0].use}.jsonl" for number in crawls}

    def each(numbers: list[int]) -> None:
        for number in numbers:
            source: Any = crawls[number]
            source.crawl(cache, outs[number], progress.tell(sources[number][0].use))

    with ThreadPoolExecutor(_CRAWLS_AT_ONCE) as pool:
        begun = [pool.submit(each, numbers) for numbers in groups.values()]
        try:
            for crawl in begun:
                crawl.result()
        except BaseException:  # Ctrl+C too: the others end within half a second, and what they fetched is kept
            progress.stopped = True
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return outs


def _digest(source: Source) -> str:
    """Digest of the names and contents of the files that a source reads; empty for a site."""
    paths: Sequence[Path] = getattr(source, "inputs", ())
    found = blake2b(digest_size=16)
    for path in paths:
        found.update(f"{path}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as stream:
            while chunk := stream.read(2**20):
                found.update(chunk)
    return found.hexdigest() if paths else ""


def _code() -> str:
    """Digest of the code that makes records; the replicas are not part of it."""
    folder = Path(__file__).parent
    return digest({path.name: path.read_text("utf-8") for path in sorted(folder.glob("*.py"))})


def _swept(folder: Path) -> Path:
    """The folder without what a killed run left half-written."""
    for name in ("out.jsonl", "dropped.jsonl"):
        for left in folder.glob(f".{name}.????????"):
            left.unlink(missing_ok=True)
    return folder
