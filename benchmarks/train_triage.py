"""Train the triage classifier on the development messages and say, by cross-validation, what to expect of it.

`python benchmarks/train_triage.py` prints the table; with `--write` it also writes `src/mundap/safety/classifier.npz`.
The held-out messages are never read here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from mundap.knowledge.load import topics
from mundap.safety.classifier import BITS, ESCALATES, LEVELS, features
from mundap.safety.data import rule_files
from mundap.safety.triage import by_rules
from mundap.types import Level

ROOT = Path(__file__).resolve().parent.parent
DATA = sorted((ROOT / "tests/safety/data").glob("dev_*.jsonl"))
MODEL = ROOT / "src/mundap/safety/classifier.npz"
STRENGTH, FOLDS, SEED = 30.0, 5, 20261122
# Topics whose everyday names can be emergencies.
NOT_EVERYDAY = {
    "chest_pain",
    "shortness_of_breath",
    "palpitations",
    "blood_in_stool",
    "blood_sugar_test",
    "depression",
    "alcohol_use",
}
NAMES = [level.word for level in LEVELS]


def main() -> None:
    rows = [json.loads(line) for file in DATA for line in file.read_text("utf-8").splitlines()]
    texts = ["\n".join(row.get("turns") or [row["text"]]) for row in rows]
    more = [*examples(), *everyday()]
    labels = np.array([*(NAMES.index(row["level"]) for row in rows), *(label for _, label, _ in more)])
    weights = np.array([1.0] * len(rows) + [weight for *_, weight in more])
    data = matrix([*texts, *(text for text, *_ in more)])
    print(f"{len(rows)} messages from {', '.join(file.name for file in DATA)}, {len(more)} more to learn from")
    for line in table(rows, expected(data, labels, weights, len(rows)), by_rule(texts)):
        print(line)
    if "--write" in sys.argv:
        save(fit(data, labels, weights))


def examples() -> Iterator[tuple[str, int, float]]:
    """The rules' own examples: what must fire at its level, what must not as routine. Each counts three times."""
    for file in rule_files():
        for row in file.get("classes") or file.get("rules") or ():
            for kind, level in (("must", row["level"]), ("must_not", "routine")):
                yield from (
                    (_text(each), NAMES.index(level), 3.0) for each in (row.get("examples") or {}).get(kind) or ()
                )


def everyday() -> Iterator[tuple[str, int, float]]:
    """The names people use for everyday topics: how harmless questions sound. Each counts a quarter."""
    for topic in topics().values():
        if topic.kind != "first_aid" and topic.id not in NOT_EVERYDAY:
            yield from ((name, 0, 0.25) for name in (*topic.aliases.ko, *topic.aliases.en))


def _text(example: Any) -> str:
    return str(example["text"] if isinstance(example, dict) else example)


def matrix(texts: Sequence[str]) -> Any:
    """Texts as sparse rows of unit length, as the classifier sees them."""
    rows = [features(text) for text in texts]
    starts = np.cumsum([0, *(len(row) for row in rows)])
    values = [1 / max(len(row), 1) ** 0.5 for row in rows for _ in row]
    return csr_matrix((values, [at for row in rows for at in row], starts), shape=(len(rows), 1 << BITS))


def fit(data: Any, labels: Any, weights: Any) -> LogisticRegression:
    return LogisticRegression(C=STRENGTH, max_iter=2000, random_state=SEED).fit(data, labels, weights)


def expected(data: Any, labels: Any, weights: Any, measured: int) -> Any:
    """For each of the first `measured` texts the probability of an escalation, from a model that did not see it."""
    found = np.zeros(measured)
    rest = np.arange(measured, len(labels))
    for seen, unseen in StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(found, labels[:measured]):
        learnt = np.concatenate([seen, rest])
        model = fit(data[learnt], labels[learnt], weights[learnt])
        found[unseen] = model.predict_proba(data[unseen])[:, 2:].sum(axis=1)
    return found


def by_rule(texts: Sequence[str]) -> Any:
    return np.array([by_rules(text).level >= Level.CRISIS for text in texts])


def table(rows: Sequence[dict[str, Any]], probability: Any, rules: Any) -> Iterator[str]:
    """Recall and false alarms of rules, classifier and both, by language."""
    yield "| language | threshold | messages | rules | classifier | both |"
    for lang in ("ko", "en"):
        for threshold in (0.3, 0.4, 0.5, ESCALATES, 0.7):
            for level, title in (("escalations", "caught"), ("routine", "false alarms"), ("urgent", "raised")):
                here = np.array([row["lang"] == lang and _is(row["level"], level) for row in rows])
                said = probability >= threshold
                shares = [f"{share[here].mean():.3f}" for share in (rules, said, rules | said)]
                yield f"| {lang} | {threshold} | {here.sum()} {level} {title} | {' | '.join(shares)} |"


def _is(level: str, wanted: str) -> bool:
    return level in ("emergency", "crisis") if wanted == "escalations" else level == wanted


def save(model: LogisticRegression) -> None:
    np.savez_compressed(MODEL, weights=model.coef_.T.astype("float16"), bias=model.intercept_.astype("float32"))
    print(f"wrote {MODEL.relative_to(ROOT)}: {MODEL.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
