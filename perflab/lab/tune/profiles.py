"""The sizes in which the notebook `09_tune_your_database` runs."""

from __future__ import annotations

from perflab.database.pools import Durability
from perflab.lab.sweep.profiles import Profile
from perflab.lab.tune.request import FEWEST_BLOCKS, TuneRequest

_BUDGETS: dict[Profile, tuple[float, int]] = {"smoke": (600.0, FEWEST_BLOCKS), "quick": (60.0, 10), "full": (600.0, 40)}
"""Seconds, and blocks at the most: a smoke run is to end soon, and never for want of time."""


def tune_request(
    url: str,
    profile: Profile,
    *,
    latency_target: float,
    arrivals: float | None,
    durability: Durability = "normal",
    seed: int = 20130705,
) -> TuneRequest:
    """What to ask in a profile.

    Args:
        url: of the database.
        profile: "smoke", "quick" or "full".
        latency_target: seconds.
        arrivals: items per second; None for a third of what the database takes.
        durability: "normal" or "full".
        seed: of orders and arrivals.
    """
    budget, blocks = _BUDGETS[profile]
    return TuneRequest(
        url, latency_target, arrivals=arrivals, budget=budget, durability=durability, seed=seed, blocks=blocks
    )
