"""A real file is loaded, twice with the same result, and a bad row ends up in the other file."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest

from examples.bulk_load.load_flights import load
from perflab import Database

FLIGHTS = Path(__file__).parents[2] / "data" / "flights_week.csv.gz"


@pytest.fixture
def some_flights(tmp_path: Path) -> Path:
    """Five hundred real flights, some of which were cancelled, and one without a destination."""
    rows = pd.read_csv(FLIGHTS, nrows=20_000)
    rows = pd.concat([rows[rows["dep_delay"].isna()].head(20), rows[rows["dep_delay"].notna()].head(480)])
    rows["dest"] = [None if number == 7 else dest for number, dest in enumerate(rows["dest"])]
    path = tmp_path / "flights.csv"
    rows.to_csv(path, index=False)
    return path


def test_rows_are_there_once_and_the_refused_one_is_named(
    some_flights: Path, database_url: str, tmp_path: Path
) -> None:
    refused = tmp_path / "refused.csv"
    for _again in range(2):
        report = load(some_flights, database_url, refused, chunk_rows=150)
        assert (report.delivered, report.rejected) == (499, 1)
    with Database.open(database_url) as db:
        assert db.fetch("SELECT count(*), count(dep_delay) FROM flights") == [(499, 480)]
    with refused.open(encoding="utf-8", newline="") as file:
        ((row, error),) = csv.reader(file)
    assert row
    assert "dest" in error
