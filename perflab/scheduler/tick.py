"""What a tick has come to, and the next slots that only Python can tell: those of cron watches."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from perflab.errors import InvalidInput
from perflab.scheduler.cron import find_timezone, next_slot

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ticked:
    """What a tick has done, once it is committed."""

    due: int
    enqueued: int
    late: int
    more: bool
    oldest_slot: int | None
    """Microseconds since 1970; None: nothing was due."""
    now: int
    round_trips: int


class DueCron(NamedTuple):
    """One due cron watch."""

    id: int
    slot: int
    cron: str
    timezone: str
    name: str


class NextSlot(NamedTuple):
    """Where a cron watch moves on to."""

    slot: int | None
    """None: it cannot be told, and the watch pauses."""
    late: bool
    """It has missed a whole slot more."""


def next_slots(crons: Sequence[DueCron], now: int) -> list[NextSlot]:
    """The first slot after now of each cron watch, in input order."""
    return [_next_slot(watch, now) for watch in crons]


def _next_slot(watch: DueCron, now: int) -> NextSlot:
    try:
        zone = find_timezone(watch.timezone)
        slot = next_slot(watch.cron, zone, watch.slot)
        late = slot <= now
        return NextSlot(next_slot(watch.cron, zone, now) if late else slot, late)
    except InvalidInput as refused:
        # It passed when it was added, but this machine may know fewer time zones. The other watches must go on.
        logger.error("watch %r is paused: its next slot cannot be told: %s", watch.name, refused)  # noqa: TRY400
        return NextSlot(None, late=False)
