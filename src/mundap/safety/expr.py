"""The small language of the rules' `when` lines: `chest~pressure & (sweat | minutes>=10) & !cough`.

`~` is "near, in one clause, either order"; `&`, `|` and `!` are over the whole text; `*name` takes every mention of a
concept whatever its scope; a quantity is compared with a number; `3 of (a b c d)` counts.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from mundap.safety.concepts import Reading, Span
from mundap.safety.quantities import names

_TOKEN = re.compile(r"\s*(?:(?P<name>[*+]?[a-z_][a-z0-9_]*)|(?P<cmp>[<>]=?)|(?P<num>\d+(?:\.\d+)?)|(?P<sign>[()&|!~]))")
_REACH, _BACK, _ASCII = 13.0, 2.2, 0.35
_NOWHERE: Span = (-1, -1)
Spans = tuple[Span, ...]
Node = Callable[[Reading], Spans]


@dataclass(slots=True)
class _Tokens:
    rows: list[str]
    at: int = 0

    def peek(self) -> str:
        return self.rows[self.at] if self.at < len(self.rows) else ""

    def take(self, wanted: str = "") -> str:
        token = self.peek()
        if not token or (wanted and token != wanted):
            raise ValueError(f"expected {wanted or 'something'} at {token!r} in {' '.join(self.rows)}")
        self.at += 1
        return token


def parse(text: str) -> Node:
    """A `when` line as a function from a reading to the spans that made it true."""
    rows, at = [], 0
    while at < len(text.rstrip()):
        found = _TOKEN.match(text, at)
        if not found:
            raise ValueError(f"cannot read {text[at:]!r} in {text!r}")
        rows.append(found.group().strip())
        at = found.end()
    tokens = _Tokens(rows)
    node = _either(tokens)
    if tokens.peek():
        raise ValueError(f"unexpected {tokens.peek()!r} in {text!r}")
    return node


def _either(tokens: _Tokens) -> Node:
    nodes = [_both(tokens)]
    while tokens.peek() == "|":
        tokens.take()
        nodes.append(_both(tokens))
    if len(nodes) == 1:
        return nodes[0]
    return lambda reading: tuple(span for node in nodes for span in node(reading))


def _both(tokens: _Tokens) -> Node:
    nodes = [_unary(tokens)]
    while tokens.peek() == "&":
        tokens.take()
        nodes.append(_unary(tokens))
    return nodes[0] if len(nodes) == 1 else lambda reading: _all(nodes, reading)


def _all(nodes: list[Node], reading: Reading) -> Spans:
    spans: Spans = ()
    for node in nodes:
        found = node(reading)
        if not found:
            return ()
        spans = spans or found
    return spans


def _unary(tokens: _Tokens) -> Node:
    if tokens.peek() == "!":
        tokens.take()
        inner = _unary(tokens)
        return lambda reading: () if inner(reading) else (_NOWHERE,)
    return _near(tokens)


def _near(tokens: _Tokens) -> Node:
    node = _atom(tokens)
    while tokens.peek() == "~":
        tokens.take()
        node = _pair(node, _atom(tokens))
    return node


def _pair(left: Node, right: Node) -> Node:
    def paired(reading: Reading) -> Spans:
        first = left(reading)
        return _close(reading, first, right(reading)) if first else ()

    return paired


def _close(reading: Reading, first: Spans, second: Spans) -> Spans:
    """Pairs near each other in one clause; a comma-like end may lie between unless another body part does too."""
    seconds = sorted(second)
    found = []
    for span in first:
        at = bisect_right(seconds, (span[0] - 40, 0))
        for other in seconds[at : at + 24]:
            if other[0] > span[1] + 40:
                break
            if _touch(reading, span, other):
                found.append((min(span[0], other[0]), max(span[1], other[1])))
                break
    return tuple(found)


def _touch(reading: Reading, first: Span, second: Span) -> bool:
    ahead = second[0] >= first[0]
    low, high = (first[1], second[0]) if ahead else (second[1], first[0])
    if low >= high:
        return first != _NOWHERE and second != _NOWHERE
    flat = reading.flat
    gap = flat.text[low:high]
    if sum(_ASCII if sign.isascii() else 1.0 if ahead else _BACK for sign in gap) > _REACH:
        return False
    if _crosses(flat.strong, low, high):
        return False
    return not _crosses(flat.weak, low, high) or (ahead and not _other_part(reading, low, high))


def _crosses(ends: tuple[int, ...], low: int, high: int) -> bool:
    at = bisect_right(ends, low - 1)
    return at < len(ends) and ends[at] <= high


def _other_part(reading: Reading, low: int, high: int) -> bool:
    return any(low <= span[0] < high for span in reading.spans("body_part", "*"))


def _atom(tokens: _Tokens) -> Node:
    token = tokens.take()
    if token == "(":
        node = _either(tokens)
        tokens.take(")")
        return node
    if token.isdigit():
        return _several(int(token), tokens)
    if token in names():
        return _compare(token, tokens.take(), float(tokens.take()))
    mode, name = (token[0], token[1:]) if token[0] in "*+" else ("", token)
    _known(name)
    return lambda reading: reading.spans(name, mode)


def _several(least: int, tokens: _Tokens) -> Node:
    """`3 of (a b c d)`: at least so many of the list, said and meant."""
    tokens.take("of")
    tokens.take("(")
    nodes: list[Node] = []
    while tokens.peek() != ")":
        nodes.append(_atom(tokens))
    tokens.take(")")
    return lambda reading: (_NOWHERE,) if sum(bool(node(reading)) for node in nodes) >= least else ()


def _known(name: str) -> None:
    from mundap.safety.concepts import concepts

    if name not in concepts():
        raise ValueError(f"no concept is called {name!r}")


def _compare(name: str, sign: str, limit: float) -> Node:
    tests: dict[str, Callable[[float], bool]] = {
        "<": lambda value: value < limit,
        "<=": lambda value: value <= limit,
        ">": lambda value: value > limit,
        ">=": lambda value: value >= limit,
    }
    test = tests[sign]
    return lambda reading: tuple(span for span, value in reading.values(name) if test(value))
