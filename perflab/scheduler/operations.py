"""The scheduler's writes, each as an operation with one bulk form.

`scheduler.operations` has them for a batcher: `batcher.submit(scheduler.operations.update_ingest_state, state)`. An
operation checks and encodes its items here, the same for every engine; the engine's own file writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, get_args

from perflab.database.compression import StoredPayload
from perflab.database.operation import DriverConnection
from perflab.database.values import (
    EPOCH,
    MICROSECOND,
    approximate_bytes,
    check_identifier,
    check_integer,
    check_number,
    check_text,
    shown,
    to_microseconds,
)
from perflab.errors import InvalidInput
from perflab.queue.enqueue import HIGHEST_PRIORITY, LOWEST_PRIORITY
from perflab.queue.operations import describe_error
from perflab.scheduler.cron import find_timezone, next_slot
from perflab.scheduler.engine import ABSENT, Absent, IngestRow, SchedulerEngine, WatchRow
from perflab.scheduler.plain_items import plain_states, plain_watches
from perflab.scheduler.watch import (
    LONGEST_CURSOR,
    LONGEST_INTERVAL_SECONDS,
    LONGEST_NAME,
    SHORTEST_INTERVAL_SECONDS,
    IngestState,
    Overlap,
    Watch,
)

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_CATCH_UP = 100
"""Bounds the jobs that one watch may bring at once after a long outage."""
ROW_BYTES = 64
"""About what a row takes besides its texts."""


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """What the operations of one scheduler share."""

    queue: str | None
    """Of watches that name none."""
    engine: SchedulerEngine
    now: Callable[[], int]
    """Microseconds since 1970."""
    encode: Callable[[Any], StoredPayload]
    """A payload, as it is stored."""


class SchedulerOperation(Generic[Item, Result]):
    """What all of them have in common. They keep their order in a batch: they share the table of watches."""

    name: str
    tables = frozenset({"perflab_watches", "perflab_ingest_states"})

    def __init__(self, settings: SchedulerSettings) -> None:
        self._settings = settings
        self._engine = settings.engine

    def __repr__(self) -> str:
        return f"<{self.name} of the scheduler>"

    def prepare(self, item: Item) -> Any:
        raise NotImplementedError

    def size_bytes(self, item: Item) -> int:
        raise NotImplementedError

    def apply(self, connection: DriverConnection, rows: Sequence[Any]) -> Sequence[Result]:
        raise NotImplementedError


class AddWatch(SchedulerOperation[Watch, int]):
    """Insert a watch or change the one of its name; the result is its id."""

    name = "add_watch"

    # Almost every item passes the tests that stand in line here; the functions that say what is wrong cost more.

    def prepare(self, item: Watch) -> WatchRow:
        if type(item) is not Watch:
            raise InvalidInput(f"a watch is {type(item).__name__} {shown(item, 80)}: write Watch(name, interval=…)")
        name, priority, payload, start_at = item.name, item.priority, item.payload, item.start_at
        if not (type(name) is str and 0 < len(name) <= LONGEST_NAME and name.isascii() and "\x00" not in name):
            check_name(name)
        if type(priority) is not int or not LOWEST_PRIORITY <= priority <= HIGHEST_PRIORITY:
            check_integer(priority, f"the priority of watch {name!r}", low=LOWEST_PRIORITY, high=HIGHEST_PRIORITY)
        if item.enabled is not True and item.enabled is not False:
            raise InvalidInput(f"enabled of watch {name!r} is {item.enabled!r:.80}: give True or False")
        overlap, catch_up = item.overlap, item.catch_up
        if overlap != "skip" or catch_up != 1 or type(catch_up) is not int:
            _check_overlap(item)
        queue = self._settings.queue
        if item.queue is not None:
            queue = check_identifier(item.queue, f"the queue of watch {name!r}")
        elif queue is None:
            raise InvalidInput(f"watch {name!r} names no queue, and neither does its scheduler: give one of them")
        first_slot = ABSENT if start_at is None else _moment(start_at, f"start_at of watch {name!r}")
        interval, cron = (_interval_microseconds(item), "") if item.cron is None else (ABSENT, _cron(item))
        return (
            name,
            queue,
            priority,
            interval,
            cron,
            item.timezone,
            first_slot,
            1 if item.enabled else 0,
            overlap,
            catch_up,
            "null" if payload is None else self._settings.encode(payload),
        )

    def prepare_plain(self, items: Sequence[Watch]) -> Sequence[WatchRow] | None:
        return plain_watches(items, self._settings.queue, self._settings.encode)

    def size_bytes(self, item: Watch) -> int:
        return ROW_BYTES + len(item.name) + approximate_bytes(item.payload)

    def apply(self, connection: DriverConnection, rows: Sequence[WatchRow]) -> Sequence[int]:
        now = self._settings.now()
        return self._engine.add_watches(
            connection, [_with_first_slot(row, now) if row[4] else row for row in rows], now
        )


class UpdateIngestState(SchedulerOperation[IngestState, bool]):
    """Note a success or an error. False: there is no such watch, and nothing was noted."""

    name = "update_ingest_state"

    def prepare(self, item: IngestState) -> IngestRow:
        if type(item) is not IngestState:
            raise InvalidInput(
                f"an ingest state is {type(item).__name__} {shown(item, 80)}: write IngestState(watch, …)"
            )
        watch, cursor, etag, succeeded_at, error = item.watch, item.cursor, item.etag, item.succeeded_at, item.error
        if not (type(watch) is str and 0 < len(watch) <= LONGEST_NAME and watch.isascii() and "\x00" not in watch):
            check_name(watch)
        if error is not None:
            if not isinstance(error, str | BaseException):
                raise InvalidInput(f"the error of watch {watch!r} is {shown(error, 80)}: give an exception or text")
            if succeeded_at is not None:
                raise InvalidInput(f"the ingest state of watch {watch!r} has both succeeded_at and error: give one")
        return (
            watch,
            ABSENT if cursor is None else cursor if _is_plain(cursor) else _bounded_text(cursor, "cursor", watch),
            ABSENT if etag is None else etag if _is_plain(etag) else _bounded_text(etag, "etag", watch),
            ABSENT if succeeded_at is None else _succeeded_at(succeeded_at, watch),
            ABSENT if error is None else describe_error(error),
        )

    def prepare_plain(self, items: Sequence[IngestState]) -> Sequence[IngestRow] | None:
        return plain_states(items)

    def size_bytes(self, item: IngestState) -> int:
        return ROW_BYTES + len(item.watch) + len(item.cursor or "") + len(item.etag or "")

    def apply(self, connection: DriverConnection, rows: Sequence[IngestRow]) -> Sequence[bool]:
        return self._engine.update_ingest_states(connection, rows, self._settings.now())


class WatchByName(SchedulerOperation[str, bool]):
    """An operation that takes no more than the name of a watch. False: there is no such watch."""

    def prepare(self, item: str) -> str:
        return check_name(item)

    def size_bytes(self, item: str) -> int:
        return ROW_BYTES + len(item)


class RemoveWatch(WatchByName):
    name = "remove_watch"

    def apply(self, connection: DriverConnection, rows: Sequence[str]) -> Sequence[bool]:
        return self._engine.remove_watches(connection, rows)


class PauseWatch(WatchByName):
    name = "pause_watch"

    def apply(self, connection: DriverConnection, rows: Sequence[str]) -> Sequence[bool]:
        return self._engine.enable_watches(connection, rows, enabled=False)


class ResumeWatch(WatchByName):
    name = "resume_watch"

    def apply(self, connection: DriverConnection, rows: Sequence[str]) -> Sequence[bool]:
        return self._engine.enable_watches(connection, rows, enabled=True)


class SchedulerOperations:
    """Every write of one scheduler. The objects stay the same, so that a batcher can tell which items go together."""

    def __init__(self, settings: SchedulerSettings) -> None:
        self.add_watch = AddWatch(settings)
        self.update_ingest_state = UpdateIngestState(settings)
        self.remove_watch = RemoveWatch(settings)
        self.pause_watch = PauseWatch(settings)
        self.resume_watch = ResumeWatch(settings)


def check_name(name: str) -> str:
    """Refuse what cannot be the name of a watch."""
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise InvalidInput(f"the name of a watch is {shown(name, 220)}: give text of 1 to {LONGEST_NAME} characters")
    return check_text(name, "the name of a watch")


def _check_overlap(watch: Watch) -> None:
    if watch.overlap not in get_args(Overlap):
        raise InvalidInput(
            f"overlap of watch {watch.name!r} is {shown(watch.overlap, 80)}: give skip, queue or coalesce"
        )
    check_integer(watch.catch_up, f"catch_up of watch {watch.name!r}", low=1, high=MOST_CATCH_UP)
    if watch.catch_up > 1 and watch.overlap != "queue":
        raise InvalidInput(
            f"watch {watch.name!r} catches up {watch.catch_up} slots, and its overlap is {watch.overlap!r}, which lets "
            "only one of their jobs wait: give overlap='queue', or no catch_up"
        )


def _interval_microseconds(watch: Watch) -> int:
    interval = watch.interval
    if interval is None:
        raise InvalidInput(f"watch {watch.name!r} has neither an interval nor a cron expression: give one of them")
    kind = type(interval)
    if not ((kind is float or kind is int) and SHORTEST_INTERVAL_SECONDS <= interval <= LONGEST_INTERVAL_SECONDS):
        check_number(
            interval,
            f"the interval of watch {watch.name!r}, in seconds,",
            low=SHORTEST_INTERVAL_SECONDS,
            high=LONGEST_INTERVAL_SECONDS,
        )
    if watch.timezone != "UTC":
        find_timezone(watch.timezone)
    return round(interval * 1_000_000)


def _cron(watch: Watch) -> str:
    assert watch.cron is not None
    if watch.interval is not None:
        raise InvalidInput(f"watch {watch.name!r} has both an interval and a cron expression: give one of them")
    try:
        next_slot(watch.cron, find_timezone(watch.timezone), 0)  # has it any?
    except InvalidInput as refused:
        raise InvalidInput(f"watch {watch.name!r}: {refused}") from None
    return watch.cron


def _with_first_slot(row: WatchRow, now: int) -> WatchRow:
    """The row of a cron watch with the next slot of its expression, unless its first slot is given."""
    _name, _queue, _priority, _interval, cron, timezone, first_slot, *_ = row
    return *row[:6], first_slot or next_slot(cron, find_timezone(timezone), now), *row[7:]


def _moment(moment: datetime, where: str) -> int:
    microseconds = to_microseconds(moment, where)
    if microseconds <= 0:
        raise InvalidInput(f"{where} is {moment!r}: give a time after 1970")
    return microseconds


def _succeeded_at(moment: datetime, watch: str) -> int:
    if type(moment) is datetime and moment.tzinfo is UTC and moment > EPOCH:
        return (moment - EPOCH) // MICROSECOND
    return _moment(moment, f"succeeded_at of watch {watch!r}")


def _is_plain(text: str) -> bool:
    """Text that needs no closer look, as nearly all has; the texts of the closer look alone would cost as much."""
    return type(text) is str and len(text) <= LONGEST_CURSOR and text.isascii() and "\x00" not in text


def _bounded_text(text: str, field: str, watch: str) -> str | Absent:
    if not isinstance(text, str) or len(text) > LONGEST_CURSOR:
        raise InvalidInput(
            f"the {field} of watch {watch!r} is {type(text).__name__} {shown(text, 80)}: "
            f"give text of at most {LONGEST_CURSOR:,} characters"
        )
    return check_text(text, f"the {field} of watch {watch!r}")
