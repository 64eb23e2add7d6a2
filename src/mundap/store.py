"""Plain files: JSON lines in and out, digests, writes that are whole or not there, and a run's folder with its manifests."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from hashlib import file_digest as hash_file
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from secrets import token_hex
from typing import Any, TextIO

from mundap.errors import UserError


def digest(value: Any) -> str:
    """A stable 32-digit hexadecimal digest of anything JSON can hold, whatever the order of its keys."""
    canonical = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
    return blake2b(canonical.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def file_digest(path: Path) -> str:
    """A digest of a file's bytes."""
    with path.open("rb") as stream:
        return hash_file(stream, lambda: blake2b(digest_size=16)).hexdigest()


def code_digest(*packages: str) -> str:
    """Digest of the code and data of packages: when they change, what they made may change too."""
    parts = [(f"{package}/{item.name}", item) for package in packages for item in files(package).iterdir()]
    kept = sorted((name, item) for name, item in parts if name.endswith((".py", ".yaml")))
    return digest([[name, blake2b(item.read_bytes(), digest_size=16).hexdigest()] for name, item in kept])


def versions(*libraries: str) -> dict[str, str]:
    """Versions of mundap and of the libraries that decide a result; `none` for one that is not installed."""
    return {name: _version(name) for name in ("mundap", *libraries)}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def read_lines(stream: Iterable[str], where: str) -> Iterator[dict[str, Any]]:
    """Parse JSON lines, skipping blank ones. Raises `UserError` naming the place, the line and the value."""
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where}, line {number}: not JSON ({error}): {line.strip()[:80]!r}") from error
        if not isinstance(row, dict):
            raise UserError(f"{where}, line {number}: expected an object, found {type(row).__name__}")
        yield row


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file, one at a time. Raises `UserError` for a missing or broken file."""
    try:
        stream = path.open("rb")
    except FileNotFoundError as error:
        raise UserError(f"no file {path}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    with stream:
        yield from read_lines(_decoded(stream, path), str(path))


def _decoded(stream: Iterable[bytes], path: Path) -> Iterator[str]:
    for number, line in enumerate(stream, 1):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            where = f"{path}, line {number}: not UTF-8 at byte {error.start} of the line"
            raise UserError(f"{where}; save the file as UTF-8") from error


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write all rows or nothing, replacing the file at once. Returns how many were written."""
    count = 0
    with replacing(path) as stream:
        for count, row in enumerate(rows, 1):  # noqa: B007
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return count


class replacing:
    """`with replacing(path) as stream`: the file changes only when the block ends without an error.

    Lone surrogates, which UTF-8 cannot hold, are written as JSON would escape them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> TextIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.temporary = self.path.with_name(f".{self.path.name}.{token_hex(4)}")
        self.stream = self.temporary.open("x", encoding="utf-8", errors="backslashreplace", newline="\n")
        return self.stream

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            with self.stream:
                if kind is None:
                    self.stream.flush()
                    os.fsync(self.stream.fileno())
            if kind is None:
                os.replace(self.temporary, self.path)
        finally:
            self.temporary.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a stage did. Written last and at once, so that its presence means that everything beside it is whole.

    `key` is the digest of the stage's config, its inputs' digests and the code's version: same key, nothing to do.
    """

    stage: str
    key: str
    kept: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


class Work:
    """A run's folder: one folder a stage, each with `out.jsonl`, `dropped.jsonl` and `manifest.json`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, stage: str) -> Path:
        """The stage's folder, made if need be."""
        path = self.root / stage
        path.mkdir(parents=True, exist_ok=True)
        return path

    def manifest(self, stage: str) -> Manifest | None:
        """The stage's manifest, or None when it has not finished (or its manifest is not whole)."""
        with suppress(FileNotFoundError, ValueError, TypeError):
            return Manifest(**json.loads((self.root / stage / "manifest.json").read_text("utf-8")))
        return None

    def fresh(self, stage: str, key: str) -> Manifest | None:
        """The manifest, if the stage has been done with this key already."""
        found = self.manifest(stage)
        return found if found is not None and found.key == key else None

    def finish(self, manifest: Manifest) -> Manifest:
        """Write the manifest, which makes the stage done."""
        with replacing(self.folder(manifest.stage) / "manifest.json") as stream:
            json.dump(asdict(manifest), stream, ensure_ascii=False, indent=2)
        return manifest

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Only one process works in a run's folder; the lock of a dead one is free. Raises `UserError` when taken."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("a+") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                stream.seek(0)
                raise UserError(
                    f"{self.root} is in use by process {stream.read().strip() or '?'}; wait for it or stop it"
                ) from error
            stream.truncate(0)
            stream.write(str(os.getpid()))
            stream.flush()
            yield
