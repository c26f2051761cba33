"""Quantiles are near the measured ones, of the last flushes, and need no more room for more of them."""

from __future__ import annotations

from dataclasses import astuple
from math import ceil

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perflab.batching.histogram import (
    BUCKETS_OF_AN_OCTAVE,
    RELATIVE_ERROR,
    SMALLEST_SECONDS,
    WINDOW,
    Histogram,
    Quantiles,
    RecentTimes,
    quantiles_of,
)


@given(st.lists(st.floats(SMALLEST_SECONDS, 1e6), min_size=1), st.integers(0, 100))
@example([0.5], 0)
@example([0.5, 1.0 - 2**-53, 1.0], 1)
def test_quantiles_are_those_of_the_sorted_values(values: list[float], cut: int) -> None:
    first, second = Histogram(), Histogram()
    for value in values[:cut]:
        first.add(value)
    for value in values[cut:]:
        second.add(value)
    ordered = sorted(values)
    exact = [ordered[ceil(share * len(ordered)) - 1] for share in (0.50, 0.90, 0.99)]
    quantiles = quantiles_of((first, second))
    assert astuple(quantiles)[:3] == pytest.approx(exact, rel=RELATIVE_ERROR)
    assert quantiles.maximum == ordered[-1]
    assert quantiles.p50 <= quantiles.p90 <= quantiles.p99 <= quantiles.maximum


def test_before_the_first_all_is_zero_and_so_is_nothing_at_all() -> None:
    times = RecentTimes()
    assert times.quantiles() == Quantiles()
    times.add(0.0)
    assert times.quantiles() == Quantiles()


def test_what_is_long_ago_does_not_count() -> None:
    times = RecentTimes()
    for _ in range(WINDOW):
        times.add(9.0)
    for _ in range(WINDOW):
        times.add(0.5)
    assert times.quantiles().maximum == 9.0, "the window before still counts"
    times.add(0.5)
    assert times.quantiles() == Quantiles(0.5, 0.5, 0.5, 0.5)


def test_a_million_fold_range_needs_few_buckets() -> None:
    histogram = Histogram()
    for n in range(100_000):
        histogram.add(1e-6 * 1.000138**n)
    assert histogram.maximum > 0.9
    assert len(histogram.counts) <= 21 * BUCKETS_OF_AN_OCTAVE
