"""Many items at once, checked by columns: a few calls for each field instead of some for each item.

Nearly all items are plain: text is ASCII without NUL, numbers are Python's own, and what is seldom given is not given.
Where one item of a batch is not, the answer is None, and the operation prepares each by itself: only that knows the
rules for the rest, and the words for what is wrong. For 1,000 items the plain way takes 0.1 (states) and 0.4 µs
(watches) less each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import repeat
from operator import attrgetter
from typing import Any

from perflab.database.compression import StoredPayload
from perflab.database.plain_payloads import encode_all
from perflab.database.values import EPOCH, MICROSECOND, plain_texts
from perflab.queue.enqueue import HIGHEST_PRIORITY, LOWEST_PRIORITY
from perflab.scheduler.engine import ABSENT, IngestRow, WatchRow
from perflab.scheduler.watch import (
    LONGEST_CURSOR,
    LONGEST_INTERVAL_SECONDS,
    LONGEST_NAME,
    SHORTEST_INTERVAL_SECONDS,
    IngestState,
    Watch,
)

_WATCH_FIELDS = tuple(
    map(
        attrgetter,
        [
            "name",
            "interval",
            "priority",
            "enabled",
            "payload",
            "timezone",
            "overlap",
            "catch_up",
            "cron",
            "queue",
            "start_at",
        ],
    )
)
_STATE_FIELDS = tuple(map(attrgetter, ("watch", "cursor", "etag", "succeeded_at", "error")))


def plain_watches(
    items: Sequence[Watch], queue: str | None, encode: Callable[[Any], StoredPayload]
) -> list[WatchRow] | None:
    """The rows of interval watches that go to the scheduler's own queue and begin at once; None: look at each.

    Raises:
        InvalidInput: a payload was refused.
    """
    if queue is None or set(map(type, items)) != {Watch}:
        return None
    count = len(items)
    names, intervals, priorities, enabled, payloads, timezones, overlaps, catch_ups, *absent = _columns(
        _WATCH_FIELDS, items
    )
    if any(column.count(None) != count for column in absent):
        return None
    if not plain_texts(names, shortest=1, longest=LONGEST_NAME) or timezones.count("UTC") != count:
        return None
    if overlaps.count("skip") != count or catch_ups.count(1) != count or set(map(type, catch_ups)) != {int}:
        return None
    if set(map(type, priorities)) != {int} or not _lie_between(LOWEST_PRIORITY, priorities, HIGHEST_PRIORITY):
        return None
    if not set(map(type, intervals)) <= {int, float} or set(map(type, enabled)) != {bool}:
        return None
    if not _lie_between(SHORTEST_INTERVAL_SECONDS, intervals, LONGEST_INTERVAL_SECONDS):
        return None
    try:
        microseconds = [round(interval * 1_000_000) for interval in intervals]
    except ValueError:  # NaN lies anywhere
        return None
    return list(
        zip(
            names,
            repeat(queue),
            priorities,
            microseconds,
            repeat(""),
            repeat("UTC"),
            repeat(ABSENT),
            repeat(1) if enabled.count(True) == count else map(int, enabled),
            repeat("skip"),
            repeat(1),
            repeat("null") if payloads.count(None) == count else encode_all(encode, payloads),
        )
    )


def plain_states(items: Sequence[IngestState]) -> list[IngestRow] | None:
    """The rows of successes, if all have a cursor or none has, and so with etags and times; None: look at each."""
    if set(map(type, items)) != {IngestState}:
        return None
    names, cursors, etags, moments, errors = _columns(_STATE_FIELDS, items)
    if errors.count(None) != len(items) or not plain_texts(names, shortest=1, longest=LONGEST_NAME):
        return None
    columns: list[Iterable[Any]] = []
    for values, convert in ((cursors, _cursors), (etags, _cursors), (moments, _microseconds)):
        if values.count(None) == len(items):
            columns.append(repeat(ABSENT))
        elif (converted := convert(values)) is not None:
            columns.append(converted)
        else:
            return None
    return list(zip(names, *columns, repeat(ABSENT)))


def _columns(fields: Sequence[Callable[[Any], Any]], items: Sequence[Any]) -> list[list[Any]]:
    return [list(map(field, items)) for field in fields]


def _lie_between(low: float, numbers: Sequence[float], high: float) -> bool:
    return low <= min(numbers) and max(numbers) <= high


def _cursors(texts: Sequence[Any]) -> Sequence[str] | None:
    return texts if plain_texts(texts, longest=LONGEST_CURSOR) else None


def _microseconds(moments: Sequence[Any]) -> Sequence[int] | None:
    if set(map(type, moments)) != {datetime}:
        return None
    try:
        microseconds = [(moment - EPOCH) // MICROSECOND for moment in moments]
    except TypeError:  # one has no time zone
        return None
    return microseconds if min(microseconds) > 0 else None
