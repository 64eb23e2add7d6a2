"""Files are read with the line of every error, and written whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mundap import store
from mundap.errors import UserError
from mundap.store import digest, read_jsonl, replacing, write_jsonl

SOURCE = Path(store.__file__).parents[1]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=12,
)
ROWS = st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), max_size=6)


@settings(max_examples=100, deadline=None)
@given(rows=ROWS)
def test_rows_come_back_as_they_were(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "rows.jsonl"
    assert write_jsonl(path, rows) == len(rows)
    assert list(read_jsonl(path)) == rows


def test_lone_surrogates_come_back_too(tmp_path: Path) -> None:
    rows = [{"text": "가\ud800나", "\udfff": 1}]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    assert list(read_jsonl(tmp_path / "rows.jsonl")) == rows


def test_korean_is_written_as_itself(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [{"질문": "머리가 아파요"}])
    assert (tmp_path / "rows.jsonl").read_bytes() == '{"질문": "머리가 아파요"}\n'.encode()


def test_blank_lines_and_line_separators_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes('{"a": "x\u2028y\u0085z"}\r\n\n  \n{"b": 2}'.encode())
    assert list(read_jsonl(path)) == [{"a": "x\u2028y\u0085z"}, {"b": 2}]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"a": 1', "not JSON"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b"\x00{}", "not JSON"),
        (b'{"a": "\x00"}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"[1]", "expected an object, found list"),
        (b"3", "expected an object, found int"),
        (b"null", "expected an object, found NoneType"),
        (b'{"a": 1}{"b": 2}', "not JSON"),
        (b"{'a': 1}", "not JSON"),
        ("머리".encode("cp949"), "not UTF-8 at byte 0 of the line; save the file as UTF-8"),
        (b'{"a": "\xf0\x28\x8c\x28"}', "not UTF-8 at byte 7"),
    ],
)
def test_an_error_names_file_and_line(line: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"good": 1}\n' * 3000 + b"\n" + line + b'\n{"good": 2}\n')
    rows = read_jsonl(path)
    good = 0
    with pytest.raises(UserError) as caught:  # noqa: PT012 (the count matters)
        for _ in rows:
            good += 1
    assert good == 3000
    assert f"{path}, line 3002: " in str(caught.value)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_missing_file_and_a_folder_are_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file .*gone"):
        list(read_jsonl(tmp_path / "gone.jsonl"))
    with pytest.raises(UserError, match="cannot read"):
        list(read_jsonl(tmp_path))


def test_an_exception_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"old": 1}])

    def breaking() -> Iterator[dict[str, Any]]:
        yield {"new": 1}
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write_jsonl(path, breaking())
    assert list(read_jsonl(path)) == [{"old": 1}]
    assert os.listdir(tmp_path) == ["rows.jsonl"]


def test_something_json_cannot_hold_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_jsonl(tmp_path / "rows.jsonl", [{"ok": 1}, {"bad": object()}])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("old", "utf-8")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(OSError, match="No space left"), replacing(path) as stream:
        stream.write("new")
    assert path.read_text("utf-8") == "old"
    assert os.listdir(tmp_path) == ["rows.jsonl"]


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"old": 1}])
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom mundap.store import replacing\n"
        "with replacing(Path(sys.argv[1])) as stream:\n"
        "    stream.write('half')\n    stream.flush()\n    print('written', flush=True)\n    time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
    assert list(read_jsonl(path)) == [{"old": 1}]


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "rows.jsonl"
    with replacing(path) as stream:
        stream.write("new")
        stream.flush()
        assert not path.exists()
    assert path.read_text("utf-8") == "new"


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_jsonl(tmp_path / "rows.jsonl", [])
    assert (tmp_path / "rows.jsonl").stat().st_mode == (tmp_path / "usual").stat().st_mode


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(st.characters()), VALUES, max_size=6), st.randoms(use_true_random=False))
def test_digest_does_not_depend_on_the_order_of_keys(value: dict[str, Any], random: Any) -> None:
    keys = list(value)
    random.shuffle(keys)
    assert digest({key: value[key] for key in keys}) == digest(value)


def test_digest_depends_on_every_value() -> None:
    values = [
        {},
        [],
        "",
        None,
        0,
        False,
        {"a": 1},
        {"a": "1"},
        {"a": 1.5},
        {"a": [1, 2]},
        {"a": [2, 1]},
        {"b": 1},
        "가",
        "\ud800",
    ]
    assert len({digest(value) for value in values}) == len(values)
    assert all(len(digest(value)) == 32 for value in values)


def test_digest_is_the_same_in_another_process() -> None:
    value = {"질문": ["머리", 1.5, None], "a": {"b": True}}
    code = f"from mundap.store import digest; print(digest({value!a}))"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest(value)


def test_a_large_file_is_not_slow(tmp_path: Path) -> None:
    started = time.perf_counter()
    write_jsonl(tmp_path / "rows.jsonl", ({"number": number} for number in range(50_000)))
    assert sum(1 for _ in read_jsonl(tmp_path / "rows.jsonl")) == 50_000
    assert time.perf_counter() - started < 5
    assert json.loads((tmp_path / "rows.jsonl").read_text("utf-8").splitlines()[-1]) == {"number": 49_999}
