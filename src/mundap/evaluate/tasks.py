"""The tasks of a multiple-choice measure: lm-eval's own, from the hub or a local file, and any file of questions.

From the hub nothing could be tried where this was written: there the definitions are lm-eval's, and what was tried is
that they are found, that a hub out of reach is told within seconds, and that they run on local files.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from mundap.errors import ConfigError, MissingExtra, UnknownName, UserError, did_you_mean
from mundap.evaluate import questions
from mundap.evaluate.questions import LETTERS, Question
from mundap.store import digest, file_digest, versions, write_jsonl

if TYPE_CHECKING:
    from lm_eval.api.task import Task as Loaded
    from lm_eval.tasks import TaskManager

_DATA = files("mundap.evaluate") / "tasks"
METRICS = frozenset({"acc", "exact_match"})  # those of lm-eval that are 1 or 0 for a question
_HANGUL = re.compile("[가-힣]")
_INSTALL = "pip install 'mundap[evaluate]'"
_HUB = "https://huggingface.co"
_PATIENCE = 3.0  # seconds until a hub that does not answer is given up


class Spec(BaseModel):
    """One task as a recipe names it: lm-eval's by `task`, a local file by `path`, lm-eval's on a local file by both.

    `examples` is the file (or folder) of the questions shown before, where `shots` are wanted. `first` says from what
    number answers count, where it does not show. `general` marks a slice of general ability.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$")
    task: str = ""
    path: str = ""
    examples: str = ""
    first: int | None = Field(default=None, ge=0, le=1)
    general: bool = False

    @property
    def called(self) -> str:
        """The name its scores go by."""
        return self.name or self.task or questions.part_of(Path(self.path))


def _named(value: Any) -> Any:
    """A bare name as a mapping."""
    return {"task": value} if isinstance(value, str) else value


_SPECS = TypeAdapter(tuple[Annotated[Spec, BeforeValidator(_named)], ...])


@dataclass(frozen=True)
class Part:
    """One lm-eval task of a spec, ready to run. `ids` names its questions where the file does."""

    spec: Spec
    name: str
    loaded: Loaded
    ids: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """How many questions it has."""
        return len(self.loaded.eval_docs)

    def example(self, place: int) -> str:
        """The name of the question at a place of the task."""
        own = self.ids[place] if self.ids else str(place + 1)
        return f"{self.name}/{own}" if self.name else own


def specs(listed: Sequence[str | Mapping[str, Any]]) -> tuple[Spec, ...]:
    """Tasks as a recipe lists them, by name or as mappings. Raises `ConfigError` with everything that is wrong."""
    try:
        found = _SPECS.validate_python(list(listed))
    except ValidationError as error:
        told = [f"tasks.{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise ConfigError("choice", told) from error
    names = [spec.called for spec in found]
    problems = [
        f"two tasks are called {name!r}; give one another `name`" for name in set(names) if names.count(name) > 1
    ]
    problems += [
        f"tasks.{n}: give a `task` or a `path`" for n, spec in enumerate(found) if not (spec.task or spec.path)
    ]
    if not found:
        problems.append("tasks: name at least one, for example kormedmcqa, or {path: questions.csv}")
    if problems:
        raise ConfigError("choice", problems)
    return tuple(found)


def check(listed: Sequence[Spec], shots: int) -> list[list[str]]:
    """Whether all can be run, before any work: files read, names known. Returns a digest of each."""
    if find_spec("lm_eval") is None:
        raise MissingExtra(f"multiple choice needs lm-eval: {_INSTALL}")
    found, problems = list[list[str]](), list[str]()
    for spec in listed:
        try:
            found.append([spec.called, digest([spec.model_dump(), _checked(spec, shots)])])
        except ConfigError as error:
            problems += [f"{spec.called}: {error.where}: {each}" for each in error.problems]
        except UserError as error:
            problems.append(f"{spec.called}: {error}")
    if problems:
        raise ConfigError("choice", problems)
    return found


def check_hub(listed: Sequence[Spec]) -> None:
    """Raise `UserError`, within seconds, when a data set must come from the hub and the hub is out of reach."""
    wanted = [spec for spec in listed if not spec.path and not _cached(_known().get(spec.task, {}).get("data", ""))]
    if not wanted:
        return
    hub = os.environ.get("HF_ENDPOINT", _HUB).rstrip("/")
    offline = [key for key in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE") if os.environ.get(key, "0") not in ("", "0")]
    if offline or not _answers(hub):
        why = f"{offline[0]} is set" if offline else f"{hub} does not answer"
        names = ", ".join(spec.called for spec in wanted)
        raise UserError(
            f"{names}: the questions lie on the model hub, and {why}; give them as a local file instead: "
            f"{{task: {wanted[0].task}, path: FILE}}"
        )


def load(listed: Sequence[Spec], folder: Path, shots: int) -> list[Part]:
    """The tasks of lm-eval. `folder` takes the rows of local files while they are used.

    Raises `UserError` when a data set of the hub cannot be had.
    """
    return [part for spec in listed for part in _parts(spec, folder / spec.called, shots)]


def wording() -> Any:
    """What stands around questions, by language, and `cues`."""
    return yaml.safe_load((_DATA / "wording.yaml").read_text("utf-8"))


def lang_of(text: str) -> str:
    """`ko` for a text with Hangul."""
    return "ko" if _HANGUL.search(text) else "en"


def _checked(spec: Spec, shots: int) -> Any:
    if spec.task:
        _entry(spec.task)
    if not spec.path:
        return versions("lm_eval")["lm_eval"]
    if spec.task and (members := _members(spec.task)):
        raise UserError(f"{spec.task} is a group of tasks; name one of them for a local file: {', '.join(members)}")
    if spec.task and not Path(spec.path).is_file():
        raise UserError(f"{spec.path} is not a file; lm-eval's own task takes one .jsonl or .csv file with its columns")
    if spec.task:
        _sound(spec)
    else:
        questions.read(Path(spec.path), spec.first)
    if shots and not spec.examples:
        raise UserError(
            f"`shots: {shots}` needs `examples`: a file of questions to show before, laid out as {spec.path}"
        )
    if spec.examples and not spec.task:
        _examples(spec, shots)
    given = [Path(each) for each in (spec.path, spec.examples) if each]
    return [file_digest(file) for path in given for file in questions.files_of(path)]


def _sound(spec: Spec) -> None:
    """Raise `UserError` for a row that lm-eval's own task cannot use."""
    with TemporaryDirectory(prefix="mundap-") as folder, quiet():
        loaded = _on_file(spec, Path(folder))
        for number, row in enumerate(loaded.eval_docs, 1):
            try:
                prompt, answer = loaded.doc_to_text(row), loaded.doc_to_target(row)
            except Exception as error:  # of Jinja, or whatever the task's own code raises
                raise UserError(
                    f"{spec.path}, row {number} is not like those of {spec.task} ({type(error).__name__}: {error})"
                ) from error
            if not prompt or answer in (None, ""):
                raise UserError(f"{spec.path}, row {number}: no question or no answer as {spec.task} has them")


def _examples(spec: Spec, shots: int) -> dict[str, tuple[Question, ...]]:
    """The questions to show before those of each part. Raises `UserError` where there are too few."""
    parts, found = questions.read(Path(spec.path), spec.first), questions.read(Path(spec.examples), spec.first)
    if len(parts) == len(found) == 1:
        found = dict(zip(parts, found.values(), strict=True))
    for part in parts:
        if len(found.get(part, ())) < shots:
            raise UserError(
                f"{spec.examples} has {len(found.get(part, ()))} examples for {part!r}, and shots is {shots}"
            )
    return found


def _parts(spec: Spec, folder: Path, shots: int) -> Iterator[Part]:
    if spec.task and not spec.path:
        for name, loaded in _from_hub(spec).items():
            yield Part(spec, "" if name == spec.task else name.removeprefix(f"{spec.task}_"), loaded)
        return
    folder.mkdir(parents=True, exist_ok=True)
    if spec.task:
        yield Part(spec, "", _on_file(spec, folder))
        return
    with as_file(_DATA / "mundap_choice.yaml") as ours:
        parts, examples = questions.read(Path(spec.path), spec.first), _examples(spec, shots) if shots else {}
        for part, asked in parts.items():
            subject = part if Path(spec.path).is_dir() else ""
            given = {"test": _write(folder / f"{part}.jsonl", asked, subject)}
            if shots:
                given["examples"] = _write(folder / f"{part}-examples.jsonl", examples[part], subject)
            loaded = _included(ours, folder, f"{spec.called}-{part}", _local("json", given, folder))
            yield Part(spec, subject, loaded, tuple(each.id for each in asked))


def _write(path: Path, asked: Iterable[Question], subject: str) -> Path:
    write_jsonl(path, (_laid_out(each, subject) for each in asked))
    return path


def _laid_out(one: Question, subject: str) -> dict[str, Any]:
    words = wording()[lang_of(one.text)]
    heading = words["heading"].format(subject=subject.replace("_", " ")) if subject else ""
    letters = list(LETTERS[: len(one.options)])
    return {
        "question": one.text, "options": one.options, "letters": letters, "answer": one.answer,
        "heading": heading, "ask": words["ask"],
    }  # fmt: skip


def _on_file(spec: Spec, folder: Path) -> Loaded:
    """lm-eval's own task, its prompts and its way of scoring, on a local file with the columns of its data set."""
    given = {"test": Path(spec.path), **({"examples": Path(spec.examples)} if spec.examples else {})}
    changes = _local(Path(spec.path).suffix.strip(".").replace("jsonl", "json"), given, folder)
    own = {"training_split": None, "validation_split": None, "fewshot_split": None, "dataset_name": None}
    return _included(Path(_entry(spec.task).yaml_path), folder, spec.task, {**own, **changes})


def _local(kind: str, given: Mapping[str, Path], folder: Path) -> dict[str, Any]:
    """What makes a task read local files. What `datasets` makes of them stays in the folder."""
    named = {split: str(path.resolve()) for split, path in given.items()}
    found: dict[str, Any] = {
        "dataset_path": kind, "test_split": "test",
        "dataset_kwargs": {"data_files": named, "cache_dir": str(folder / "cache")},
    }  # fmt: skip
    return {**found, "fewshot_split": "examples"} if "examples" in given else found


def _included(path: Path, folder: Path, name: str, changes: Mapping[str, Any]) -> Loaded:
    """The task of a YAML file with changes, made as lm-eval has it: by a file that includes the first."""
    file = folder / f"{name}.yaml"
    file.write_text(
        yaml.safe_dump({"include": str(path.resolve()), "task": name, **changes}, allow_unicode=True), "utf-8"
    )
    return next(iter(_loaded([str(file)], None).values()))


def _from_hub(spec: Spec) -> dict[str, Loaded]:
    known = _known().get(spec.task, {})
    return _loaded(known.get("members", [spec.task]), known.get("folder"))


def _loaded(names: list[str], folder: str | None) -> dict[str, Loaded]:
    """Tasks with their data. Raises `UserError` when the data set cannot be had or is not what its task expects."""
    manager = _manager(folder)
    try:
        found: dict[str, Loaded] = manager.load(names)["tasks"]
    except Exception as error:  # `datasets`, the hub's client and lm-eval raise classes of their own
        said = " ".join(str(error).split())[:300]
        raise UserError(
            f"the questions of {Path(names[0]).stem} cannot be read ({type(error).__name__}: {said}); does the file have "
            "the columns of its data set, or may you read it on the hub?"
        ) from error
    for name, loaded in found.items():
        if METRICS.isdisjoint(each["metric"] for each in loaded.config.metric_list or ()):
            raise UserError(
                f"{name} is no multiple choice: lm-eval scores it by neither of {', '.join(sorted(METRICS))}"
            )
    return found


@cache
def _manager(folder: str | None) -> TaskManager:
    """lm-eval's tasks: those of one of its folders, or (`all`, many seconds) all of them."""
    import lm_eval.tasks as tasks

    own = Path(str(tasks.__file__)).parent
    if folder == "all":
        return tasks.TaskManager()
    return tasks.TaskManager(include_path=str(own / folder) if folder else None, include_defaults=False)


def _entry(name: str) -> Any:
    """lm-eval's entry of a task. Raises `UnknownName`."""
    known = _known().get(name, {})
    if "members" in known:
        return None
    index = _manager(known.get("folder", "all")).task_index
    if name not in index:
        names = [each for each in index if each[:3] == name[:3]]
        raise UnknownName(f"lm-eval has no task {name!r}{did_you_mean(name, [*names, *_known()])}")
    return index[name]


def _members(name: str) -> list[str]:
    """The tasks of a group; nothing for a single task."""
    if listed := _known().get(name, {}).get("members"):
        return list(listed)
    entry = _entry(name)
    members = (entry.cfg or {}).get("task")
    return [str(each) for each in members] if isinstance(members, list) else sorted(entry.tags) if not entry.cfg else []


@cache
def _known() -> dict[str, Any]:
    """The tasks whose place is known, the members of groups among them."""
    listed: dict[str, Any] = yaml.safe_load((_DATA / "known.yaml").read_text("utf-8"))
    members = [(name, known) for known in listed.values() for name in known.get("members", ())]
    return listed | {name: {"folder": known["folder"], "data": known["data"]} for name, known in members}


def _cached(data: str) -> bool:
    """Whether `datasets` has a data set of the hub already."""
    if not data:
        return False
    from datasets import config
    from datasets.naming import camelcase_to_snakecase

    owner, _, name = data.rpartition("/")
    folder = "___".join(filter(None, (owner, camelcase_to_snakecase(name))))
    return (Path(config.HF_DATASETS_CACHE) / folder).is_dir()


def _answers(hub: str) -> bool:
    """Whether a hub answers at all, within seconds even where looking up its name hangs."""
    import httpx

    answered: list[bool] = []

    def ask() -> None:
        with suppress(httpx.HTTPError):
            answered.append(httpx.head(hub, timeout=_PATIENCE).status_code < 500)

    asking = Thread(target=ask, daemon=True, name="mundap-hub")
    asking.start()
    asking.join(_PATIENCE)
    return answered == [True]


@contextmanager
def quiet() -> Iterator[None]:
    """No bars and no notices of lm-eval and `datasets`: there is one bar, ours."""
    import datasets
    import lm_eval.api.model
    import lm_eval.api.task
    from datasets.utils import disable_progress_bars, enable_progress_bars

    logger, level = logging.getLogger("lm_eval"), logging.getLogger("lm_eval").level
    bars = datasets.is_progress_bar_enabled()
    with ExitStack() as after:
        for module in (lm_eval.api.model, lm_eval.api.task):
            after.callback(setattr, module, "tqdm", module.tqdm)
            module.tqdm = _no_bar
        logger.setLevel(logging.ERROR)
        after.callback(logger.setLevel, level)
        disable_progress_bars()
        after.callback(enable_progress_bars if bars else disable_progress_bars)
        yield


def _no_bar(items: Any, **_: Any) -> Any:
    return items
