"""Measured values: quantiles, and the label of results."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.lab.network.measured import RECENT_DELIVERIES, AddedRoundTrip, LatenessRecord, quantile


@given(st.lists(st.floats(0, 1), min_size=1), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_the_least_value_with_its_share_at_or_below(values: list[float], share: float) -> None:
    found = quantile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) < share * len(values)


def test_the_label_says_what_was_measured_and_what_was_asked() -> None:
    added = AddedRoundTrip(
        asked_seconds=0.0005, median_seconds=0.00062, p99_seconds=0.0008, direct_seconds=0.00004, pings=100
    )
    assert str(added) == "+0.62 ms round trip (measured over 100 pings, p99 0.80 ms, asked 0.5 ms)"


def test_lateness_counts_all_and_summarises_the_most_recent() -> None:
    record = LatenessRecord()
    assert record.summary().deliveries == 0
    assert math.isnan(record.summary().median_seconds)
    for _ in range(10):
        record.add(1.0)
    assert record.summary().largest_seconds == 1.0
    for number in range(RECENT_DELIVERIES):
        record.add(number / 1e6)
    summary = record.summary()
    assert summary.deliveries == RECENT_DELIVERIES + 10
    assert summary.median_seconds == pytest.approx(0.01, rel=1e-3)
    assert summary.p99_seconds == pytest.approx(0.0198, rel=1e-3)
    assert summary.largest_seconds == pytest.approx(0.02, rel=1e-3)
