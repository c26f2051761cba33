"""What a batcher says of itself, from flushes that are written down by hand."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.batching.metrics import RECENT_FLUSHES, FlushTally, Quantiles
from perflab.events import Cause, FlushCompleted, Outcome

FLUSH = FlushCompleted(
    items=8,
    delivered=8,
    capacity=10,
    bytes=0,
    seconds=0.5,
    waited=0.25,
    round_trips=3,
    round_trips_unbatched=24,
    cause=Cause.AGE,
    outcome=Outcome.COMMITTED,
    attempt=1,
)


def test_nothing_done_is_all_zero() -> None:
    metrics = FlushTally().metrics(pending=5)
    assert (metrics.items, metrics.batches, metrics.round_trips, metrics.round_trips_saved) == (0, 0, 0, 0)
    assert (metrics.utilisation, metrics.efficiency, metrics.mean_batch) == (0.0, 0.0, 0.0)
    assert metrics.causes == {}
    assert metrics.wait_seconds == metrics.flush_seconds == Quantiles()
    assert metrics.pending == 5


def test_flushes_add_up() -> None:
    tally = FlushTally()
    tally.add(replace(FLUSH, superseded=2), failed=0)
    tally.add(
        replace(FLUSH, superseded=1, items=10, delivered=9, cause=Cause.COUNT, outcome=Outcome.PARTIAL, seconds=1.5),
        failed=1,
    )
    metrics = tally.metrics(pending=0)
    assert (metrics.items, metrics.batches, metrics.failed, metrics.retries) == (17, 2, 1, 0)
    assert (metrics.round_trips, metrics.round_trips_saved) == (6, 42)
    assert metrics.utilisation == 18 / 20
    assert metrics.efficiency == pytest.approx(sqrt(0.9 * 42 / 48))
    assert metrics.mean_batch == 8.5
    assert metrics.superseded == 3
    assert metrics.causes == {Cause.AGE: 1, Cause.COUNT: 1}
    assert metrics.flush_seconds == Quantiles(p50=0.5, p90=1.5, p99=1.5, maximum=1.5)
    assert metrics.wait_seconds == Quantiles(0.25, 0.25, 0.25, 0.25)


def test_a_retry_is_the_same_batch_once_more() -> None:
    tally = FlushTally()
    tally.add(replace(FLUSH, delivered=0, round_trips_unbatched=0, outcome=Outcome.RETRIED), failed=0)
    tally.add(replace(FLUSH, attempt=2), failed=0)
    metrics = tally.metrics(pending=0)
    assert (metrics.items, metrics.batches, metrics.retries) == (8, 1, 1)
    assert metrics.causes == {Cause.AGE: 1}
    assert metrics.utilisation == 0.8
    assert metrics.round_trips == 6, "a failed attempt cost round trips too"
    assert metrics.round_trips_saved == 18


def test_what_failed_without_a_flush_is_counted() -> None:
    tally = FlushTally()
    tally.add(None, failed=3)
    assert tally.metrics(pending=0).failed == 3
    assert tally.metrics(pending=0).batches == 0


def test_losses_are_shown_and_no_efficiency() -> None:
    tally = FlushTally()
    tally.add(replace(FLUSH, items=1, delivered=1, capacity=1, round_trips=5, round_trips_unbatched=3), failed=0)
    metrics = tally.metrics(pending=0)
    assert metrics.round_trips_saved == -2
    assert metrics.efficiency == 0.0


def test_quantiles_are_of_the_last_flushes() -> None:
    tally = FlushTally()
    for _ in range(RECENT_FLUSHES):
        tally.add(replace(FLUSH, seconds=9.0), failed=0)
    for _ in range(RECENT_FLUSHES):
        tally.add(FLUSH, failed=0)
    assert tally.metrics(pending=0).flush_seconds.maximum == 0.5


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_quantiles_are_measured_values_in_order(values: list[float]) -> None:
    quantiles = Quantiles.of(values)
    assert {quantiles.p50, quantiles.p90, quantiles.p99, quantiles.maximum} <= set(values)
    assert quantiles.p50 <= quantiles.p90 <= quantiles.p99 <= quantiles.maximum == max(values)
    assert sum(value <= quantiles.p90 for value in values) >= 0.9 * len(values)
    assert sum(value < quantiles.p90 for value in values) < 0.9 * len(values)


def test_quantiles_of_a_hundred_are_the_ranks() -> None:
    assert Quantiles.of(range(1, 101)) == Quantiles(50, 90, 99, 100)
