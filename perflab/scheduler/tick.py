"""One tick: claim the slots that have come, enqueue their jobs, and move the watches on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from perflab.database.operation import DriverConnection
from perflab.errors import InvalidInput
from perflab.scheduler.cron import find_timezone, next_slot
from perflab.scheduler.engine import DueCron, SchedulerEngine

logger = logging.getLogger(__name__)

BEGIN_AND_COMMIT = 2
"""Round trips of a transaction besides its statements."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """What a tick has done, once it is committed."""

    due: int
    enqueued: int
    late: int
    more: bool
    lag_us: int
    round_trips: int


def tick(engine: SchedulerEngine, connection: DriverConnection, now: int, limit: int) -> Ticked:
    """Tick inside a transaction that the caller begins and ends, and that keeps other ticks out.

    Each statement sees the same due watches until they are moved on, which therefore comes last.

    Args:
        engine: its statements.
        connection: in the transaction.
        now: microseconds since 1970.
        limit: of watches.
    """
    before = connection.round_trips
    due = engine.due(connection, now, limit)
    enqueued = late_crons = 0
    if due.watches:
        enqueued = engine.enqueue_due(connection, now, limit)
        crons = engine.due_crons(connection, now, limit) if due.crons else []
        if due.watches > due.crons:
            engine.advance_intervals(connection, now, limit)
        if crons:
            slots, late_crons = next_slots(crons, now)
            engine.advance_crons(connection, slots)
    return Ticked(
        due=due.watches,
        enqueued=enqueued,
        late=due.late_intervals + late_crons,
        more=due.more,
        lag_us=0 if due.oldest_slot is None else now - due.oldest_slot,
        round_trips=connection.round_trips - before + BEGIN_AND_COMMIT,
    )


def next_slots(crons: Sequence[DueCron], now: int) -> tuple[list[tuple[int, int | None]], int]:
    """The first slot after now of each cron watch, and how many of them missed a whole slot more.

    Returns:
        (id, slot) of each, in input order, with None for a slot that cannot be told; and the count of late ones.
    """
    slots: list[tuple[int, int | None]] = []
    late = 0
    for watch in crons:
        slot: int | None
        try:
            zone = find_timezone(watch.timezone)
            slot = next_slot(watch.cron, zone, watch.slot)
            if slot <= now:
                late += 1
                slot = next_slot(watch.cron, zone, now)
        except InvalidInput as refused:
            # It passed when it was added, but this machine may know fewer time zones. The other watches must go on.
            logger.error("watch %r is paused: its next slot cannot be told: %s", watch.name, refused)  # noqa: TRY400
            slot = None
        slots.append((watch.id, slot))
    return slots, late
