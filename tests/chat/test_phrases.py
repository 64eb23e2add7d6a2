"""Fixed sentences and the particles in them."""

import pytest

from mundap.chat.phrases import names, particles, say


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("타이레놀은(는)", "타이레놀은"),
        ("두드러기은(는)", "두드러기는"),
        ("와파린과(와) 약", "와파린과 약"),
        ("아스피린(저용량)과(와)", "아스피린(저용량)과"),
        ("소염진통제(부루펜 등)을(를)", "소염진통제(부루펜 등)을"),
        ("SmolLM2은(는)", "SmolLM2는"),
    ],
)
def test_particles_fit_the_word_before_them(written: str, expected: str) -> None:
    assert particles(written) == expected


def test_blanks_are_filled() -> None:
    assert say("group.pregnancy_weeks", "ko", weeks="20") == "임신 20주라고 하셔서,"
    assert "help" in names("follow_ups")
