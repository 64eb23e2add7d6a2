"""One renderer for training, evaluation, chat and export: conversations to text, with what is to be learnt marked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from mundap.errors import UnknownName, UserError, did_you_mean
from mundap.store import digest as digest_of
from mundap.store import replacing
from mundap.types import Example, Lang, Message

MODEL = "model"  # the template that stands for the base model's own
FILE = "template.json"
# Jinja with what llama.cpp and transformers both understand; the texts are JSON, which is a Jinja literal too.
_JINJA = """\
{%- if messages and messages[0]["role"] == "system" -%}{%- set parts = WHOLE -%}{%- else -%}{%- set parts = ALONE -%}{%- endif -%}
{%- set eos = eos_token if eos_token is defined else "" -%}
ORDER
{%- if messages -%}{{- parts["preamble"] -}}{%- endif -%}
{%- for message in ordered -%}
{%- set part = parts[message["role"]] -%}
{{- part["before"] + message["content"] -}}
{%- if message["role"] == "assistant" -%}{{- eos -}}{%- endif -%}
{{- part["after"] -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- parts["assistant"]["before"] -}}{%- endif -%}"""
_JINJA_SWAPPED = """\
{%- if messages | length > 1 and messages[0]["role"] == "system" and messages[1]["role"] == "user" -%}
{%- set ordered = [messages[1], messages[0]] + messages[2:] -%}
{%- else -%}{%- set ordered = messages -%}{%- endif -%}"""

# Markers by which text could pretend to be a turn, a template's heading or the end of the sources.
# Possessive and bounded repeats keep this linear on hostile text.
_CONTROL = re.compile(
    r"<[|｜][^|｜<>]{0,40}[|｜]>|\[\|\w{1,20}\|\]"
    r"|<\s{0,3}/?\s{0,3}(?:sources|s|system|user|assistant|bos|eos|(?:start|end)_of_turn)\s{0,3}>"
    r"|\[/?INST\]|<</?SYS>>|(?<!#)#{2,}+\s{0,3}[^\s#:：]{1,40}\s{0,3}[:：]",
    re.IGNORECASE,
)
# Characters of earlier conversation that go into a prompt; small models have 2,048 tokens in all.
_HISTORY = 1200


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as one text; `spans` are the (start, end) characters to learn from: answers and what ends them."""

    text: str
    spans: tuple[tuple[int, int], ...]
    stop: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """How conversations become text. `model` has no definition: there the tokenizer's own chat template decides."""

    name: str
    definition: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Two templates with the same digest lay out every conversation alike."""
        return digest_of([self.name, self.definition])

    @property
    def stop(self) -> tuple[str, ...]:
        """What ends generation, beside the tokenizer's own end."""
        return tuple(self.definition.get("stop", ()))


def template(name: str) -> Template:
    """A template by its name. Raises `UnknownName` with the closest one."""
    known: Mapping[str, Any] = {**_table()["templates"], MODEL: {}}
    if name not in known:
        raise UnknownName(f"no template is called {name!r}{did_you_mean(name, known)}")
    return Template(name, known[name])


def definition(name: str) -> dict[str, Any]:
    """A template as plain data, as it is saved."""
    return dict(template(name).definition)


def digest(name: str) -> str:
    """The digest of a template by its name."""
    return template(name).digest


def render(layout: str | Template, messages: Sequence[Message], end: str = "") -> Rendered:
    """Lay out messages by a template or its name. `end` (a tokenizer's EOS) closes each answer and is learnt with it.

    A conversation that ends with the user gets the opening of an answer, ready to be continued.
    """
    found = _own(layout)
    parts, text, spans = _parts(found, messages), "", []
    if messages:
        text += parts["preamble"]
    for message in _ordered(found, messages):
        part = parts[message.role]
        start = len(text) + len(part["before"])
        text += part["before"] + message.content
        if message.role == "assistant":
            text += end
            spans.append((start, len(text)))
        text += part["after"]
    if messages and messages[-1].role == "user":
        text += parts["assistant"]["before"]
    return Rendered(text, tuple(spans), found.stop)


def _own(layout: str | Template) -> Template:
    found = template(layout) if isinstance(layout, str) else layout
    if found.name == MODEL:
        raise UserError(f"template {MODEL!r} is the base model's own: only its tokenizer can lay it out")
    return found


def _parts(found: Template, messages: Sequence[Message]) -> Mapping[str, Any]:
    """The texts around each role, with or without a system message at the beginning."""
    whole = {"preamble": "", **found.definition}
    return whole if messages and messages[0].role == "system" else {**whole, **whole.get("alone", {})}


def _ordered(found: Template, messages: Sequence[Message]) -> Sequence[Message]:
    swapped = [message.role for message in messages[:2]] == ["system", "user"]
    if not found.definition.get("question_first") or not swapped:
        return messages
    return [messages[1], messages[0], *messages[2:]]


def jinja(layout: str | Template, bos: bool = False) -> str:
    """The template as a Jinja chat template for tokenizers, GGUF files and servers; `bos` begins with the BOS token.

    With `add_generation_prompt` it gives what `render` gives for a conversation that ends with the user.
    """
    found, roles = _own(layout), ("system", "user", "assistant")
    whole, alone = (
        {name: parts[name] for name in ("preamble", *roles)}
        for parts in (_parts(found, [Message("system", "")]), _parts(found, []))
    )
    order = _JINJA_SWAPPED if found.definition.get("question_first") else "{%- set ordered = messages -%}"
    begin = '{{- bos_token if bos_token is defined else "" -}}' if bos else ""
    return begin + _JINJA.replace("WHOLE", _literal(whole)).replace("ALONE", _literal(alone)).replace("ORDER", order)


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def save(name: str, folder: Path) -> Path:
    """Write `template.json` beside what is trained or built with it: name, digest, definition, stop strings."""
    found = template(name)
    row = {"name": name, "digest": found.digest, "definition": found.definition, "stop": found.stop}
    with replacing(folder / FILE) as stream:
        json.dump(row, stream, ensure_ascii=False, indent=2)
    return folder / FILE


def saved(folder: Path) -> Template | None:
    """The template that a folder was made with, as it was then; None when there is none. Raises `UserError` if broken."""
    path = folder / FILE
    try:
        row = json.loads(path.read_text("utf-8"))
        found = Template(str(row["name"]), dict(row["definition"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a template that mundap wrote ({error}); make the folder again") from error
    if found.digest != row.get("digest"):
        raise UserError(f"{path} was changed after it was written; make the folder again")
    return found


def agree(folder: Path, name: str) -> None:
    """Raise `UserError` when a folder was made with another template than the one called `name`."""
    found, wanted = saved(folder), template(name)
    if found is None or found.digest == wanted.digest:
        return
    how = f"template {found.name!r}, not {name!r}" if found.name != name else f"another version of template {name!r}"
    raise UserError(f"{folder} was made with {how}; set build.template to what it was made with, or make it again")


def instruction(lang: Lang, dialogue: bool = False) -> str:
    """What a row of the dataset asks for: a suitable answer to a medical question, or to be asked first."""
    return str(_table()["instructions"][lang]["dialogue" if dialogue else "answer"])


def instructions() -> dict[str, Any]:
    """Every instruction by language: what a dataset was made with."""
    return dict(_table()["instructions"])


def messages_of(example: Example) -> list[Message]:
    """A row as a conversation: the instruction is the system's and the input the user's; one alone is the user's."""
    if example.turns:  # many chat templates demand that a user speaks first
        return [Message("user", example.instruction), *example.turns]
    asked = [Message("system", example.instruction)] if example.input else []
    return [*asked, Message("user", example.input or example.instruction), Message("assistant", example.output)]


def template_names() -> list[str]:
    """Every template's name."""
    return sorted(_table()["templates"])


def chat(
    history: Sequence[Message], sources: Sequence[str], question: str, lang: Lang, facts: Sequence[str] = ()
) -> list[Message]:
    """The messages a chat model is asked: rules, a little history, then the sources in their own marked channel."""
    words: Mapping[str, str] = _table()["chat"][lang]
    # One sentence a line: small models copy lines more faithfully than they shorten paragraphs (LOG.md).
    numbered = "\n".join(f"[{n}] {line}" for n, text in enumerate(sources, 1) for line in _lines(harmless(text)))
    person = words["person"].format(facts=", ".join(map(harmless, facts))) if facts else ""
    asked = words["question"].format(sources=numbered, person=person, question=harmless(question))
    return [Message("system", words["system"]), *_recent(history), Message("user", asked)]


def _lines(text: str) -> list[str]:
    return [line for line in re.split(r"(?<=[.?!])\s+", text.strip()) if line]


def harmless(text: str) -> str:
    """Text that cannot pose as a turn, a heading or the end of the sources."""
    return _CONTROL.sub(" ", text)


def _recent(history: Sequence[Message]) -> list[Message]:
    """The last whole messages that fit, beginning with the user's; system messages of a caller are left out."""
    kept: list[Message] = []
    room = _HISTORY
    for message in reversed([line for line in history if line.role != "system"]):
        room -= len(message.content)
        if room < 0:
            break
        kept.insert(0, Message(message.role, harmless(message.content)))
    while kept and kept[0].role != "user":
        kept.pop(0)
    return kept


@cache
def _table() -> dict[str, Any]:
    text = (files("mundap") / "prompts.yaml").read_text("utf-8")
    return dict(yaml.load(text, Loader=yaml.CSafeLoader))
