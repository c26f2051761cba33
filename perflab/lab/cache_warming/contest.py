"""All visits of a plan, in randomised complete blocks."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from perflab.errors import WrongAnswer
from perflab.lab.cache_warming.board import Board
from perflab.lab.cache_warming.findings import WarmingFindings
from perflab.lab.cache_warming.plan import Arm, WarmingPlan
from perflab.lab.cache_warming.visit import VisitReading, measure_visit
from perflab.lab.sweep.environment import read_environment
from perflab.lab.sweep.target import open_engine
from perflab.lab.workloads.flights import load_flights

FIRST_HOUR_UTC = 10
"""When the first flights of the day leave New York in summer."""
DAYS = 5
"""Of the committed week on which as many flights leave as on any other: Monday to Friday."""


def run_contest(plan: WarmingPlan, url: str | None = None) -> WarmingFindings:
    """Measure every arm in every block, each in a fresh database.

    Args:
        plan: what to measure.
        url: of the user's own PostgreSQL server, where everything happens in a scratch schema; None: SQLite, or an
            embedded server.

    Raises:
        WrongAnswer: a poll got other rows than it should, or the arms of a block did not do the same work.
        MissingExtra, DatabaseUnusable: the engine is not there.
    """
    flights = load_flights("week").flights
    board = Board(flights)
    monday = min(flight.scheduled_at for flight in flights).replace(hour=FIRST_HOUR_UTC, minute=0)
    readings: list[VisitReading] = []
    with open_engine(plan.engine, plan.durability, url) as target:
        environment = {**read_environment(Path(tempfile.gettempdir())), **target.environment()}
        for block in range(plan.blocks):
            start = monday + timedelta(days=block % DAYS)
            order = Random(f"{plan.seed}/{block}/order").sample(list(Arm), len(Arm))
            for position, arm in enumerate(order):
                with target.fresh(None) as fresh:
                    fresh.direct.create_schema()
                    board.write(fresh.direct)
                    fresh.settle()
                    readings.append(
                        measure_visit(plan, fresh.measured, board, start, arm, block=block, position=position)
                    )
            _check(readings[-len(Arm) :], start)
    return WarmingFindings(plan, readings, environment)


def _check(block: list[VisitReading], start: datetime) -> None:
    """All arms of a block must have been asked for the same."""
    asked = {tuple((tick.asked, len(tick.job_seconds)) for tick in reading.ticks) for reading in block}
    if len(asked) > 1:
        raise WrongAnswer(f"the arms of the block that begins at {start} did not do the same work")
