"""What a person may give as a model: a name, a URL, a GGUF file, a run of mundap, a folder of weights, a hub id."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from mundap import registry
from mundap.errors import UserError, did_you_mean
from mundap.store import Work

_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_MADE = ("export/model.gguf", "merge/model", "train/model", "train/adapter")  # what of a run answers, the best first
SERVING = "serving.json"  # beside the runs: what `mundap promote` chose
SERVED = ("train", "merge", "export")  # the stages that make what answers


def serving(model: str, runs: Path = Path("runs")) -> str:
    """What `serving` stands for: the promoted run's folder, or `compose`; any other model is itself.

    Raises `UserError` when nothing was promoted, or the run was trained, merged or exported anew since.
    """
    if model != "serving" and Path(model).name != SERVING:
        return model
    path = runs / SERVING if model == "serving" else Path(model)
    try:
        found = json.loads(path.read_text("utf-8"))
        run, made, keys = path.parent / found["run"], found["model"], found["keys"]
    except FileNotFoundError as error:
        raise UserError(f"no run serves yet: there is no {path}; choose one with `mundap promote RUN`") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not whole ({error!r}); choose anew with `mundap promote RUN`") from error
    if made == "compose":
        return "compose"
    manifests = {stage: Work(run).manifest(stage) for stage in SERVED}
    if keys != {stage: manifest.key for stage, manifest in manifests.items() if manifest}:
        raise UserError(
            f"{run} was changed or taken away since it was promoted; evaluate it and `mundap promote {run}` again"
        )
    return str(run)


def described(model: str) -> Mapping[str, Any]:
    """The entry that a recipe's `models` would hold for it. Raises `UserError` when it is nothing of the kind.

    A URL is `http://host/v1` or `http://host/v1#name`. A run is its folder: its exported, merged or tuned model.
    """
    path = Path(model).expanduser()
    if model.startswith(("http://", "https://")):
        url, _, name = model.partition("#")
        return {"use": "http", "url": url, "name": name}
    if path.suffix == ".gguf" or path.is_file():
        return {"use": "gguf", "path": str(path)}
    if path.is_dir():
        return _folder(path)
    if model in registry.names("models"):
        return {"use": model}
    if _HUB.fullmatch(model) and not path.parent.exists():
        return {"use": "hf", "path": model}
    known = did_you_mean(model, ["compose", *registry.names("models")])
    raise UserError(
        f"no model {model!r}: give a registered name, a .gguf file, a run's folder, a folder of weights, a hub id "
        f"(owner/name) or an http URL{known}"
    )


def _folder(folder: Path) -> Mapping[str, Any]:
    if any((folder / name).is_file() for name in ("config.json", "adapter_config.json")):
        return {"use": "hf", "path": str(folder)}
    found = next((folder / name for name in _MADE if (folder / name).exists()), None)
    if found is None:
        raise UserError(
            f"{folder} holds no model: neither weights (config.json) nor a run's {', '.join(_MADE)}; "
            "finish the run with `mundap run`, or give another folder"
        )
    kind = "gguf" if found.suffix == ".gguf" else "hf"
    return {"use": kind, "path": str(found), "name": folder.resolve().name, **_languages(folder)}


def _languages(run: Path) -> dict[str, Any]:
    """A run that tuned the bundled model, or on one language, answers in that language only."""
    if "bundled" in set(_bases(run)):
        return {"languages": ["en"]}
    recipe = run / "recipe.yaml"
    train = (yaml.safe_load(recipe.read_text("utf-8")) or {}).get("train") if recipe.is_file() else None
    return {"languages": [train["lang"]]} if isinstance(train, dict) and train.get("lang") else {}


def _bases(run: Path) -> Iterator[str]:
    for path in (run / "train/adapter/adapter_config.json", run / "train/manifest.json"):
        if path.is_file():
            found = json.loads(path.read_text("utf-8"))
            yield str(found.get("base_model_name_or_path") or found.get("details", {}).get("base", ""))
