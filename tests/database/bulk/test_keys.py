"""One order of locks, and the last of those with one key."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.database.bulk.keys import arrange, in_key_order
from perflab.database.bulk.parts import Duplicates, Key

ROWS = st.lists(st.tuples(st.integers(0, 9), st.text("ab", max_size=1), st.integers()), max_size=20)


def key(*positions: int, duplicates: Duplicates = Duplicates.LAST) -> Key:
    return Key(tuple(f"c{at}" for at in positions), positions, duplicates)


@given(ROWS, st.sampled_from([(0,), (1,), (0, 1), (1, 0)]))
def test_the_last_of_each_key_in_their_order(rows: list[Any], positions: tuple[int, ...]) -> None:
    arranged = arrange(rows, key(*positions))
    assert arranged is not None
    keys = [tuple(row[at] for at in positions) for row in rows]
    sent = [keys[index] for index in arranged.order]
    assert sent == sorted(set(keys))
    for index, place in enumerate(arranged.place):
        assert keys[arranged.order[place]] == keys[index]
        assert arranged.order[place] == max(other for other in range(len(rows)) if keys[other] == keys[index])
    assert arranged.superseded == len(rows) - len(set(keys))


@given(ROWS)
def test_all_of_each_key_as_they_came(rows: list[Any]) -> None:
    arranged = arrange(rows, key(0, duplicates=Duplicates.ALL))
    assert arranged is not None
    assert list(arranged.order) == sorted(range(len(rows)), key=lambda index: (rows[index][0], index))
    assert [arranged.order[place] for place in arranged.place] == list(range(len(rows)))
    assert arranged.superseded == 0


@given(ROWS)
def test_rows_that_build_upon_each_other_are_kept_apart(rows: list[Any]) -> None:
    arranged = arrange(rows, key(0, duplicates=Duplicates.APART))
    if len({row[0] for row in rows}) < len(rows):
        assert arranged is None
    else:
        assert arranged == arrange(rows, key(0))


@pytest.mark.parametrize(
    "values",
    [[1, True], [1, 1.0], [1, None], [None, None], [1, "1"], [{}, {}], [[1], [2]]],
    ids=repr,
)
def test_keys_that_python_may_take_for_others_are_left_to_the_database(values: list[Any]) -> None:
    rows = [(value,) for value in values]
    for duplicates in Duplicates:
        if values == [[1], [2]] and duplicates is Duplicates.ALL:
            continue  # lists have an order, and none of them is dropped
        assert arrange(rows, key(0, duplicates=duplicates)) is None


def test_moments_that_cannot_be_compared_are_left_to_the_database() -> None:
    naive = datetime(2013, 8, 20)  # noqa: DTZ001
    assert arrange([(naive,), (naive.replace(tzinfo=UTC),)], key(0)) is None


def test_rows_one_after_the_other_are_sorted_where_they_can_be() -> None:
    rows = [(2, "a"), (1, "b"), (2, "c"), (1, "d")]
    assert list(in_key_order(rows, key(0))) == [1, 3, 0, 2]
    assert list(in_key_order(rows, None)) == [0, 1, 2, 3]
    assert list(in_key_order([(2,), (None,), (1,)], key(0))) == [0, 1, 2]
