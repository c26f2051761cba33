from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.errors import InvalidInput
from perflab.lab.workloads.flights import Flight, FlightData
from perflab.lab.workloads.trace import EventKind, TraceEvent, busiest_window, job_events, trace, window

if TYPE_CHECKING:
    from collections.abc import Callable

    from perflab.lab.workloads.records import FlightRecord

NOON = datetime(2013, 6, 6, 12, tzinfo=UTC)
FIVE_MINUTES = timedelta(minutes=5)


def kinds_of(*flights: Flight) -> list[tuple[EventKind, datetime]]:
    return [(event.kind, event.at) for event in trace(FlightData("week", flights, ()))]


def test_totals_of_the_year(year_trace: tuple[TraceEvent, ...]) -> None:
    counts = Counter(event.kind for event in year_trace)
    assert counts == {
        EventKind.SCHEDULED: 336_776,
        EventKind.DEPARTED: 328_521,
        EventKind.ARRIVED: 327_346,
        EventKind.DIVERTED: 1_175,
        EventKind.CANCELLED: 8_255,
        EventKind.WEATHER: 26_115,
    }
    assert len(year_trace) - counts[EventKind.WEATHER] == 1_002_073


def test_the_year_is_in_order(year_trace: tuple[TraceEvent, ...]) -> None:
    assert all(earlier.at <= later.at for earlier, later in pairwise(year_trace))


def test_every_flight_departs_before_it_ends(year_trace: tuple[TraceEvent, ...]) -> None:
    flying: set[str] = set()
    for event in year_trace:
        if event.kind is EventKind.DEPARTED:
            flying.add(event.subject.key)
        elif event.kind in {EventKind.ARRIVED, EventKind.DIVERTED}:
            flying.remove(event.subject.key)
    assert not flying


def test_most_flights_leave_before_their_schedule(year: FlightData, year_records: tuple[FlightRecord, ...]) -> None:
    early = [f.scheduled_at - f.departed_at for f in year.flights if f.departed_at and f.departed_at < f.scheduled_at]
    assert max(early) == timedelta(minutes=43)
    assert len(early) == sum(record.dep_delay.startswith("-") for record in year_records) > 336_776 / 2


def test_the_order_does_not_depend_on_the_order_of_the_file(week: FlightData) -> None:
    backwards = FlightData("week", week.flights[::-1], week.weather[::-1])
    assert trace(backwards, weather=True) == trace(week, weather=True)


def test_an_ordinary_flight(make_flight: Callable[..., Flight]) -> None:
    late = make_flight(departed_at=NOON + FIVE_MINUTES)
    assert kinds_of(late) == [
        (EventKind.SCHEDULED, NOON),
        (EventKind.DEPARTED, NOON + FIVE_MINUTES),
        (EventKind.ARRIVED, NOON + timedelta(hours=2)),
    ]


def test_an_early_flight_departs_before_it_is_scheduled(make_flight: Callable[..., Flight]) -> None:
    early = make_flight(departed_at=NOON - FIVE_MINUTES)
    assert [kind for kind, _ in kinds_of(early)] == [EventKind.DEPARTED, EventKind.SCHEDULED, EventKind.ARRIVED]


def test_a_cancelled_flight_is_cancelled_when_it_should_leave(make_flight: Callable[..., Flight]) -> None:
    cancelled = make_flight(departed_at=None, arrived_at=None)
    assert kinds_of(cancelled) == [(EventKind.SCHEDULED, NOON), (EventKind.CANCELLED, NOON)]


def test_a_diverted_flight_is_known_when_it_should_arrive(make_flight: Callable[..., Flight]) -> None:
    diverted = make_flight(departed_at=NOON + FIVE_MINUTES, arrived_at=None)
    assert kinds_of(diverted)[-1] == (EventKind.DIVERTED, NOON + timedelta(hours=2) + FIVE_MINUTES)


def test_weather_comes_before_the_flights_of_its_instant(week: FlightData) -> None:
    first = trace(week, weather=True)
    at_midnight = [event for event in first if event.at == datetime(2013, 8, 19, tzinfo=UTC)]
    kinds = [event.kind for event in at_midnight]
    assert kinds.count(EventKind.WEATHER) == 3
    assert kinds[:3] == [EventKind.WEATHER] * 3
    assert at_midnight[0].watch == "weather:EWR"
    assert EventKind.SCHEDULED in kinds


def test_jobs_are_the_scheduled_events_of_the_trace(week: FlightData) -> None:
    assert job_events(week) == tuple(event for event in trace(week) if event.kind is EventKind.SCHEDULED)


def test_a_window_has_its_start_and_not_its_end(week: FlightData) -> None:
    events = trace(week)
    start = datetime(2013, 8, 20, 11, tzinfo=UTC)
    cut = window(events, start, duration=timedelta(minutes=15))
    assert cut == tuple(event for event in events if start <= event.at < start + timedelta(minutes=15))
    assert cut[0].at == start
    assert window(events, start, count=5) == cut[:5]
    assert window(events, start, duration=timedelta(days=30)) == tuple(event for event in events if event.at >= start)


@pytest.mark.parametrize(
    ("start", "duration", "count", "message"),
    [
        (NOON.replace(tzinfo=None), None, 1, "time zone"),
        (NOON, None, None, "exactly one"),
        (NOON, FIVE_MINUTES, 1, "exactly one"),
        (NOON, timedelta(), None, "must be positive"),
        (NOON, None, 0, "0 events"),
        (NOON, None, 4, "4 events cannot be cut: there are 3"),
    ],
)
def test_bad_windows_are_refused(
    make_flight: Callable[..., Flight], start: datetime, duration: timedelta | None, count: int | None, message: str
) -> None:
    events = trace(FlightData("week", (make_flight(),), ()))
    with pytest.raises(InvalidInput, match=message):
        window(events, start, duration=duration, count=count)


def test_the_busiest_minute_of_the_year(year_jobs: tuple[TraceEvent, ...]) -> None:
    per_minute = Counter(event.at for event in year_jobs)
    peak = datetime(2013, 2, 27, 11, tzinfo=UTC)
    assert max(per_minute.values()) == per_minute[peak] == 28
    busiest = busiest_window(year_jobs, 28)
    assert {event.at for event in busiest} == {peak}
    assert len({event.subject.key for event in busiest}) == 28


@given(
    minutes=st.lists(st.integers(0, 200), min_size=1, max_size=40).map(sorted),
    data=st.data(),
)
def test_no_window_of_as_many_events_is_shorter(minutes: list[int], data: st.DataObject) -> None:
    row = Flight("k", "w", "UA", 1, None, "EWR", "ORD", 719, 1, NOON, NOON, None, None)
    events = [TraceEvent(NOON + timedelta(minutes=m), EventKind.SCHEDULED, str(i), row) for i, m in enumerate(minutes)]
    count = data.draw(st.integers(1, len(events)))
    found = busiest_window(events, count)
    spans = [events[i + count - 1].at - events[i].at for i in range(len(events) - count + 1)]
    assert found[-1].at - found[0].at == min(spans)
    assert int(found[0].watch) == spans.index(min(spans))
    assert len(found) == count


@pytest.mark.parametrize("count", [0, 4, -1])
def test_a_busiest_window_of_too_many_or_no_events_is_refused(make_flight: Callable[..., Flight], count: int) -> None:
    events = trace(FlightData("week", (make_flight(),), ()))
    with pytest.raises(InvalidInput, match=f"{count} events"):
        busiest_window(events, count)
