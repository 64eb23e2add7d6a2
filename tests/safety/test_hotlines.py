"""Phone numbers are checked at least every 180 days."""

from __future__ import annotations

from datetime import date, timedelta

from mundap.safety.hotlines import checked_on, hotline, numbers
from mundap.safety.ruleset import rules

FRESH = timedelta(days=180)


def stale(today: date) -> bool:
    return today - checked_on() > FRESH


def test_someone_checked_the_numbers_lately() -> None:
    assert not stale(date.today()), "check every number again, then set checked_on in hotlines.yaml"


def test_old_numbers_are_noticed() -> None:
    assert not stale(checked_on() + timedelta(days=180))
    assert stale(checked_on() + timedelta(days=181))


def test_the_file_is_complete() -> None:
    assert {"119", "1339", "109", "1577-0199", "1388", "1366", "112", "1342", "129", "1855-2221"} <= numbers()
    for number in numbers():
        for lang in ("ko", "en"):
            line = hotline(number, lang)  # type: ignore[arg-type]
            assert all((line.name, line.purpose, line.hours))


def test_no_rule_shows_an_unknown_or_retired_number() -> None:
    assert all(number in numbers() for rule in rules() for number in rule.hotlines)
    assert "1393" not in numbers()
