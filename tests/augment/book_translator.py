"""A translator for tests that has a few sentences by heart; its weights carry a licence."""

from __future__ import annotations

from collections.abc import Sequence

from mundap.errors import ModelError
from mundap.types import Lang

BOOK = {
    "Headache": "두통",
    "My head hurts for 3 days.": "3일째 머리가 아파요.",
    "Should I rest?": "쉬어야 하나요?",
    "Rest well.": "푹 쉬세요.",
    "Take ⟦0⟧ ⟦1⟧ times a day.": "⟦0⟧을 하루 ⟦1⟧번 드세요.",
    "Do not drive.": "운전하세요.",
    "It may be a migraine.": "머리 병일 수 있어요.",
    "머리가 아파요.": "My head hurts.",
}
asked: list[tuple[str, ...]] = []
limit = 10**9  # calls after which the quota is used up


class Book:
    name, model, version = "book", "toy", "7"
    notice, licence = "These weights are not for sale.", "CC BY-NC 4.0"

    def __init__(self, note: str = "") -> None:
        self.notice = note or self.notice

    def __call__(self, texts: Sequence[str], source: Lang, target: Lang) -> list[str]:
        if len(asked) >= limit:
            raise ModelError("the quota is used up")
        asked.append(tuple(texts))
        return [BOOK.get(text, "") for text in texts]
