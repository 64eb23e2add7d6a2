"""The index on disk: built once for its content, found again by the content's digest."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from typing import Any

from mundap.retrieve.tokens import Tokens
from mundap.store import digest
from mundap.types import Section

# Field ("name", "body") -> term -> the topics that have it there (as keys).
Vocabulary = dict[str, dict[str, dict[str, int]]]
# Part of the key: raise it when what is written into the index, or how text becomes terms, changes.
_LAYOUT = 8
_VOCABULARY = "vocabulary.json"
_WRITER_BYTES = 30_000_000


def open_index(sections: Sequence[Section], tokens: Tokens, cache: Path | None = None) -> tuple[Any, Vocabulary]:
    """The tantivy index of these sections and their vocabulary, from the cache if whole, else built into it.

    A folder that cannot be written to, or a damaged index, never stops a search: the index is then built in memory.
    """
    folder = (cache or cache_folder()) / f"index-{digest([_LAYOUT, *(astuple(section) for section in sections)])}"
    with suppress(OSError, ValueError):
        found = _stored(folder)
        return found if found is not None else _store(folder, sections, tokens)
    return _fill(_empty(None), sections, tokens)


def cache_folder() -> Path:
    """`MUNDAP_CACHE`, else the user's cache folder."""
    own = os.environ.get("MUNDAP_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mundap"


def _stored(folder: Path) -> tuple[Any, Vocabulary] | None:
    from tantivy import Index

    if not folder.is_dir():
        return None
    try:
        index = Index.open(str(folder))
        index.searcher()
        return index, json.loads((folder / _VOCABULARY).read_text("utf-8"))
    except (ValueError, OSError):
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _store(folder: Path, sections: Sequence[Section], tokens: Tokens) -> tuple[Any, Vocabulary]:
    """Build beside the final place and rename, so that a killed build leaves no half index."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".index-"))
    try:
        built = _fill(_empty(draft), sections, tokens)
        (draft / _VOCABULARY).write_text(json.dumps(built[1], ensure_ascii=False), "utf-8")
        with suppress(OSError):  # another process was first: its index is the same
            draft.rename(folder)
        return _stored(folder) or _fill(_empty(None), sections, tokens)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _empty(folder: Path | None) -> Any:
    from tantivy import Index, SchemaBuilder

    builder = SchemaBuilder()
    for name in ("topic", "section"):
        builder.add_text_field(name, stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("exact", tokenizer_name="raw", index_option="basic")
    for name in ("name", "gram", "body"):
        builder.add_text_field(name, tokenizer_name="whitespace", index_option="freq")
    return Index(builder.build(), None if folder is None else str(folder))


def _fill(index: Any, sections: Sequence[Section], tokens: Tokens) -> tuple[Any, Vocabulary]:
    from tantivy import Document

    writer = index.writer(_WRITER_BYTES, 1)
    vocabulary: Vocabulary = {"name": {}, "body": {}}
    for fields in _documents(sections, tokens):
        writer.add_document(Document(**fields))
        for field, topics in vocabulary.items():
            for term in dict.fromkeys(fields.get(field, "").split()):
                topics.setdefault(term, {})[fields["topic"]] = 1
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    return index, vocabulary


def _documents(sections: Sequence[Section], tokens: Tokens) -> Iterator[dict[str, str]]:
    """One document for each name of a topic and one for each section."""
    names = dict.fromkeys((s.topic, s.lang, name) for s in sections for name in s.names)
    for topic, _, name in names:
        terms = {"name": " ".join(tokens(name)), "gram": " ".join(tokens.grams(name)), "exact": tokens.packed(name)}
        yield {"topic": topic, "section": "", **terms}
    for section in sections:
        yield {"topic": section.topic, "section": section.id, "body": " ".join(tokens(section.text))}
