"""What a policy chooses, within what the fleet allows."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.batching.fleet.settings import FleetSettings
from perflab.batching.fleet.sizing import FleetSizing
from perflab.batching.limits import Limits
from perflab.batching.sizing.policy import Demand, Surroundings
from perflab.errors import InvalidInput

DEMAND = Demand(0.0, 0, 0)
LIMITS = Limits(batch_size=100, flush_interval=1.0)


@given(
    batch_size=st.none() | st.integers(1, 1_000),
    flush_interval=st.none() | st.floats(0.0, 10.0),
    jitter=st.floats(0.0, 1.0),
    seed=st.integers(),
)
def test_settings_only_ever_tighten(
    batch_size: int | None, flush_interval: float | None, jitter: float, seed: int
) -> None:
    settings = FleetSettings(batch_size, flush_interval, jitter=jitter)
    target = FleetSizing(lambda: settings).start(Surroundings(LIMITS, Random(seed).random)).target(DEMAND)
    longest = min(1.0, 1.0 if flush_interval is None else flush_interval)
    assert target.items == target.enough == min(100, batch_size or 100)
    assert longest * (1.0 - jitter) <= target.wait_seconds <= longest
    if not jitter:
        assert target.wait_seconds == longest


def test_instances_draw_waits_of_their_own() -> None:
    settings = FleetSettings(jitter=0.5)
    waits = {
        FleetSizing(lambda: settings).start(Surroundings(LIMITS, Random(seed).random)).target(DEMAND).wait_seconds
        for seed in range(20)
    }
    assert len(waits) == 20
    assert max(waits) - min(waits) > 0.25


def test_new_settings_hold_for_the_next_target() -> None:
    present = FleetSettings()
    policy = FleetSizing(lambda: present, within="adaptive").start(Surroundings(LIMITS, Random(1).random))
    before = policy.target(DEMAND).items
    present = FleetSettings(batch_size=1)
    assert policy.target(DEMAND).items == 1 < before
    assert "The fleet allows 1." in str(policy.explain())
    present = FleetSettings()
    assert policy.target(DEMAND).items == before
    assert "allows" not in str(policy.explain())


def test_what_it_is_within_must_be_a_sizing() -> None:
    with pytest.raises(InvalidInput, match="sizing is 'quick'"):
        FleetSizing(FleetSettings, within="quick").start(  # type: ignore[arg-type]  # what is refused
            Surroundings(LIMITS, Random(1).random)
        )
