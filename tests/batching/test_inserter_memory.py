"""What a long source adds to the memory of a process, as the kernel counts it."""

from __future__ import annotations

from typing import Any

import pytest

ROWS = 200_000
LIMIT_MIB = 16
"""What the rows of one batch take, and half of what all of them would."""

LOADER = """
    import sys
    from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text
    from perflab import BulkInserter, Database

    def resident_mib(field):
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith(field)) / 1024

    url, kind, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
    table = Table(
        "loaded",
        MetaData(),
        Column("id", BigInteger, primary_key=True, autoincrement=False),
        Column("n", Integer),
        Column("name", Text),
    )
    with Database.open(url) as database:
        with database.transaction() as connection:
            table.create(connection)
        with BulkInserter(database, table, 10_000, 3600.0) as inserter:
            inserter.extend((n, n, f"row {n}") for n in range(-20_000, 0))  # compiled and connected
            if kind == "generator":
                source = ((n, n % 100, f"row {n}") for n in range(rows))
            else:
                import pandas as pd
                source = pd.DataFrame({"id": range(rows), "n": range(rows), "name": "row"})
                inserter.extend(source.iloc[:0])
                if kind == "arrow":
                    import pyarrow
                    source = pyarrow.Table.from_pandas(source, preserve_index=False)
                    source.slice(0, 1).to_pylist()
            with open("/proc/self/clear_refs", "w") as peak:
                peak.write("5")
            before = resident_mib("VmRSS")
            inserter.extend(source)
        assert database.fetch("SELECT count(*) FROM loaded") == [(rows + 20_000,)]
    print(resident_mib("VmHWM") - before)
"""


@pytest.mark.parametrize("kind", ["generator", "frame", "arrow"])
def test_a_long_source_adds_little(postgres_url: str, run_python: Any, kind: str) -> None:
    added = float(run_python(LOADER, postgres_url, kind, ROWS).stdout)
    assert added < LIMIT_MIB
