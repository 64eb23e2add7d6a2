"""A Modelfile for Ollama: the template of training in Go's template language, its stop strings, the generation settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mundap.config import Generation
from mundap.prompts import MODEL, Template

_ROLES = ("system", "user", "assistant")
# Texts that no template contains, in place of what people write.
_MARKS = {"system": "\x02s\x03", "user": "\x02u\x03", "assistant": "\x02a\x03", "again": "\x02v\x03"}


def modelfile(source: str, template: Template | None, end: str, chat: Generation, context: int) -> str:
    """The file's text. `source` is what `FROM` names, `end` the text of the EOS token; without a template, none is set."""
    lines = [f"FROM {source}"]
    if template is not None:
        lines.append(f'TEMPLATE """{go_template(template, end)}"""')
    stops = dict.fromkeys([*(template.stop if template else ()), end])
    lines += [f'PARAMETER stop "{_quoted(stop)}"' for stop in stops if stop]
    lines += [
        f"PARAMETER temperature {chat.temperature:g}",
        f"PARAMETER top_p {chat.top_p:g}",
        f"PARAMETER repeat_penalty {chat.repeat_penalty:g}",
        f"PARAMETER num_predict {chat.max_tokens}",
        f"PARAMETER num_ctx {context}",
    ]
    return "\n".join(lines) + "\n"


def go_template(template: Template, end: str) -> str:
    """The layout as Ollama renders it; `end` follows each answer that the layout itself does not end."""
    whole = {"preamble": "", **template.definition}
    alone = {**whole, **whole.get("alone", {})}
    end = "" if template.name == MODEL else end
    first = bool(whole.get("question_first"))
    return (
        "{{ range $i, $m := .Messages }}"
        + f"{{{{ if eq $i 0 }}}}{_either(whole['preamble'], alone['preamble'])}{{{{ end }}}}"
        + _system(whole["system"], first)
        + f'{{{{ if eq .Role "user" }}}}{_turn(whole, alone, "user", "")}{_late_system(whole["system"], first)}{{{{ end }}}}'
        + f'{{{{ if eq .Role "assistant" }}}}{_turn(whole, alone, "assistant", end)}{{{{ end }}}}'
        + '{{ if and (eq (len (slice $.Messages $i)) 1) (ne .Role "assistant") }}'
        + f"{_either(whole['assistant']['before'], alone['assistant']['before'])}{{{{ end }}}}"
        + "{{ end }}"
    )


def _system(part: Mapping[str, str], first: bool) -> str:
    """A system message in its place, unless it is to follow the first question."""
    shown = f"{_text(part['before'])}{{{{ .Content }}}}{_text(part['after'])}"
    swapped = ' (not (and (eq $i 0) (gt (len $.Messages) 1) (eq (index $.Messages 1).Role "user")))' if first else ""
    condition = f'and (eq .Role "system"){swapped}' if first else 'eq .Role "system"'
    return f"{{{{ if {condition} }}}}{shown}{{{{ end }}}}"


def _late_system(part: Mapping[str, str], first: bool) -> str:
    if not first:
        return ""
    shown = f"{_text(part['before'])}{{{{ (index $.Messages 0).Content }}}}{_text(part['after'])}"
    return f'{{{{ if and (eq $i 1) (eq (index $.Messages 0).Role "system") }}}}{shown}{{{{ end }}}}'


def _turn(whole: Mapping[str, Any], alone: Mapping[str, Any], role: str, end: str) -> str:
    before = _either(whole[role]["before"], alone[role]["before"])
    after = _either(whole[role]["after"], alone[role]["after"])
    return f"{before}{{{{ .Content }}}}{_text(end)}{after}"


def _either(whole: str, alone: str) -> str:
    """The text for a conversation with a system message at its beginning, or the one for one without."""
    if whole == alone:
        return _text(whole)
    return f'{{{{ if eq (index $.Messages 0).Role "system" }}}}{_text(whole)}{{{{ else }}}}{_text(alone)}{{{{ end }}}}'


def _text(text: str) -> str:
    """Text that Go's template language leaves as it is."""
    return text.replace("{{", '{{ "{{" }}')


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def parts_of(tokenizer: Any) -> Template | None:
    """A tokenizer's own chat template as texts around each role, or None when it does more than put texts around."""
    try:
        definition = _parts(tokenizer)
    except Exception:  # whatever a template of unknown origin raises: it is not of this simple kind
        return None
    found = Template(MODEL, definition)
    return found if all(_laid_out(found, each) == _own(tokenizer, each, True) for each in _conversations()) else None


def _parts(tokenizer: Any) -> dict[str, Any]:
    turns = [_row(name) for name in ("system", "user", "assistant", "again")]
    plain, ready = _own(tokenizer, turns, False), _own(tokenizer, turns, True)
    begin, gap_user, gap_answer, gap_again, tail = _split(plain, list(_MARKS.values()))
    alone = _own(tokenizer, turns[1:3], False)
    end = alone.partition(_MARKS["assistant"])[2]
    user, answer = gap_again.removeprefix(end), ready.removeprefix(plain)
    if not (gap_again.startswith(end) and gap_user.endswith(user) and gap_answer == tail + answer):
        raise ValueError("a turn begins otherwise in one place than in another")
    return {
        "system": {"before": begin, "after": gap_user.removesuffix(user)},
        "user": {"before": user, "after": tail},
        "assistant": {"before": answer, "after": end},
        "stop": [],
        "alone": {"preamble": alone.partition(_MARKS["user"])[0].removesuffix(user)},
    }


def _split(text: str, marks: Sequence[str]) -> Iterator[str]:
    for mark in marks:
        before, _, text = text.partition(mark)
        yield before
    yield text


def _row(name: str) -> dict[str, str]:
    return {"role": "user" if name == "again" else name, "content": _MARKS[name]}


def _conversations() -> Iterator[list[dict[str, str]]]:
    """Conversations of every form that a chat has."""
    system, user, answer, again = (_row(name) for name in ("system", "user", "assistant", "again"))
    yield from ([user], [system, user], [user, answer, again], [system, user, answer, again])


def _own(tokenizer: Any, rows: list[dict[str, str]], ready: bool) -> str:
    return str(tokenizer.apply_chat_template(rows, tokenize=False, add_generation_prompt=ready))


def _laid_out(template: Template, rows: list[dict[str, str]]) -> str:
    parts = {"preamble": "", **template.definition}
    if rows[0]["role"] != "system":
        parts |= parts["alone"]
    turns = "".join(f"{parts[row['role']]['before']}{row['content']}{parts[row['role']]['after']}" for row in rows)
    return f"{parts['preamble']}{turns}{parts['assistant']['before']}"
