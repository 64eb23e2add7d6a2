"""The raters' queue and what judgements come to: shared, crash-proof, blind, and loadable by TRL."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

import pytest

from mundap.errors import UserError
from mundap.evaluate import people, ratings
from mundap.evaluate.items import Item
from mundap.evaluate.people import Contestant, Judgement, Mark, Pair, Queue
from mundap.types import Message


def made(count: int, names: Sequence[str] = ("one/base", "one/tuned")) -> list[Pair]:
    asked = {("own", f"q{n}"): Item(f"q{n}", (Message("user", f"질문 {n}?"),)) for n in range(count)}
    sides = [Contestant(name, {key: f"{name} 답 {key[1]}" for key in asked}) for name in names]
    return list(people.pairs(sides, asked))


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(tmp_path / "one")


def test_pairs_are_of_common_questions_with_different_answers() -> None:
    asked = {("own", name): Item(name, (Message("user", name),)) for name in "abc"}
    one = Contestant("x/one", {("own", "a"): "1", ("own", "b"): "same", ("own", "gone"): "?"})
    other = Contestant("x/other", {("own", "a"): "2", ("own", "b"): "same", ("own", "c"): "3"})
    (pair,) = people.pairs([other, one], asked)
    assert (pair.item, pair.first, pair.second, pair.first_text, pair.second_text) == (
        "a",
        "x/one",
        "x/other",
        "1",
        "2",
    )


def test_filling_again_adds_only_what_is_new(queue: Queue) -> None:
    assert queue.fill(made(3)) == 3
    assert queue.fill(made(5)) == 2
    assert queue.state().pairs == 5


def test_two_raters_never_hold_the_same_pair_unless_overlap_is_wanted(queue: Queue) -> None:
    queue.fill(made(6), raters=2, overlap=0)
    held = [queue.take(name) for name in ("하나", "둘이", "셋째")]
    assert None not in held and len({pair.id for pair in held if pair}) == 3
    other = Queue(queue.folder.parent / "both")
    other.fill(made(1), raters=2, overlap=1)
    assert other.take("하나") == other.take("둘이") != None  # noqa: E711
    assert other.take("셋째") is None


def test_a_lease_ends_and_late_work_still_counts(tmp_path: Path) -> None:
    now = [0.0]
    queue = Queue(tmp_path, lease=60, clock=lambda: now[0])
    queue.fill(made(1), overlap=0)
    pair = queue.take("하나")
    assert pair is not None and queue.take("둘이") is None
    now[0] = 61
    assert queue.take("둘이") == pair
    queue.judge(Judgement(pair.id, "하나", "first"))
    queue.judge(Judgement(pair.id, "둘이", "second"))
    assert [each.choice for each in queue.judgements()] == ["second", "first"]  # 둘이 sorts before 하나
    assert (queue.state().done, queue.state().wanted) == (1, 1)


def test_a_reload_shows_the_same_pair_and_the_same_sides(queue: Queue) -> None:
    queue.fill(made(20))
    pair = queue.take("하나")
    assert pair is not None and queue.take("하나") == pair
    assert people.shown(pair.id, "하나") == people.shown(pair.id, "하나")


def test_sides_are_by_chance() -> None:
    left = sum(people.shown(f"pair{n}", "하나")[0] == "first" for n in range(2000))
    assert 900 < left < 1100
    other = sum(people.shown(f"pair{n}", "하나") == people.shown(f"pair{n}", "둘이") for n in range(2000))
    assert 900 < other < 1100


def test_many_raters_at_once_share_the_queue_without_a_pair_twice(queue: Queue) -> None:
    queue.fill(made(24), overlap=0)

    def work(name: str) -> None:
        while (pair := queue.take(name)) is not None:
            queue.judge(Judgement(pair.id, name, "tie"))

    threads = [Thread(target=work, args=(f"rater{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = queue.judgements()
    assert len(found) == len({each.pair for each in found}) == 24


KILLED = """
import sys, time
from pathlib import Path
from mundap.evaluate.people import Judgement, Queue
queue = Queue(Path(sys.argv[1]))
while (pair := queue.take("하나")) is not None:
    queue.judge(Judgement(pair.id, "하나", "first"))
    print(pair.id, flush=True)
    time.sleep(0.02)
"""


def test_work_survives_kill_9(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.fill(made(200), overlap=0)
    source = str(Path(people.__file__).parents[2])
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": source},
    )  # fmt: skip
    assert child.stdout is not None
    seen = [child.stdout.readline().strip() for _ in range(5)]
    child.send_signal(signal.SIGKILL)
    seen += child.stdout.read().split()
    child.wait()
    child.stdout.close()
    kept = {each.pair for each in queue.judgements()}
    assert set(seen) <= kept and len(kept) < 200
    assert queue.take("하나") is not None


def test_a_second_look_replaces_the_first(queue: Queue) -> None:
    queue.fill(made(1))
    pair = queue.take("하나")
    assert pair is not None
    queue.judge(Judgement(pair.id, "하나", "first"))
    queue.judge(Judgement(pair.id, "하나", "second", Mark({"safe": 2}, ("wrong_dose",)), comment="다시 봄"))
    (kept,) = queue.judgements()
    assert kept == queue.last("하나")
    assert (kept.choice, kept.first, kept.comment) == ("second", Mark({"safe": 2}, ("wrong_dose",)), "다시 봄")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (Judgement("?", "하나", "left"), "choice is 'left'"),  # type: ignore[arg-type]
        (Judgement("?", "하나", "tie", Mark({"saef": 3})), "did you mean 'safe'"),
        (Judgement("?", "하나", "tie", Mark({"safe": 6})), "1 to 5"),
        (Judgement("?", "하나", "tie", Mark({}, ("dose",))), "no 'dose'"),
        (Judgement("?", "하나", "tie", comment="가" * 2001), "2,000 letters"),
        (Judgement("?", "kim@example.org", "tie"), "pseudonym"),
        (Judgement("?", "01012345678", "tie"), "pseudonym"),
        (Judgement("?", "하나", "tie"), "no pair '?'"),
    ],
)
def test_wrong_judgements_are_refused(queue: Queue, wrong: Judgement, told: str) -> None:
    queue.fill(made(1))
    with pytest.raises(UserError, match=told):
        queue.judge(wrong)
    assert queue.judgements() == []


def judged(pairs: Sequence[Pair], rater: str, choices: str) -> list[Judgement]:
    words = {"1": "first", "2": "second", "0": "tie"}
    return [Judgement(pair.id, rater, words[key]) for pair, key in zip(pairs, choices, strict=True)]  # type: ignore[arg-type]


def test_strengths_follow_who_was_preferred() -> None:
    pairs = made(40, ("x/bad", "x/good", "x/middle"))
    order = {"x/bad": 0, "x/middle": 1, "x/good": 2}
    said = []
    for n, pair in enumerate(pairs):
        better = "first" if order[pair.first] > order[pair.second] else "second"
        worse = "second" if better == "first" else "first"
        said.append(Judgement(pair.id, "하나", worse if n % 5 == 0 else better))  # type: ignore[arg-type]
    found = ratings.ratings({pair.id: pair for pair in pairs}, said, resamples=50)
    assert [each.name for each in found.strengths] == ["x/good", "x/middle", "x/bad"]
    assert all(each.low < each.strength < each.high for each in found.strengths)
    assert found.judged == {"x/bad": 80, "x/good": 80, "x/middle": 80}
    assert found.left is not None and 0.3 < found.left.mean < 0.7


def test_agreement_is_alpha_over_what_both_judged() -> None:
    pairs = made(4)
    table = {pair.id: pair for pair in pairs}
    same = judged(pairs, "하나", "1212") + judged(pairs[:3], "둘이", "121")
    found = {each.about: each.alpha for each in ratings.ratings(table, same, resamples=20).agreement}
    assert (found["choice"].mean, found["choice"].n) == (1.0, 3)
    against = judged(pairs, "하나", "1212") + judged(pairs, "둘이", "2121")
    found = {each.about: each.alpha for each in ratings.ratings(table, against, resamples=20).agreement}
    assert found["choice"].mean == pytest.approx(-0.75)  # observed 1, expected 4*4*2/(8*7) = 4/7: 1 - 7/4
    assert not math.isnan(found["wrong_dose"].mean)


def test_nothing_judged_says_so() -> None:
    found = ratings.ratings({}, [])
    assert found.why == "nothing has been judged yet" and not found.strengths and found.left is None


def test_preferences_leave_out_ties_and_serious_errors(queue: Queue) -> None:
    pairs = made(5)
    said = judged(pairs, "하나", "12011") + judged(pairs[3:4], "둘이", "2")
    said[4] = Judgement(pairs[4].id, "하나", "first", Mark({}, ("missed_red_flag",)))
    rows, left = ratings.preferences({pair.id: pair for pair in pairs}, said)
    assert left == {"tie": 2, "serious error in the better answer": 1}
    by_prompt = {row["prompt"][0]["content"]: row for row in rows}
    assert by_prompt[pairs[0].turns[0][1]]["chosen"][0]["content"] == pairs[0].first_text
    assert by_prompt[pairs[1].turns[0][1]]["chosen"][0]["content"] == pairs[1].second_text


def test_preferences_load_in_trl(tmp_path: Path) -> None:
    """As DPO reads them: a conversational preference dataset, told from its columns."""
    datasets = pytest.importorskip("datasets")
    data_utils = pytest.importorskip("trl.data_utils")
    pairs = made(3)
    rows, _ = ratings.preferences({pair.id: pair for pair in pairs}, judged(pairs, "하나", "121"))
    path = tmp_path / "preferences.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    found = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert set(found.column_names) == {"prompt", "chosen", "rejected"} and len(found) == 3
    assert all(data_utils.is_conversational(row) for row in found)
    assert found[0]["chosen"] == rows[0]["chosen"]
