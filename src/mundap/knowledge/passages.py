"""A topic cut into what search indexes: one section per part and language, with the topic's names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from mundap.knowledge.schema import Lists, Topic
from mundap.types import Lang, Section

LANGS: tuple[Lang, ...] = ("ko", "en")


def sections(topics: Iterable[Topic]) -> Iterator[Section]:
    """Every section of every topic in both languages."""
    for topic in topics:
        for lang in LANGS:
            for name, text in _parts(topic, lang):
                yield Section(
                    id=f"{topic.id}/{name}/{lang}",
                    topic=topic.id,
                    name=name,
                    lang=lang,
                    title=topic.title.ko,
                    title_en=topic.title.en,
                    text=text,
                    names=(topic.title[lang], *topic.aliases[lang], *_medicine_names(topic, lang)),
                    terms=(*_title_words(topic, lang), *_medicine_names(topic, lang)),
                    source=source(topic),
                )


def source(topic: Topic) -> str:
    """The topic's first reference as one line: publisher, title (year)."""
    first = topic.references[0]
    return f"{first.publisher}, {first.title} ({first.year})"


def _parts(topic: Topic, lang: Lang) -> Iterator[tuple[str, str]]:
    yield "summary", topic.summary[lang]
    lists = {
        "causes": topic.causes, "self_care": topic.self_care, "tests": topic.tests, "prevention": topic.prevention,
        "today": topic.see_doctor.today, "this_week": topic.see_doctor.this_week, "go_now": topic.go_now,
    }  # fmt: skip
    yield from ((name, _joined(items, lang)) for name, items in lists.items() if items is not None)
    if topic.medicines:
        yield "medicines", " ".join(f"{item.name[lang]}: {item.note[lang]}" for item in topic.medicines)
    yield from ((f"group_{group}", text[lang]) for group, text in topic.groups.items())
    yield from _medicine_parts(topic, lang)


def _medicine_parts(topic: Topic, lang: Lang) -> Iterator[tuple[str, str]]:
    if topic.medicine is None:
        return
    yield "cautions", _joined(topic.medicine.cautions, lang)
    yield "side_effects", _joined(topic.medicine.side_effects, lang)
    yield "interactions", " ".join(f"{item.name[lang]}: {item.note[lang]}" for item in topic.medicine.interactions)
    if topic.medicine.label is not None:
        yield "label", topic.medicine.label[lang]


def _medicine_names(topic: Topic, lang: Lang) -> tuple[str, ...]:
    """A medicine's substance and, in Korean, its brands."""
    if topic.medicine is None:
        return ()
    return (topic.medicine.substance[lang], *(topic.medicine.brands if lang == "ko" else ()))


def _title_words(topic: Topic, lang: Lang) -> list[str]:
    """Words of the title, for the tokenizer's dictionary."""
    return [word for word in re.split(r"[\s·/,()]+", topic.title[lang]) if len(word) > 1]


def _joined(items: Lists, lang: Lang) -> str:
    return " ".join(items[lang])
