"""Recall by type and precision of the privacy mask on the project's own labelled lines (dev and held-out halves)."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mundap.safety.privacy import Span, find

DATA = Path(__file__).parent.parent / "tests" / "safety" / "data"
_MARK = re.compile(r"\{([A-Z]+)\|([^{}]*)\}")


def lines(half: str) -> Iterator[tuple[str, list[Span]]]:
    for line in (DATA / f"privacy_{half}.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            yield _parsed(line.replace("\\n", "\n"))


def _parsed(line: str) -> tuple[str, list[Span]]:
    text, place, spans = "", 0, []
    for found in _MARK.finditer(line):
        text += line[place : found.start()]
        spans.append(Span(len(text), len(text) + len(found[2]), found[1]))
        text, place = text + found[2], found.end()
    return text + line[place:], spans


def measure(half: str, show: bool = False) -> tuple[dict[str, float], float, int]:
    """Recall by type (a value is found when nothing of it is left), precision, and false alarms on lines without any."""
    wanted: Counter[str] = Counter()
    hit: Counter[str] = Counter()
    right = total = alarms = 0
    for text, spans in lines(half):
        found = find(text)
        for span in spans:
            wanted[span.type] += 1
            ok = _covered(span, found)
            hit[span.type] += ok
            if show and not ok:
                print(f"MISS {span.type} {text[span.start : span.end]!r} in {text!r}")
        wrong = [each for each in found if not any(each.start < span.end and span.start < each.end for span in spans)]
        right, total = right + len(found) - len(wrong), total + len(found)
        alarms += 0 if spans else len(wrong)
        if show and wrong:
            print(f"WRONG {[(each.type, text[each.start : each.end]) for each in wrong]} in {text!r}")
    return {kind: hit[kind] / count for kind, count in sorted(wanted.items())}, right / max(total, 1), alarms


def _covered(span: Span, found: tuple[Span, ...]) -> bool:
    """All but two characters are masked, by spans of any type."""
    left = set(range(span.start, span.end))
    for each in found:
        left -= set(range(each.start, each.end))
    return len(left) <= (2 if span.type == "ADDRESS" else 0)


def main() -> None:
    for half in ("dev", "heldout"):
        recall, precision, alarms = measure(half, show="-v" in sys.argv and (half == "dev" or "--all" in sys.argv))
        count = sum(1 for _ in lines(half))
        rates = " ".join(f"{kind} {value:.3f}" for kind, value in recall.items())
        print(
            f"{half}: {count} lines, precision {precision:.3f}, false alarms on clean lines {alarms}\n  recall {rates}"
        )


if __name__ == "__main__":
    main()
