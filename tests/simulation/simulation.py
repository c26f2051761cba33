"""A run of the simulated world: faults for some hours, then none until all is done, then the history is checked."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count

from perflab.database.database import Database
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import Watch
from tests.simulation.history import Enqueued, Findings, History
from tests.simulation.processes import Clock, Producer, SimulatedWorker, Ticker, WatchedQueue, identity
from tests.simulation.world import MIDNIGHT, Process, World

WATCHES = {"each minute": 60.0, "each seven minutes": 420.0}
SLOTS_KEPT = 100
"""Of a watch, however late its tick is: more than the clocks jump and machines stand still."""


@dataclass(frozen=True, slots=True)
class Simulated:
    seed: int
    findings: Findings
    left: int
    """Jobs that did not get done although nothing went wrong any more."""
    jobs: int
    deliveries: int
    faults: Counter[str]


def simulate(seed: int, hours: float, database: Database, *, calm_hours: float = 3.0) -> Simulated:
    """The same for the same seed.

    Args:
        seed: of all that is random.
        hours: of faults, by the clock of the simulated world.
        database: an empty one in a file, with perflab's tables.
        calm_hours: without faults, for all that is left to be done in.
    """
    world, history, numbers = World(seed, database.url), History(), count()

    def queue(own: Database, now: Clock) -> WatchedQueue:
        return WatchedQueue(own, now, world, history)

    starts: list[Callable[[Database, Clock], Process]] = [
        *[lambda own, now: Producer(queue(own, now), world, numbers)] * 2,
        *[lambda own, now: SimulatedWorker(queue(own, now), world)] * 3,
        *[lambda own, now: Ticker(Scheduler(own, "default", now=now, stopwatch=world.monotonic), world)] * 2,
    ]
    Scheduler(database, "default", now=lambda: MIDNIGHT).add_watches_bulk(
        Watch(name, seconds, overlap="queue", catch_up=SLOTS_KEPT) for name, seconds in WATCHES.items()
    )
    for start in starts:
        world.add(start)
    was_disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # what fails on purpose is no news
    try:
        with world.breaking_databases():
            world.run(until=hours * 3600.0)
            world.faults = False
            Scheduler(database, "default", now=lambda: MIDNIGHT).pause_watches(WATCHES)
            slots = _slots(database)
            _finish(world, database, world.seconds + calm_hours * 3600.0)
    finally:
        world.close()
        logging.disable(was_disabled)
    history.enqueued += [Enqueued(slot, "ok") for slot in slots]
    remaining = [
        identity(json.loads(text)) for (text,) in database.fetch("SELECT CAST(payload AS TEXT) FROM perflab_jobs")
    ]
    return Simulated(
        seed,
        history.check(remaining),
        _unfinished(database),
        len({each.payload for each in history.enqueued}),
        len(history.delivered),
        world.happened,
    )


def _slots(database: Database) -> list[tuple[str, str]]:
    """Each slot that has come, as its job names it."""
    slots = []
    for name, status in Scheduler(database, "default").watches().items():
        moment: datetime = MIDNIGHT
        while moment < status.next_due_at:
            slots.append((name, moment.isoformat(timespec="microseconds")))
            moment += timedelta(seconds=WATCHES[name])
    return slots


def _unfinished(database: Database) -> int:
    (count_of_jobs,) = database.fetch("SELECT count(*) FROM perflab_jobs WHERE state <> 'dead'")[0]
    return int(count_of_jobs)


def _finish(world: World, database: Database, give_up: float) -> None:
    """Workers go on until nothing is left, or too long."""
    while world.seconds < give_up and _unfinished(database):
        world.run(until=world.seconds + 60.0)
