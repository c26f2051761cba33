"""The sweeps of the notebook `04_adaptive_batching`: one for each load, with fixed settings and policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from perflab.database.pools import Durability
from perflab.errors import InvalidInput
from perflab.lab.sweep.plan import Engine, SweepPlan
from perflab.lab.sweep.profiles import Profile
from perflab.lab.sweep.server import server_label
from perflab.lab.workloads.request_traces import missing_traces

AS_FAST_AS_POSSIBLE = "as fast as possible"

_BASE: Mapping[Profile, SweepPlan] = {
    "smoke": SweepPlan(replay_batch_sizes=(100,), replay_flush_intervals=(0.010,), blocks=3, sizings=("adaptive",)),
    "quick": SweepPlan(
        replay_batch_sizes=(10, 100, 1_000),
        replay_flush_intervals=(0.0, 0.002, 0.010),
        sizings=("adaptive", "ski rental", "AIMD"),
    ),
    "full": SweepPlan(
        replay_batch_sizes=(1, 10, 100, 1_000, 5_000),
        replay_flush_intervals=(0.0, 0.002, 0.005, 0.010, 0.030),
        blocks=12,
        sizings=("adaptive", "ski rental", "AIMD"),
        source="year",
    ),
}

_CAPACITY: Mapping[Profile, dict[str, Any]] = {
    "smoke": {"closed_loop_batch_sizes": (100,), "closed_loop_items": 8_000},
    "quick": {"closed_loop_batch_sizes": (10, 50, 200, 1_000, 5_000), "closed_loop_items": 19_000},
    "full": {"closed_loop_batch_sizes": (10, 50, 100, 200, 500, 1_000, 2_000, 5_000), "closed_loop_items": 100_000},
}

_REPLAYS: Mapping[str, dict[str, Any]] = {
    "flights, 30,000-fold": {"speed_up": 30_000.0, "replay_seconds": 1.5},
    "flights, 100,000-fold": {"speed_up": 100_000.0, "replay_seconds": 1.0},
    "flights, 300,000-fold": {"speed_up": 300_000.0, "replay_seconds": 1.0},
    "conversations, 700-fold": {
        "arrivals": "azure conversations",
        "speed_up": 700.0,
        "replay_seconds": 1.0,
    },
    "bursts of requests, 1,500-fold": {
        "arrivals": "azure code",
        "speed_up": 1_500.0,
        "replay_seconds": 1.0,
    },
}
_SMOKE_REPLAYS = ("flights, 100,000-fold", "bursts of requests, 1,500-fold")


def sizing_plans(
    profile: Profile,
    *,
    latency_target: float,
    engine: Engine = "sqlite",
    url: str | None = None,
    seed: int = 20130705,
    durability: Durability = "normal",
) -> dict[str, SweepPlan]:
    """The plans by the name of their load, the closed loop last.

    Loads of traces that are not there are left out: `missing_traces` says why.

    Args:
        profile: "smoke" takes some twenty seconds, "quick" about seven minutes, "full" an hour and a half, over the
            year's trace.
        latency_target: seconds that the policies are to keep within.
        engine: "sqlite" or "postgresql".
        url: of the user's own server, which the plans know by its label only; None for an embedded one.
        seed: of orders and slices.
        durability: "normal" or "full".

    Raises:
        InvalidInput: there is no such profile, or the target is not above zero.
    """
    if profile not in _BASE:
        raise InvalidInput(f"profile is {profile!r}: use one of {', '.join(map(repr, _BASE))}")
    base = replace(
        _BASE[profile],
        engine=engine,
        server=server_label(engine, url),
        latency_target=latency_target,
        seed=seed,
        durability=durability,
    )
    wanted = _SMOKE_REPLAYS if profile == "smoke" else tuple(_REPLAYS)
    there = [name for name in wanted if "arrivals" not in _REPLAYS[name] or not missing_traces()]
    plans = {name: replace(base, name=name, **_REPLAYS[name]) for name in there}
    capacity = replace(base, name=AS_FAST_AS_POSSIBLE, replay_batch_sizes=(), **_CAPACITY[profile])
    return {**plans, AS_FAST_AS_POSSIBLE: capacity}
