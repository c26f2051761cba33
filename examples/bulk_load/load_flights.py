"""Load a CSV file with pandas: chunk by chunk into a table, and the rows that the database refuses into another file.

    pip install 'perflab[postgres]' pandas
    python load_flights.py flights.csv.gz sqlite:///flights.db

The file is never in memory as a whole, and never read faster than it is written. Loading it again changes nothing.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import Column, Integer, MetaData, String, Table

from perflab import BulkInserter, Database, InsertReport

metadata = MetaData()
flights = Table(
    "flights",
    metadata,
    Column("time_hour", String, primary_key=True),
    Column("carrier", String, primary_key=True),
    Column("flight", Integer, primary_key=True),
    Column("origin", String, primary_key=True),
    Column("dest", String, nullable=False),
    Column("distance", Integer, nullable=False),
    Column("dep_delay", Integer),
)


def load(source: Path, url: str, refused: Path, chunk_rows: int = 20_000) -> InsertReport:
    """Load a file of flights, and return what became of its rows."""
    names = [column.name for column in flights.columns]
    with Database.open(url) as db, refused.open("w", encoding="utf-8", newline="") as file:
        db.create_schema()
        with db.transaction() as connection:
            metadata.create_all(connection)
        rejects = csv.writer(file)

        def note(row: Any, error: Exception) -> None:
            rejects.writerow([row, error])

        with BulkInserter(db, flights, batch_size=5_000, on_conflict="ignore", on_reject=note) as inserter:
            for chunk in pd.read_csv(source, usecols=names, dtype={"dep_delay": "Int64"}, chunksize=chunk_rows):
                inserter.extend(chunk)
            return inserter.close()


if __name__ == "__main__":
    source, url = sys.argv[1:]
    report = load(Path(source), url, Path("refused.csv"))
    print(f"{report.delivered:,} rows are there, {report.rejected:,} were refused: see refused.csv")
