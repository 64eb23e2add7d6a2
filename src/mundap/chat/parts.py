"""The parts an answer is made of. Each says what it needs, how important it is and which topic it borrows from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mundap.chat.phrases import say
from mundap.chat.question import Question
from mundap.knowledge.schema import Lists, Topic
from mundap.types import Lang, Level

_MEDICINE_GROUPS = ("pregnancy", "breastfeeding", "infant", "child", "elderly", "kidney", "liver", "anticoagulant")


@dataclass(frozen=True, slots=True)
class Part:
    """A paragraph: a lead, then items one a line. A lower `priority` is more important; `needed` may fill to the limit."""

    lead: str
    items: tuple[str, ...] = ()
    topic: str = ""
    priority: int = 5
    needed: bool = False
    at_least: int = 1
    at_most: int = 3
    shown: int = 0
    inline: bool = False
    group: str = ""
    because: str = ""

    def render(self, number: int | None) -> str:
        """The paragraph's text, with the number of its source if it has one."""
        mark = f" [{number}]" if number and self.topic else ""
        shown = self.items[: self.shown]
        if self.inline:
            return f"**{self.lead}**: {', '.join(shown)}{mark}"
        lines = "".join(f"\n- {item}" for item in shown)
        return f"**{self.lead}**{mark}{lines}" if shown else f"{self.lead}{mark}"


def make(question: Question) -> list[Part]:
    """All parts that could stand in the answer, in reading order."""
    return [
        *_opening(question),
        *_warnings(question),
        *_next_step(question),
        *_body(question),
        *_for_person(question),
        *when_to_go(question),
        *_question_back(question),
    ]


def before_model(question: Question) -> list[Part]:
    """What must stand above an answer that a model writes: a doctor today, allergies, medicines that do not go together."""
    return [part for part in (*_opening(question), *_warnings(question)) if part.priority < 2]


def after_model(question: Question) -> list[Part]:
    """What must stand below an answer that a model writes: lines for the person, when to go and where."""
    return [*_for_person(question), *when_to_go(question)]


def when_to_go(question: Question) -> list[Part]:
    """Red flags, when to see a doctor, and which department."""
    topic, lang = question.topic, question.lang
    parts = [
        Part(say("heading.go_now", lang), topic.go_now[lang], topic.id, 0, True, 1, 3, inline=True),
        Part(say("heading.today", lang), topic.see_doctor.today[lang], topic.id, 3, True, 1, 2, inline=True),
    ]
    if question.cues.intent != "department":
        key = "consult" if topic.kind == "medicine" else "department"
        parts.append(Part(say(key, lang, departments=_departments(question)), priority=2, needed=True))
    return parts


def _opening(question: Question) -> Iterator[Part]:
    lang = question.lang
    if question.cues.emotion:
        yield Part(say(f"empathy.{question.cues.emotion}", lang), priority=2, needed=True)
    if question.level == Level.URGENT:
        yield Part(say("next.urgent", lang), priority=0, needed=True)
    elif question.cues.long and question.topic.kind in ("symptom", "condition", "mental_health"):
        yield Part(say("next.long", lang, departments=_departments(question)), priority=2, needed=True)


def _warnings(question: Question) -> Iterator[Part]:
    """What must come before any advice: unknown names, allergies, medicines that do not go together."""
    if question.unknown_medicine:
        text = say("unknown_medicine", question.lang, name=question.unknown_medicine)
        yield Part(text, priority=0, needed=True)
    for topic in question.topics:
        if topic.medicine is not None:
            yield from _allergy(question, topic)
            yield from _interactions(question, topic)
    yield from _no_interaction(question)


def _allergy(question: Question, topic: Topic) -> Iterator[Part]:
    for allergy in question.person.profile.allergies:
        if _same_family(allergy, topic):
            title = topic.title[question.lang]
            text = say("allergy_conflict", question.lang, allergy=allergy, medicine=title)
            yield Part(text, priority=0, needed=True, because=allergy)


def _same_family(allergy: str, topic: Topic) -> bool:
    word = "".join(allergy.lower().replace("알레르기", "").replace("알러지", "").replace("allergy", "").split())
    known = [*topic.aliases.ko, *topic.aliases.en, topic.title.ko, topic.title.en, *_medicine_names(topic)]
    return len(word) > 1 and any(word in "".join(name.lower().split()) for name in known)


def _interactions(question: Question, topic: Topic) -> Iterator[Part]:
    if topic.medicine is None:
        return
    asked = f"{question.said.lower()} {question.person.words}"
    lang = question.lang
    for interaction in topic.medicine.interactions:
        if mentions(asked, interaction.words, exclude=_medicine_names(topic)):
            text = say(
                "interaction",
                lang,
                medicine=topic.title[lang],
                other=interaction.name[lang],
                note=interaction.note[lang],
            )
            yield Part(
                text, topic=topic.id, priority=1, needed=True, because=_from_profile(question, interaction.words)
            )


def _no_interaction(question: Question) -> Iterator[Part]:
    medicines = [topic for topic in question.topics if topic.medicine is not None]
    if len(medicines) > 1 and not any(list(_interactions(question, topic)) for topic in medicines):
        first, second = (topic.title[question.lang] for topic in medicines[:2])
        yield Part(say("no_interaction", question.lang, medicine=first, other=second), priority=1, needed=True)


def _from_profile(question: Question, words: Sequence[str]) -> str:
    given = (*question.person.profile.medicines, *question.person.profile.conditions)
    return next((word for word in given if mentions(word.lower(), words)), "")


def mentions(text: str, words: Sequence[str], exclude: Sequence[str] = ()) -> bool:
    """Whether a text names one of the words, spaces aside; words in `exclude` do not count."""
    left_out = {word.lower() for word in exclude}
    return any(_stands_in(word.lower(), text) for word in words if word.lower() not in left_out)


def _stands_in(word: str, text: str) -> bool:
    """English words stand alone ("iron" is not in "environment"); Korean ones take particles and lose their spaces."""
    if word.isascii():
        return re.search(rf"\b{re.escape(word)}s?\b", text) is not None
    return len(word) > 1 and "".join(word.split()) in "".join(text.split())


def _medicine_names(topic: Topic) -> tuple[str, ...]:
    if topic.medicine is None:
        return ()
    return (topic.medicine.substance.ko, topic.medicine.substance.en, *topic.medicine.brands)


def _next_step(question: Question) -> Iterator[Part]:
    intent, topic, lang = question.cues.intent, question.topic, question.lang
    if question.more:
        text = say("again", lang, title=topic.title[lang])
    elif intent == "department":
        text = say("next.department", lang, departments=_departments(question))
    elif intent == "dose":
        yield Part(say("next.dose", lang), priority=0, needed=True)
        return
    elif topic.medicine is not None and topic.medicine.prescription:
        text = say("next.prescription", lang)
    elif topic.medicine is not None or intent == "medicine":
        text = say("next.medicine", lang)
    elif topic.kind == "first_aid":
        yield Part(say("next.first_aid", lang, item=topic.self_care[lang][0]), topic=topic.id, priority=0, needed=True)
        return
    elif intent in ("cause", "test", "serious"):
        text = say(f"next.{intent}", lang)
    else:
        item = (topic.prevention or topic.self_care)[lang][0] if intent == "prevention" else topic.self_care[lang][0]
        key = intent if intent == "prevention" else "help"
        yield Part(say(f"next.{key}", lang, item=item), topic=topic.id, priority=1, needed=True)
        return
    yield Part(text, priority=1, needed=True)


def _body(question: Question) -> Iterator[Part]:
    topic, lang = question.topic, question.lang
    if topic.summary[lang] not in question.said_before:
        yield Part(topic.summary[lang], topic=topic.id, priority=4, needed=topic.kind == "medicine")
    if question.more:
        yield from _more(question)
        return
    yield from _BODIES.get(question.cues.intent, _help)(question)


def _help(question: Question) -> Iterator[Part]:
    topic, lang = question.topic, question.lang
    if topic.medicine is not None:
        yield from _about_medicine(question)
        return
    heading = "steps" if topic.kind == "first_aid" else "self_care"
    # The steps of first aid go together; the second line of mental health names the numbers to call.
    at_least, at_most = {"first_aid": (3, 8), "mental_health": (1, 4)}.get(topic.kind, (1, 3))
    needed = topic.kind in ("first_aid", "mental_health")
    rest = topic.self_care[lang][1:] if needed else _fresh(question, topic.self_care, skip=1)
    yield Part(say(f"heading.{heading}", lang), rest, topic.id, 2 if needed else 3, needed, at_least, at_most)


def _more(question: Question) -> Iterator[Part]:
    """What earlier answers left out, for a message that only added a fact."""
    topic, lang = question.topic, question.lang
    yield Part(say("heading.this_week", lang), topic.see_doctor.this_week[lang], topic.id, 2, inline=True)
    yield _list(question, "self_care", topic.self_care, priority=3)
    yield _list(question, "causes", topic.causes, priority=4)
    yield Part(say("heading.tell", lang), topic.tell[lang], topic.id, 3, inline=True)


def _cause(question: Question) -> Iterator[Part]:
    yield _list(question, "causes", question.topic.causes, priority=2, at_least=2)
    yield Part(say("uncertain_cause", question.lang), priority=3)


def _medicine(question: Question) -> Iterator[Part]:
    topic, lang = question.topic, question.lang
    if topic.medicine is not None:
        yield from _about_medicine(question)
        return
    items = tuple(f"{item.name[lang]}: {item.note[lang]}" for item in topic.medicines)
    if items:
        yield Part(say("heading.medicines", lang), items, topic.id, 2, True, 1, 2)
    else:
        yield from _help(question)


def _about_medicine(question: Question) -> Iterator[Part]:
    topic, lang = question.topic, question.lang
    if topic.medicine is None:
        return
    if topic.medicine.label is not None and question.cues.intent == "dose":
        yield Part(say("heading.label", lang), (topic.medicine.label[lang],), topic.id, 1, True)
    yield _list(question, "cautions", topic.medicine.cautions, priority=2, at_least=1)
    if "부작용" in question.text or "side effect" in question.text.lower():
        yield _list(question, "side_effects", topic.medicine.side_effects, priority=1, at_least=2)
    yield _list(question, "self_care", topic.self_care, priority=4)


def _test(question: Question) -> Iterator[Part]:
    if question.topic.tests is None:
        yield from _help(question)
    else:
        yield _list(question, "tests", question.topic.tests, priority=2)
        yield _list(question, "self_care", question.topic.self_care, priority=4)


def _prevention(question: Question) -> Iterator[Part]:
    lists = question.topic.prevention or question.topic.self_care
    rest = _fresh(question, lists, skip=1)
    if rest:
        yield Part(say("heading.prevention", question.lang), rest, question.topic.id, 2)
    if question.topic.prevention is not None:
        yield _list(question, "self_care", question.topic.self_care, priority=4)


def _serious(question: Question) -> Iterator[Part]:
    topic, lang = question.topic, question.lang
    week = topic.see_doctor.this_week[lang]
    yield Part(say("heading.this_week", lang), week, topic.id, 3, inline=True)
    yield _list(question, "self_care", topic.self_care, priority=5)


def _department(question: Question) -> Iterator[Part]:
    topic, lang = question.topic, question.lang
    yield Part(say("heading.tell", lang), topic.tell[lang], topic.id, 2, at_least=2)
    yield Part(say("heading.this_week", lang), topic.see_doctor.this_week[lang], topic.id, 3, inline=True)


_BODIES: dict[str, Callable[[Question], Iterator[Part]]] = {
    "help": _help, "cause": _cause, "medicine": _medicine, "dose": _medicine, "test": _test,
    "prevention": _prevention, "serious": _serious, "department": _department,
}  # fmt: skip


def _list(question: Question, name: str, lists: Lists, priority: int, at_least: int = 1) -> Part:
    items = _fresh(question, lists)
    return Part(say(f"heading.{name}", question.lang), items, question.topic.id, priority, False, at_least)


def _fresh(question: Question, lists: Lists, skip: int = 0) -> tuple[str, ...]:
    """A topic's items, those that an earlier answer showed already at the end."""
    items = lists[question.lang][skip:]
    return tuple(sorted(items, key=lambda item: item in question.said_before))


def _for_person(question: Question) -> Iterator[Part]:
    """A line for each thing known about the person, from the topic where it has one, else a general one."""
    groups: tuple[str, ...] = question.person.groups
    own = {str(group): text[question.lang] for group, text in question.topic.groups.items()}
    warned = any(True for topic in question.topics for _ in _interactions(question, topic))
    for group in groups[:3]:
        if group in own:
            yield Part(
                f"{_as(question, group)} {own[group]}", topic=question.topic.id, priority=1, needed=True, group=group
            )
        elif group in _MEDICINE_GROUPS and question.cues.intent in ("medicine", "dose", "help") and not warned:
            general = say(f"general_group.{group}", question.lang)
            yield Part(f"{_as(question, group)} {general}", priority=2, needed=True, group=group)


def _as(question: Question, group: str) -> str:
    weeks, age = question.person.profile.pregnant_weeks, question.person.profile.age
    if group == "pregnancy" and weeks is not None:
        return say("group.pregnancy_weeks", question.lang, weeks=str(weeks))
    if group == "elderly" and age is not None:
        return say("group.age", question.lang, age=str(age))
    return say(f"group.{group}", question.lang)


def _departments(question: Question) -> str:
    names = [question.departments[name][question.lang] for name in _department_ids(question)]
    return _either(names, question.lang)


def _department_ids(question: Question) -> list[str]:
    ids = list(question.topic.departments)
    if {"child", "infant"} & set(question.person.groups):
        ids = ["pediatrics", *(name for name in ids if name != "pediatrics")]
    return ids[:2]


def _either(names: Sequence[str], lang: Lang) -> str:
    return (" 또는 " if lang == "ko" else " or ").join(names)


def _question_back(question: Question) -> Iterator[Part]:
    """At most one question: the first whose answer is not known and that was not asked already."""
    if question.topic.kind == "first_aid" or question.level == Level.URGENT:
        return
    lang = question.lang
    for asked in question.topic.ask:
        if asked.about not in question.person.facts and asked[lang] not in question.said_before:
            yield Part(f"{say('heading.question', lang)} {asked[lang]}", priority=3, needed=True)
            return
