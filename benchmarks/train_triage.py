"""Train the triage classifier on the development messages and say, leaving one writer out, what to expect of it.

`python benchmarks/train_triage.py` prints the table (many minutes; `--writers wild-w1,long` for some); `--spread 5` trains
that often with other samples and prints how much the answers differ; `--write` writes `src/mundap/safety/classifier.npz`.
The held-out messages and the test part of the long ones (`dev_longtest_*`) are never read here.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from mundap.knowledge.load import topics
from mundap.safety.classifier import BITS, LEVELS, features, parts_of, verdict
from mundap.safety.data import rule_files
from mundap.safety.triage import by_rules
from mundap.types import Level, Message

ROOT = Path(__file__).resolve().parent.parent
DATA = [file for file in sorted((ROOT / "tests/safety/data").glob("dev_*.jsonl")) if "longtest" not in file.name]
MODEL = ROOT / "src/mundap/safety/classifier.npz"
STRENGTH, BAGS, SEED = 30.0, 9, 20261122
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
ESCALATES = ("emergency", "crisis")
Row = dict[str, Any]
Weights = tuple[Any, Any]


@dataclass(frozen=True)
class Lessons:
    """What can be learnt from: features, levels, weights and, for what belongs to a message, which one (else -1)."""

    data: Any
    labels: Any
    weights: Any
    owners: Any

    def without(self, rows: set[int]) -> Lessons:
        """All that does not come from some messages."""
        return self.only(~np.isin(self.owners, list(rows)))

    def only(self, keep: Any) -> Lessons:
        return Lessons(self.data[keep], self.labels[keep], self.weights[keep], self.owners[keep])

    def plus(self, other: Lessons) -> Lessons:
        from scipy.sparse import vstack

        joined = (np.concatenate(pair) for pair in zip(self._arrays(), other._arrays(), strict=True))
        return Lessons(vstack([self.data, other.data]).tocsr(), *joined)

    def _arrays(self) -> tuple[Any, Any, Any]:
        return self.labels, self.weights, self.owners


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--writers", help="the writers to leave out, by comma; all when absent")
    parser.add_argument("--spread", type=int, default=0, help="train this often and print how much the answers differ")
    parser.add_argument("--write", action="store_true", help="write the model instead of measuring")
    args = parser.parse_args()
    rows = [json.loads(line) for file in DATA for line in file.read_text("utf-8").splitlines()]
    lessons, parts = messages(rows), parts_lessons(rows)
    print(f"{len(rows)} messages, {len(lessons.labels) - len(rows)} examples, {len(parts.labels)} parts")
    if args.write:
        save(train(lessons, parts))
    elif args.spread:
        print(*spread(rows, lessons, parts, args.spread), sep="\n")
    else:
        print(*table(rows, lessons, parts, (args.writers or "").split(",")), sep="\n")


def messages(rows: Sequence[Row]) -> Lessons:
    """The messages as they are, the rules' examples and the everyday phrases."""
    more = [*examples(), *everyday()]
    texts = [_text_of(row) for row in rows] + [text for text, *_ in more]
    labels = [_level(row) for row in rows] + [label for _, label, _ in more]
    weights = [_counts(row) for row in rows] + [weight for *_, weight in more]
    owners = [*range(len(rows)), *(-1 for _ in more)]
    return Lessons(matrix(texts), np.array(labels), np.array(weights), np.array(owners))


def parts_lessons(rows: Sequence[Row]) -> Lessons:
    """The sentences and neighbours of the long messages, with the level of the whole; together they count twice."""
    parts = [parts_of(_text_of(row)) for row in rows]
    owners = [at for at, some in enumerate(parts) for _ in some]
    weights = [min(1.0, 2 / len(parts[at])) * _counts(rows[at]) for at in owners]
    labels = [_level(rows[at]) for at in owners]
    return Lessons(matrix([part for some in parts for part in some]), *map(np.array, (labels, weights, owners)))


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


def matrix(texts: Sequence[str]) -> Any:
    """Texts as sparse rows of unit length, as the classifier sees them."""
    from scipy.sparse import csr_matrix

    rows = [features(text) for text in texts]
    starts = np.cumsum([0, *(len(row) for row in rows)])
    values = [1 / max(len(row), 1) ** 0.5 for row in rows for _ in row]
    return csr_matrix((values, [at for row in rows for at in row], starts), shape=(len(rows), 1 << BITS))


def train(lessons: Lessons, parts: Lessons, bags: int = BAGS, seed: int = SEED) -> Weights:
    """Weights and bias. Every part of a routine message is routine; of an escalation, the part that sounds worst counts.

    Which part that is, a first model says. The mean of models of bootstrap samples is one linear model again.
    """
    learnt = lessons.plus(parts.only(parts.labels == 0))
    alarms = parts.only(parts.labels >= NAMES.index("crisis"))
    learnt = learnt.plus(_worst(fit(learnt), alarms))
    rng = np.random.default_rng(seed)
    some = [fit(learnt, _sampled(learnt, rng) if bags > 1 else 1) for _ in range(bags)]
    return sum(one[0] for one in some) / bags, sum(one[1] for one in some) / bags


def _sampled(lessons: Lessons, rng: np.random.Generator) -> Any:
    """How often each lesson counts in a bootstrap sample; the rules' examples are in every one, for they must hold."""
    return np.where(lessons.owners < 0, 1, rng.poisson(1.0, len(lessons.labels)))


def fit(lessons: Lessons, times: Any = 1) -> Weights:
    model = LogisticRegression(C=STRENGTH, max_iter=150, tol=1e-3)
    model.fit(lessons.data, lessons.labels, lessons.weights * times)
    return model.coef_.T, model.intercept_


def _worst(model: Weights, parts: Lessons) -> Lessons:
    """Of each message the part that most likely has the message's level, counted as much as the message."""
    scores = probabilities(model, parts.data)[np.arange(len(parts.labels)), parts.labels]
    best = {parts.owners[at]: at for at in np.argsort(scores)}
    kept = parts.only(np.array(sorted(best.values()), dtype=int))
    return Lessons(kept.data, kept.labels, np.ones(len(kept.labels)), kept.owners)


def probabilities(model: Weights, data: Any) -> Any:
    scores = data @ model[0] + model[1]
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def raised(model: Weights, text: str) -> bool:
    """Whether the classifier would have somebody called."""
    found = probabilities(model, matrix([text, *parts_of(text)]))
    return bool(verdict(list(found[0]), [list(one) for one in found[1:]]).level >= Level.CRISIS)


def table(rows: Sequence[Row], lessons: Lessons, parts: Lessons, wanted: Sequence[str]) -> Iterator[str]:
    """Recall and false alarms of rules, classifier and both on each writer, learnt from the others."""
    yield "| writer, language, level | messages | rules | classifier | both |\n|---|---|---|---|---|"
    for name in [one for one in wanted if one] or sorted({writer(row) for row in rows}):
        mine = [at for at, row in enumerate(rows) if writer(row) == name]
        model = train(lessons.without(set(mine)), parts.without(set(mine)), bags=1)
        ruled = np.array([by_rule(rows[at]) for at in mine])
        seen = np.array([raised(model, _text_of(rows[at])) for at in mine])
        yield from _lines(name, [rows[at] for at in mine], (ruled, seen, ruled | seen))


def _lines(name: str, rows: Sequence[Row], found: Sequence[Any]) -> Iterator[str]:
    for lang in ("ko", "en"):
        for title, levels in (("escalations", ESCALATES), ("routine", ("routine",)), ("urgent", ("urgent",))):
            here = np.array([row["lang"] == lang and row["level"] in levels for row in rows])
            if here.sum():
                yield (
                    f"| {name} {lang} {title} | {here.sum()} | "
                    + " | ".join(f"{one[here].mean():.3f}" for one in found)
                    + " |"
                )


def spread(rows: Sequence[Row], lessons: Lessons, parts: Lessons, times: int) -> Iterator[str]:
    """How many answers on the long messages differ between trainings on other samples, leaving the writers out."""
    for name in sorted({writer(row) for row in rows if writer(row).startswith("wild")}):
        mine = [at for at, row in enumerate(rows) if writer(row) == name]
        kept = lessons.without(set(mine)), parts.without(set(mine))
        seen = [[raised(train(*kept, seed=seed), _text_of(rows[at])) for at in mine] for seed in range(times)]
        counts = [sum(one) for one in seen]
        unsure = sum(len(set(answers)) > 1 for answers in zip(*seen, strict=True))
        yield f"{name}: raised {counts} of {len(mine)}; {unsure} answers differ"


def by_rule(row: Row) -> bool:
    return by_rules([Message("user", turn) for turn in row.get("turns") or [row["text"]]]).level >= Level.CRISIS


def writer(row: Row) -> str:
    """Who wrote a message: the beginning of its id."""
    return re.sub(r"-?\d+$", "", str(row["id"])).removesuffix("-ko").removesuffix("-en")


def _text(example: Any) -> str:
    return str(example["text"] if isinstance(example, dict) else example)


def _text_of(row: Row) -> str:
    return "\n".join(row.get("turns") or [row["text"]])


def _level(row: Row) -> int:
    return NAMES.index(row["level"])


def _counts(row: Row) -> float:
    return LONG_COUNTS if writer(row).startswith(("long", "wild")) else 1.0


def save(model: Weights) -> None:
    np.savez_compressed(MODEL, weights=model[0].astype("float16"), bias=model[1].astype("float32"))
    print(f"wrote {MODEL.relative_to(ROOT)}: {MODEL.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
