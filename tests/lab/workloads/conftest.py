"""The year is read once: it is the oracle of many tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from perflab.lab.workloads.flights import Flight, FlightData, load_flights
from perflab.lab.workloads.records import FlightRecord, load_records
from perflab.lab.workloads.trace import TraceEvent, job_events, trace

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="session")
def year() -> FlightData:
    return load_flights("year")


@pytest.fixture(scope="session")
def year_records() -> tuple[FlightRecord, ...]:
    flights, _ = load_records("year")
    return tuple(flights)


@pytest.fixture(scope="session")
def year_trace(year: FlightData) -> tuple[TraceEvent, ...]:
    return trace(year, weather=True)


@pytest.fixture(scope="session")
def year_jobs(year: FlightData) -> tuple[TraceEvent, ...]:
    return job_events(year)


@pytest.fixture(scope="session")
def week() -> FlightData:
    return load_flights()


@pytest.fixture
def make_flight() -> Callable[..., Flight]:
    """Make a flight of 6 June 2013, 12:00 UTC to 14:00 UTC, on time unless told otherwise."""

    def make(
        *,
        number: int = 1,
        scheduled_at: datetime = datetime(2013, 6, 6, 12, tzinfo=UTC),
        departed_at: datetime | None = datetime(2013, 6, 6, 12, tzinfo=UTC),
        arrived_at: datetime | None = datetime(2013, 6, 6, 14, tzinfo=UTC),
    ) -> Flight:
        return Flight(
            key=f"UA|{number}|{scheduled_at:%Y-%m-%dT%H}:00:00Z",
            watch="UA:EWR-ORD",
            carrier="UA",
            flight=number,
            tailnum=None,
            origin="EWR",
            dest="ORD",
            distance_miles=719,
            priority=1,
            scheduled_at=scheduled_at,
            scheduled_arrival_at=datetime(2013, 6, 6, 14, tzinfo=UTC),
            departed_at=departed_at,
            arrived_at=arrived_at,
        )

    return make
