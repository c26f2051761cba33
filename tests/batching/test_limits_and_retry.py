"""Settings: what is refused, what follows from what is left out, and the bounds of a back-off."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.batching.limits import Limits, make_limits
from perflab.batching.retry import RetryPolicy
from perflab.errors import InvalidInput


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("batch_size", 0),
        ("batch_size", -1),
        ("batch_size", 1_000_001),
        ("batch_size", 1.5),
        ("batch_size", True),
        ("batch_size", "500"),
        ("flush_interval", -0.001),
        ("flush_interval", math.nan),
        ("flush_interval", math.inf),
        ("flush_interval", 86_401),
        ("flush_interval", None),
        ("batch_bytes", 0),
        ("batch_bytes", 1.5),
        ("max_pending", 0),
        ("max_pending", 499),
        ("max_pending", math.inf),
        ("max_pending_bytes", 0),
        ("max_pending_bytes", True),
    ],
)
def test_limits_out_of_range_are_refused_by_name(setting: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=rf"{setting} is "):
        Limits(**{setting: value})


def test_a_buffer_smaller_than_a_batch_is_refused() -> None:
    with pytest.raises(InvalidInput, match="max_pending_bytes is 99: it must lie between 100"):
        Limits(batch_bytes=100, max_pending_bytes=99)
    assert Limits(batch_bytes=100, max_pending_bytes=100).measures_bytes


def test_bytes_are_measured_only_where_they_are_bounded() -> None:
    assert not Limits().measures_bytes
    assert Limits(batch_bytes=1).measures_bytes
    assert Limits(max_pending_bytes=1).measures_bytes


@pytest.mark.parametrize(("batch_size", "max_pending"), [(1, 10_000), (500, 10_000), (501, 10_020), (5_000, 100_000)])
def test_a_buffer_that_is_not_stated_holds_twenty_batches(batch_size: int, max_pending: int) -> None:
    assert make_limits(batch_size, 0.01, None, None, None).max_pending == max_pending
    assert make_limits(batch_size, 0.01, None, batch_size, None).max_pending == batch_size


@pytest.mark.parametrize("batch_size", ["500", None, 10**7, 0])
def test_a_bad_batch_size_is_refused_before_anything_follows_from_it(batch_size: Any) -> None:
    with pytest.raises(InvalidInput, match="batch_size is"):
        make_limits(batch_size, 0.01, None, None, None)


@pytest.mark.parametrize(
    "settings",
    [
        {"base_seconds": 0.0},
        {"base_seconds": -1.0},
        {"base_seconds": math.nan},
        {"cap_seconds": 0.001, "base_seconds": 0.01},
        {"cap_seconds": math.inf},
        {"delivery_timeout": -1.0},
        {"delivery_timeout": math.inf},
        {"delivery_timeout": 43_201.0},
        {"delivery_timeout": "30"},
    ],
)
def test_a_bad_retry_policy_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=rf"{next(iter(settings))} is "):
        RetryPolicy(**settings)


@given(
    base=st.floats(1e-6, 10.0),
    factor=st.floats(1.0, 1e6),
    attempt=st.integers(1, 10_000),
    seed=st.integers(0, 2**32),
)
def test_a_delay_lies_between_nothing_and_a_bound_that_doubles(
    base: float, factor: float, attempt: int, seed: int
) -> None:
    policy = RetryPolicy(base_seconds=base, cap_seconds=base * factor)
    longest = min(policy.cap_seconds, base * 2.0 ** min(attempt - 1, 60))
    assert 0.0 <= policy.delay(attempt, Random(seed)) <= longest


def test_the_jitter_is_full() -> None:
    """The delays fill the whole range evenly: batchers that failed together do not come back together."""
    policy = RetryPolicy(base_seconds=1.0, cap_seconds=8.0)
    random = Random(7)
    for attempt, longest in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 8.0), (50, 8.0)):
        delays = [policy.delay(attempt, random) for _ in range(2_000)]
        quarters = [sum(quarter <= delay * 4 / longest < quarter + 1 for delay in delays) for quarter in range(4)]
        assert sum(quarters) == 2_000
        assert min(quarters) > 400
