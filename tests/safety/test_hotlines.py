"""Phone numbers are checked at least every 180 days."""

from __future__ import annotations

from datetime import date, timedelta

from mundap.safety.hotlines import hotlines, stale
from mundap.safety.ruleset import rules


def test_someone_checked_the_numbers_lately() -> None:
    assert not stale(date.today()), "check every number again, then set checked_on in hotlines.yaml"


def test_old_numbers_are_noticed() -> None:
    checked = hotlines()["119"].checked_on
    assert not stale(checked + timedelta(days=180))
    assert set(stale(checked + timedelta(days=181))) == set(hotlines())


def test_the_file_is_complete() -> None:
    assert {"119", "1339", "109", "1577-0199", "1388", "1366", "112", "1342", "129", "1855-2221"} == set(hotlines())
    assert all(line.what["ko"] and line.what["en"] and line.hours["ko"] and line.source for line in hotlines().values())


def test_no_rule_shows_an_unknown_or_retired_number() -> None:
    assert all(number in hotlines() for rule in rules() for number in rule.hotlines)
    assert "1393" not in hotlines()
