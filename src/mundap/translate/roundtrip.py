"""A translation translated back and compared with the text: shares little of it, look again. A hint, never a proof."""

from __future__ import annotations

from collections.abc import Sequence

from mundap.errors import MissingExtra
from mundap.translate.checks import limit
from mundap.translate.shielded import Shielded
from mundap.types import Lang


def ready() -> None:
    """Raise `MissingExtra` when the library that compares texts is not installed."""
    try:
        import sacrebleu  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra("`round_trip` needs sacrebleu: pip install 'mundap[evaluate]'") from error


def doubtful(
    texts: Sequence[str], translations: Sequence[str], back: Shielded, source: Lang, target: Lang
) -> list[bool]:
    """Whether each translation, put back into the source language by `back`, has a chrF below the limit of the data."""
    return [score < limit("chrf") for score in scores(texts, back.unchecked(translations, target, source))]


def scores(texts: Sequence[str], others: Sequence[str]) -> list[float]:
    """chrF of each pair, 0 to 100 (Popović 2015; 6-grams of characters, as sacrebleu computes it)."""
    from sacrebleu.metrics.chrf import CHRF

    chrf = CHRF()
    return [
        float(chrf.sentence_score(other, [text]).score) if text.strip() else 100.0
        for text, other in zip(texts, others, strict=True)
    ]
