"""The command line as a person meets it: output, exit codes, and one clear message for everything that is wrong."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

MUNDAP = Path(sys.executable).parent / "mundap"


def mundap(*arguments: str, given: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MUNDAP, *arguments], input=given, capture_output=True, text=True, cwd=cwd, timeout=120,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}, errors="surrogateescape",
    )  # fmt: skip


def rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_help_is_quick() -> None:
    mundap("--help")
    seconds = []
    for _ in range(5):
        started = time.monotonic()
        assert mundap("--help").returncode == 0
        seconds.append(time.monotonic() - started)
    assert min(seconds) < 0.4  # the goal is 0.2 s; benchmarks/bench_chat.py measures it on a quiet machine


def test_triage_reads_lines_and_objects() -> None:
    found = rows(mundap("triage", "--json", given='그만 살고 싶어요\n\n{"text": "콧물이 나요"}\n'))
    assert [row["level"] for row in found] == ["crisis", "routine"]
    assert found[0]["hotlines"] and "109" in str(found[0]["hotlines"])
    assert set(found[0]) == {"level", "rules", "hotlines"}


def test_triage_reads_a_text_and_a_file(tmp_path: Path) -> None:
    file = tmp_path / "lines.txt"
    file.write_text("아빠가 숨을 안 쉬어요\n", "utf-8")
    assert rows(mundap("triage", str(file), "--json"))[0]["level"] == "emergency"
    assert mundap("triage", "아빠가 숨을 안 쉬어요").stdout.startswith("emergency")


def test_triage_names_the_broken_line() -> None:
    done = mundap("triage", "--json", given='{"text": "두통"}\n{"tex": 1}\n')
    assert done.returncode == 1
    assert "line 2" in done.stderr and "Traceback" not in done.stderr


def test_search_writes_what_it_promises() -> None:
    [row] = rows(mundap("search", "머리가 아퍼", "--json", "-k", "3"))
    assert set(row) == {"query", "confident", "results"}
    assert row["confident"] is True
    results = row["results"]
    assert isinstance(results, list) and len(results) <= 3
    assert set(results[0]) == {"topic", "title", "title_en", "section", "score", "snippet", "source"}
    assert results[0]["topic"] == "headache"


def test_search_reads_queries_from_standard_input() -> None:
    found = rows(mundap("search", "-", "--json", given="설사가 나요\n오늘 주식 어때\n"))
    assert [row["confident"] for row in found] == [True, False]
    assert found[1]["results"] == []


def test_chat_answers_one_question() -> None:
    [row] = rows(mundap("chat", "--ask", "두통이 있어요", "--json"))
    assert {"text", "urgency", "rules", "citations", "model", "finish", "seconds"} <= set(row)
    assert row["model"] == "compose" and row["urgency"] == "routine" and row["ai_generated"] is True
    assert "[1]" in str(row["text"])


def test_chat_takes_a_profile_and_standard_input() -> None:
    done = mundap("chat", "--ask", "-", "--pregnant-weeks", "20", given="두통이 있어요")
    assert "임신 20주" in done.stdout


def test_chat_talks(tmp_path: Path) -> None:
    done = mundap("chat", given="두통이 있어요\n약 먹어도 돼요?\n")
    assert done.returncode == 0
    assert "진단·처방이 아닙니다" in done.stdout and done.stdout.count("[1] ") >= 2


def test_lists() -> None:
    topics = rows(mundap("list", "topics", "--json"))
    assert len(topics) >= 80 and set(topics[0]) == {"topic", "title", "title_en", "kind"}
    assert "bundled" in mundap("list", "models").stdout
    assert "mundap-ko" in mundap("list", "templates").stdout


def test_doctor_says_what_is_missing() -> None:
    done = mundap("doctor")
    assert done.returncode == 0, done.stdout
    assert "python" in done.stdout and "topics" in done.stdout


def test_check_finds_everything_at_once(tmp_path: Path) -> None:
    recipe = tmp_path / "bad.yaml"
    recipe.write_text("nme: x\nchat: {retrieve: lexicl, modle: a}\n", "utf-8")
    done = mundap("check", str(recipe))
    assert done.returncode == 1
    assert "did you mean 'name'" in done.stderr and "did you mean 'model'" in done.stderr
    recipe.write_text("name: good\n", "utf-8")
    assert mundap("check", str(recipe)).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chat", "--model", "bundeld", "--ask", "x"], "did you mean 'bundled'"),
        (["chat", "--model", "none.gguf", "--ask", "x"], "no model file"),
        (["chat", "--model", "http://127.0.0.1:9/v1", "--ask", "x"], "is it running"),
        (["list", "modles"], "did you mean 'models'"),
        (["check", "missing.yaml"], "no recipe missing.yaml"),
        (["serve", "--host", "0.0.0.0"], "key"),
    ],
)
def test_wrong_input_gets_one_message(arguments: list[str], message: str) -> None:
    done = mundap(*arguments)
    assert done.returncode == 1, done
    assert message in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) <= 3


def test_a_taken_port_is_said_at_once() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        started = time.monotonic()
        done = mundap("serve", "--port", port)
        assert time.monotonic() - started < 3
    assert done.returncode == 1 and port in done.stderr and "Traceback" not in done.stderr


def test_usage_errors_are_two() -> None:
    assert mundap("chat", "--age", "old").returncode == 2
    assert mundap("nonsense").returncode == 2


@pytest.mark.parametrize("text", ["", "\udcff\udcfe", "\u200b", "가" * 100_000])
def test_odd_text_breaks_nothing(text: str) -> None:
    assert mundap("chat", "--ask", "-", given=text).returncode == 0
    assert mundap("triage", "-", "--json", given=text + "\n").returncode == 0
