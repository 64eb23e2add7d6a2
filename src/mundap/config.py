"""One YAML file describes an experiment: read, overridden, checked as a whole, digested."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from mundap import prompts, registry
from mundap.errors import ConfigError, UnknownName, UserError, did_you_mean
from mundap.store import digest


class Use(BaseModel):
    """Something by its registered name; every other key is its config."""

    model_config = ConfigDict(extra="allow", frozen=True)
    use: str

    @property
    def config(self) -> dict[str, Any]:
        """The keyword arguments for the factory."""
        return dict(self.model_extra or {})


def _by_name(value: Any) -> Any:
    return {"use": value} if isinstance(value, str) else value


Named = Annotated[Use, BeforeValidator(_by_name)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Generation(_Section):
    """How a chat model writes; the defaults suit small models kept to their sources."""

    max_tokens: int = Field(default=300, ge=16, le=768)
    temperature: float = Field(default=0.0, ge=0, le=2)
    top_p: float = Field(default=0.9, gt=0, le=1)
    repeat_penalty: float = Field(default=1.1, ge=1, le=2)
    seed: int | None = None


class Chat(_Section):
    """What serves: which of `models` writes (none: answers are composed), what finds the evidence.

    `translate` names a translator that stands around an English model: Korean in, Korean out.
    """

    model: str | None = None
    retrieve: str = "lexical"
    translate: Named | None = None
    generation: Generation = Generation()


class Collect(_Section):
    """Where records come from. A site is fetched only with a `permission` text among its keys.

    `demo_site` looks for every site among the replicas on this machine, which are started for the crawl.
    """

    sources: tuple[Use, ...] = ()
    cache: str | None = None
    demo_site: bool = False


class Clean(_Section):
    """The steps, in order; a bare name stands for a step without config. `workers` (0: one a core) is local only."""

    steps: tuple[Named, ...] = ()
    workers: int = Field(default=0, ge=0)


class Asking(_Section):
    """How a stage asks models; `requests` and `tokens` end the bill.

    `at_once` requests are on their way to a server. `prices` are those of a million prompt and completion tokens.
    """

    requests: int | None = Field(default=None, ge=0)
    tokens: int | None = Field(default=None, ge=0)
    at_once: int = Field(default=16, ge=1, le=512)
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    retries: int = Field(default=6, ge=0, le=20)
    prices: Mapping[str, tuple[float, float]] = {}


class Augment(Asking):
    """What a model adds: repaired questions, new ones, dialogues, translations."""

    steps: tuple[Named, ...] = ()


class Mix(_Section):
    """General rows added so that general ability stays: `share` of the rows that are trained on."""

    path: str
    share: float = Field(gt=0, lt=1)
    licence: str = ""


def _template(name: str) -> str:
    try:
        return prompts.template(name).name
    except UnknownName as error:
        raise ValueError(str(error)) from error


def _shares(mixes: tuple[Mix, ...]) -> tuple[Mix, ...]:
    if (whole := sum(mix.share for mix in mixes)) >= 1:
        raise ValueError(f"the shares add up to {whole:g}, so that no medical row is left; make them less than 1")
    return mixes


class Build(_Section):
    """The dataset. `template: model` is the base model's own chat template; splits are shares of groups.

    With `licences` or `permissions` only rows that have one of them stay; `contamination` are evaluation sets to keep away from.
    """

    template: Annotated[str, AfterValidator(_template)] = "mundap-ko"
    val: float = Field(default=0.05, ge=0, lt=0.5)
    test: float = Field(default=0.05, ge=0, lt=0.5)
    lang: Literal["ko", "en"] | None = None
    mix: Annotated[tuple[Mix, ...], AfterValidator(_shares)] = ()
    length: int = Field(default=1024, ge=32)
    licences: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    contamination: tuple[str, ...] = ()


class Train(_Section):
    """How a base model is tuned. `base` is `bundled`, a folder, a .gguf file or a hub id (with a `revision`).

    `lang` keeps to the rows of one language. `alpha` is twice the rank unless given: an adapter then weighs the same
    whatever its rank. `precision` is what is computed in: bf16 (fp16 on older GPUs) where the machine does so by itself.
    `warmup` below 1 is a share of the steps. `checkpointing` (of activations) is on where there is a GPU. `budget`, like
    3h, ends a run in time; the next one goes on. `launch` trains with several processes (one a GPU unless `processes`
    says how many), each with a `batch` of its own.
    """

    base: str = "bundled"
    revision: str | None = None
    lang: Literal["ko", "en"] | None = None
    method: Literal["lora", "qlora", "int8", "full"] = "lora"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    rank: int = Field(default=16, ge=1)
    alpha: float | None = Field(default=None, gt=0)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    targets: str | tuple[str, ...] = "all-linear"
    rslora: bool = False
    dora: bool = False
    lr: float = Field(default=2e-4, gt=0)
    optimizer: str = "adamw_torch"
    scheduler: str = "cosine"
    warmup: float = Field(default=0.03, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    epochs: float = Field(default=2.0, gt=0)
    steps: int | None = Field(default=None, ge=1)
    batch: int = Field(default=8, ge=1)
    accumulate: int = Field(default=1, ge=1)
    length: int = Field(default=1024, ge=32)
    packing: bool = False
    group_lengths: bool = True
    checkpointing: bool | None = None
    neftune: float | None = Field(default=None, gt=0)
    save_every: int = Field(default=50, ge=1)
    evaluate_every: int = Field(default=50, ge=1)
    patience: int | None = Field(default=None, ge=1)
    budget: str | None = Field(default=None, pattern=r"^\d+(\.\d+)?(s|m|h)$")
    samples: int = Field(default=3, ge=0)
    launch: Literal["ddp", "fsdp2", "zero3"] | None = None
    processes: int | None = Field(default=None, ge=1)


class Merge(_Section):
    """The adapter folded into its base, never a 4-bit one."""

    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"


class Export(_Section):
    """Forms the merged model is written in; `quantise` is the GGUF file's."""

    formats: tuple[Literal["safetensors", "gguf", "ollama"], ...] = ("safetensors", "gguf", "ollama")
    quantise: Literal["f32", "f16", "q8_0"] = "q8_0"


class Publish(_Section):
    """Upload to a model hub: a dry run unless `upload`, private unless told otherwise. The token is in the environment.

    `permissions` are those of the data that cover publishing; `base_licence` is the base's, where it is not known.
    """

    repo: str = ""
    private: bool = True
    upload: bool = False
    endpoint: str | None = None
    token_from: str = "HF_TOKEN"
    permissions: tuple[str, ...] = ()
    base_licence: str = ""


class Evaluate(Asking):
    """What is measured, on which targets and sets; where the recipe names none, what the run has.

    A set is `own`, `own-ko`, `own-en`, `test` or a file; `limit` items of each are drawn by the seed. `against` are
    runs whose scores are compared with these. `requests` and `tokens` are what a judge may take of one metric and target.
    Every item is asked `answers` times, each time with another seed, which takes a temperature above 0.
    """

    metrics: tuple[Named, ...] = ()
    sets: tuple[str, ...] = ()
    resamples: int = Field(default=10_000, ge=100, le=1_000_000)
    at_once: int = Field(default=20, ge=1, le=512)
    targets: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    limit: int | None = Field(default=None, ge=1)
    answers: int = Field(default=1, ge=1, le=64)


class Recipe(_Section):
    """A whole experiment. Collecting and cleaning always belong to it, a later stage when the recipe has its section."""

    name: str = Field(default="mundap", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    seed: int = 42
    engine: Literal["local", "ray"] = "local"
    collect: Collect = Collect()
    clean: Clean = Clean()
    augment: Augment = Augment()
    build: Build = Build()
    train: Train = Train()
    merge: Merge = Merge()
    export: Export = Export()
    publish: Publish = Publish()
    evaluate: Evaluate = Evaluate()
    chat: Chat = Chat()
    models: Mapping[str, Use] = {}

    @property
    def key(self) -> str:
        """Digest of everything in the recipe."""
        return digest(self.model_dump(mode="json"))


def read(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file and apply `key.path=value` overrides. Raises `ConfigError` with every problem at once."""
    return parse(_load(path), str(path), overrides)


def parse(raw: Any, where: str, overrides: Sequence[str] = ()) -> Recipe:
    """Check a recipe given as plain data, which is left as it is; `where` names it in errors."""
    if not isinstance(raw, dict):
        raise ConfigError(where, [f"expected keys and values, found {type(raw).__name__}"])
    raw = deepcopy(raw)
    problems = [problem for override in overrides for problem in _override(raw, override)]
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        problems += [_problem(each) for each in error.errors()]
    problems += _names(raw)
    if problems:
        raise ConfigError(where, problems)
    return recipe


def _load(path: Path) -> Any:
    """A file's plain data. PyYAML's C loader, faster, would end the process at deep nesting."""
    try:
        raw = yaml.load(path.read_text("utf-8"), Loader=yaml.SafeLoader)
    except FileNotFoundError as error:
        raise UserError(f"no recipe {path}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(str(path), [f"not valid YAML: {' '.join(str(error).split())}"]) from error
    return {} if raw is None else raw


def _override(raw: dict[str, Any], text: str) -> list[str]:
    """Set one `a.b=value` in place; numbers in any notation are numbers (PyYAML reads 1e-4 as text)."""
    path, equals, value = text.partition("=")
    if not equals or not path:
        return [f"-o {text!r}: write it as key=value, for example -o chat.retrieve=lexical"]
    *parents, last = path.split(".")
    node: Any = raw
    for parent in parents:
        node = node.setdefault(parent, {}) if isinstance(node, dict) else None
    if not isinstance(node, dict):
        return [f"-o {text!r}: {path.rpartition('.')[0]} is not a section"]
    try:
        node[last] = _value(value)
    except (yaml.YAMLError, RecursionError) as error:
        return [f"-o {text!r}: the value is not valid YAML: {' '.join(str(error).split())}"]
    return []


def _value(text: str) -> Any:
    try:
        return float(text) if any(mark in text for mark in ".eE") else int(text)
    except ValueError:
        return yaml.load(text, Loader=yaml.SafeLoader)


def _problem(error: Any) -> str:
    """One pydantic error as a sentence with the place, the value and, for an unknown key, the closest known one."""
    *parents, last = error["loc"]
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{place}: unknown key{did_you_mean(str(last), _known(parents))}"
    return f"{place}: {error['msg'].removeprefix('Value error, ')} (found {error['input']!r})"


def _known(parents: Sequence[Any]) -> list[str]:
    model: Any = Recipe
    for parent in parents:
        model = model.model_fields[str(parent)].annotation
    return list(model.model_fields)


def _names(raw: Mapping[str, Any]) -> list[str]:
    """Names that nothing is registered under; read from plain data, so that they are found beside other problems."""
    models, chat = _section(raw, "models"), _section(raw, "chat")
    wanted = [(f"models.{name}.use", "models", _section(models, name).get("use")) for name in models]
    wanted.append(("chat.retrieve", "retrievers", chat.get("retrieve")))
    wanted += [
        (f"collect.sources.{n}.use", "sources", name) for n, name in _uses(_section(raw, "collect").get("sources"))
    ]
    wanted += [(f"clean.steps.{n}", "steps", name) for n, name in _uses(_section(raw, "clean").get("steps"))]
    wanted += [(f"augment.steps.{n}", "augmenters", name) for n, name in _uses(_section(raw, "augment").get("steps"))]
    wanted += [
        (f"evaluate.metrics.{n}", "metrics", name) for n, name in _uses(_section(raw, "evaluate").get("metrics"))
    ]
    wanted += [("chat.translate", "translators", name) for _, name in _uses([chat.get("translate")])]
    problems = [_unknown(*each) for each in wanted]
    problems.append(_translating(chat.get("translate"), models))
    model, known = chat.get("model"), [*map(str, models), *registry.names("models")]
    if (
        isinstance(model, str)
        and model not in [*known, "compose", "none"]
        and not re.match(r"https?://|.*\.gguf$", model)
    ):
        problems.append(f"chat.model: no model {model!r}{did_you_mean(model, known)}")
    return [problem for problem in problems if problem]


def _translating(translate: Any, models: Mapping[str, Any]) -> str:
    """What is wrong with the model that `llm` translates with, which must be one of the recipe's or the bundled one."""
    config = translate if isinstance(translate, dict) else {"use": translate}
    name = config.get("model", "")
    if config.get("use") != "llm" or name in [*models, "bundled"]:
        return ""
    return f"chat.translate.model: no model {name!r} under `models`{did_you_mean(str(name), map(str, models))}"


def _uses(listed: Any) -> list[tuple[int, Any]]:
    """Place and name of each entry of a list of bare names and `{use: name}` mappings."""
    entries = listed if isinstance(listed, list) else []
    return [(n, entry.get("use") if isinstance(entry, dict) else entry) for n, entry in enumerate(entries)]


def _section(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = raw.get(key)
    return found if isinstance(found, dict) else {}


def _unknown(place: str, kind: str, name: Any) -> str:
    try:
        if isinstance(name, str):
            registry.check(kind, name)
    except UnknownName as error:
        return f"{place}: {error}"
    return ""
