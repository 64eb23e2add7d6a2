"""Files of every kind become records; every row that cannot is refused with file, line and reason."""

# ruff: noqa: E501  (rows and pages stand on long lines)

from __future__ import annotations

import gzip
import json
import resource
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mundap.collect import rows
from mundap.collect.files import Alpaca, ChatDoctor, Columns, HuggingFace, Songys
from mundap.collect.medquad import MedQuAD
from mundap.errors import ConfigError, UserError
from mundap.types import QA, Drop

SHARED = Path(__file__).parents[3] / "shared" / "data"
ROW = {"instruction": "두통이 있어요", "input": "", "output": "쉬세요."}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def split(source: Any) -> tuple[list[QA], list[Drop]]:
    found = list(source.read())
    return [each for each in found if isinstance(each, QA)], [each for each in found if isinstance(each, Drop)]


def lines(*values: Any) -> bytes:
    return b"".join(
        (value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()) + b"\n"
        for value in values
    )


def test_alpaca_takes_json_and_json_lines_alike(tmp_path: Path) -> None:
    two = [ROW, ROW | {"input": "이틀째입니다."}]
    (tmp_path / "a.json").write_text(json.dumps(two, ensure_ascii=False, indent=2), "utf-8")
    (tmp_path / "a.jsonl").write_bytes(lines(*two))
    from_json, refused = split(Alpaca(path=str(tmp_path / "a.json")))
    from_lines, _ = split(Alpaca(path=str(tmp_path / "a.jsonl")))
    assert [(each.question, each.answer) for each in from_json] == [(each.question, each.answer) for each in from_lines]
    assert from_json[1].question == "두통이 있어요\n\n이틀째입니다."
    assert not refused
    assert from_json[0].trail == ("collect:alpaca@1",)
    assert len({each.id for each in from_json + from_lines}) == 4


def test_chatdoctor_leaves_out_the_instruction_that_never_changes(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        json.dumps([{"instruction": "If you are a doctor…", "input": "I cough.", "output": "Rest."}]), "utf-8"
    )
    found, _ = split(ChatDoctor(path=str(tmp_path)))
    assert (found[0].question, found[0].lang) == ("I cough.", "en")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
def test_csv_in_utf8_and_cp949_with_columns_named(tmp_path: Path, encoding: str) -> None:
    text = '질문,답변,과\r\n"머리가, 아파요",쉬세요.,신경과\r\n배가 아파요,"따뜻하게\n하세요.",내과\r\n'
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    columns = {"question": "질문", "answer": "답변", "specialty": "과"}
    found, refused = split(Columns(path=str(tmp_path / "a.csv"), columns=columns))
    assert [(each.question, each.answer, each.specialty) for each in found] == [
        ("머리가, 아파요", "쉬세요.", "신경과"), ("배가 아파요", "따뜻하게\n하세요.", "내과"),
    ]  # fmt: skip
    assert not refused
    assert found[1].source.endswith("a.csv:4")


def test_columns_that_do_not_exist_are_named() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'question'[\s\S]*say which column holds the answer"):
        Columns(path="x", columns={"question": "Q", "questoin": "Q"})


def test_songys_is_q_and_a(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Q,A,label\n12시 땡!,하루가 또 가네요.,0\n", "utf-8")
    found, _ = split(Songys(path=str(tmp_path)))
    assert (found[0].answer, found[0].licence) == ("하루가 또 가네요.", "MIT")


def test_medquad_xml_without_answers_is_refused(tmp_path: Path) -> None:
    pair = "<QAPair pid='{0}'><Question qid='1-{0}'>What is X?</Question><Answer>{1}</Answer></QAPair>"
    body = f"<Document id='1' url='http://x.test'><Focus>X</Focus><QAPairs>{pair.format(1, 'It is Y.')}{pair.format(2, '')}</QAPairs></Document>"
    (tmp_path / "1.xml").write_text(body, "utf-8")
    (tmp_path / "2.xml").write_text("<Document><QAPairs>", "utf-8")
    (tmp_path / "3.xml").write_text('<!DOCTYPE d [<!ENTITY a "b">]><Document>&a;</Document>', "utf-8")
    found, refused = split(MedQuAD(path=str(tmp_path)))
    assert [(each.question, each.answer, each.title, each.source) for each in found] == [
        ("What is X?", "It is Y.", "X", "http://x.test")
    ]
    assert [each.reason for each in refused] == ["answer is empty", "not XML", "XML that defines entities"]


def test_a_hugging_face_folder_is_read_here_and_an_id_is_not_fetched(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list([{"q": "머리", "a": "쉬세요"}, {"q": None, "a": "x"}]).to_parquet(
        str(tmp_path / "train.parquet")
    )
    found, refused = split(HuggingFace(path=str(tmp_path), columns={"question": "q", "answer": "a"}))
    assert [each.question for each in found] == ["머리"]
    assert [each.reason for each in refused] == ["question is missing"]
    with pytest.raises(UserError, match="download: true"):
        split(HuggingFace(path="someone/something"))


MALFORMED = {
    b'{"instruction": "\xff\xfe", "output": "a"}': "not UTF-8",
    b'{"instruction": "a\x00b", "output": "c"}': "not JSON",
    b'{"instruction": "a\\u0000b", "output": "c"}': "question contains NUL",
    b'{"instruction": "a", "output": "\\ud800"}': "answer is not valid Unicode",
    b'{"instruction": "a", "output": NaN}': "NaN is not JSON",
    b'{"instruction": "a", "instruction": "b", "output": "c"}': "the same key twice",
    b'{"instruction": "a", "output": 5}': "answer is int, not text",
    b'{"instruction": "a"}': "answer is missing",
    b'{"instruction": "", "output": "a"}': "question is empty",
    b'["a", "b"]': "expected an object, found list",
    b"[" * 100_000 + b"]" * 100_000: "JSON is nested too deeply",
    b'{"instruction": "a", "outp': "not JSON: cut off",
}


def test_malformed_json_lines_are_refused_row_by_row(tmp_path: Path) -> None:
    """F09: rows in = rows out + refused, each with file, line and reason."""
    path = tmp_path / "a.jsonl"
    good = lines(ROW)
    path.write_bytes(b"\xef\xbb\xbf" + good + b"".join(row + b"\r\n" + good for row in MALFORMED))
    found, refused = split(Alpaca(path=str(path)))
    assert len(found) == len(MALFORMED) + 1
    assert {each.record["line"]: each.reason for each in refused} == dict(
        zip(range(2, 99, 2), MALFORMED.values(), strict=False)
    )
    assert all(each.record["file"] == str(path) for each in refused)


def test_malformed_elements_of_an_array_do_not_hide_the_next_ones(tmp_path: Path) -> None:
    broken = [row for row in MALFORMED if not row.startswith(b"[") and row[-4:] != b"outp"]
    path = tmp_path / "a.json"
    path.write_bytes(
        b"[" + b",\n".join([lines(ROW).strip(), *broken, b'7, "x"', lines(ROW).strip(), b'{"instruction": "cut'])
    )
    found, refused = split(Alpaca(path=str(path)))
    assert len(found) == 2
    assert len(refused) == len(broken) + 2
    assert [each.reason for each in refused[-2:]] == ["not JSON", "not JSON: cut off"]


def test_a_50_mb_line_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as stream:
        stream.write(lines(ROW))
        for _ in range(50):
            stream.write(b"x" * 2**20)
        stream.write(b"\n" + lines(ROW))
    tracemalloc.start()
    found, refused = split(Alpaca(path=str(path)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(found), [each.reason for each in refused]) == (2, ["line is longer than 8 MB"])
    assert peak < 40 * 2**20, f"{peak >> 20} MB; {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB in all"


def test_empty_files_and_truncated_gzip(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_bytes(b"")
    assert split(Alpaca(path=str(tmp_path / "empty.jsonl"))) == ([], [])
    packed = gzip.compress(lines(*({**ROW, "output": f"쉬세요 {number}"} for number in range(2000))))
    (tmp_path / "cut.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    found, refused = split(Alpaca(path=str(tmp_path / "cut.jsonl.gz")))
    assert found
    assert refused[-1].reason == "the compressed file is damaged or cut off"


def test_csv_rows_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("Q,A\n가,나\n".encode() + b"\xff,x\n" + b"a,b,c\n" + b"a\n" + "다,라\n".encode())
    found, refused = split(Songys(path=str(tmp_path / "a.csv")))
    assert [each.question for each in found] == ["가", "다"]
    assert [(each.record["line"], each.reason) for each in refused] == [
        (3, "not UTF-8"), (4, "more columns than the header"), (5, "answer is missing"),
    ]  # fmt: skip


def test_missing_files_say_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file or folder nowhere"):
        split(Alpaca(path="nowhere"))
    with pytest.raises(UserError, match=r"no \.json or"):
        split(Alpaca(path=str(tmp_path)))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.binary(max_size=30), JSON_VALUES.map(lambda value: json.dumps(value).encode())), max_size=8)
)
def test_any_lines_are_either_rows_or_problems(
    tmp_path_factory: pytest.TempPathFactory, given_lines: list[bytes]
) -> None:
    given_lines = [line.replace(b"\n", b"") for line in given_lines]
    path = tmp_path_factory.mktemp("fuzz") / "a.jsonl"
    path.write_bytes(b"\n".join(given_lines))
    if rows._begins(path) != b"[":
        assert (
            len(list(rows.read(path))) <= len([line for line in given_lines if line.strip(b" \t\r")])
            or b"\r" in path.read_bytes()
        )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=4), JSON_VALUES, max_size=3), max_size=6), st.integers(0, 4))
def test_any_array_of_objects_comes_back_whole(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any], indent: int
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "a.json"
    path.write_text(json.dumps(values, ensure_ascii=False, indent=indent or None), "utf-8")
    assert [row.value for row in rows.read(path)] == values


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real data is not on this machine")
def test_all_real_rows_go_through() -> None:
    sources = {
        "medquad": (MedQuAD(path=str(SHARED / "medquad" / "medquad.jsonl.gz")), 16_407),
        "medquad xml": (MedQuAD(path=str(SHARED / "medquad" / "9_CDC_QA")), 270),
        "chatdoctor": (ChatDoctor(path=str(SHARED / "chatdoctor5k" / "chatdoctor5k.json")), 5_452),
        "songys": (Songys(path=str(SHARED / "songys" / "ChatbotData.csv")), 11_823),
    }
    for name, (source, expected) in sources.items():
        found, refused = split(source)
        assert (name, len(found), Counter(each.reason for each in refused)) == (name, expected, Counter())
        assert len({each.id for each in found}) == expected
