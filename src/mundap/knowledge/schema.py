"""What one knowledge topic holds: the shape of `topics/*.yaml`, checked by pydantic."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from mundap.types import Lang

Kind = Literal["symptom", "condition", "medicine", "test", "first_aid", "prevention", "mental_health"]
Group = Literal[
    "infant", "child", "pregnancy", "breastfeeding", "elderly", "kidney", "liver", "heart",
    "diabetes", "hypertension", "asthma", "ulcer", "anticoagulant", "immunocompromised", "allergy",
]  # fmt: skip
Fact = Literal[
    "onset", "age", "severity", "location", "fever", "pregnancy", "medicines", "conditions",
    "injury", "exposure", "frequency", "trigger", "other_symptoms", "value",
]  # fmt: skip
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=2)]
MIN_HANGUL = 600
DRAFT = "draft, not reviewed by a clinician"


class Strict(BaseModel):
    """Unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Both(Strict):
    """One text in Korean and English."""

    ko: Text
    en: Text

    def __getitem__(self, lang: Lang) -> str:
        return self.ko if lang == "ko" else self.en


class Lists(Strict):
    """The same items in Korean and English, in the same order."""

    ko: tuple[Text, ...] = Field(min_length=1)
    en: tuple[Text, ...] = Field(min_length=1)

    def __getitem__(self, lang: Lang) -> tuple[str, ...]:
        return self.ko if lang == "ko" else self.en

    @model_validator(mode="after")
    def _same_length(self) -> Lists:
        if len(self.ko) != len(self.en):
            raise ValueError(f"{len(self.ko)} Korean items but {len(self.en)} English ones")
        return self


class Aliases(Strict):
    """The words people use; Korean and English lists are independent."""

    ko: tuple[Text, ...] = Field(min_length=6)
    en: tuple[Text, ...] = Field(min_length=4)

    def __getitem__(self, lang: Lang) -> tuple[str, ...]:
        return self.ko if lang == "ko" else self.en


class See(Strict):
    """When to see a doctor without it being an emergency: each item is a situation."""

    today: Lists
    this_week: Lists


class Question(Both):
    """A question to ask back, and the fact it would settle, so that a known fact is not asked again."""

    about: Fact


class Substance(Strict):
    """A medicine people take for this topic, and its caution."""

    name: Both
    note: Both


class Interaction(Strict):
    """Something that does not go well with a medicine. `words` are the names people use for it."""

    name: Both
    words: tuple[Text, ...] = ()
    note: Both


class Medicine(Strict):
    """What only a medicine topic has. `label` is the printed label's general limit, over-the-counter products only."""

    substance: Both
    brands: tuple[Text, ...] = ()
    prescription: bool
    label: Both | None = None
    cautions: Lists
    side_effects: Lists
    interactions: tuple[Interaction, ...] = Field(min_length=2)


class Reference(Strict):
    """A published source. Named by us from general knowledge; nobody has checked the wording against it yet."""

    publisher: Text
    title: Text
    year: int = Field(ge=1990, le=2026)


class Topic(Strict):
    """One topic of the embedded knowledge, in Korean and English."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{2,40}$")]
    kind: Kind
    title: Both
    aliases: Aliases
    departments: tuple[str, ...] = Field(min_length=1, max_length=3)
    summary: Both
    causes: Lists
    self_care: Lists
    tests: Lists | None = None
    prevention: Lists | None = None
    medicines: tuple[Substance, ...] = ()
    see_doctor: See
    go_now: Lists
    ask: tuple[Question, ...] = Field(min_length=1, max_length=5)
    tell: Lists
    groups: dict[Group, Both] = Field(min_length=2)
    medicine: Medicine | None = None
    instead_for: dict[Group, str] = Field(default_factory=dict)
    references: tuple[Reference, ...] = Field(min_length=1)
    review: Text = DRAFT

    @model_validator(mode="after")
    def _whole(self) -> Topic:
        if (self.kind == "medicine") != (self.medicine is not None):
            raise ValueError("`medicine:` belongs to topics of kind medicine, and to all of them")
        hangul = self.hangul()
        if hangul < MIN_HANGUL:
            raise ValueError(f"only {hangul} Hangul syllables of substance; at least {MIN_HANGUL} are needed")
        return self

    def hangul(self) -> int:
        """Hangul syllables of substance: everything but title, aliases, references and review."""
        body = self.model_dump_json(exclude={"title", "aliases", "references", "review"})
        return len(re.findall(r"[가-힣]", body))
