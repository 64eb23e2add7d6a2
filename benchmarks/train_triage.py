"""Train the triage classifier on the development messages and say, by cross-validation, what to expect of it.

`python benchmarks/train_triage.py` prints the table; with `--write` it also writes `src/mundap/safety/classifier.npz`.
The held-out messages and the test part of the long ones (`dev_longtest_*`) are never read here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from mundap.knowledge.load import topics
from mundap.safety.classifier import BITS, IS_CRISIS, LEVELS, PART_ESCALATES, features, parts_of
from mundap.safety.data import rule_files
from mundap.safety.triage import by_rules
from mundap.types import Level, Message

ROOT = Path(__file__).resolve().parent.parent
DATA = [file for file in sorted((ROOT / "tests/safety/data").glob("dev_*.jsonl")) if "longtest" not in file.name]
MODEL = ROOT / "src/mundap/safety/classifier.npz"
STRENGTH, FOLDS, SEED = 30.0, 5, 20261122
# A long message counts more: there are few of them, and nothing else shows how people write when nothing is wrong.
LONG_COUNTS = 2.0
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
    weights = np.array([*map(_counts, rows), *(weight for *_, weight in more)])
    data = matrix([*texts, *(text for text, *_ in more)])
    print(f"{len(rows)} messages from {', '.join(file.name for file in DATA)}, {len(more)} more to learn from")
    for line in table(rows, expected(texts, data, labels, weights), by_rule(rows)):
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
    from scipy.sparse import csr_matrix

    rows = [features(text) for text in texts]
    starts = np.cumsum([0, *(len(row) for row in rows)])
    values = [1 / max(len(row), 1) ** 0.5 for row in rows for _ in row]
    return csr_matrix((values, [at for row in rows for at in row], starts), shape=(len(rows), 1 << BITS))


def fit(data: Any, labels: Any, weights: Any) -> LogisticRegression:
    model = LogisticRegression(C=STRENGTH, max_iter=2000, tol=1e-3, random_state=SEED)
    return model.fit(data, labels, weights)


def expected(texts: Sequence[str], data: Any, labels: Any, weights: Any) -> Any:
    """For each text, from a model that did not see it: the probability of an escalation, of a crisis, and by its parts."""
    found, rest = np.zeros((len(texts), 3)), np.arange(len(texts), len(labels))
    for seen, unseen in StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(found, labels[: len(texts)]):
        learnt = np.concatenate([seen, rest])
        model = fit(data[learnt], labels[learnt], weights[learnt])
        found[unseen] = [(*_seen(model, [texts[at]])[0], _by_parts(model, texts[at])) for at in unseen]
    return found


def _seen(model: LogisticRegression, texts: Sequence[str]) -> Any:
    """The probabilities of an escalation and of a crisis."""
    probability = model.predict_proba(matrix(texts))
    return np.stack([probability[:, 2:].sum(axis=1), probability[:, 2]], axis=1)


def _by_parts(model: LogisticRegression, text: str) -> float:
    parts = parts_of(text)
    return float(_seen(model, parts)[:, 0].max()) if parts else 0.0


def by_rule(rows: Sequence[dict[str, Any]]) -> Any:
    talks = ([Message("user", turn) for turn in row.get("turns") or [row["text"]]] for row in rows)
    return np.array([by_rules(talk).level >= Level.CRISIS for talk in talks])


def table(rows: Sequence[dict[str, Any]], seen: Any, rules: Any) -> Iterator[str]:
    """Recall and false alarms of rules, classifier and both, by language and length."""
    yield "| messages | threshold | rules | classifier | both |"
    sizes = np.array([_long(row) for row in rows])
    for lang, long in product(("ko", "en"), (False, True)):
        of = (sizes == long) & np.array([row["lang"] == lang for row in rows])
        for threshold, title in product((0.4, 0.5, 0.6, 0.7), ("escalations", "routine", "urgent")):
            here = of & np.array([_is(row["level"], title) for row in rows])
            said = (seen[:, 0] >= threshold) | (seen[:, 1] >= IS_CRISIS) | (seen[:, 2] >= PART_ESCALATES)
            shares = " | ".join(f"{share[here].mean():.3f}" for share in (rules, said, rules | said))
            yield f"| {lang} {'long' if long else 'short'}, {here.sum()} {title} | {threshold} | {shares} |"


def _long(row: dict[str, Any]) -> bool:
    return str(row["id"]).startswith("long")


def _counts(row: dict[str, Any]) -> float:
    return LONG_COUNTS if _long(row) else 1.0


def _is(level: str, wanted: str) -> bool:
    return level in ("emergency", "crisis") if wanted == "escalations" else level == wanted


def save(model: LogisticRegression) -> None:
    np.savez_compressed(MODEL, weights=model.coef_.T.astype("float16"), bias=model.intercept_.astype("float32"))
    print(f"wrote {MODEL.relative_to(ROOT)}: {MODEL.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
