"""Rubrics as data: what a judge is asked, and the sheet that one reply to one item becomes.

`kullm`, `kullm3`, `medical` and `facts` are in the package; a user's own is a YAML file in the same shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator

from mundap.errors import ConfigError, UserError, did_you_mean
from mundap.evaluate.items import Item
from mundap.store import digest
from mundap.types import Lang, Message

Kind = Literal["must", "nice", "must_not", "ask_back"]
_FENCE = (("<<<", "< < <"), (">>>", "> > >"))
_PARTS = ("instruction", "input", "question", "known", "response", "sources")
_VALUES = (*_PARTS, "criteria", "form")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Prompt(_Part):
    """The two messages of a request in one language."""

    system: str
    user: str


class Criterion(_Part):
    """What is scored from `low` to `high`. `points` count when it is met; `when: sources` asks only of replies with some."""

    asks: Mapping[Lang, str]
    strict: Mapping[Lang, str] = {}
    label: str = ""
    low: int = Field(default=0, ge=-10, le=10)
    high: int = Field(default=1, ge=-10, le=10)
    points: int = Field(default=0, ge=-10, le=10)
    axis: str = Field(default="", pattern=r"^[a-z_]*$")
    when: Literal["", "sources"] = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low is {self.low} and high {self.high}; high must be more")
        if self.points and (self.low, self.high) != (0, 1):
            raise ValueError("a criterion with points is met or not: from 0 to 1")
        return self


class Rubric(_Part):
    """Criteria, those that an item brings along (`statements`), and prompts. With points it has one score in all."""

    group: Literal["kullm", "medical", "facts"] = "medical"
    structured: bool = True
    prompts: Mapping[Lang, Prompt]
    criteria: Mapping[str, Criterion] = {}
    statements: Mapping[Kind, Criterion] = {}

    @model_validator(mode="after")
    def _whole(self) -> Self:
        every: list[tuple[str, Criterion]] = [*self.criteria.items(), *self.statements.items()]
        if not every or not self.prompts:
            raise ValueError("a rubric needs prompts and at least one criterion")
        if len({bool(each.points) for _, each in every}) > 1:
            raise ValueError("either every criterion has points or none")
        for name, each in every:
            missing = set(self.prompts) - set(each.asks)
            if missing:
                raise ValueError(f"{name}: no `asks` in {', '.join(sorted(missing))}")
        for name in self.criteria:
            if not name.isidentifier() or hasattr(BaseModel, name) or name in get_args(Kind):
                raise ValueError(f"{name!r} cannot be the name of a criterion")
        return self

    @property
    def has_points(self) -> bool:
        """Whether a reply gets one score, from points, rather than one for each criterion."""
        return any(each.points for each in (*self.criteria.values(), *self.statements.values()))

    @property
    def axes(self) -> tuple[str, ...]:
        """What the criteria with points are grouped by."""
        return tuple(
            dict.fromkeys(each.axis for each in (*self.statements.values(), *self.criteria.values()) if each.axis)
        )

    def lang(self, wanted: Lang) -> Lang:
        """The language to ask in: the item's where there is a prompt for it."""
        return wanted if wanted in self.prompts else next(iter(self.prompts))


@dataclass(frozen=True, slots=True)
class Line:
    """One criterion on a sheet. `key` is what the judge calls it, `id` what we do: a name, or `must_1`, `nice_1`, …"""

    id: str
    key: str
    label: str
    low: int
    high: int
    asks: str
    points: int = 0
    axis: str = ""

    @property
    def form(self) -> str:
        """The line to fill in, with the scores that there are."""
        scores = f"{self.low} - {self.high}" if self.low >= 0 else ", ".join(map(str, range(self.low, self.high + 1)))
        return f"- {self.label} ({scores}):"


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a judge gets for one reply: the lines to score, the messages, and the form as a schema."""

    lines: tuple[Line, ...]
    messages: tuple[Message, ...]
    schema: type[BaseModel]


@dataclass(frozen=True, slots=True)
class Judged:
    """One response to one item, as a judge reads it; with an `error` there is none to judge.

    A task may be given as `instruction` and `input`, or as the `question` and what is `known` from the earlier talk.
    """

    item: Item
    response: str
    instruction: str = ""
    input: str = ""
    question: str = ""
    known: str = ""
    sources: str = ""
    error: str = ""


def judged(item: Item, response: str, sources: str = "", error: str = "") -> Judged:
    """A response to an item. A turn of the system's is the instruction and what the person said its input."""
    before = "\n".join(f"{turn.role}: {turn.content}" for turn in item.turns[:-1] if turn.role != "system")
    person = "\n".join(f"{name}: {_words(value)}" for name, value in asdict(item.profile).items() if value)
    known = "\n".join(filter(None, (before, person)))
    told = "\n".join(turn.content for turn in item.turns if turn.role == "system")
    said = "\n".join(filter(None, (known, item.question))) if told else known
    return Judged(item, response, told or item.question, said, item.question, known, sources, error)


def rubric(name: str) -> Rubric:
    """The package's rubric of that name, or the one in a YAML file. Raises `UserError` or `ConfigError`."""
    if name.endswith((".yaml", ".yml")):
        return _read(Path(name))
    known = _package()
    if name not in known:
        raise UserError(f"no rubric is called {name!r}{did_you_mean(name, known)}; or give the path of a .yaml file")
    return known[name]


def rubric_digest(found: Rubric, strict: bool = False) -> str:
    """The digest of a rubric's wording and points."""
    return digest([found.model_dump(mode="json"), strict])


def lines(found: Rubric, item: Item, lang: Lang, sources: bool = False, strict: bool = False) -> tuple[Line, ...]:
    """The criteria for one item: its own statements first, numbered, then those that every item has."""
    return (*_statements(found, item, lang), *_criteria(found, lang, sources, strict))


def sheet(found: Rubric, given: Judged, strict: bool = False) -> Sheet | None:
    """The sheet for a response; None when the rubric has nothing to ask about its item."""
    lang = found.lang(given.item.lang)
    asked = lines(found, given.item, lang, bool(given.sources), strict)
    if not asked:
        return None
    values = {name: _fenced(getattr(given, name)) for name in _PARTS}
    values["criteria"] = "\n".join(f"{line.form} {line.asks}" for line in asked)
    values["form"] = "\n".join(line.form for line in asked)
    prompt = found.prompts[lang]
    messages = (
        Message("system", prompt.system.format(**values).strip()), Message("user", prompt.user.format(**values).strip())
    )  # fmt: skip
    return Sheet(asked, messages, _schema(tuple((line.key, line.low, line.high) for line in asked)))


def points(asked: Iterable[Line], scores: Mapping[str, int | None], axis: str = "") -> float | None:
    """Points met over positive points, from 0 to 1, of all criteria or of one axis; None when a score of them is missing.

    An axis that has negative points only is 1 as long as none of them is met. After HealthBench (Arora et al. 2025).
    """
    counted = [line for line in asked if axis in ("", line.axis)]
    if not counted or any(scores.get(line.id) is None for line in counted):
        return None
    met = sum(line.points for line in counted if scores[line.id] == 1)
    most = sum(line.points for line in counted if line.points > 0)
    return min(1.0, max(0.0, met / most)) if most else float(met == 0)


def _statements(found: Rubric, item: Item, lang: Lang) -> Iterator[Line]:
    number = 0
    for kind, criterion in found.statements.items():
        for place, statement in enumerate(getattr(item, kind), 1):
            number += 1
            asks = criterion.asks[lang].format(statement=statement)
            yield _line(f"{kind}_{place}", f"S{number}", criterion, asks)


def _criteria(found: Rubric, lang: Lang, sources: bool, strict: bool) -> Iterator[Line]:
    for name, criterion in found.criteria.items():
        if criterion.when == "sources" and not sources:
            continue
        yield _line(name, name, criterion, (criterion.strict if strict and criterion.strict else criterion.asks)[lang])


def _line(id: str, key: str, criterion: Criterion, asks: str) -> Line:
    return Line(
        id, key, criterion.label or key, criterion.low, criterion.high, asks, criterion.points, criterion.axis
    )  # fmt: skip


def _words(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else "yes" if value is True else str(value)


def _fenced(text: str) -> str:
    """Text that cannot close the fence around it."""
    for mark, harmless in _FENCE:
        text = text.replace(mark, harmless)
    return text.strip()


@cache
def _schema(keys: tuple[tuple[str, int, int], ...]) -> type[BaseModel]:
    """Whole numbers by name, as a list of those allowed: more servers know lists than bounds."""
    fields: Any = {key: (Literal[tuple(range(low, high + 1))], ...) for key, low, high in keys}
    made: type[BaseModel] = create_model("Scores", __config__=ConfigDict(extra="forbid"), **fields)
    return made


@cache
def _package() -> Mapping[str, Rubric]:
    text = (files("mundap.evaluate") / "rubrics.yaml").read_text("utf-8")
    return {name: Rubric.model_validate(raw) for name, raw in yaml.load(text, Loader=yaml.CSafeLoader).items()}


def _read(path: Path) -> Rubric:
    try:
        raw = yaml.load(path.read_text("utf-8"), Loader=yaml.SafeLoader)
        found = Rubric.model_validate(raw)
        for prompt in found.prompts.values():
            (prompt.system + prompt.user).format(**dict.fromkeys(_VALUES, ""))
    except OSError as error:
        raise UserError(f"cannot read the rubric {path}: {error.strerror}") from error
    except ValidationError as error:
        raise ConfigError(str(path), [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [f"not valid YAML: {' '.join(str(error).split())}"]) from error
    except (KeyError, IndexError, ValueError) as error:
        raise ConfigError(str(path), [f"a prompt names {error}; known: {', '.join(_VALUES)}"]) from error
    return found
