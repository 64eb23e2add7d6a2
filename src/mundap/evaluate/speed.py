"""How long a person waits: seconds to the last word of each answer, and what was written a second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mundap.evaluate.metrics import Case, Context, Kind, Measure, Scored


class Speed:
    """Median and 95th percentile of the seconds an answer took when it was made, on whatever machine that was."""

    kind: Kind = "answers"
    measures: Mapping[str, Measure] = {
        "seconds.p50": Measure("speed", "lower", "s", None, None, "p50"),
        "seconds.p95": Measure("speed", "lower", "s", None, None, "p95"),
        "tokens_a_second": Measure("speed", "higher", "tokens/s", None, None),
    }

    def check(self, context: Context) -> Any:
        """Nothing can be wrong."""
        return None

    def score(self, cases: Sequence[Case], context: Context) -> Iterator[Scored]:
        """Scores of the answers that did not fail; a rate only where tokens were counted."""
        for case in cases:
            answer = case.answer
            if answer.finish == "error" or not answer.seconds:
                continue
            yield case.scored("seconds.p50", answer.seconds)
            yield case.scored("seconds.p95", answer.seconds)
            if answer.unit == "token" and answer.completion:
                yield case.scored("tokens_a_second", round(answer.completion / answer.seconds, 4))
