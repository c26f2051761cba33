"""What a load is: what arrives, how it is written, by how many processes, and who works it off."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

import numpy as np

from perflab.database.pools import Durability
from perflab.database.values import check_integer, check_number
from perflab.errors import InvalidInput
from perflab.lab.sweep.plan import Engine
from perflab.lab.workloads.arrivals import Offsets
from perflab.lab.workloads.schedule import Schedule, ScheduleRecipe

Writes: TypeAlias = Literal["batched", "single"]
OPERATIONS = ("enqueue", "insert", "state")
"""What a mix may have: a job put into a queue, a row of a table, and the ingest state of one of `WATCHES` watches."""
WINDOWS = 20
"""Parts of equally many arrivals, over which response times are followed."""
FEWEST_IN_A_WINDOW = 5


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """A load. Its schedule covers the warm-up and what is measured.

    Attributes:
        engine: "sqlite" or "postgresql".
        recipe: What arrives, and when; `recipe.duration_seconds` includes the warm-up.
        warm_up_seconds: Arrivals before are sent, but not measured.
        writes: "batched": each generator submits to a `RequestBatcher` of its own. "single": a transaction for each.
        generators: Processes that send; each has every n-th arrival.
        clients: Closed loop: so many in each generator send their next item when they have the answer to their last
            one. The times of the schedule mean nothing then, and the run ends after its duration. None: open loop.
        connections: With single writes, how many of a generator may be under way at once.
        workers: Processes with a `Worker` that works off the jobs; 0: they stay in the queue.
        concurrency: Handlers at a time in each worker.
        batch_size: Of the batchers.
        flush_interval: Seconds, of the batchers.
        durability: "normal" or "full".

    Raises:
        InvalidInput: A value is out of its range.
    """

    recipe: ScheduleRecipe
    engine: Engine = "sqlite"
    warm_up_seconds: float = 1.0
    writes: Writes = "batched"
    generators: int = 1
    clients: int | None = None
    connections: int = 4
    workers: int = 0
    concurrency: int = 4
    batch_size: int = 500
    flush_interval: float = 0.010
    durability: Durability = "normal"

    def __post_init__(self) -> None:
        for name, low, high in (
            ("generators", 1, 256),
            ("connections", 1, 1_000),
            ("workers", 0, 256),
            ("concurrency", 1, 10_000),
            ("batch_size", 1, 1_000_000),
        ):
            check_integer(getattr(self, name), name, low=low, high=high)
        if self.clients is not None:
            check_integer(self.clients, "clients", low=1, high=10_000)
        check_number(self.flush_interval, "flush_interval", high=60.0)
        check_number(self.warm_up_seconds, "warm_up_seconds", high=3_600.0)
        for name, value, kind in (
            ("engine", self.engine, Engine),
            ("writes", self.writes, Writes),
            ("durability", self.durability, Durability),
        ):
            if value not in get_args(kind):
                raise InvalidInput(f"{name} is {value!r}: use one of {', '.join(map(repr, get_args(kind)))}")
        for name in self.recipe.mix.names:
            if name not in OPERATIONS:
                raise InvalidInput(f"the mix has {name!r}: use {', '.join(OPERATIONS)}")
        if self.workers and "enqueue" not in self.recipe.mix.names:
            raise InvalidInput("workers work off jobs, and the mix has no 'enqueue': add it, or leave the workers out")

    @property
    def model(self) -> str:
        """Open or closed: no figure means anything without it."""
        return "open loop" if self.clients is None else f"closed loop, {self.clients * self.generators} clients"


@dataclass(frozen=True, slots=True)
class Share:
    """What one generator does. It makes its schedule itself, from the same recipe as all others.

    Attributes:
        plan: The whole.
        position: Which of `plan.generators` it is, from 0.
        url: Of the database. It may hold a password.
    """

    plan: LoadPlan
    position: int
    url: str = field(repr=False)

    def make(self) -> tuple[Schedule, Offsets]:
        """Its schedule, and the bounds of the windows."""
        whole = self.plan.recipe.make()
        bounds = window_bounds(whole.offsets_seconds, self.plan.warm_up_seconds)
        return whole.share(self.position, self.plan.generators), bounds


def window_bounds(offsets_seconds: Offsets, warm_up_seconds: float) -> Offsets:
    """Where each of `WINDOWS` begins: windows of equally many arrivals, so that none is empty in a silence.

    Raises:
        InvalidInput: too few come after the warm-up to tell a stable load from an overload.
    """
    measured = offsets_seconds[np.searchsorted(offsets_seconds, warm_up_seconds) :]
    if len(measured) < WINDOWS * FEWEST_IN_A_WINDOW:
        raise InvalidInput(
            f"{len(measured):,} arrivals come after {warm_up_seconds:g} s of warm-up: "
            f"{WINDOWS * FEWEST_IN_A_WINDOW} are needed, so raise the rate or the duration"
        )
    return measured[[len(measured) * window // WINDOWS for window in range(WINDOWS)]]
