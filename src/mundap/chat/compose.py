"""An answer without a model: the next step first, then what fits the intent, for this person, with numbered sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mundap.chat import parts as part_makers
from mundap.chat.parts import Part
from mundap.chat.phrases import names, say
from mundap.chat.profile import describe
from mundap.chat.question import Question
from mundap.knowledge.passages import source
from mundap.knowledge.schema import Topic
from mundap.types import Citation

# Characters of an answer: never more than the first; optional parts are only added up to the second.
LONGEST, ENOUGH, SHORTEST = 900, 620, 300


@dataclass(frozen=True, slots=True)
class Composed:
    """The paragraphs of an answer in order, and what stands under it."""

    paragraphs: tuple[str, ...]
    citations: tuple[Citation, ...]
    follow_ups: tuple[str, ...]
    profile_used: tuple[str, ...]

    @property
    def text(self) -> str:
        """The whole answer."""
        return "\n\n".join(self.paragraphs)


def compose(question: Question) -> Composed:
    """Write the answer: at most 900 characters, whole sentences, every borrowed paragraph with its source's number."""
    return lay_out(question, part_makers.make(question))


def lay_out(question: Question, parts: Sequence[Part], used: Sequence[str] = ()) -> Composed:
    """Choose among parts and number their sources. `used` are topics that have been numbered already, in order."""
    return _finish(question, choose(parts), used)


def choose(parts: Sequence[Part]) -> list[Part]:
    """The parts that fit, most important first, each with as many items as fit; then in reading order."""
    kept: dict[int, Part] = {}
    for place, part in sorted(enumerate(parts), key=lambda pair: (pair[1].priority, pair[0])):
        limit = LONGEST if part.needed else ENOUGH
        smallest = replace(part, shown=min(part.at_least, len(part.items)))
        if _length([*kept.values(), smallest]) <= limit:
            kept[place] = _grown(smallest, list(kept.values()), limit=ENOUGH)
    return _fill(parts, {place: kept[place] for place in sorted(kept)})


def _grown(part: Part, others: Sequence[Part], limit: int) -> Part:
    while part.shown < min(len(part.items), part.at_most):
        longer = replace(part, shown=part.shown + 1)
        if _length([*others, longer]) > limit:
            break
        part = longer
    return part


def _fill(parts: Sequence[Part], kept: dict[int, Part]) -> list[Part]:
    """Lengthen an answer that is too short, from what is there already."""
    for place, part in kept.items():
        if _length(list(kept.values())) >= SHORTEST:
            break
        others = [other for key, other in kept.items() if key != place]
        kept[place] = _grown(replace(part, at_most=len(part.items)), others, LONGEST)
    return [kept[place] for place in sorted(kept)]


def _length(parts: Sequence[Part]) -> int:
    return sum(len(part.render(1)) + 2 for part in parts) - 2


def _finish(question: Question, chosen: Sequence[Part], used: Sequence[str] = ()) -> Composed:
    order = list(dict.fromkeys([*used, *(part.topic for part in chosen if part.topic)]))
    numbers = {topic: n for n, topic in enumerate(order, 1)}
    return Composed(
        paragraphs=tuple(part.render(numbers.get(part.topic)) for part in chosen),
        citations=tuple(_citations(question, numbers)),
        follow_ups=_follow_ups(question),
        profile_used=describe(question.person.profile, [part.group for part in chosen if part.group], question.lang)
        + tuple(part.because for part in chosen if part.because),
    )


def _citations(question: Question, numbers: Mapping[str, int]) -> list[Citation]:
    topics = {topic.id: topic for topic in question.topics}
    return [cite(number, topics[name], topics[name].summary[question.lang]) for name, number in numbers.items()]


def cite(number: int, topic: Topic, snippet: str) -> Citation:
    """The numbered source of a topic: its first reference."""
    reference = topic.references[0]
    return Citation(number, topic.id, reference.title, source(topic), reference.publisher, reference.year, snippet)


def _follow_ups(question: Question) -> tuple[str, ...]:
    offered = [name for name in names("follow_ups") if name != question.cues.intent]
    if question.topic.kind in ("medicine", "test", "first_aid", "prevention"):
        offered = [name for name in offered if name not in ("help", "cause", "medicine")]
    return tuple(say(f"follow_ups.{name}", question.lang) for name in offered[:3])
