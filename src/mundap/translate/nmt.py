"""Local translation models: Marian, M2M-100, NLLB and MADLAD by transformers or, once converted, by CTranslate2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import yaml

from mundap.errors import MissingExtra, ModelError, UserError
from mundap.store import digest, file_digest
from mundap.translate.limits import batches, fitting, joined
from mundap.types import Lang

_CHARACTERS = 20_000  # of a batch; the number of texts is what usually ends one


class _Backend(Protocol):
    """What runs the model: token lists in, text out."""

    def translate(self, rows: Sequence[list[int]], forced: str, most: int) -> list[str]: ...


class Nmt:
    """A sequence-to-sequence model in this process. `path` is a folder or a hub id that was downloaded before.

    A Marian model has one direction: give `back`, the model of the other one, where both are needed. `length` is the
    most tokens of a text; longer ones are cut at sentences. Only safetensors are read, and no code of the model's.
    """

    name = "nmt"

    def __init__(
        self, path: str, back: str = "", batch: int = 16, beams: int = 4, length: int = 512, device: str = "auto"
    ) -> None:
        self._models = [_Directed(each, beams, length, device) for each in (path, back) if each]
        self._batch, self._lock = batch, Lock()
        self.model = " ".join(each.name for each in self._models)
        self.version = digest([beams, length, *(each.version for each in self._models)])[:8]
        self.notice = " ".join(dict.fromkeys(each.notice for each in self._models if each.notice))
        self.licence = ", ".join(dict.fromkeys(each.licence for each in self._models if each.licence))

    def __call__(self, texts: Sequence[str], source: Lang, target: Lang) -> list[str]:
        """Translate; one text out for each in. Raises `UserError` for a direction that no model has."""
        model = self.directed(source, target)
        filled = sorted((len(text), place) for place, text in enumerate(texts) if text.strip())
        places = [place for _, place in filled]
        done = [""] * len(texts)
        for part in batches([texts[place] for place in places], self._batch, _CHARACTERS):
            chosen = [places[n] for n in part]
            with self._lock:  # a tokenizer remembers the language it was last told
                found = model([texts[place] for place in chosen], source, target)
            for place, text in zip(chosen, found, strict=True):
                done[place] = text
        return done

    def directed(self, source: Lang, target: Lang) -> _Directed:
        """The model of a direction. Raises `UserError` when there is none."""
        for each in self._models:
            if each.can(source, target):
                return each
        raise UserError(
            f"{self.model} does not translate {source} to {target}; give the folder of one that does as `back`"
        )


class _Directed:
    """One model with its tokenizer and the way its family is told the languages."""

    def __init__(self, path: str, beams: int, length: int, device: str) -> None:
        self.name = Path(path).name if Path(path).is_dir() else path
        converted = _is_converted(Path(path))
        self._tokenizer = _tokenizer(path)
        self._family, self._marks = _family(self._tokenizer)
        self.notice = str(_table()["notices"].get(self._family, ""))
        self.licence = str(_table()["licences"].get(self._family, ""))
        self._length = length
        self._backend: _Backend = (_Converted if converted else _Transformers)(path, self._tokenizer, beams, device)
        self.version = _fingerprint(path)

    def can(self, source: Lang, target: Lang) -> bool:
        """Whether the model translates in this direction, as far as it says which."""
        if self._family:
            return True
        names: Mapping[str, Sequence[str]] = _table()["names"]
        told = [getattr(self._tokenizer, name, None) or "" for name in ("source_lang", "target_lang")]
        return all(not has or has in names[lang] for has, lang in zip(told, (source, target), strict=True))

    def __call__(self, texts: Sequence[str], source: Lang, target: Lang) -> list[str]:
        if "source" in self._marks:
            self._tokenizer.src_lang = self._marks["source"][source]
        prefix = self._mark("prefix", target)
        parts = [fitting(text, lambda part: self._fits(prefix, part)) for text in texts]
        rows = [self._tokens(prefix, part) for each in parts for part in each]
        # The same room for every text: what one becomes must not hang on its neighbours in a batch.
        found = iter(self._backend.translate(rows, self._mark("forced", target), self._length))
        return [joined(each, [next(found) for _ in each]) for each in parts]

    def _fits(self, prefix: str, text: str) -> bool:
        return len(self._tokens(prefix, text)) <= self._length

    def _mark(self, kind: str, lang: Lang) -> str:
        return str(self._marks.get(kind, {}).get(lang, ""))

    def _tokens(self, prefix: str, text: str) -> list[int]:
        return list(self._tokenizer(f"{prefix} {text}".strip(), verbose=False)["input_ids"])


class _Transformers:
    """The model in PyTorch, from safetensors."""

    def __init__(self, path: str, tokenizer: Any, beams: int, device: str) -> None:
        import torch
        from transformers import AutoModelForSeq2SeqLM

        self._tokenizer, self._beams = tokenizer, beams
        where = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        try:
            model: Any = AutoModelForSeq2SeqLM.from_pretrained(
                path, use_safetensors=True, trust_remote_code=False, local_files_only=True, dtype="auto"
            )
        except (OSError, ValueError, KeyError) as error:
            raise _unreadable(path, error) from error
        self._model = model.to(where).eval()

    def translate(self, rows: Sequence[list[int]], forced: str, most: int) -> list[str]:
        """The best of `beams` translations of each row of token ids; `forced` is the token each one begins with."""
        import torch

        begin = {"forced_bos_token_id": self._tokenizer.convert_tokens_to_ids(forced)} if forced else {}
        inputs = self._tokenizer.pad({"input_ids": list(rows)}, return_tensors="pt").to(self._model.device)
        with torch.inference_mode():
            found = self._model.generate(
                **inputs, **begin, num_beams=self._beams, do_sample=False, max_new_tokens=most, max_length=None
            )
        return _decoded(self._tokenizer, found.tolist(), forced)


class _Converted:
    """The model in CTranslate2's own form, with the tokenizer's files beside it (`--copy_files` of its converter)."""

    def __init__(self, path: str, tokenizer: Any, beams: int, device: str) -> None:
        try:
            import ctranslate2
        except ModuleNotFoundError as error:
            raise MissingExtra(f"{path} is a CTranslate2 model: pip install ctranslate2") from error
        self._tokenizer, self._beams = tokenizer, beams
        try:
            self._model: Any = ctranslate2.Translator(path, device=device)
        except (RuntimeError, ValueError) as error:
            raise _unreadable(path, error) from error

    def translate(self, rows: Sequence[list[int]], forced: str, most: int) -> list[str]:
        """As the model in PyTorch does, on the rows' tokens."""
        tokens = [self._tokenizer.convert_ids_to_tokens(row) for row in rows]
        begin = [[forced]] * len(rows) if forced else None
        found = self._model.translate_batch(
            tokens, target_prefix=begin, beam_size=self._beams, max_decoding_length=most
        )
        best = [self._tokenizer.convert_tokens_to_ids(each.hypotheses[0]) for each in found]
        return _decoded(self._tokenizer, best, forced)


def _decoded(tokenizer: Any, rows: Sequence[Sequence[int]], forced: str) -> list[str]:
    """Token ids as text, without the language token: not every tokenizer counts that among its special ones."""
    language = tokenizer.convert_tokens_to_ids(forced) if forced else None
    texts: list[str] = tokenizer.batch_decode(
        [[token for token in row if token != language] for row in rows], skip_special_tokens=True
    )
    return texts


def _is_converted(path: Path) -> bool:
    return (path / "model.bin").is_file() and any(path.glob("*vocabulary.*"))


def _tokenizer(path: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(path, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: Exception) -> ModelError:
    """One sentence for the many ways in which a library says that a model is not there or not of the right kind."""
    if not Path(path).is_dir() and path.count("/") <= 1 and not path.startswith((".", "/", "~")):
        return ModelError(f"no translation model {path!r} on this machine: download it first with `hf download {path}`")
    words = " ".join(str(error).split())[:300]
    return ModelError(f"{path} is no translation model that can be read (safetensors and a tokenizer): {words}")


def _family(tokenizer: Any) -> tuple[str, Mapping[str, Mapping[str, str]]]:
    """The family whose mark for Korean the vocabulary holds, with its marks; none for a model of one direction."""
    families = {name: each for name, each in _table().items() if "known_by" in each}
    strange = (None, tokenizer.unk_token_id)
    known = (
        name for name, each in families.items() if tokenizer.convert_tokens_to_ids(each["known_by"]) not in strange
    )
    name = next(known, "")
    return name, families.get(name, {})


def _fingerprint(path: str) -> str:
    """What tells two models of one name apart: the files of a folder, the commit of what came from a hub."""
    folder = Path(path)
    if not folder.is_dir():
        from transformers import AutoConfig

        return str(getattr(AutoConfig.from_pretrained(path, local_files_only=True), "_commit_hash", ""))
    return digest([[each.name, file_digest(each)] for each in sorted(folder.iterdir()) if each.is_file()])


@cache
def _table() -> dict[str, Any]:
    return dict(yaml.load((files("mundap.translate") / "nmt.yaml").read_text("utf-8"), Loader=yaml.CSafeLoader))
