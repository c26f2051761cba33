"""What a batcher says of itself, from flushes that are written down by hand."""

from __future__ import annotations

from dataclasses import astuple, replace
from math import sqrt

import pytest

from perflab.batching.histogram import RELATIVE_ERROR, Quantiles
from perflab.batching.metrics import FlushTally
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
    assert astuple(metrics.flush_seconds) == pytest.approx((0.5, 1.5, 1.5, 1.5), rel=RELATIVE_ERROR)
    assert astuple(metrics.wait_seconds) == pytest.approx((0.25, 0.25, 0.25, 0.25), rel=RELATIVE_ERROR)


def test_a_copy_stays_as_it_is_and_leaves_the_tally_as_it_was() -> None:
    tally = FlushTally()
    tally.add(FLUSH, failed=1)
    copied, before = tally.copy(), tally.metrics(pending=0)
    tally.add(replace(FLUSH, waited=7.0, seconds=9.0, cause=Cause.CLOSE), failed=2)
    assert copied.metrics(pending=0) == before
    after = tally.metrics(pending=0)
    copied.add(replace(FLUSH, waited=70.0, seconds=90.0, cause=Cause.AGE), failed=2)
    assert tally.metrics(pending=0) == after
    assert after.wait_seconds.maximum == 7.0, "or nothing was added"


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


def test_batches_that_had_to_be_cut_are_counted() -> None:
    tally = FlushTally()
    tally.add(replace(FLUSH, too_much=True), failed=0)
    tally.add(FLUSH, failed=0)
    assert tally.metrics(pending=0).cut_batches == 1


def test_losses_are_shown_and_no_efficiency() -> None:
    tally = FlushTally()
    tally.add(replace(FLUSH, items=1, delivered=1, capacity=1, round_trips=5, round_trips_unbatched=3), failed=0)
    metrics = tally.metrics(pending=0)
    assert metrics.round_trips_saved == -2
    assert metrics.efficiency == 0.0
