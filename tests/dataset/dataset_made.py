"""Records and runs for the tests of the dataset."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mundap import config
from mundap.dataset import stage
from mundap.records import encode
from mundap.store import Manifest, Work
from mundap.types import QA

# A base that is on no machine: lengths are then counted in characters, and no library is loaded for them.
NOWHERE = "mundap-tests/nothing"
_WORDS = tuple(
    "두통 발열 기침 복통 어지럼 피로 불면 가려움 부종 설사 변비 오한 콧물 흉통 요통 구토 발진 이명 비염 속쓰림".split()  # noqa: SIM905
)
_WHEN = ("아침마다", "밤이면", "운동한 뒤에", "며칠 전부터", "식사하고 나면", "비가 오면", "일하다가", "지난달부터")
_DEPARTMENTS = ("내과", "피부과", "신경과")


def record(number: int, **more: Any) -> QA:
    """A record unlike every other: no near-duplicates unless asked for."""
    words = [_WORDS[(number * step + step) % len(_WORDS)] for step in (1, 3, 7, 11)]
    when, tail = _WHEN[number % len(_WHEN)], chr(0xAC00 + number * 37 % 11172) * 3
    given = {
        "question": f"{when} {words[0]}, {words[1]} 증상이 {number}번 있었는데 {tail} 때문일까요?",
        "answer": f"{words[2]}도 함께 살펴야 합니다. {tail} {number}일 동안 쉬어 보고 {words[3]}이 있으면 진료를 받으세요.",
        "specialty": _DEPARTMENTS[number % len(_DEPARTMENTS)], "licence": "CC BY 4.0", "source": f"https://example.org/{number}",
        "trail": (f"collect:{'hidoc' if number % 4 else 'kin'}@1",),
    }  # fmt: skip
    return QA(**{"id": f"{number:032x}", **given, **more})


def records(count: int) -> list[QA]:
    return [record(number) for number in range(count)]


def run_folder(root: Path, rows: Iterable[QA], before: str = "clean") -> Work:
    """A run whose stage before is done."""
    work = Work(root)
    (work.folder(before) / "out.jsonl").write_bytes(b"".join(map(encode, rows)))
    work.finish(Manifest(before, "key", kept=1, dropped={"quality: answer too short": 3}))
    return work


def recipe(**build: Any) -> config.Recipe:
    more = build.pop("more", {})
    return config.parse({"name": "t", "train": {"base": NOWHERE}, "build": build, **more}, "test")


def build(work: Work, **settings: Any) -> Manifest:
    return stage.run(recipe(**settings), work)


def made(root: Path, rows: Iterable[QA], **settings: Any) -> tuple[Manifest, Path]:
    work = run_folder(root, rows)
    return build(work, **settings), root / "build"


def lines(path: Path) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in path.read_text("utf-8").splitlines())


def outputs(folder: Path) -> dict[str, bytes]:
    """Every file but the manifest, whose seconds differ."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != "manifest.json"}
