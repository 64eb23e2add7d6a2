"""The items of an evaluation: our own medical set, a hospital's own file in the same shape, K-QA's format.

An item is a question or a short talk with what a good answer must say, must not say and should ask back. Ours were
written by hand, away from the knowledge topics' wording; no clinician has reviewed them (`reviewed: false`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError, model_validator

from mundap.errors import ConfigError, UserError, did_you_mean
from mundap.knowledge.load import departments, topics
from mundap.store import digest, read_jsonl
from mundap.types import Lang, Level, Message, Profile

_SETS = files("mundap.evaluate") / "sets"
_NOBODY = Profile()


@dataclass(frozen=True, slots=True)
class Item:
    """One question, or one short talk that ends with the person, and how its answer is judged.

    `must`, `nice` and `must_not` are short statements for an entailment model or a judge, `ask_back` what should be asked.
    `urgency` and `topics` are None where nobody labelled them; `topics == ()` means that the package's knowledge has none,
    so that the right answer says so. `answer` is a reference answer, where the set has one.
    """

    id: str
    turns: tuple[Message, ...]
    lang: Lang = "ko"
    profile: Profile = _NOBODY
    urgency: Level | None = None
    departments: tuple[str, ...] = ()
    topics: tuple[str, ...] | None = None
    kinds: tuple[str, ...] = ()
    must: tuple[str, ...] = ()
    nice: tuple[str, ...] = ()
    must_not: tuple[str, ...] = ()
    ask_back: tuple[str, ...] = ()
    answer: str = ""
    reviewed: bool = False

    @property
    def question(self) -> str:
        """What the person said last."""
        return self.turns[-1].content

    @property
    def talk(self) -> bool:
        """Whether there is more than one turn."""
        return len(self.turns) > 1


def load(lang: Lang | None = None) -> tuple[Item, ...]:
    """The package's own set, 150 Korean and 50 English items, or one language of it, in file order."""
    return tuple(item for item in _package() if lang in (None, item.lang))


def read(path: Path) -> tuple[Item, ...]:
    """The items of a file: YAML (a list) or JSON lines in the shape of `Item`, or K-QA's JSON lines.

    Turns are written `[{user: …}, {assistant: …}, {user: …}]`, urgency as `routine`, `urgent`, `crisis` or `emergency`.
    Raises `UserError` for a file that cannot be read and `ConfigError` with everything that is wrong in its items.
    """
    return _checked([(path.name, list(_rows(path)))])


def set_digest(items: Iterable[Item]) -> str:
    """A digest of items, whatever their order: two results are comparable only when theirs are the same."""
    return digest(sorted((asdict(item) for item in items), key=lambda row: str(row["id"])))


@cache
def _package() -> tuple[Item, ...]:
    found = sorted((path for path in _SETS.iterdir() if path.name.endswith(".yaml")), key=lambda path: path.name)
    return _checked([(path.name, _listed(path, path.name)) for path in found])


def _rows(path: Path) -> Iterator[object]:
    if path.suffix == ".jsonl":
        yield from (_kqa(row) if "Question" in row else row for row in read_jsonl(path))
    elif path.suffix in (".yaml", ".yml"):
        yield from _listed(path, str(path))
    else:
        raise UserError(
            f"{path}: items are read from .jsonl, .yaml or .yml, not {path.suffix or 'a file without ending'!r}"
        )


def _listed(path: Path | Traversable, where: str) -> list[object]:
    """The list that a YAML file holds."""
    try:
        raw = yaml.load(path.read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except OSError as error:
        raise UserError(f"cannot read {where}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8 at byte {error.start}; save the file as UTF-8") from error
    except yaml.YAMLError as error:
        raise UserError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, list):
        raise UserError(f"{where}: expected a list of items, found {type(raw).__name__}")
    return raw


def _kqa(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of K-QA in our shape. The id is the row's digest: it survives another order, and questions come twice."""
    must, nice = (_once(row.get(key)) for key in ("Must_have", "Nice_to_have"))
    return {
        "id": f"kqa-{digest(row)[:12]}",
        "turns": [{"user": row["Question"]}],
        "lang": "ko" if re.search("[가-힣]", str(row["Question"])) else "en",
        "must": must,
        "nice": [said for said in nice if said not in must],
        "answer": row.get("Free_form_answer") or "",
    }


def _once(statements: Any) -> Any:
    """Statements without the blanks and repetitions that the published file has; no list is left for the check."""
    if not isinstance(statements, list):
        return statements or []
    return [said for said in dict.fromkeys(map(str, statements)) if said.strip()]


def _checked(sources: Iterable[tuple[str, Sequence[object]]]) -> tuple[Item, ...]:
    """Items from rows. Raises `ConfigError` with every problem of every file."""
    found: dict[str, Item] = {}
    problems: list[str] = []
    for name, rows in sources:
        if not rows:
            problems.append(f"{name}: no items in it")
        for number, row in enumerate(rows, 1):
            where = f"{name}, item {number}{_called(row)}"
            item = _item(row, where, problems)
            if item is not None and item.id in found:
                problems.append(f"{where}: the id is taken already; ids must differ")
            elif item is not None:
                found[item.id] = item
    if problems:
        raise ConfigError("evaluation items", problems)
    return tuple(found.values())


def _called(row: object) -> str:
    return f" ({row['id']})" if isinstance(row, dict) and isinstance(row.get("id"), str) else ""


def _item(row: object, where: str, problems: list[str]) -> Item | None:
    try:
        checked = _Row.model_validate(row)
    except ValidationError as error:
        problems += [f"{where}: {_told(e['loc'], e['msg'])}" for e in error.errors()]
        return None
    unknown = [*_unknown("departments", checked.departments, departments())]
    unknown += _unknown("topics", checked.topics or (), topics())
    problems += [f"{where}: {problem}" for problem in unknown]
    return Item(**{name: getattr(checked, name) for name in _Row.model_fields})


def _told(place: tuple[int | str, ...], message: str) -> str:
    """A problem without the value: it could be what a patient wrote."""
    return f"{'.'.join(map(str, place)) or 'item'}: {message.removeprefix('Value error, ')}"


def _unknown(key: str, named: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    """Complaints about names the package does not know; only the close ones are suggested, for there are 110 topics."""
    names = sorted(known)
    for name in named:
        if name not in names:
            hint = did_you_mean(name, names).partition(" Known: ")[0]
            yield f"{key}: {name!r} is not known{hint}"


def _level(value: object) -> object:
    words = [level.word for level in Level]
    if value is not None and value not in words:
        raise ValueError(f"expected one of {', '.join(words)}")
    return None if value is None else Level(words.index(str(value)))


def _turn(value: object) -> object:
    [(role, content)] = value.items() if isinstance(value, dict) and len(value) == 1 else [("", "")]
    if role not in ("user", "assistant") or not isinstance(content, str) or not content.strip():
        raise ValueError("a turn is written {user: text} or {assistant: text}")
    return {"role": role, "content": content}


_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=2)]
_Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]


class _Row(BaseModel):
    """One item as written in a file; the same fields as `Item`. Unknown keys are errors, in the profile too."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    turns: tuple[Annotated[Message, BeforeValidator(_turn)], ...]
    lang: Lang = "ko"
    profile: Profile = _NOBODY
    urgency: Annotated[Level | None, BeforeValidator(_level)] = None
    departments: tuple[_Name, ...] = ()
    topics: tuple[_Name, ...] | None = None
    kinds: tuple[_Name, ...] = ()
    must: tuple[_Text, ...] = ()
    nice: tuple[_Text, ...] = ()
    must_not: tuple[_Text, ...] = ()
    ask_back: tuple[_Text, ...] = ()
    answer: str = ""
    reviewed: bool = False

    @model_validator(mode="after")
    def _whole(self) -> _Row:
        if not self.turns or self.turns[-1].role != "user":
            raise ValueError("the turns must end with the person's (`user`)")
        if not 0 <= (self.profile.age or 0) <= 130 or not 0 <= (self.profile.pregnant_weeks or 0) <= 45:
            raise ValueError("profile: age is 0 to 130 years, pregnant_weeks 0 to 45")
        said = [*self.must, *self.nice, *self.must_not]
        if len(set(said)) < len(said):
            raise ValueError("a statement stands twice in must, nice and must_not")
        return self
