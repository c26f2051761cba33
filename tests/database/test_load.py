"""Many keys at once find what they find one by one, on both engines."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    insert,
    select,
)

from perflab.database.core_write import CoreWrites
from perflab.database.database import Database
from perflab.database.load import Load, load, load_all
from perflab.errors import InvalidInput

THING = Table(
    "thing",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("carrier", Text),
    Column("number", Integer),
    Column("100% of it", Numeric(8, 2), key="price"),
    Column("seen_at", DateTime(timezone=True)),
    Column("code", Uuid),
    Column("is_on", Boolean),
    Column("detail", JSON),
    UniqueConstraint("carrier", "number"),
)
CODE = UUID("12345678-1234-5678-1234-567812345678")
NOON = datetime(2013, 7, 4, 12, tzinfo=UTC)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database.open(database_url) as opened:
        with opened.transaction() as connection:
            THING.create(connection)
            connection.execute(
                insert(THING),
                [
                    {
                        "id": n,
                        "carrier": "ä'%s" if n % 2 else "UA",
                        "number": n // 2,
                        "price": Decimal("1.50"),
                        "seen_at": NOON,
                        "code": CODE,
                        "is_on": n == 1,
                        "detail": {"list": [n]},
                    }
                    for n in range(8)
                ],
            )
            connection.execute(insert(THING), {"id": 100})
        yield opened


def read(database: Database, stated: Load, keys: list[Any]) -> list[Any]:
    operation = CoreWrites(database.dialect).operation(stated)
    rows = [operation.prepare(key) for key in keys]
    with database.reading_connection() as connection:
        return list(operation.apply(connection, rows))


def test_rows_are_what_sqlalchemy_reads(database: Database) -> None:
    columns = [column for column in THING.columns if column.key != "seen_at"]  # SQLite forgets the time zone
    with database.reading() as connection:
        expected = {row.id: tuple(row) for row in connection.execute(select(*columns))}
    rows = read(database, load(THING, columns=columns), [*range(8), 100])
    assert rows == [expected[key] for key in [*range(8), 100]]
    assert [type(value) for value in rows[1]] == [type(value) for value in expected[1]]
    assert rows[1].price == Decimal("1.50")
    assert rows[1].detail == {"list": [1]}


def test_a_missing_key_is_none_and_a_row_of_nulls_is_not(database: Database) -> None:
    assert read(database, load(THING, columns=["carrier", "number"]), [100, 101, 1]) == [
        (None, None),
        None,
        ("ä'%s", 0),
    ]


def test_all_rows_of_a_key(database: Database) -> None:
    found = read(database, load_all(THING, "carrier", columns=["id"]), ["UA", "none", "UA"])
    assert [sorted(rows) for rows in found] == [[(0,), (2,), (4,), (6,)], [], [(0,), (2,), (4,), (6,)]]
    assert found[1] == ()


@settings(max_examples=30)
@given(keys=st.lists(st.tuples(st.sampled_from(["UA", "ä'%s", "ua", "UA "]), st.integers(-1, 5)), min_size=1))
def test_keys_of_several_columns_in_any_order_and_number(database: Database, keys: list[tuple[str, int]]) -> None:
    rows = {("ä'%s" if n % 2 else "UA", n // 2): (n,) for n in range(8)}
    assert read(database, load(THING, "carrier", "number", columns=["id"]), keys) == [rows.get(key) for key in keys]


@pytest.mark.parametrize(("column", "key", "count"), [("seen_at", NOON, 8), ("code", CODE, 8), ("is_on", True, 1)])
def test_keys_of_other_types(database: Database, column: str, key: Any, count: int) -> None:
    found = read(database, load_all(THING, column, columns=["id"]), [key, key])
    assert [len(rows) for rows in found] == [count, count]


def test_keys_whose_types_do_not_go_into_one_array(database: Database) -> None:
    """1.0, and a number of more bits than the column, are no int4."""
    assert read(database, load(THING, columns=["id"]), [1, 1.0, 2**40]) == [(1,), (1,), None]


def test_values_that_can_change_are_each_callers_own(database: Database) -> None:
    first, second = read(database, load(THING, columns=["detail"]), [3, 3])
    first.detail["list"].append("changed")
    assert second.detail == {"list": [3]}
    (first,), (second,) = read(database, load_all(THING, columns=["detail"]), [3, 3])
    first.detail["list"].append("changed")
    assert second.detail == {"list": [3]}


def test_many_keys_are_one_round_trip_and_each_goes_out_once(database: Database) -> None:
    with database.counting() as count:
        read(database, load(THING, columns=["id"]), [*range(8)] * 50)
    assert count.round_trips == 1


@pytest.mark.case("F25")
def test_more_keys_than_sqlite_binds(tmp_path: Any) -> None:
    """Elsewhere a batch has more values than the database binds (frictionless-py#1196)."""
    with Database.open(f"sqlite:///{tmp_path / 'many.db'}") as database:
        with database.transaction() as connection:
            THING.create(connection)
            connection.execute(insert(THING), [{"id": n, "carrier": "UA", "number": n} for n in range(25)])
        with database.reading_connection() as raw:
            limited: Any = raw
            limited.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 9)
            operation = CoreWrites(database.dialect).operation(load(THING, "carrier", "number", columns=["id"]))
            before = raw.round_trips
            keys = [("UA", n) for n in range(25)]
            assert list(operation.apply(raw, keys)) == [(n,) for n in range(25)]
            assert raw.round_trips - before == 7  # four keys of two values each


# -- plans -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def plan(database: Database) -> Callable[[Load, list[Any]], str]:
    """How the engine finds keys in a deep table."""
    with database.transaction() as connection:
        rows = [{"id": n, "carrier": "deep", "number": n} for n in range(1_000, 31_000)]
        connection.execute(insert(THING), rows)
        connection.exec_driver_sql("ANALYZE")

    def explained(stated: Load, keys: list[Any]) -> str:
        operation: Any = CoreWrites(database.dialect).operation(stated)
        rows = [operation.prepare(key) for key in keys]
        said: list[str] = []

        class Explaining:
            def __init__(self, connection: Any) -> None:
                self._connection = connection

            def getlimit(self, which: int) -> int:
                return int(self._connection.getlimit(which))

            def execute(self, sql: str, parameters: Any) -> Any:
                prefix = "EXPLAIN QUERY PLAN " if database.engine_name == "sqlite" else "EXPLAIN "
                said.extend(str(row[-1]) for row in self._connection.execute(prefix + sql, parameters))
                return self._connection.execute(sql, parameters)

        with database.reading_connection() as connection:
            operation.apply(Explaining(connection), rows)
        return "\n".join(said)

    return explained


@pytest.mark.parametrize("number", [1, 20])
def test_no_key_scans_the_table(plan: Callable[[Load, list[Any]], str], number: int) -> None:
    for stated, keys in (
        (load(THING), [1_000 + 17 * n for n in range(number)]),
        (load(THING, "carrier", "number"), [("deep", 1_000 + 17 * n) for n in range(number)]),
    ):
        text = plan(stated, keys)
        assert "Index" in text or "SEARCH perflab_target USING" in text, text
        assert "Seq Scan" not in text, text
        assert "SCAN perflab_target" not in text, text


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_loads_that_cannot_be_are_refused() -> None:
    bare = Table("bare", MetaData(), Column("n", Integer))
    cases: list[tuple[Callable[[], Any], str]] = [
        (lambda: load("thing"), "cannot load from str 'thing'"),  # type: ignore[arg-type]
        (lambda: load(THING, "nothing"), "unknown column 'nothing' of thing: it has id, carrier"),
        (lambda: load(THING, columns=[]), "nothing is to be read of thing"),
        (lambda: load(THING, columns=["id", "id"]), "named twice: id, id"),
        (lambda: load(THING, "carrier"), r"several rows of thing may have the same carrier: use load_all\(\)"),
        (lambda: load(bare), "bare states no primary key: name the columns"),
    ]
    for make, message in cases:
        with pytest.raises(InvalidInput, match=message):
            make()


def test_unique_indexes_make_a_key_but_partial_ones_do_not() -> None:
    table = Table("t", MetaData(), Column("a", Integer), Column("b", Integer), Column("c", Integer))
    Index("whole", table.c.a, table.c.b, unique=True)
    Index("partial", table.c.c, unique=True, sqlite_where=table.c.a > 0)
    assert load(table, table.c.b, "a").key == ("b", "a")
    for key in ("a", "c"):
        with pytest.raises(InvalidInput, match="several rows of t may have"):
            load(table, key)


@pytest.mark.parametrize(
    ("stated", "key", "message"),
    [
        (load(THING), None, "thing.id is None: no row is found by NULL"),
        (load(THING), 2**70, "thing.id is"),
        (load(THING), [1], "thing.id cannot be looked up by a list"),
        (load(THING, "carrier", "number"), "UA", "takes a tuple of 2 values"),
        (load(THING, "carrier", "number"), ("UA",), "takes a tuple of 2 values"),
        (load(THING, "carrier", "number"), ("a\x00", 1), "thing.carrier holds a NUL character"),
    ],
)
def test_keys_that_cannot_be_are_refused(database: Database, stated: Load, key: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        CoreWrites(database.dialect).operation(stated).prepare(key)
