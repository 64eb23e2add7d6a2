"""What a stage gives to whatever asks models: models by name, translators, a folder for caches, a seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from mundap import registry
from mundap.asking.ask import Asked, Asker, Engine
from mundap.asking.inside import Inside
from mundap.asking.ledger import Ledger
from mundap.asking.limits import Budget, Pace
from mundap.config import Asking, Recipe, Use
from mundap.errors import UnknownName, did_you_mean
from mundap.protocols import Model, Translator
from mundap.store import digest

_BUILT_IN = {"bundled": Use(use="bundled")}  # may be asked without standing in the recipe
_TRANSPORT = ("url", "key_from", "timeout", "threads", "parallel")  # how a model is reached, not which one it is


class Context:
    """One run's models, ledger and budget; `step` names the augmenter that it is for. Close it, or use `with`.

    `settings` are those of the stage that asks: augment's unless given. An augmenter asks for its models when it is
    made, so that a wrong name is found before any work.
    """

    def __init__(
        self, recipe: Recipe, folder: Path, step: str = "", shared: Context | None = None,
        settings: Asking | None = None,
    ) -> None:  # fmt: skip
        self.folder, self.seed, self.step = folder, recipe.seed, step
        self._recipe, self._settings = recipe, settings or recipe.augment
        folder.mkdir(parents=True, exist_ok=True)
        self.budget: Budget = shared.budget if shared else Budget(self._settings.requests, self._settings.tokens)
        self.ledger: Ledger = shared.ledger if shared else Ledger(folder / "ledger.sqlite")
        self._askers: dict[str, Asker] = shared._askers if shared else {}

    def of(self, step: str) -> Context:
        """The same for another augmenter."""
        return Context(self._recipe, self.folder, step, self, self._settings)

    def ask(self, model: str) -> Asker:
        """What asks a model of the recipe; the model itself is opened for the first new request.

        Raises `UnknownName` when the recipe has no such model.
        """
        if model not in self._askers:
            self._askers[model] = self._asker(use_of(self._recipe, model))
        return self._askers[model]

    def model(self, name: str) -> Model:
        """A model of the recipe behind the ledger and the budget, one whole answer at a time."""
        return Asked(self.ask(name), use_of(self._recipe, name).config.get("languages", ("ko", "en")))

    def translator(self, use: Use) -> Translator:
        """A registered translator. For `llm`, `model` in its config is the name of one of the recipe's models."""
        config = use.config
        if use.use == "llm" and isinstance(config.get("model"), str):
            config["model"] = self.model(config["model"])
        found: Translator = registry.create("translators", use.use, **config)
        return found

    def origin(self, model: str, prompt: str) -> str:
        """The trail entry of a row that a model made: step, model, digest of the prompt."""
        return f"{self.step}:{self.ask(model).name}:{prompt}"

    def report(self) -> dict[str, dict[str, Any]]:
        """What this run asked of each model, with the cost of what was sent where the recipe says the price."""
        return {name: self._counts(name, asker) for name, asker in sorted(self._askers.items())}

    def close(self) -> None:
        """Let go of the models and the ledger."""
        for asker in self._askers.values():
            asker.close()
        self.ledger.close()

    def __enter__(self) -> Context:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def _asker(self, use: Use) -> Asker:
        found = _opened(use) if use.use == "http" and not use.config.get("name") else None
        name = label(use) if found is None else found.name
        return Asker(
            name, digest([identity(use), name]), self.ledger, self.budget, partial(self._engine, use, found), self.seed,
            4 * self._settings.at_once,
        )  # fmt: skip

    def _engine(self, use: Use, found: Model | None) -> Engine:
        from mundap.models.http import Http

        model, settings = found or _opened(use), self._settings
        if not isinstance(model, Http):
            return Inside(model, int(use.config.get("parallel", 1)))
        from mundap.asking.server import Server  # with asyncio and ssl, which the other models do not need

        pace = Pace(settings.requests_per_minute, settings.tokens_per_minute)
        return Server(model, pace, settings.at_once, settings.retries)

    def _counts(self, name: str, asker: Asker) -> dict[str, Any]:
        counts = {**asdict(asker.counts), "seconds": round(asker.counts.seconds, 2)}
        if name in self._settings.prices:
            read, written = self._settings.prices[name]
            spent = counts["prompt_tokens"] * read + counts["completion_tokens"] * written
            counts["cost"] = round(spent / 1_000_000, 6)
        return counts


def use_of(recipe: Recipe, name: str) -> Use:
    """The model that a recipe calls `name`. Raises `UnknownName`."""
    known: Mapping[str, Use] = {**_BUILT_IN, **recipe.models}
    if name not in known:
        raise UnknownName(f"the recipe has no model called {name!r} under `models`{did_you_mean(name, known)}")
    return known[name]


def label(use: Use) -> str:
    """What a model is called in a row's trail, known without opening it."""
    config = use.config
    path = config.get("path")
    return str(config.get("name") or (Path(path).stem if path else use.use))


def identity(use: Use) -> dict[str, Any]:
    """What makes a model's answers its own: not its address, so that nothing is asked again after a server moved."""
    config = {key: value for key, value in use.config.items() if key not in _TRANSPORT}
    path = Path(str(config.get("path", "")))
    return {"use": use.use, **config, "size": path.stat().st_size if path.is_file() else None}


def _opened(use: Use) -> Model:
    found: Model = registry.create("models", use.use, **use.config)
    return found
