"""`mundap export`: the merged model as a safetensors folder, as a GGUF file that llama.cpp was tried on, and for Ollama."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from mundap import prompts
from mundap.config import Recipe
from mundap.errors import UserError
from mundap.prompts import Template
from mundap.store import Manifest, Work, code_digest, digest, replacing, versions
from mundap.train import gguf_check, gguf_file, ollama, place
from mundap.train.gguf_tokenizer import Unsupported

_LIBRARIES = ("gguf", "xllamacpp", "transformers")
_SHARE = {"f32": 4.0, "f16": 2.0, "q8_0": 1.0625}  # bytes a weight
_CONTEXT = 4096  # the most that Ollama is told to make room for


def run(recipe: Recipe, work: Work) -> Manifest:
    """Write `export/{model, model.gguf, Modelfile}`, as the recipe asks. Raises `UserError` when nothing is merged."""
    source = work.root / "merge" / "model"
    if work.manifest("merge") is None or not (source / "config.json").is_file():
        raise UserError(f"no merged model in {source.parent}; run `mundap merge` for this recipe first")
    inputs = {"merge/model": place.digest_of(source)}
    settings = [recipe.name, recipe.export.model_dump(), recipe.chat.generation.model_dump()]
    key = digest([settings, inputs, code_digest("mundap.train"), versions(*_LIBRARIES)])
    return work.fresh("export", key) or _export(recipe, work, source, Manifest("export", key, inputs=inputs))


def _export(recipe: Recipe, work: Work, source: Path, manifest: Manifest) -> Manifest:
    began, formats, dropped = perf_counter(), recipe.export.formats, {}
    details: dict[str, Any] = {"formats": list(formats)}
    with place.making(work, "export") as made:
        if "safetensors" in formats or "ollama" in formats:
            place.link(source, made / "model")
        if "gguf" in formats:
            try:
                details["gguf"] = _gguf(recipe, source, made / "model.gguf")
            except Unsupported as error:
                dropped[f"gguf: {error}"] = 1
                print(f"mundap: no GGUF file was made, the rest was: {error}", file=sys.stderr)
        if "ollama" in formats:
            details["ollama"] = _ollama(recipe, source, made)
        details["bytes"] = {
            path.name: place.size_of(path) if path.is_dir() else path.stat().st_size for path in made.iterdir()
        }
    return work.finish(
        Manifest(
            "export", manifest.key, len(details["bytes"]), dropped, manifest.inputs, recipe.seed,
            round(perf_counter() - began, 3), versions(*_LIBRARIES), details,
        )
    )  # fmt: skip


def _gguf(recipe: Recipe, source: Path, path: Path) -> dict[str, Any]:
    """Write the GGUF file and try it: a file that llama.cpp reads otherwise than transformers is not kept."""
    kind = recipe.export.quantise
    weights = sum(each.stat().st_size for each in source.glob("*.safetensors")) / _bytes_a_weight(source)
    place.check_room(path.parent, int(weights * _SHARE[kind]), "the GGUF file")
    gguf_file.write(source, path, kind, recipe.name, jinja_of(source))
    probes: Sequence[str] = gguf_file.table()["probes"]
    try:
        tried = gguf_check.compare_tokens(gguf_check.Trial(path, 512), source, probes)
    except Unsupported:
        path.unlink()
        raise
    return {"quantise": kind, "texts_cut_alike": tried}


def _bytes_a_weight(source: Path) -> int:
    config = json.loads((source / "config.json").read_text("utf-8"))
    return 4 if (config.get("dtype") or config.get("torch_dtype")) == "float32" else 2


def jinja_of(source: Path) -> str:
    """The chat template of a model folder, wherever transformers put it."""
    path = source / "chat_template.jinja"
    if path.is_file():
        return path.read_text("utf-8")
    found = json.loads((source / "tokenizer_config.json").read_text("utf-8")).get("chat_template")
    return found if isinstance(found, str) else ""


def _ollama(recipe: Recipe, source: Path, made: Path) -> dict[str, Any]:
    """Write the Modelfile, for the GGUF file if there is one."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    template = _template(source, tokenizer)
    weights = "./model.gguf" if (made / "model.gguf").is_file() else "./model"
    config = json.loads((source / "config.json").read_text("utf-8"))
    context = min(_CONTEXT, int(config["max_position_embeddings"]))
    with replacing(made / "Modelfile") as stream:
        stream.write(ollama.modelfile(weights, template, tokenizer.eos_token, recipe.chat.generation, context))
    # Without a template of ours, Ollama looks for one it knows by the chat template in the model's own files.
    return {"from": weights, "template": "written" if template else "left to Ollama"}


def _template(source: Path, tokenizer: Any) -> Template | None:
    found = prompts.saved(source)
    return found if found is not None and found.name != prompts.MODEL else ollama.parts_of(tokenizer)
