from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.errors import InvalidInput
from perflab.queue.backoff import Backoff


@given(
    attempt=st.integers(1, 32_767),
    base=st.floats(0, 100),
    cap=st.floats(0, 10_000),
    seed=st.integers(),
)
def test_a_delay_lies_between_zero_and_the_longest(attempt: int, base: float, cap: float, seed: int) -> None:
    backoff = Backoff(base, cap)
    assert 0 <= backoff.delay_seconds(attempt, Random(seed)) <= backoff.longest_seconds(attempt) <= cap


def test_the_longest_delay_doubles_up_to_the_cap() -> None:
    backoff = Backoff(base_seconds=1, cap_seconds=10)
    assert [backoff.longest_seconds(attempt) for attempt in (1, 2, 3, 4, 5, 32_767)] == [1, 2, 4, 8, 10, 10]


def test_delays_use_the_whole_range() -> None:
    rng = Random(0)
    delays = [Backoff(base_seconds=8).delay_seconds(1, rng) for _ in range(1_000)]
    assert min(delays) < 0.1
    assert max(delays) > 7.9
    assert 3.5 < sum(delays) / len(delays) < 4.5


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "1", True])
def test_what_is_no_duration_is_refused(seconds: float) -> None:
    with pytest.raises(InvalidInput, match="base_seconds"):
        Backoff(base_seconds=seconds)
    with pytest.raises(InvalidInput, match="cap_seconds"):
        Backoff(cap_seconds=seconds)
