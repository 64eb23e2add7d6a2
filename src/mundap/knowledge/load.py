"""Read and check the embedded knowledge: every file, every problem at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from mundap.errors import ConfigError
from mundap.knowledge.schema import Both, Topic

_HERE = files("mundap.knowledge")


@cache
def topics() -> Mapping[str, Topic]:
    """All topics of the package by id, in file order. Raises `ConfigError` naming every problem in every file."""
    return read(_topic_files(_HERE / "topics"))


@cache
def departments() -> Mapping[str, Both]:
    """Department id to its name in both languages."""
    raw = yaml.load((_HERE / "departments.yaml").read_text("utf-8"), Loader=yaml.CSafeLoader)
    return TypeAdapter(dict[str, Both]).validate_python(raw)


def read(paths: Iterable[Traversable]) -> Mapping[str, Topic]:
    """Parse topic files. Raises `ConfigError` listing what is wrong in all of them together."""
    found: dict[str, Topic] = {}
    problems: list[str] = []
    for path in paths:
        topic = _parse(path, problems)
        if topic is not None:
            problems += _conflicts(path.name, topic, found)
            found[topic.id] = topic
    problems += _dangling(found)
    if problems:
        raise ConfigError("knowledge topics", problems)
    return found


def _dangling(found: Mapping[str, Topic]) -> list[str]:
    """References from one topic to another that does not exist."""
    pairs = [(topic.id, other) for topic in found.values() for other in topic.instead_for.values()]
    return [
        f"{topic}.yaml: instead_for names {other!r}, which is no topic" for topic, other in pairs if other not in found
    ]


def _topic_files(folder: Traversable) -> list[Traversable]:
    return sorted((p for p in folder.iterdir() if p.name.endswith(".yaml")), key=lambda p: p.name)


def _parse(path: Traversable, problems: list[str]) -> Topic | None:
    try:
        raw: Any = yaml.load(path.read_text("utf-8"), Loader=yaml.CSafeLoader)
        return Topic.model_validate(raw)
    except yaml.YAMLError as error:
        problems.append(f"{path.name}: not valid YAML: {' '.join(str(error).split())}")
    except UnicodeDecodeError as error:
        problems.append(f"{path.name}: not UTF-8 at byte {error.start}; save the file as UTF-8")
    except ValidationError as error:
        problems += [f"{path.name}: {_place(e['loc'])}: {e['msg']}" for e in error.errors()]
    return None


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "topic"


def _conflicts(name: str, topic: Topic, found: Mapping[str, Topic]) -> list[str]:
    problems = [
        f"{name}: department {d!r} is not in departments.yaml" for d in topic.departments if d not in departments()
    ]
    if name != f"{topic.id}.yaml":
        problems.append(f"{name}: id is {topic.id!r}; the file must be named {topic.id}.yaml")
    if topic.id in found:
        problems.append(f"{name}: id {topic.id!r} is taken already")
    return problems
