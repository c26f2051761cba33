"""Exactly the poison fails, its neighbours are written in order, and it takes few attempts."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from math import log2

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perflab.batching.isolation import isolate
from perflab.errors import DatabaseUnusable, LifecycleError, RejectedRow, StatementError, TransientError


class Table:
    """All or nothing, like a transaction: refuses a part that holds poison, and fails as it is told to."""

    def __init__(self, poison: frozenset[int] = frozenset(), fails: dict[int, Exception] | None = None) -> None:
        self.poison = poison
        self.fails = fails or {}
        self.attempts = 0
        self.rows: list[int] = []
        self.errors: dict[int, RejectedRow] = {}

    def write(self, part: Sequence[int]) -> list[str]:
        self.attempts += 1
        if self.attempts in self.fails:
            raise self.fails[self.attempts]
        for item in part:
            if item in self.poison:
                raise self.errors.setdefault(item, RejectedRow(f"{item} is poison"))
        self.rows += part
        return [f"result of {item}" for item in part]


@given(n=st.integers(0, 300), data=st.data())
def test_exactly_the_poison_fails(n: int, data: st.DataObject) -> None:
    items = data.draw(st.permutations(range(n))) if n < 40 else list(range(n))
    poison = frozenset(data.draw(st.sets(st.sampled_from(items), max_size=12)) if items else ())
    table = Table(poison)
    outcome = isolate(items, table.write)
    healthy = [item for item in items if item not in poison]
    assert outcome.delivered == [(item, f"result of {item}") for item in healthy]
    assert outcome.failed == [(item, table.errors[item]) for item in items if item in poison]
    assert outcome.undecided == []
    assert outcome.error is None
    assert table.rows == healthy, "each is written once, in order"


@pytest.mark.case("F31")
@given(st.integers(1, 1_000).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), max_size=30))))
@example((1, set()))
@example((1, {0}))
@example((80, {3, 58}))
@example((1_000, set(range(1_000))))
def test_it_takes_no_more_attempts_than_it_says(case: tuple[int, set[int]]) -> None:
    """Elsewhere one bad row fails its batch (clickhouse-scala-client#14)."""
    n, poison = case
    table = Table(frozenset(poison))
    outcome = isolate(range(n), table.write)
    assert outcome.attempts == table.attempts <= attempts_bound(n, len(poison))


@pytest.mark.parametrize("n", range(1, 13))
def test_it_takes_no_more_attempts_wherever_the_poison_stands(n: int) -> None:
    for mask in range(2**n):
        poison = frozenset(item for item in range(n) if mask & 1 << item)
        outcome = isolate(range(n), Table(poison).write)
        assert outcome.attempts <= attempts_bound(n, len(poison)), poison


def attempts_bound(n: int, bad: int) -> float:
    return 1.0 if bad == 0 else 2 * bad * (log2(n / bad) + 1) + 1


@pytest.mark.case("F31")
@pytest.mark.parametrize("position", [0, 7, 15])
def test_one_poison_item_first_in_the_middle_and_last(position: int) -> None:
    table = Table(frozenset({position}))
    outcome = isolate(range(16), table.write)
    assert [item for item, _ in outcome.failed] == [position]
    assert table.rows == [item for item in range(16) if item != position]
    assert outcome.attempts == 9, "the whole, and four halvings of two parts each"


@given(n=st.integers(1, 60), fail_at=st.integers(1, 30), data=st.data())
def test_a_passing_failure_leaves_the_rest_undecided_in_order(n: int, fail_at: int, data: st.DataObject) -> None:
    poison = frozenset(data.draw(st.sets(st.integers(0, n - 1), max_size=4)))
    passing = TransientError("busy")
    table = Table(poison, {fail_at: passing})
    outcome = isolate(range(n), table.write)
    decided = [item for item, _ in outcome.delivered] + [item for item, _ in outcome.failed]
    assert sorted(decided) + outcome.undecided == list(range(n)), "what is undecided is a tail, and in order"
    assert (outcome.error is passing) == bool(outcome.undecided) == (table.attempts == fail_at)
    assert table.rows == [item for item, _ in outcome.delivered]
    again = isolate(outcome.undecided, table.write)
    assert table.rows == [item for item in range(n) if item not in poison], "trying the rest again completes it"
    assert {item for item, _ in outcome.failed + again.failed} == poison


@pytest.mark.parametrize("error", [DatabaseUnusable("gone"), LifecycleError("closed"), sqlite3.OperationalError("x")])
def test_an_unusable_database_fails_everything_at_once(error: Exception) -> None:
    table = Table(frozenset({0}), {4: error})
    outcome = isolate(range(8), table.write)
    assert table.attempts == 4
    assert [item for item, _ in outcome.delivered] == []
    assert [item for item, _ in outcome.failed] == list(range(8))
    assert [raised for _, raised in outcome.failed[1:]] == [error] * 7
    assert outcome.undecided == []


@pytest.mark.parametrize("error", [StatementError("no such table"), ZeroDivisionError("a bug"), KeyError("a bug")])
def test_a_statement_or_a_bug_is_blamed_on_an_item_only_when_it_stands_alone(error: Exception) -> None:
    def write(part: Sequence[int]) -> list[int]:
        if 3 in part:
            raise error
        return list(part)

    outcome = isolate(range(8), write)
    assert outcome.failed == [(3, error)]
    assert [item for item, _ in outcome.delivered] == [0, 1, 2, 4, 5, 6, 7]


def test_what_is_no_exception_passes_through() -> None:
    def write(part: Sequence[int]) -> list[int]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        isolate(range(8), write)
