"""The engine reads what it is told to, and says what it did not read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Column, Index, Integer, MetaData, Table, Text, insert, text

from perflab.cache.engine_warming import warm_engine
from perflab.database.database import Database
from perflab.errors import InvalidInput
from tests.cache.conftest import FARES
from tests.engines import on_postgresql, on_sqlite

ODD = Table(
    'odd "name" %s',
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column('a "column"', Text),
    Column("b", Integer),
    Column("c", Integer),
    Index("odd_index", "c"),
    Index("of_an_expression", text("abs(b)")),
    Index("partial", "b", sqlite_where=Column("b") > 0, postgresql_where=Column("b") > 0),
)


@pytest.fixture
def with_extension(fares: Database) -> Iterator[Database]:
    if fares.engine_name == "postgresql":
        with fares.driver_transaction() as connection:
            connection.execute("CREATE SCHEMA elsewhere")
            connection.execute("CREATE EXTENSION pg_prewarm SCHEMA elsewhere")
    yield fares
    if fares.engine_name == "postgresql":
        with fares.driver_transaction() as connection:
            connection.execute("DROP SCHEMA elsewhere CASCADE")


def test_tables_are_read_with_their_indexes(with_extension: Database) -> None:
    with with_extension.transaction() as connection:
        ODD.create(connection)
        connection.execute(insert(ODD), [{"id": n, 'a "column"': "x" * 20_000, "b": n, "c": n} for n in range(10)])
    with with_extension.counting() as count:
        report = warm_engine(with_extension, [FARES, ODD, FARES])
    assert (report.left_out, report.reason) == ((), "")
    assert report.bytes > 16_384
    assert report.round_trips == count.round_trips > 0
    with with_extension.transaction() as connection:
        ODD.drop(connection)


def test_names_will_do(with_extension: Database) -> None:
    report = warm_engine(with_extension, ["fares", "perflab_watches"])
    assert report.left_out == ()


def test_what_has_no_room_is_left_out_and_named(with_extension: Database) -> None:
    report = warm_engine(with_extension, [FARES], max_bytes=8_192)
    assert report.left_out == ("fares",)
    assert "max_bytes" in report.reason
    assert report.bytes <= 8_192


@on_postgresql
def test_without_the_extension_it_says_what_to_do(fares: Database) -> None:
    report = warm_engine(fares, [FARES])
    assert (report.bytes, report.left_out) == (0, ("fares",))
    assert report.reason == "pg_prewarm is not installed in this database: CREATE EXTENSION pg_prewarm"


@on_postgresql
def test_indexes_and_large_values_are_in_it(with_extension: Database) -> None:
    with with_extension.transaction() as connection:
        ODD.create(connection)
        connection.exec_driver_sql(
            'INSERT INTO "odd ""name"" %%s" SELECT n, string_agg(md5(n::text || m), \'\'), n, n '
            "FROM generate_series(1, 20) n, generate_series(1, 1000) m GROUP BY n"
        )
    report = warm_engine(with_extension, [ODD])
    assert report.bytes > 20 * 16_000  # the large values, which lie in a table of their own
    with with_extension.transaction() as connection:
        ODD.drop(connection)


@on_sqlite
def test_every_page_of_the_table_and_its_indexes_is_read(with_extension: Database) -> None:
    """Told by the plans: the table from end to end, and each whole index that is there."""
    with with_extension.transaction() as connection:
        ODD.create(connection)
    with with_extension.recording() as recorder:
        warm_engine(with_extension, [ODD])
    plans = []
    for statement in recorder.statements():
        if statement.sql.startswith("SELECT count"):
            plans += [row[3] for row in with_extension.fetch(f"EXPLAIN QUERY PLAN {statement.sql}")]
    assert plans == ['SCAN odd "name" %s', 'SCAN odd "name" %s USING COVERING INDEX odd_index']


@pytest.mark.parametrize("table", ["nothing", "", 5, "fares; DROP TABLE fares"])
def test_what_is_no_table_is_refused(fares: Database, table: object) -> None:
    with pytest.raises(InvalidInput, match="no table"):
        warm_engine(fares, [FARES, table])  # type: ignore[list-item]


def test_a_bad_bound_is_refused(fares: Database) -> None:
    with pytest.raises(InvalidInput, match="max_bytes"):
        warm_engine(fares, [FARES], max_bytes=0)
