"""The sweeps of the notebooks, each in three sizes: a proof that it works, a choice of a setting, a thorough look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, get_args

from perflab.database.pools import Durability
from perflab.errors import InvalidInput
from perflab.lab.sweep.plan import Engine, SweepPlan
from perflab.lab.sweep.server import server_label

Profile = Literal["smoke", "quick", "full"]

_STANDARD_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)

_STANDARD: Mapping[Profile, SweepPlan] = {
    "smoke": SweepPlan(
        closed_loop_batch_sizes=(1, 10, 100),
        replay_batch_sizes=(1, 100),
        replay_flush_intervals=(0.0, 0.010),
        blocks=3,
        closed_loop_items=300,
        replay_seconds=0.25,
        warm_up_items=50,
    ),
    "quick": SweepPlan(
        closed_loop_batch_sizes=_STANDARD_SIZES,
        replay_batch_sizes=(1, 10, 100, 500, 5_000),
        replay_flush_intervals=(0.0, 0.002, 0.010, 0.030, 0.100),
        blocks=6,
    ),
    "full": SweepPlan(
        closed_loop_batch_sizes=_STANDARD_SIZES,
        replay_batch_sizes=(1, 5, 20, 50, 100, 200, 500, 1_000, 5_000),
        replay_flush_intervals=(0.0, 0.001, 0.002, 0.005, 0.010, 0.020, 0.050, 0.100),
        blocks=12,
        closed_loop_items=20_000,
        replay_seconds=1.5,
        source="year",
    ),
}

# There each single write waits for the disk, so fewer of them take as long, and a slower replay is already a load.
_ON_POSTGRESQL: Mapping[Profile, Mapping[str, Any]] = {
    "smoke": {},
    "quick": {
        "closed_loop_batch_sizes": (1, 3, 10, 30, 100, 300, 1_000, 3_000),
        "replay_batch_sizes": (1, 10, 100, 1_000),
        "replay_flush_intervals": (0.0, 0.002, 0.010, 0.050),
        "closed_loop_items": 500,
        "speed_up": 60_000.0,
    },
    "full": {"closed_loop_items": 5_000, "speed_up": 60_000.0},
}

# With 10 ms of round trip a visit of single items is long: few items, and 20 batches of each larger size.
_LATENCY: Mapping[Profile, SweepPlan] = {
    "smoke": SweepPlan(closed_loop_batch_sizes=(1, 10, 100), blocks=3, closed_loop_items=40, warm_up_items=20),
    "quick": SweepPlan(
        closed_loop_batch_sizes=(1, 5, 20, 100, 300, 1_000, 2_000, 5_000),
        blocks=6,
        closed_loop_items=100,
        warm_up_items=50,
    ),
    "full": SweepPlan(
        closed_loop_batch_sizes=(*_STANDARD_SIZES, 10_000),
        blocks=12,
        closed_loop_items=400,
        warm_up_items=200,
        source="year",
    ),
}


def standard_plan(
    profile: Profile,
    *,
    engine: Engine = "sqlite",
    url: str | None = None,
    seed: int = 20130705,
    durability: Durability = "normal",
) -> SweepPlan:
    """The plan of the notebook `02_batch_size_and_flush_interval`.

    Args:
        profile: "smoke" runs in seconds and proves that everything works; "quick" takes about two minutes and is fit to
            choose a setting by; "full" takes about half an hour, over the year's trace.
        engine: "sqlite" or "postgresql".
        url: of the user's own server, which the plan knows by its label only; None for an embedded one.
        seed: of orders and slices.
        durability: "normal" or "full".
    """
    plan = _of_profile(_STANDARD, profile)
    changes = _ON_POSTGRESQL[profile] if engine == "postgresql" else {}
    return replace(plan, engine=engine, server=server_label(engine, url), seed=seed, durability=durability, **changes)


def latency_plan(
    profile: Profile,
    added_latencies: tuple[float, ...],
    *,
    url: str | None = None,
    seed: int = 20130705,
    durability: Durability = "normal",
) -> SweepPlan:
    """The plan of the notebook `03_round_trips_and_latency`: batch sizes on PostgreSQL, each with each added latency.

    Args:
        profile: "smoke" takes seconds, "quick" about two minutes, "full" about twenty, over the year's trace.
        added_latencies: seconds of round trip, 0 among them: it is what the others are predicted from.
        url: of the user's own server, which the plan knows by its label only; None for an embedded one.
        seed: of orders and slices.
        durability: "normal" or "full".

    Raises:
        InvalidInput: 0 is not among the latencies, or they are out of range.
    """
    if 0.0 not in added_latencies:
        raise InvalidInput(f"the added latencies are {added_latencies}: add 0, from which the others are predicted")
    return replace(
        _of_profile(_LATENCY, profile),
        name="round trips and latency",
        engine="postgresql",
        server=server_label("postgresql", url),
        added_latencies=added_latencies,
        seed=seed,
        durability=durability,
    )


def _of_profile(plans: Mapping[Profile, SweepPlan], profile: Profile) -> SweepPlan:
    if profile not in plans:
        raise InvalidInput(f"profile is {profile!r}: use one of {', '.join(map(repr, get_args(Profile)))}")
    return plans[profile]
