"""All visits of a plan, in randomised complete blocks."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from perflab.database.database import Database
from perflab.database.values import to_microseconds
from perflab.errors import WrongAnswer
from perflab.lab.garbage import old_objects_set_aside
from perflab.lab.sweep.environment import read_environment
from perflab.lab.sweep.target import open_engine
from perflab.lab.tick_cost.findings import TickFindings
from perflab.lab.tick_cost.plan import TickPlan, Way
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import Watch

FIRST_SLOT = datetime(2013, 7, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
PAYLOAD = {"origin": "JFK", "dest": "LAX", "carrier": "B6"}


def measure_ticks(plan: TickPlan, url: str | None = None) -> TickFindings:
    """Measure every cell in every block, each in a fresh database.

    Args:
        plan: what to measure.
        url: of the user's own PostgreSQL server, where everything happens in a scratch schema; None: SQLite, or an
            embedded server.

    Raises:
        WrongAnswer: a tick left other jobs than one for each due watch.
        MissingExtra, DatabaseUnusable: the engine is not there.
    """
    rows: list[dict[str, Any]] = []
    with open_engine(plan.engine, plan.durability, url) as target, old_objects_set_aside():
        environment = {**read_environment(Path(tempfile.gettempdir())), **target.environment()}
        for block in range(plan.blocks):
            order = Random(f"{plan.seed}/{block}/order").sample(plan.cells, len(plan.cells))
            for position, (way, due) in enumerate(order):
                with target.fresh(None) as fresh:
                    fresh.direct.create_schema()
                    scheduler = _ticked_once(fresh.measured, way, due)
                    fresh.settle()
                    seconds, round_trips = _tick(scheduler, way, due)
                    _check(fresh.direct, way, due)
                rows.append(
                    {
                        "block": block,
                        "position": position,
                        "way": str(way),
                        "due": due,
                        "measured_at": datetime.now(UTC),
                        "seconds": seconds,
                        "round_trips": round_trips,
                    }
                )
    return TickFindings(plan, rows, environment)


def _ticked_once(database: Database, way: Way, due: int) -> Scheduler:
    """A scheduler whose watches have come once, as all have that are not new; their jobs are done."""
    schedule: dict[str, Any] = {"cron": "0 * * * *"} if way is Way.CRON else {"interval": HOUR.total_seconds()}
    scheduler = Scheduler(database, "polls")
    scheduler.add_watches_bulk(
        Watch(f"route-{number}", **schedule, payload=PAYLOAD, start_at=FIRST_SLOT) for number in range(due)
    )
    scheduler.tick(FIRST_SLOT, limit=due)
    with database.driver_transaction() as connection:
        connection.execute("DELETE FROM perflab_jobs")
    return scheduler


def _tick(scheduler: Scheduler, way: Way, due: int) -> tuple[float, int]:
    """Seconds and round trips until nothing is due any more."""
    now, limit = FIRST_SLOT + HOUR, 1 if way is Way.ONE_BY_ONE else due
    seconds, round_trips, more = 0.0, 0, True
    while more:
        report = scheduler.tick(now, limit=limit)
        seconds, round_trips, more = seconds + report.seconds, round_trips + report.round_trips, report.more
    return seconds, round_trips


def _check(database: Database, way: Way, due: int) -> None:
    found = database.fetch("SELECT count(*), count(DISTINCT key), min(run_at), max(run_at) FROM perflab_jobs")
    slot = to_microseconds(FIRST_SLOT + HOUR, "slot")
    if found != [(due, due, slot, slot)]:
        raise WrongAnswer(
            f"{way}: (jobs, keys, first slot, last slot) are {found[0]}, and not {(due, due, slot, slot)}"
        )
