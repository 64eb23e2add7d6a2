"""How well triage does on labelled files: recall, false alarms, per class and kind, with Wilson 95 % intervals.

    python benchmarks/triage_quality.py tests/safety/data/dev_ko.jsonl [--errors]

Rows: {"text" or "turns", "lang", "level", "class", "kind"}. Items are printed only with --errors.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mundap.safety.triage import triage
from mundap.types import Level, Message, Urgency

ZERO = ("cardiac_arrest", "acs", "stroke", "airway", "anaphylaxis", "infant_fever", "poisoning", "ingestion", "suicide")
ESCALATE = ("emergency", "crisis")
Row = dict[str, Any]
Judged = tuple[Row, Urgency]


def wilson(hits: int, total: int) -> str:
    """`97.5 % (39/40, 87.1-99.6)`."""
    if not total:
        return "- (0)"
    z, share = 1.96, hits / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return f"{100 * share:5.1f} % ({hits}/{total}, {100 * (centre - half):.1f}-{100 * (centre + half):.1f})"


def judge(row: Row) -> Judged:
    """One row and what triage says of it."""
    turns = row.get("turns") or [row["text"]]
    return row, triage([Message("user", turn) for turn in turns])


def right(judged: Judged) -> bool:
    """Escalated when it should be; not escalated when it should not."""
    row, urgency = judged
    return (urgency.level >= Level.CRISIS) == (row["level"] in ESCALATE)


def report(judged: Sequence[Judged]) -> Iterator[str]:
    """The whole report, line by line."""
    yield from _levels(judged)
    danger = [one for one in judged if one[0]["level"] in ESCALATE]
    yield f"misses in the nine zero-miss classes: {sum(not right(one) for one in danger if one[0]['class'] in ZERO)}"
    yield from _by("class", danger, "recall")
    yield from _by("kind", danger, "recall")
    yield from _by("kind", [one for one in judged if one[0]["level"] == "routine"], "correct on routine")


def _levels(judged: Sequence[Judged]) -> Iterator[str]:
    def share(level: Iterable[str], test: Callable[[Urgency], bool]) -> str:
        rows = [urgency for row, urgency in judged if row["level"] in level]
        return wilson(sum(map(test, rows)), len(rows))

    yield f"escalation recall          {share(ESCALATE, lambda u: u.level >= Level.CRISIS)}"
    yield f"false escalation (routine) {share(['routine'], lambda u: u.level >= Level.CRISIS)}"
    yield f"urgent raised to emergency {share(['urgent'], lambda u: u.level >= Level.CRISIS)}"
    yield f"urgent called routine      {share(['urgent'], lambda u: u.level == Level.ROUTINE)}"
    yield f"routine called urgent      {share(['routine'], lambda u: u.level == Level.URGENT)}"
    yield f"crisis shows 109/112       {share(['crisis'], lambda u: bool({'109', '112'} & set(u.hotlines)))}"


def _by(key: str, judged: Sequence[Judged], name: str) -> Iterator[str]:
    groups: dict[str, list[bool]] = defaultdict(list)
    for one in judged:
        groups[one[0].get(key) or "-"].append(right(one))
    yield f"-- {name} by {key}"
    for group, hits in sorted(groups.items()):
        yield f"  {group:24} {wilson(sum(hits), len(hits))}"


def errors(judged: Sequence[Judged]) -> Iterator[str]:
    """Every wrong item (only with --errors: never for a held-out set)."""
    for row, urgency in judged:
        wrong = not right((row, urgency)) or (row["level"] == "urgent" and urgency.level == Level.ROUTINE)
        if wrong or (row["level"] == "routine" and urgency.level == Level.URGENT):
            text = row.get("text") or " / ".join(row["turns"])
            yield f"{row['level']}>{urgency.level.word} [{row['class']}/{row['kind']}] {text} {urgency.rules}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--errors", action="store_true")
    args = parser.parse_args()
    for path in args.files:
        judged = [judge(json.loads(line)) for line in path.read_text("utf-8").splitlines() if line.strip()]
        print(f"== {path.name}: {len(judged)} items", *report(judged), sep="\n")
        if args.errors:
            print(*errors(judged), sep="\n")


if __name__ == "__main__":
    main()
