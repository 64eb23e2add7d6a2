from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from test_stage import clean, run_folder

from mundap.clean.show import difference, pairs, show
from mundap.errors import UserError


def test_counts_reasons_and_samples(tmp_path: Path) -> None:
    work = run_folder(tmp_path)
    manifest = clean(work)
    stream = StringIO()
    show(tmp_path / "clean", console=Console(file=stream, width=120))
    text = stream.getvalue()
    assert f"400 rows in, {manifest.kept} kept" in text
    assert all(reason in text for reason in manifest.dropped)
    assert all(before.id == after.id for before, after in pairs(work, 5, 1))


def test_a_difference_is_coloured() -> None:
    shown = difference("안녕하세요. 물을 드세요.", "물을 드세요.")
    assert shown.plain.strip() == "안녕하세요. 물을 드세요."
    assert [span.style for span in shown.spans if span.style] == ["red strike"]


def test_an_unfinished_stage_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="mundap clean"):
        show(tmp_path / "clean")
