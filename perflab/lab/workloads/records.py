"""The lines of the flights and weather files, as text under the names of their columns.

A missing value is the text `NA` here; `flights` turns it into `None`.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, TypeVar

from perflab.errors import InvalidInput, LabError
from perflab.lab.workloads import datasets

Source: TypeAlias = Literal["week", "year"]


class FlightRecord(NamedTuple):
    """One line of the flights file: its columns in order, as text."""

    year: str
    month: str
    day: str
    dep_time: str
    sched_dep_time: str
    dep_delay: str
    arr_time: str
    sched_arr_time: str
    arr_delay: str
    carrier: str
    flight: str
    tailnum: str
    origin: str
    dest: str
    air_time: str
    distance: str
    hour: str
    minute: str
    time_hour: str


class WeatherRecord(NamedTuple):
    """One line of the weather file: its columns in order, as text."""

    origin: str
    year: str
    month: str
    day: str
    hour: str
    temp: str
    dewp: str
    humid: str
    wind_dir: str
    wind_speed: str
    wind_gust: str
    precip: str
    pressure: str
    visib: str
    time_hour: str


RecordT = TypeVar("RecordT", FlightRecord, WeatherRecord)


def load_records(
    source: Source = "week", *, directory: Path | str | None = None
) -> tuple[Iterator[FlightRecord], Iterator[WeatherRecord]]:
    """Load the same files as `load_flights`, as the text that stands in them. Arguments and errors are the same."""
    if source == "week":
        folder = Path(directory) if directory is not None else datasets.week_directory()
        flights_file, weather_file = datasets.week_files(folder)
    elif source == "year":
        folder = Path(directory) if directory is not None else datasets.package_directory()
        flights_file, weather_file = datasets.YEAR_FLIGHTS, datasets.YEAR_WEATHER
    else:
        raise InvalidInput(f"no flights source is named {source!r}: use 'week' or 'year'")
    return (
        _records(datasets.read_text(folder, flights_file), FlightRecord, flights_file.name),
        _records(datasets.read_text(folder, weather_file), WeatherRecord, weather_file.name),
    )


def _records(text: str, record: type[RecordT], name: str) -> Iterator[RecordT]:
    lines = csv.reader(io.StringIO(text, newline=""))
    columns = tuple(next(lines, ()))
    if columns != record._fields:
        raise LabError(f"{name} has the columns {columns}, expected {record._fields}")
    # Few values are new: shared, the year's lines need a fraction of the memory.
    return (record._make(map(sys.intern, line)) for line in lines)
