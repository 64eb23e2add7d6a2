"""Budget, pace and pauses."""

from __future__ import annotations

import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mundap.asking.limits import Budget, Pace


def test_no_budget_ends_nothing() -> None:
    budget = Budget()
    assert all(budget.admit(10**9) for _ in range(100))
    assert budget.over == ""


def test_a_budget_waits_to_see_what_was_spent() -> None:
    budget = Budget(tokens=100)
    assert budget.admit(60)
    landing = threading.Timer(0.05, budget.settle, (60, 10))
    landing.start()
    assert budget.admit(60)  # after the first one took 10
    landing.join()
    budget.settle(60, 60)
    assert budget.spent == 70
    assert not budget.admit(31)
    assert not budget.admit(1)  # once ended it stays so
    assert budget.over == "100 tokens"


@given(
    some.lists(some.tuples(some.integers(0, 50), some.integers(0, 50)), max_size=40),
    some.integers(0, 400),
    some.randoms(use_true_random=False),
)
def test_a_budget_ends_where_it_would_one_by_one(costs: list[tuple[int, int]], limit: int, dice: random.Random) -> None:
    spent = [(max(pair), min(pair)) for pair in costs]
    one, many = Budget(tokens=limit), Budget(tokens=limit)
    expected = [one.admit(most) and (one.settle(most, cost) or True) for most, cost in spent]  # type: ignore[func-returns-value]
    found, flying = [], list[tuple[int, int]]()
    for most, cost in spent:
        while flying and (not many._fits(most) or dice.random() < 0.3):
            many.settle(*flying.pop(dice.randrange(len(flying))))
        found.append(many.admit(most))
        if found[-1]:
            flying.append((most, cost))
    assert found == expected
    assert one.spent <= limit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_pace_of_requests() -> None:
    clock = Clock()
    pace = Pace(requests=60, clock=clock)
    waits = [pace.take(0) for _ in range(8)]
    assert waits == [0, 0, 0, 0, 0, 1, 2, 3]
    clock.now = 1000
    assert pace.take(0) == 0


def test_pace_of_tokens_and_what_is_given_back() -> None:
    pace = Pace(tokens=6000, clock=Clock())
    assert pace.take(600) == pytest.approx(1.0)  # 500 at once, 100 a second
    pace.give_back(500)
    assert pace.take(100) == 0


def test_a_hold_stops_everything() -> None:
    clock = Clock()
    pace = Pace(clock=clock)
    assert pace.take(5) == 0
    pace.hold(3)
    pace.hold(1)
    assert (pace.take(5), pace.held()) == (3, 3)
    clock.now = 4
    assert (pace.take(5), pace.held()) == (0, 0)
