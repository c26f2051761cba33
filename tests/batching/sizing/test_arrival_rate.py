"""The load, as it is seen once per flush."""

from __future__ import annotations

import pytest

from perflab.batching.sizing.arrival_rate import ArrivalRate


def test_a_steady_load_is_its_rate() -> None:
    rate = ArrivalRate()
    for flush in range(20):
        rate.update(10 * (flush + 1), 0.5 * flush)
    assert rate.per_second == pytest.approx(20)


def test_nothing_is_known_before_two_flushes_or_while_the_clock_stands_still() -> None:
    rate = ArrivalRate()
    rate.update(0, 0.0)
    assert rate.per_second is None
    rate.update(5, 100.0)
    assert rate.per_second is None
    rate.update(50, 100.0)
    assert rate.per_second is None
    rate.update(60, 101.0)
    assert rate.per_second is not None


def test_a_clock_that_runs_backwards_is_no_rate() -> None:
    rate = ArrivalRate()
    for arrived, now in ((1, 10.0), (2, 5.0), (3, 4.0)):
        rate.update(arrived, now)
    assert rate.per_second is None


def test_one_item_after_a_long_silence_is_no_burst() -> None:
    rate = ArrivalRate()
    for flush in range(50):
        rate.update(100 * (flush + 1), 0.01 * flush)
    assert rate.per_second == pytest.approx(10_000)
    rate.update(5_001, 10.0)
    assert rate.per_second is not None
    assert rate.per_second < 100


def test_a_burst_is_noticed_within_ten_flushes() -> None:
    rate = ArrivalRate()
    for flush in range(50):
        rate.update(flush + 1, 0.01 * flush)
    for flush in range(10):
        rate.update(50 + 100 * (flush + 1), 0.49 + 0.01 * (flush + 1))
    assert rate.per_second is not None
    assert rate.per_second > 5_000
