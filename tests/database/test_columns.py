"""Rows by columns, and what the garbage collector has of it."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from perflab.database.columns import columns_of

ROWS = [(n, str(n), None) for n in range(1_000)]


def test_each_column_has_the_values_of_all_rows_in_their_order() -> None:
    assert columns_of(ROWS) == [list(column) for column in zip(*ROWS, strict=True)]
    assert columns_of([]) == []


def test_rows_of_several_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="rows have 1 to 3 values"):
        columns_of([*ROWS, (1,)])


@pytest.fixture
def collections() -> Iterator[list[int]]:
    """A number for each run of the garbage collector, which looks at every 500 objects more."""
    before, runs = gc.get_threshold(), []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "stop":
            runs.append(info["generation"])

    gc.collect()
    gc.callbacks.append(note)
    gc.set_threshold(500)
    yield runs
    gc.set_threshold(*before)
    gc.callbacks.remove(note)


def test_the_garbage_collector_has_no_more_to_do_with_more_rows(collections: list[int]) -> None:
    columns_of(ROWS)
    assert not collections
    list(zip(*ROWS, strict=True))
    assert collections, "what is not done"
