"""The engines a server offers: composed answers first, then the models that are at hand, each opened on first use."""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Lock

from mundap import registry
from mundap.chat.engine import Engine
from mundap.chat.phrases import say
from mundap.chat.places import described, serving
from mundap.chat.translated import Interpreter
from mundap.config import Recipe, Use
from mundap.errors import UnknownName, did_you_mean
from mundap.knowledge import load
from mundap.knowledge.passages import sections
from mundap.models.llama import bundled_path
from mundap.protocols import Model, Retriever
from mundap.safety import replies
from mundap.safety.triage import safe_triage
from mundap.translate.shielded import Shielded
from mundap.types import Lang, Options, Urgency

COMPOSE = "compose"


class Engines:
    """Named engines over one shared retriever. `model` (a name, a GGUF file or a URL) becomes the default."""

    def __init__(self, model: str | None = None, recipe: Recipe | None = None) -> None:
        self._recipe = recipe or Recipe()
        self._uses = _uses(self._recipe)
        chosen = model or self._recipe.chat.model or COMPOSE
        self.default = _add(self._uses, "" if chosen == "none" else chosen)
        self.topics = load.topics()
        self._retriever: Retriever = registry.create(
            "retrievers", self._recipe.chat.retrieve, sections=list(sections(self.topics.values()))
        )
        self._models: dict[str, Model] = {}
        self._open: dict[str, Engine] = {}
        self._lock = Lock()
        self._interpreter = self._translating()

    def names(self) -> list[str]:
        """What can be asked for, the default first."""
        return list(dict.fromkeys([self.default, COMPOSE, *self._uses]))

    def label(self, name: str, lang: Lang) -> str:
        """What a person reads in the model picker."""
        return say(f"models.{name}", lang) if name in (COMPOSE, "bundled") else name

    def get(self, name: str) -> Engine:
        """The engine of that name, loading its model the first time. Raises `UnknownName` or `ModelError`."""
        if name not in self.names():
            raise UnknownName(f"no model is called {name!r}{did_you_mean(name, self.names())}")
        with self._lock:
            if name not in self._open:
                model = None if name == COMPOSE else self._model(name)
                self._open[name] = Engine(self._retriever, self.topics, model, self._options(), self._interpreter)
            return self._open[name]

    def warm(self) -> None:
        """Load what the first question needs (the tokenizer, the triage rules), so that nobody waits for it."""
        safe_triage("두통이 있어요")
        self._retriever.search("두통이 있어요")

    def redirect_card(self, urgency: Urgency, lang: Lang) -> replies.Card:
        """The fixed emergency or crisis reply in its parts, for a page to lay out."""
        return replies.card(urgency, lang)

    def close(self) -> None:
        """Let go of all models."""
        with self._lock:
            self._open.clear()
            self._models.clear()

    def _model(self, name: str) -> Model:
        """A model, loaded once: the translator `llm` may be one that also answers."""
        if name not in self._models:
            use = self._uses[name]
            self._models[name] = registry.create("models", use.use, **use.config)
        return self._models[name]

    def _translating(self) -> Interpreter | None:
        """The recipe's translator in its shield, made at once: what is wrong with it shows before anybody asks."""
        use = self._recipe.chat.translate
        if use is None:
            return None
        config = use.config
        if use.use == "llm" and isinstance(config.get("model"), str):
            config["model"] = self._model(config["model"])
        engine = registry.create("translators", use.use, **config)
        if directed := getattr(engine, "directed", None):  # what knows its directions must have both
            directed("ko", "en")
            directed("en", "ko")
        if notice := getattr(engine, "notice", ""):
            print(f"{use.use}: {notice}", file=sys.stderr)
        return Shielded(engine, final=(Exception,))  # a turn that waits for more failures only lasts longer

    def _options(self) -> Options:
        return Options(**self._recipe.chat.generation.model_dump())


def _uses(recipe: Recipe) -> dict[str, Use]:
    """The recipe's models, and the bundled one where its package is installed."""
    uses: dict[str, Use] = dict(recipe.models)
    if bundled_path() is not None:
        uses.setdefault("bundled", Use(use="bundled"))
    return uses


def _add(uses: dict[str, Use], model: str) -> str:
    """Make room for a model given on the command line; returns the name it is offered under."""
    model = serving(model)
    if model in ("", COMPOSE):
        return COMPOSE
    if model in uses:
        return model
    config = described(model)
    short = config.get("name") or Path(model).name.removesuffix(".gguf")
    name = str(model if config["use"] == "http" else short)
    uses[name] = Use(**config)
    return name
