"""People's judgement: a queue of pairs of answers that several raters share, each judgement kept before the next pair.

Everything lies in `runs/<name>/people/people.sqlite`, which several processes may use at once (not over a network
drive, where SQLite's write-ahead log does not work). A pair keeps the texts that were judged, so that a
judgement stays true when the models answer anew.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import yaml

from mundap import config
from mundap.errors import UserError, did_you_mean
from mundap.evaluate import item_sets
from mundap.evaluate.items import Item
from mundap.store import Work, digest, read_jsonl
from mundap.types import Lang
from mundap.waiting import write_ahead

Side = Literal["first", "second"]
Choice = Literal["first", "second", "tie"]
SIDES: tuple[Side, Side] = ("first", "second")
CHOICES: tuple[Choice, ...] = (*SIDES, "tie")
LEASE = 30 * 60.0  # seconds a pair is kept for a rater who has it on the screen
COMMENT = 2000
# A pseudonym: no address, and no row of digits that could be a telephone or a person's number.
_PSEUDONYM = re.compile(r"(?!.*\d{5})[^\W_](?:[\w .-]{0,22}[^\W_])")
_TABLES = """
CREATE TABLE IF NOT EXISTS pairs (id TEXT PRIMARY KEY, wanted INTEGER NOT NULL, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS leases (pair TEXT, rater TEXT, until REAL NOT NULL, PRIMARY KEY (pair, rater));
CREATE TABLE IF NOT EXISTS judgements (pair TEXT, rater TEXT, content TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (pair, rater));
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one question: `first` and `second` are the names of who answered, which raters do not see."""

    set: str
    item: str
    turns: tuple[tuple[str, str], ...]
    lang: Lang
    first: str
    first_text: str
    second: str
    second_text: str
    profile: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """A digest of all that is compared: a new answer makes a new pair."""
        return digest(asdict(self))

    def name(self, side: Side) -> str:
        """Who answered."""
        return self.first if side == "first" else self.second

    def text(self, side: Side) -> str:
        """What was answered."""
        return self.first_text if side == "first" else self.second_text


@dataclass(frozen=True, slots=True)
class Mark:
    """What a rater said about one answer: a score of 1 to 5 for some criteria, and the errors found."""

    scores: Mapping[str, int] = field(default_factory=dict)
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """Which of a pair's answers a rater found better. `seconds` is how long the pair was on the screen."""

    pair: str
    rater: str
    choice: Choice
    first: Mark = Mark()
    second: Mark = Mark()
    comment: str = ""
    seconds: float = 0.0

    def mark(self, side: Side) -> Mark:
        """What was said about one answer."""
        return self.first if side == "first" else self.second


@dataclass(frozen=True, slots=True)
class Contestant:
    """Who answered, as `run/target`, and the answers by set and item."""

    name: str
    texts: Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class State:
    """How far the raters are: `done` of `wanted` judgements, and how many each gave."""

    pairs: int
    wanted: int
    done: int
    raters: Mapping[str, int]


@cache
def form() -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """The criteria and error tags that raters are asked about, with their words in both languages."""
    found: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(
        (files("mundap.evaluate") / "people.yaml").read_text("utf-8")
    )
    return found


def shown(pair: str, rater: str) -> tuple[Side, Side]:
    """Which answer stands left and which right: by chance, another for each rater, and the same after a reload."""
    return SIDES if int(digest([pair, rater])[:2], 16) % 2 else (SIDES[1], SIDES[0])


def check_rater(name: str) -> str:
    """A rater's pseudonym without blanks around it. Raises `UserError` for what is none."""
    name = unicodedata.normalize("NFC", " ".join(name.split()))
    if not _PSEUDONYM.fullmatch(name):
        raise UserError(
            "choose a pseudonym of 2 to 24 letters or digits, not an address or a number; "
            "it is kept beside every judgement"
        )
    return name


class Queue:
    """The pairs of a run and who judges which. Made anew in every process; all that it knows is in the file."""

    def __init__(self, run: Path, lease: float = LEASE, clock: Callable[[], float] = time.time) -> None:
        self.folder = run / "people"
        self._lease, self._clock = lease, clock

    @property
    def exists(self) -> bool:
        """Whether there is anything to judge, or was."""
        return (self.folder / "people.sqlite").is_file()

    def fill(self, pairs: Iterable[Pair], raters: int = 2, overlap: float = 0.2) -> int:
        """Add pairs that are new; about a share of `overlap` is shown to `raters` people, for their agreement.

        Which ones follows from the pairs' ids, and these come first. Returns how many were added.
        """
        if not 1 <= raters <= 20 or not 0 <= overlap <= 1:
            raise UserError(f"a pair is judged by 1 to 20 raters and overlap is 0 to 1, found {raters} and {overlap}")
        rows = [(pair.id, _wanted(pair.id, raters, overlap), _dumped(pair)) for pair in pairs]
        with self._transaction() as connection:
            before = connection.total_changes
            connection.executemany("INSERT OR IGNORE INTO pairs VALUES (?, ?, ?)", rows)
            return connection.total_changes - before

    def take(self, rater: str) -> Pair | None:
        """The pair that this rater judges next: the one already on the screen, or one that nobody else has."""
        now = self._clock()
        with self._transaction() as connection:
            connection.execute("DELETE FROM leases WHERE until < ?", (now,))
            found = connection.execute(_HELD, {"rater": rater}).fetchone()
            found = found or connection.execute(_FREE, {"rater": rater}).fetchone()
            if found is None:
                return None
            connection.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?)", (found[0], rater, now + self._lease))
            return _pair(found[1])

    def pair(self, name: str) -> Pair:
        """The pair of this id. Raises `UserError` when there is none."""
        with self._transaction() as connection:
            return self._found(connection, name)

    def judge(self, judgement: Judgement) -> None:
        """Keep a judgement; it is on the disk when this returns. A second one by the same rater replaces the first.

        It counts even when its lease ran out and somebody else was quicker: no work is lost.
        """
        _check(judgement)
        key = (judgement.pair, judgement.rater)
        with self._transaction() as connection:
            self._found(connection, judgement.pair)
            content = json.dumps(asdict(judgement), ensure_ascii=False)
            connection.execute("INSERT OR REPLACE INTO judgements VALUES (?, ?, ?, ?)", (*key, content, self._clock()))
            connection.execute("DELETE FROM leases WHERE pair = ? AND rater = ?", key)

    def last(self, rater: str) -> Judgement | None:
        """The rater's latest judgement, to look at again."""
        query = "SELECT content FROM judgements WHERE rater = ? ORDER BY at DESC, rowid DESC LIMIT 1"
        with self._transaction() as connection:
            found = connection.execute(query, (rater,)).fetchone()
        return None if found is None else _judgement(found[0])

    def pairs(self) -> dict[str, Pair]:
        """All pairs by id."""
        with self._transaction() as connection:
            return {name: _pair(text) for name, text in connection.execute("SELECT id, content FROM pairs ORDER BY id")}

    def judgements(self) -> list[Judgement]:
        """All judgements, by pair and rater."""
        with self._transaction() as connection:
            rows = connection.execute("SELECT content FROM judgements ORDER BY pair, rater").fetchall()
        return [_judgement(text) for (text,) in rows]

    def state(self) -> State:
        """How far the raters are."""
        with self._transaction() as connection:
            pairs, wanted = connection.execute("SELECT count(*), coalesce(sum(wanted), 0) FROM pairs").fetchone()
            (done,) = connection.execute(_DONE).fetchone()
            raters = dict(connection.execute("SELECT rater, count(*) FROM judgements GROUP BY rater ORDER BY rater"))
        return State(pairs, wanted, done, raters)

    def _found(self, connection: sqlite3.Connection, name: str) -> Pair:
        found = connection.execute("SELECT content FROM pairs WHERE id = ?", (name,)).fetchone()
        if found is None:
            raise UserError(f"no pair {name[:40]!r} in {self.folder}; open the rating page again")
        return _pair(found[0])

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One connection and one transaction that takes the write lock at once, so that two raters wait, not clash."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.folder / "people.sqlite", timeout=30, isolation_level=None)) as found:
                write_ahead(found)
                found.execute("PRAGMA synchronous = FULL")
                found.executescript(_TABLES)
                found.execute("BEGIN IMMEDIATE")
                yield found
                found.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"{self.folder / 'people.sqlite'} cannot be used: {error}") from error


_HELD = """
SELECT id, content FROM pairs JOIN leases ON pair = id WHERE rater = :rater
AND NOT EXISTS (SELECT 1 FROM judgements AS own WHERE own.pair = id AND own.rater = :rater) ORDER BY id LIMIT 1
"""
# Pairs that lack judgements, those under way with others counted.
_FREE = """
SELECT id, content FROM pairs
WHERE NOT EXISTS (SELECT 1 FROM judgements AS own WHERE own.pair = id AND own.rater = :rater)
AND (SELECT count(*) FROM judgements AS made WHERE made.pair = id)
  + (SELECT count(*) FROM leases AS held WHERE held.pair = id) < wanted
ORDER BY id LIMIT 1
"""
_DONE = """
SELECT coalesce(sum(min(wanted, (SELECT count(*) FROM judgements AS made WHERE made.pair = id))), 0) FROM pairs
"""


def contestants(runs: Sequence[Path]) -> list[Contestant]:
    """Everyone whose answers lie in these runs. Answers that failed are left out."""
    paths = [path for run in runs for path in sorted((run / "evaluate" / "replies").glob("*.jsonl"))]
    return [Contestant(f"{path.parents[2].name}/{path.stem}", _texts(path)) for path in paths]


def questions(run: Path) -> dict[tuple[str, str], Item]:
    """The items that a run was evaluated on, by set and id: of the sets its recipe names, else of those it answered."""
    answered = {name for each in contestants([run]) for name, _ in each.texts}
    usual = [name for name in (*item_sets.OWN, item_sets.TEST) if name in answered]
    sets = item_sets.load(config.read(run / "recipe.yaml").evaluate.sets or usual, Work(run))
    return {(each.name, item.id): item for each in sets for item in each.items}


def pairs(among: Sequence[Contestant], asked: Mapping[tuple[str, str], Item]) -> Iterator[Pair]:
    """Every two contestants on every question of `asked` that both answered, unless they said the same."""
    for one, other in combinations(sorted(among, key=lambda each: each.name), 2):
        for key in sorted(one.texts.keys() & other.texts.keys() & asked.keys()):
            if one.texts[key] != other.texts[key]:
                yield _made(asked[key], key[0], one, other)


def common(runs: Sequence[Path]) -> dict[tuple[str, str], Item]:
    """The questions of the first run, without those that are others in another run."""
    found = [questions(run) for run in runs]
    return {
        key: item for key, item in found[0].items() if all(each.get(key, item).turns == item.turns for each in found)
    }


def _made(item: Item, name: str, one: Contestant, other: Contestant) -> Pair:
    key = (name, item.id)
    profile = {key: value for key, value in asdict(item.profile).items() if value}
    turns = tuple((turn.role, turn.content) for turn in item.turns)
    return Pair(name, item.id, turns, item.lang, one.name, one.texts[key], other.name, other.texts[key], profile)


def _texts(path: Path) -> dict[tuple[str, str], str]:
    rows = (row for row in read_jsonl(path) if row.get("finish") != "error" and str(row.get("text", "")).strip())
    rows = (row for row in rows if row.get("number", 1) == 1)  # of several answers the first is judged
    return {(str(row["set"]), str(row["item"])): row["text"].strip() for row in rows}


def _wanted(name: str, raters: int, overlap: float) -> int:
    return raters if int(name[:8], 16) < overlap * 16**8 else 1


def _dumped(pair: Pair) -> str:
    return json.dumps(asdict(pair), ensure_ascii=False)


def _pair(content: str) -> Pair:
    row = json.loads(content)
    return Pair(**{**row, "turns": tuple((role, text) for role, text in row["turns"])})


def _judgement(content: str) -> Judgement:
    row = json.loads(content)
    marks: dict[str, Any] = {side: Mark(row[side]["scores"], tuple(row[side]["tags"])) for side in SIDES}
    return Judgement(**{**row, **marks})


def _check(judgement: Judgement) -> None:
    """Raises `UserError` for a judgement that the form cannot give."""
    check_rater(judgement.rater)
    if judgement.choice not in CHOICES:
        raise UserError(f"choice is {judgement.choice!r}; expected one of {', '.join(CHOICES)}")
    if len(judgement.comment) > COMMENT:
        raise UserError(f"a comment may have {COMMENT:,} letters, this one has {len(judgement.comment):,}")
    for side in SIDES:
        mark = judgement.mark(side)
        for kind, names in (("criteria", mark.scores), ("tags", mark.tags)):
            for name in names:
                if name not in form()[kind]:
                    raise UserError(f"{kind}: no {name!r}{did_you_mean(name, form()[kind])}")
        if wrong := [score for score in mark.scores.values() if score not in range(1, 6)]:
            raise UserError(f"scores are 1 to 5, found {wrong[0]!r}")
