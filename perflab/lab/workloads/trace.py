"""The flights as one stream of events in time: what a service that follows them would have to write, and when.

A flight is enqueued as a job at its scheduled minute; then its state changes once or twice. The year has 336,776
scheduled + 328,521 departed + 327,346 arrived + 1,175 diverted + 8,255 cancelled = 1,002,073 events, and 26,115 weather
rows for a second table. Two kinds have no time in the data, so one was chosen:

- cancelled: at the scheduled departure (the real decision came earlier; when, is not recorded);
- diverted: when the flight would have arrived, had it flown as long as scheduled after its actual departure.

Flights that leave early are booked `departed` BEFORE they are `scheduled`, by up to 43 minutes. The stream keeps that:
a consumer has to accept it, or arm its watches an hour ahead.

The data has no seconds. Events of one minute therefore share one instant and arrive as a herd, as people schedule
flights on round times; nothing is jittered to soften that. `scheduled` events are an open arrival process; `departed`
events left through a runway that serves one at a time. Replay the first to make load, not the second.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from operator import attrgetter

from perflab.errors import InvalidInput
from perflab.lab.workloads.flights import Flight, FlightData, Weather


class EventKind(StrEnum):
    """What happened. The order of the members is the order of events that share an instant."""

    WEATHER = "weather"
    SCHEDULED = "scheduled"
    DEPARTED = "departed"
    ARRIVED = "arrived"
    DIVERTED = "diverted"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """Something to write at a time.

    Attributes:
        at: When it happened, an aware UTC datetime.
        kind: What happened.
        watch: The watch it belongs to: `UA:EWR-IAH` for flights, `weather:EWR` for weather.
        subject: The flight; for the kind `WEATHER`, the observation.
    """

    at: datetime
    kind: EventKind
    watch: str
    subject: Flight | Weather


def trace(data: FlightData, *, weather: bool = False) -> tuple[TraceEvent, ...]:
    """Turn flights, and with `weather` the observations too, into events ordered by time, then kind, then key."""
    events = [event for flight in data.flights for event in _flight_events(flight)]
    if weather:
        events.extend(
            TraceEvent(row.observed_at, EventKind.WEATHER, f"weather:{row.origin}", row) for row in data.weather
        )
    return _in_order(events)


def job_events(data: FlightData) -> tuple[TraceEvent, ...]:
    """Turn flights into their `scheduled` events alone, in order: one job per flight, the usual load of a sweep."""
    return _in_order([_scheduled(flight) for flight in data.flights])


def window(
    events: Sequence[TraceEvent], start: datetime, *, duration: timedelta | None = None, count: int | None = None
) -> tuple[TraceEvent, ...]:
    """Cut ordered events from `start` on: all within `duration` (its end excluded), or the first `count`.

    Raises:
        InvalidInput: Not exactly one of the two was given, it is not positive, `start` has no time zone, or fewer than
            `count` events follow.
    """
    if start.tzinfo is None:
        raise InvalidInput(f"the start of a window needs a time zone, got {start}: use an aware datetime, in UTC say")
    first = bisect_left(events, start, key=_time)
    if duration is not None and count is None:
        if duration <= timedelta():
            raise InvalidInput(f"the duration of a window must be positive, got {duration}")
        return tuple(events[first : bisect_left(events, start + duration, key=_time)])
    if count is not None and duration is None:
        _require_count(count, len(events) - first)
        return tuple(events[first : first + count])
    raise InvalidInput("a window needs exactly one of duration and count")


def busiest_window(events: Sequence[TraceEvent], count: int) -> tuple[TraceEvent, ...]:
    """Return the `count` consecutive events that span the shortest time; of several such runs, the first.

    Raises:
        InvalidInput: `count` is not positive, or there are fewer events.
    """
    _require_count(count, len(events))
    spans = (events[first + count - 1].at - events[first].at for first in range(len(events) - count + 1))
    first, _ = min(enumerate(spans), key=lambda pair: pair[1])
    return tuple(events[first : first + count])


def _flight_events(flight: Flight) -> Iterator[TraceEvent]:
    yield _scheduled(flight)
    if flight.departed_at is None:
        yield TraceEvent(flight.scheduled_at, EventKind.CANCELLED, flight.watch, flight)
        return
    yield TraceEvent(flight.departed_at, EventKind.DEPARTED, flight.watch, flight)
    if flight.arrived_at is None:
        due_at = flight.departed_at + (flight.scheduled_arrival_at - flight.scheduled_at)
        yield TraceEvent(due_at, EventKind.DIVERTED, flight.watch, flight)
    else:
        yield TraceEvent(flight.arrived_at, EventKind.ARRIVED, flight.watch, flight)


def _scheduled(flight: Flight) -> TraceEvent:
    return TraceEvent(flight.scheduled_at, EventKind.SCHEDULED, flight.watch, flight)


_time = attrgetter("at")
_RANKS = {kind: rank for rank, kind in enumerate(EventKind)}


def _in_order(events: Iterable[TraceEvent]) -> tuple[TraceEvent, ...]:
    return tuple(sorted(events, key=lambda event: (event.at, _RANKS[event.kind], event.subject.key)))


def _require_count(count: int, available: int) -> None:
    if not 0 < count <= available:
        raise InvalidInput(f"a window of {count} events cannot be cut: there are {available}, and it needs 1 or more")
