"""What holds for every policy, whatever it is told."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.batching.sizing.choice import SizingChoice
from perflab.batching.sizing.policy import Demand, Lesson, Observation
from tests.batching.sizing.policies import ALL, cost, start

seconds = st.floats(1e-7, 10.0) | st.sampled_from([0.0, -1.0, 1e-300, 1e300, math.inf, math.nan])
observations = st.builds(Observation, st.integers(1, 1_000), st.just(0), seconds, st.sampled_from(Lesson))
steps = st.lists(
    st.tuples(observations, st.floats(0, 1.0) | st.just(0.0), st.integers(0, 10_000), st.integers(0, 10**9)),
    max_size=60,
)


@pytest.mark.parametrize("choice", ALL)
@settings(max_examples=40)
@given(steps=steps, batch_size=st.integers(1, 700), flush_interval=st.sampled_from([0.0, 0.010, 5.0]))
def test_targets_stay_within_the_limits(
    choice: SizingChoice,
    steps: list[tuple[Observation, float, int, int]],
    batch_size: int,
    flush_interval: float,
) -> None:
    policy = start(choice, batch_size=batch_size, flush_interval=flush_interval)
    now, arrived = 1e6, 0
    for observation, later, more, waiting in steps:
        now, arrived = now + later, arrived + more
        policy.observe(observation)
        target = policy.target(Demand(now, arrived, waiting))
        assert 1 <= target.enough <= target.items <= batch_size
        assert 0 <= target.wait_seconds <= flush_interval
        assert target.summed_age_seconds is None or 0 <= target.summed_age_seconds < math.inf
        explanation = policy.explain()
        assert explanation.target == target
        assert "nan" not in str(explanation)


@pytest.mark.parametrize("choice", ALL)
@settings(max_examples=20)
@given(items=st.integers(1, 500), seconds=st.floats(1e-6, 1.0))
def test_a_constant_size_and_time_leave_it_at_rest(choice: SizingChoice, items: int, seconds: float) -> None:
    """The same flush over and over, as with one client that waits for each result: nothing is learned from it, and
    nothing may move."""
    policy = start(choice)
    targets = []
    for flush in range(200):
        policy.observe(cost(items, seconds))
        targets.append(policy.target(Demand(flush * (seconds + 0.001), (flush + 1) * items, 0)))
    settled = targets[150:]
    assert max(t.items for t in settled) <= 10 * max(items, min(t.items for t in settled))
    assert max(t.wait_seconds for t in settled) <= 0.010


@pytest.mark.parametrize("choice", ALL)
def test_a_clock_that_stands_still_changes_nothing_for_the_worse(choice: SizingChoice) -> None:
    policy = start(choice)
    for flush in range(200):
        target = policy.target(Demand(1_000.0, 10 * flush, 0))
        assert 1 <= target.enough <= target.items <= 500
        policy.observe(cost(target.items, 0.0))
    assert policy.explain().flushes_learned == 0


@pytest.mark.parametrize("choice", ALL)
def test_the_same_observations_give_the_same_targets(choice: SizingChoice) -> None:
    def run() -> list[object]:
        policy = start(choice, seed=3)
        targets: list[object] = []
        for flush in range(100):
            target = policy.target(Demand(0.01 * flush, 50 * flush, flush % 7))
            targets.append(target)
            policy.observe(cost(max(1, target.items - flush % 5), 0.0002 + 0.00001 * target.items))
        return targets

    assert run() == run()


@pytest.mark.parametrize("choice", ALL)
@pytest.mark.parametrize("seconds", [math.nan, math.inf, 1e300])
def test_what_is_no_time_teaches_nothing(choice: SizingChoice, seconds: float) -> None:
    policy = start(choice)
    before = policy.target(Demand(0.0, 0, 0)).items
    for _ in range(20):
        policy.observe(cost(before, seconds))
    assert policy.target(Demand(0.0, 0, 0)).items in range(before // 8, before + 1)
    assert policy.explain().flushes_learned == 0
