"""What is evaluated, behind one interface: a bare model, one with an adapter, a translated one, the whole assistant.

Names: `base` and `tuned` (of this run), a model of the recipe, a registered one, a folder, a GGUF file, a URL or a hub
id; `NAME+ADAPTER`; `translated:NAME`; `assistant` (no model writes) and `assistant:NAME`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from mundap import prompts, registry
from mundap.config import Recipe, Use
from mundap.errors import ConfigError, UserError, did_you_mean
from mundap.evaluate.item_sets import GENERAL
from mundap.evaluate.items import Item
from mundap.evaluate.replies import Answer, Ask
from mundap.protocols import Model
from mundap.store import Work, digest, file_digest, versions
from mundap.types import Message, Options, Reply

ASSISTANT, TRANSLATED = "assistant", "translated"
BASE, TUNED = "base", "tuned"
_ADAPTER = "adapter_config.json"
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_PARTS = ("chat", "safety", "retrieve", "knowledge", "translate")
_KEPT = (".py", ".yaml", ".json", ".npz", ".bin")
_EDGE = 4 << 20
_REACHED = ("url", "key_from", "timeout", "threads", "parallel")  # how a model is reached, not which one it is


@dataclass(frozen=True)
class Target:
    """One thing to be asked. `use` is its model's (None: no model), `way` how that is asked.

    `shared` keeps the model that is loaded, one at a time, for all targets that use it.
    """

    name: str
    way: str
    use: Use | None
    template: str
    recipe: Recipe
    shared: Models

    @property
    def bare(self) -> bool:
        """Whether a model answers by itself: without triage, search and the checks of a chat."""
        return self.way == "bare"

    @property
    def options(self) -> Options:
        """How it decodes: as the recipe's chat does, with the recipe's seed where that samples and names none."""
        found = Options(**self.recipe.chat.generation.model_dump())
        return replace(found, seed=self.recipe.seed) if found.temperature and found.seed is None else found

    def _sampling(self, number: int) -> Options:
        """The same for the answer of this number, from 1: each has a seed of its own."""
        seed = self.options.seed
        return self.options if seed is None else replace(self.options, seed=seed + number - 1)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What makes its answers its own; their digest stands in the summary."""
        found: dict[str, Any] = {"way": self.way, "model": _identity(self.use), "template": self.template,
                                 "options": asdict(self.options)}  # fmt: skip
        if not self.bare:
            translate = self.recipe.chat.translate
            found["translate"] = _without(translate) if translate and self.use else None
        if self.way == ASSISTANT:
            found |= {"code": _code(), "retrieve": self.recipe.chat.retrieve}
        if self.bare or self.way == TRANSLATED:
            found["instructions"] = prompts.instructions()
        return found

    def model(self) -> Model:
        """Its model, loaded. Raises `UserError` for a target without one."""
        if self.use is None:
            raise UserError(f"the target {self.name!r} has no model")
        return self.shared.get(self.use)

    @property
    def at_once(self) -> int:
        """How many questions are asked at a time: several of a server, else one."""
        return self.recipe.evaluate.at_once if self.use and self.use.use == "http" else 1

    def answerer(self) -> Ask:
        """What answers items, as often as asked. The model is loaded and everything warm before, so that no answer's seconds count it."""
        return {"bare": self._bare, TRANSLATED: self._translated, ASSISTANT: self._assistant}[self.way]()

    def _bare(self) -> Ask:
        model = self.model()
        return lambda item, number: _written(model, messages(item), self._sampling(number))

    def _translated(self) -> Ask:
        from mundap.translate.shielded import Shielded

        shield, model = Shielded(_translator(self.recipe)), self.model()

        def ask(item: Item, number: int) -> Answer:
            options = self._sampling(number)
            if item.lang == "en":
                return _written(model, messages(item), options)
            english = tuple(Message(turn.role, shield([turn.content], "ko", "en")[0]) for turn in item.turns)
            told = _written(model, _instructed(english, "en", item), options)
            korean = shield([told.text], "en", "ko")[0]
            return replace(told, text=korean, model=f"{told.model} + {shield.name}")

        return ask

    def _assistant(self) -> Ask:
        engine = self.shared.engine(self.use, self.recipe)

        def ask(item: Item, number: int) -> Answer:
            sampling = {"seed": self._sampling(number).seed}
            *_, reply = engine.reply(_spoken(item), item.profile, item.lang, sampling)
            assert isinstance(reply, Reply)
            return _replied(reply)

        return ask


@dataclass
class Models:
    """The model that is loaded, and what assistants share. `keep` says which model may stay."""

    _loaded: dict[str, Model] = field(default_factory=dict)
    _engine: Any = None

    def get(self, use: Use) -> Model:
        """The model, loaded if it is not; another one is let go before."""
        key = digest(use.model_dump())
        if key not in self._loaded:
            self.close()
            self._loaded[key] = registry.create("models", use.use, **use.config)
        return self._loaded[key]

    def engine(self, use: Use | None, recipe: Recipe) -> Any:
        """The assistant with a model or without: retriever, topics and translator are made once."""
        from mundap.chat.engine import Engine
        from mundap.chat.engines import COMPOSE, Engines

        if self._engine is None:
            engines = Engines(COMPOSE, recipe)
            engines.warm()
            self._engine = engines.get(COMPOSE)
        one: Engine = self._engine
        return Engine(one.retriever, one.topics, self.get(use), one.options, one.interpreter) if use else one

    def close(self) -> None:
        """Let go of the model; its memory is given back before the next is loaded."""
        import gc

        self._loaded.clear()
        gc.collect()


def resolve(names: Sequence[str], recipe: Recipe, work: Work) -> list[Target]:
    """The targets of these names, those that share a model beside each other, the rest in order.

    Raises `ConfigError` with everything that is wrong with any of them; nothing is loaded.
    """
    shared, found, problems = Models(), list[Target](), []
    for place, name in enumerate(names):
        try:
            found.append(_target(name, recipe, work, shared))
        except UserError as error:
            problems.append(f"targets.{place}: {error}")
    if twice := [name for name in names if list(names).count(name) > 1]:
        problems.append(f"targets: {twice[0]!r} stands there twice")
    if problems:
        raise ConfigError("evaluate", problems)
    return found


def by_model(targets: Sequence[Target]) -> list[Target]:
    """The same targets, those with one model after each other, so that each model is loaded once."""
    keys = [digest(each.use.model_dump()) if each.use else "" for each in targets]
    return [each for _, each in sorted(zip(keys, targets, strict=True), key=lambda pair: keys.index(pair[0]))]


def default(recipe: Recipe, work: Work) -> tuple[str, ...]:
    """What is evaluated when the recipe does not say: the assistant; base and tuned model where one was trained."""
    return (BASE, TUNED, ASSISTANT, f"{ASSISTANT}:{TUNED}") if trained(work) is not None else (ASSISTANT,)


def trained(work: Work) -> Path | None:
    """Where this run's tuned model lies: an adapter or a whole model."""
    for name, mark in (("adapter", _ADAPTER), ("model", "config.json")):
        if (work.root / "train" / name / mark).is_file():
            return work.root / "train" / name
    return None


def messages(item: Item) -> tuple[Message, ...]:
    """What a bare model is given: a medical item is laid out as the rows of a dataset are, any other as it stands."""
    return _instructed(item.turns, item.lang, item)


def _instructed(turns: tuple[Message, ...], lang: Any, item: Item) -> tuple[Message, ...]:
    if item.kinds == GENERAL:
        return turns
    if turns[0].role == "assistant":  # many chat templates demand that a user speaks first
        return (Message("user", prompts.instruction(lang, True)), *turns)
    return (Message("system", prompts.instruction(lang, len(turns) > 1)), *turns)


def _spoken(item: Item) -> list[Message]:
    """A talk as a person leads it with the assistant: a task's instruction is part of what is said."""
    *before, last = item.turns
    if before and before[0].role == "system":
        return [Message("user", f"{before[0].content}\n\n{last.content}")]
    return list(item.turns)


def _written(model: Model, asked: Sequence[Message], options: Options) -> Answer:
    """A model's own answer. A model hands out a token or more at a time, so that `completion` is at least this."""
    pieces = list(model.generate(asked, options))
    text, read = "".join(pieces), "".join(line.content for line in asked)
    count: Callable[[str], int] | None = getattr(model, "count", None)
    written = max(len(pieces), count(text) if count else 0)
    # A letter of several tokens that was cut is not handed out: so many may be missing from the count.
    cut = written >= options.max_tokens - (3 if count else 0)
    return Answer(
        text, "length" if cut else "stop", prompt=count(read) if count else 0, completion=written, model=model.name
    )  # fmt: skip


def _replied(reply: Reply) -> Answer:
    usage = reply.usage
    return Answer(
        reply.text, reply.finish, reply.urgency.level.word, reply.urgency.rules,
        tuple(each.topic for each in reply.citations), tuple(each.source for each in reply.citations),
        reply.model == "fixed", usage.prompt, usage.completion, usage.unit, model=reply.model, reason=reply.why,
    )  # fmt: skip


def _target(name: str, recipe: Recipe, work: Work, shared: Models) -> Target:
    way, _, rest = name.partition(":") if name.startswith((f"{ASSISTANT}:", f"{TRANSLATED}:")) else ("bare", "", name)
    if name == ASSISTANT:
        return Target(name, ASSISTANT, None, "", recipe, shared)
    if way == TRANSLATED and recipe.chat.translate is None:
        raise UserError(f"{name!r} needs a translator; name one in chat.translate")
    use, template = _model(rest, recipe, work)
    if use.use not in registry.names("models"):
        raise UserError(f"no kind of model is called {use.use!r}{did_you_mean(use.use, registry.names('models'))}")
    return Target(name, way, use, template, recipe, shared)


def _model(name: str, recipe: Recipe, work: Work) -> tuple[Use, str]:
    """A model by its name, and the template that lays out its prompts (`model`: its own)."""
    plain, plus, adapter = name.partition("+")
    if name in recipe.models:
        return recipe.models[name], ""
    if name == BASE:
        return _base(recipe, work), recipe.build.template
    if name == TUNED:
        return _tuned(recipe, work), recipe.build.template
    if plus:
        return _adapted(_model(plain, recipe, work)[0], adapter, recipe)
    if name in registry.names("models"):
        registry.check("models", name)
        return Use(use=name), prompts.MODEL
    return _described(name, recipe)


def _base(recipe: Recipe, work: Work) -> Use:
    from mundap.models.bases import locate

    locate(recipe.train.base)
    return Use(use="hf", path=recipe.train.base, template=recipe.build.template, name=BASE, **_opening(recipe, work))


def _tuned(recipe: Recipe, work: Work) -> Use:
    """This run's model. Raises `UserError` when there is none, or its template is not the recipe's."""
    folder = trained(work)
    if folder is None:
        raise UserError(f"nothing is trained in {work.root / 'train'}; run `mundap train` for this recipe first")
    prompts.agree(folder, recipe.build.template)
    return Use(use="hf", path=str(folder), template=recipe.build.template, name=TUNED, **_opening(recipe, work))


def _opening(recipe: Recipe, work: Work) -> dict[str, str]:
    """How base and tuned model are opened: the revision, and the precision that training computed in.

    Left to the machine, the same run would have other scores on another one. fp16 is left to it: a CPU has none.
    """
    manifest, found = work.manifest("train"), {}
    if recipe.train.revision:
        found["revision"] = recipe.train.revision
    if manifest and manifest.details.get("computed_in") in ("fp32", "bf16"):
        found["dtype"] = str(manifest.details["computed_in"])
    return found


def _adapted(use: Use, adapter: str, recipe: Recipe) -> tuple[Use, str]:
    if use.use != "hf":
        raise UserError(f"an adapter goes on a model of transformers (`hf`), not on `{use.use}`")
    folder = Path(adapter)
    if not (folder / _ADAPTER).is_file():
        raise UserError(f"{adapter!r} is not an adapter: no {_ADAPTER} in it")
    prompts.agree(folder, recipe.build.template)
    return Use(use="hf", **{**use.config, "adapter": adapter, "name": folder.name}), recipe.build.template


def _described(name: str, recipe: Recipe) -> tuple[Use, str]:
    """A URL, a GGUF file, a folder or a hub id."""
    if name.startswith(("http://", "https://")):
        url, _, served = name.partition("#")
        return Use(use="http", url=url, name=served), prompts.MODEL
    path = Path(name).expanduser()
    if path.suffix == ".gguf" and path.is_file():
        return Use(use="gguf", path=str(path)), prompts.MODEL
    if path.is_dir():
        prompts.agree(path, recipe.build.template)
        saved = prompts.saved(path)
        return Use(use="hf", path=str(path)), saved.name if saved else prompts.MODEL
    if _HUB.fullmatch(name) and not path.suffix:
        return Use(use="hf", path=name), prompts.MODEL
    known = (BASE, TUNED, ASSISTANT, *recipe.models, *registry.names("models"))
    raise UserError(
        f"no target {name!r}: give a name, a folder, a .gguf file, a URL or a hub id{did_you_mean(name, known)}"
    )


def _translator(recipe: Recipe) -> Any:
    """The recipe's translator. The model of `llm` is opened beside the one that answers."""
    use = recipe.chat.translate
    assert use is not None
    config = use.config
    if use.use == "llm" and isinstance(config.get("model"), str):
        named = recipe.models.get(config["model"]) or Use(use=config["model"])
        config["model"] = registry.create("models", named.use, **named.config)
    return registry.create("translators", use.use, **config)


def _identity(use: Use | None) -> Any:
    """What a model is told from another by: its settings and the bytes of its files, not its address."""
    if use is None:
        return None
    found = _without(use)
    for key in ("path", "adapter"):
        if isinstance(path := found.get(key), str):
            found[key] = fingerprint(path)
    if use.use == "hf" and found.get("adapter") is None and (Path(str(use.config.get("path"))) / _ADAPTER).is_file():
        from mundap.models.hf import base_of

        found["base"] = fingerprint(base_of(str(use.config["path"])))
    return found


def _without(use: Use) -> dict[str, Any]:
    return {"use": use.use, **{key: value for key, value in use.config.items() if key not in _REACHED}}


def fingerprint(path: str) -> str:
    """A digest of a model's file or folder: names, sizes, first and last MiB; a hub id or `bundled` stands for itself."""
    from mundap.models.bases import BUNDLED, locate

    place = locate(path) if path == BUNDLED else None
    given = place.folder / place.gguf if place and place.folder else Path(path).expanduser()
    if given.is_file():
        return digest(_edges(given))
    if not given.is_dir():
        return path
    kept = sorted(
        each for each in given.iterdir() if each.suffix in (".json", ".safetensors", ".gguf", ".model", ".jinja")
    )
    return digest([[each.name, _edges(each)] for each in kept])


def _edges(path: Path) -> list[Any]:
    size = path.stat().st_size
    if size <= 2 * _EDGE:
        return [size, file_digest(path)]
    with path.open("rb") as stream:
        found = blake2b(stream.read(_EDGE), digest_size=16)
        stream.seek(size - _EDGE)
        found.update(stream.read(_EDGE))
    return [size, found.hexdigest()]


def _code() -> str:
    """What the assistant is made of: its code, rules, knowledge and prompts."""
    with as_file(files("mundap")) as root:
        listed = [path for name in _PARTS for path in sorted((root / name).rglob("*")) if path.suffix in _KEPT]
        found = [[str(path.relative_to(root)), file_digest(path)] for path in (*listed, root / "prompts.yaml")]
    return digest([found, versions("kiwipiepy", "tantivy")])
