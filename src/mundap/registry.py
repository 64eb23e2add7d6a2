"""Names to factories, found lazily: a built-in is one line here, a plugin is an entry point in its own package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import signature
from typing import Any, cast

from mundap.errors import MissingExtra, UnknownName, UserError, did_you_mean

Factory = Callable[..., Any]

BUILT_IN: Mapping[str, Mapping[str, str]] = {
    "models": {
        "bundled": "mundap.models.llama:bundled",
        "gguf": "mundap.models.llama:Llama",
        "hf": "mundap.models.hf:Hf",
        "http": "mundap.models.http:Http",
        "scripted": "mundap.models.scripted:Scripted",
    },
    "retrievers": {
        "lexical": "mundap.retrieve.lexical:Lexical",
    },
    "sources": {
        "alpaca": "mundap.collect.files:Alpaca",
        "chatdoctor": "mundap.collect.files:ChatDoctor",
        "csv": "mundap.collect.files:Columns",
        "ehealthforum": "mundap.collect.sources:EHealthForum",
        "healthcaremagic": "mundap.collect.sources:HealthCareMagic",
        "healthtap": "mundap.collect.sources:HealthTap",
        "hidoc": "mundap.collect.sources:HiDoc",
        "huggingface": "mundap.collect.files:HuggingFace",
        "icliniq": "mundap.collect.sources:ICliniq",
        "kin": "mundap.collect.sources:Kin",
        "medlineplus": "mundap.collect.sources:MedlinePlus",
        "medquad": "mundap.collect.medquad:MedQuAD",
        "mfds": "mundap.collect.sources:Mfds",
        "pages": "mundap.collect.saved:Saved",
        "songys": "mundap.collect.files:Songys",
    },
    "steps": {
        "normalize": "mundap.clean.text:normalize",
        "boilerplate": "mundap.clean.boilerplate:boilerplate",
        "deleted": "mundap.clean.deleted:deleted",
        "mask": "mundap.clean.mask:mask",
        "quality": "mundap.clean.quality:quality",
        "dedup": "mundap.clean.dedup:dedup",
    },
    "augmenters": {
        "repair": "mundap.augment.repair:Repair",
        "generate": "mundap.augment.generate:Generate",
        "dialogue": "mundap.augment.dialogue:Dialogue",
        "translate": "mundap.augment.translated:Translated",
    },
    "translators": {
        "papago": "mundap.translate.papago:Papago",
        "deepl": "mundap.translate.deepl:DeepL",
        "llm": "mundap.translate.llm:Llm",
        "nmt": "mundap.translate.nmt:Nmt",
    },
    "metrics": {
        "behaviour": "mundap.evaluate.behaviour:Behaviour",
        "choice": "mundap.evaluate.choice:Choice",
        "chrf": "mundap.evaluate.text:Chrf",
        "contamination": "mundap.evaluate.contamination:Contamination",
        "facts": "mundap.evaluate.facts:Facts",
        "form": "mundap.evaluate.text:Form",
        "general": "mundap.evaluate.losses:General",
        "judge": "mundap.evaluate.judge:Judge",
        "loss": "mundap.evaluate.losses:Loss",
        "rouge": "mundap.evaluate.text:Rouge",
        "speed": "mundap.evaluate.speed:Speed",
        "triage": "mundap.evaluate.triage:Triage",
    },
}


def names(kind: str) -> list[str]:
    """Every name of a kind, built-in and plugged in, sorted. Raises `UnknownName` for an unknown kind."""
    return sorted({*_built_in(kind), *_plugins(kind)})


def create(kind: str, name: str, /, **config: Any) -> Any:
    """Make the thing called `name`; the keyword arguments are its config.

    Raises `UnknownName` (with the closest names), `MissingExtra`, or `UserError` for wrong arguments.
    """
    factory = find(kind, name)
    try:
        signature(factory).bind(**config)
    except TypeError as error:
        raise UserError(f"{kind[:-1]} {name!r} does not take that: {error}{_takes(factory, config)}") from error
    return _load(lambda: factory(**config), f"{kind[:-1]} {name!r}")


def check(kind: str, name: str) -> None:
    """Raise `UnknownName`, with the closest names, when nothing of the kind is called that. Nothing is imported."""
    if name not in names(kind):
        raise UnknownName(f"no {kind[:-1]} is called {name!r}{did_you_mean(name, names(kind))}")


def find(kind: str, name: str) -> Factory:
    """The factory behind a name; importing it happens here and not before. No plugin replaces a built-in name."""
    check(kind, name)
    target, what = _built_in(kind).get(name), f"{kind[:-1]} {name!r}"
    if target is None:
        return cast(Factory, _load(_plugins(kind)[name].load, what))
    module, _, attribute = target.partition(":")
    return cast(Factory, _load(lambda: getattr(import_module(module), attribute), what))


def _built_in(kind: str) -> Mapping[str, str]:
    if kind not in BUILT_IN:
        raise UnknownName(f"no kind of thing is called {kind!r}{did_you_mean(kind, BUILT_IN)}")
    return BUILT_IN[kind]


def _plugins(kind: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"mundap.{kind}")}


def _takes(factory: Factory, config: Mapping[str, Any]) -> str:
    known = [key for key in signature(factory).parameters if key != "self"]
    unknown = [key for key in config if key not in known]
    return did_you_mean(unknown[0], known) if unknown else f". Known: {', '.join(known)}"


def _load(load: Callable[[], Any], what: str) -> Any:
    """What `load` makes. A package missing on the way is the user's to install; a missing part of mundap is a bug."""
    try:
        return load()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "mundap"):
            raise
        raise MissingExtra(f"{what} needs the package {package!r}: pip install {package}") from error
