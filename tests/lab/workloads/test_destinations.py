from __future__ import annotations

import csv
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.errors import LabError
from perflab.lab.workloads.datasets import package_directory
from perflab.lab.workloads.destinations import destination_zone, first_instant_at

if TYPE_CHECKING:
    from perflab.lab.workloads.records import FlightRecord

NEW_YORK = ZoneInfo("America/New_York")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def minutes_after(midnight: str, minutes: int) -> datetime:
    return utc(midnight) + timedelta(minutes=minutes)


def reading(at: datetime, zone: str) -> int:
    local = at.astimezone(ZoneInfo(zone))
    return local.hour * 100 + local.minute


def test_zones_are_those_of_the_airports_file(year_records: tuple[FlightRecord, ...]) -> None:
    with (package_directory() / "airports.csv").open(encoding="utf-8", newline="") as stream:
        zones = {row["faa"]: row["tzone"] for row in csv.DictReader(stream)}
    destinations = {record.dest for record in year_records}
    assert len(destinations) == 105
    absent = {airport for airport in destinations if airport not in zones}
    assert absent == {"BQN", "PSE", "SJU", "STT"}
    assert {destination_zone(airport).key for airport in absent} == {"America/Puerto_Rico"}
    for airport in destinations - absent:
        assert destination_zone(airport).key == zones[airport]


def test_an_unknown_destination_is_refused() -> None:
    with pytest.raises(LabError, match="'LHR'"):
        destination_zone("LHR")


@pytest.mark.parametrize(
    ("clock", "not_before", "expected"),
    [
        (5, "2013-06-06T03:00", "2013-06-06T04:05"),
        (2400, "2013-06-06T03:00", "2013-06-06T04:00"),
        (2300, "2013-06-06T03:00", "2013-06-06T03:00"),  # the bound itself is not too early
        (2259, "2013-06-06T03:00", "2013-06-07T02:59"),
        (130, "2013-11-03T05:00", "2013-11-03T05:30"),  # 01:30 comes twice: first at UTC-4 ...
        (130, "2013-11-03T05:31", "2013-11-03T06:30"),  # ... then at UTC-5
        (130, "2013-11-03T06:31", "2013-11-04T06:30"),
        (203, "2013-03-10T04:00", "2013-03-10T07:03"),  # 02:03 does not come at all
    ],
)
def test_first_instant_of_a_clock_reading(clock: int, not_before: str, expected: str) -> None:
    assert first_instant_at(clock, NEW_YORK, utc(not_before)) == utc(expected)


@given(
    minute_of_day=st.integers(0, 1439),
    not_before=st.one_of(
        st.builds(minutes_after, st.just("2013-01-01"), st.integers(0, 364 * 1440)),
        st.builds(minutes_after, st.sampled_from(["2013-03-09", "2013-11-02"]), st.integers(0, 2 * 1440)),
    ),
    zone=st.sampled_from(["America/New_York", "America/Phoenix", "Pacific/Honolulu", "America/Anchorage"]),
)
def test_the_instant_is_the_first_with_that_reading(minute_of_day: int, not_before: datetime, zone: str) -> None:
    clock = minute_of_day // 60 * 100 + minute_of_day % 60
    minutes = (not_before + timedelta(minutes=n) for n in range(25 * 60))
    shown = [at for at in minutes if reading(at, zone) == clock]
    instant = first_instant_at(clock, ZoneInfo(zone), not_before)
    if reading(instant, zone) == clock:
        assert instant == shown[0]
    else:  # a reading that the spring night skips
        assert reading(instant, zone) == clock + 100
        assert instant.astimezone(ZoneInfo(zone)).date() == date(2013, 3, 10)
        assert not shown or not_before <= instant < shown[0]
