"""What a tick must know of cron expressions before it begins, so that one statement can do the rest.

Where a cron watch moves on to, and which of its slots have come, depends on the expression, the time zone and the
time alone, and not on the watch: a tick brings that along once for each expression, however many watches share it.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import NamedTuple

from perflab.errors import InvalidInput
from perflab.scheduler.cron import find_timezone, next_slot

logger = logging.getLogger(__name__)

MOST_KNOWN = 10_000
"""Expressions that are remembered; one that is forgotten costs one tick more."""
FIRST_LOOK_BACK = 60_000_000
LONGEST_LOOK_BACK = 50 * 366 * 86_400_000_000


class CronExpression(NamedTuple):
    """What watches share."""

    cron: str
    timezone: str


@dataclass(frozen=True, slots=True)
class CronSlots:
    """The slots of one expression around one moment; microseconds since 1970."""

    expression: CronExpression
    depth: int
    """How many past slots were looked for: the largest `catch_up` of its watches that is known."""
    next_slot: int | None
    """The first one after the moment. None: it cannot be told, and its watches pause."""
    recent: tuple[int, ...]
    """The last `depth` ones up to the moment, or all of the last 50 years, the newest first."""


def cron_slots(expression: CronExpression, depth: int, now: int) -> CronSlots:
    """Look the slots up. An expression that has none any more is logged: the other watches must go on."""
    try:
        zone = find_timezone(expression.timezone)
        following = next_slot(expression.cron, zone, now)
        return CronSlots(expression, depth, following, _recent_slots(expression.cron, zone, now, depth))
    except InvalidInput as refused:
        # It passed when it was added, but this machine may know fewer time zones.
        logger.error(  # noqa: TRY400
            "watches with the cron expression %r in %r are paused once they are due: no next slot can be told: %s",
            expression.cron,
            expression.timezone,
            refused,
        )
        return CronSlots(expression, depth, None, ())


def _recent_slots(cron: str, zone: tzinfo, now: int, count: int) -> tuple[int, ...]:
    """Walks forward from ever further back, for only the way forward is held to the rules of clock changes."""
    look_back = FIRST_LOOK_BACK * count
    while True:
        found = []
        slot = next_slot(cron, zone, max(0, now - look_back))
        while slot <= now:
            found.append(slot)
            slot = next_slot(cron, zone, slot)
        if len(found) >= count or look_back > min(now, LONGEST_LOOK_BACK):
            return tuple(found[: -count - 1 : -1])
        look_back *= 4


class KnownCrons:
    """The expressions that one scheduler has met, and when each has its next slot.

    A tick brings along those whose slot has come, and those that were asked for. A due watch whose expression was not
    brought along, or with too few past slots, is left for the next tick, which is told to bring it: that happens once
    for an expression that another process has added, and for watches that are due outside of their slots.

    Safe to share between threads.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[CronExpression, CronSlots | int] = OrderedDict()  # int: asked for, with that depth
        self._lock = threading.Lock()

    def ask_for(self, crons: Iterable[tuple[str, str, int]]) -> None:
        """Bring these along at the next tick; each with the depth that it needs."""
        with self._lock:
            for cron, timezone, depth in crons:
                expression = CronExpression(cron, timezone)
                known = self._known.get(expression, 0)
                self._known[expression] = max(depth, known if isinstance(known, int) else known.depth)
                self._known.move_to_end(expression)
            while len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)

    def for_tick(self, now: int) -> list[CronSlots]:
        """What a tick at this moment brings along."""
        with self._lock:
            known = list(self._known.items())
        coming = []
        for expression, slots in known:
            if isinstance(slots, int):
                coming.append(cron_slots(expression, slots, now))
            elif slots.next_slot is not None and slots.next_slot <= now:
                coming.append(_moved_on(slots, slots.next_slot, now))
        return coming

    def ticked(self, brought: Sequence[CronSlots]) -> None:
        """The watches that were due of these have moved on."""
        with self._lock:
            for slots in brought:
                asked = self._known.get(slots.expression)
                if not isinstance(asked, int) or asked <= slots.depth:
                    self._known[slots.expression] = slots


def _moved_on(slots: CronSlots, came: int, now: int) -> CronSlots:
    """Nearly always one slot has come since, and then all the others are known."""
    cron, timezone = slots.expression
    with suppress(InvalidInput):
        following = next_slot(cron, find_timezone(timezone), came)
        if following > now:
            return replace(slots, next_slot=following, recent=(came, *slots.recent)[: slots.depth])
    return cron_slots(slots.expression, slots.depth, now)
