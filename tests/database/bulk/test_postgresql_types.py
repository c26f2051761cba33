"""Values of every type travel in arrays as they travel one by one, and those that cannot do not try."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import (
    ARRAY,
    CHAR,
    JSON,
    REAL,
    BigInteger,
    Boolean,
    Column,
    Computed,
    Date,
    DateTime,
    Double,
    Float,
    Identity,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    PickleType,
    SmallInteger,
    String,
    Table,
    Text,
    Time,
    Uuid,
    func,
    insert,
)
from sqlalchemy import Enum as EnumType
from sqlalchemy.dialects.postgresql import INET, INT4RANGE, JSONB, Range

from perflab.database.core_write import CoreWrite
from perflab.database.database import Database
from perflab.errors import InvalidInput, RejectedRow


class Colour(Enum):
    RED = 1
    BLUE = 2


class Size(IntEnum):
    SMALL = 1


NOON = datetime(2013, 8, 20, 12, 0, 0, 250)  # noqa: DTZ001
TYPES: dict[str, tuple[Any, list[Any]]] = {
    "small": (SmallInteger(), [-(2**15), 2**15 - 1]),
    "middle": (Integer(), [-(2**31), 2**31 - 1]),
    "big": (BigInteger(), [-(2**63), 2**63 - 1]),
    "float": (Float(), [0.1, -0.0, 1e300, 5]),
    "double": (Double(), [0.1, 5e-324]),
    "real": (REAL(), [0.5, 1e30]),
    "decimal": (Numeric(20, 4), [Decimal("12.5000"), Decimal("-1E+3"), 7]),
    "text": (Text(), ["", "ä'\"\\,{}%s\n", "NULL", "😀"]),
    "string": (String(10), ["ten chars.", ""]),
    "padded": (CHAR(4), ["ab", "abcd"]),
    "bytes": (LargeBinary(), [b"", b"\x00\xff\\"]),
    "flag": (Boolean(), [True, False]),
    "day": (Date(), [date(1, 1, 1), date(9999, 12, 31)]),
    "hour": (Time(), [time(0), time(23, 59, 59, 999_999)]),
    "at": (DateTime(), [NOON, datetime(1900, 1, 1)]),  # noqa: DTZ001
    "moment": (DateTime(timezone=True), [NOON.replace(tzinfo=UTC), NOON.replace(tzinfo=timezone(timedelta(hours=-5)))]),
    "span": (Interval(), [timedelta(days=-3, microseconds=1), timedelta(0)]),
    "uuid": (Uuid(), [UUID(int=5), UUID(int=2**128 - 1)]),
    "uuid_text": (Uuid(as_uuid=False), [str(UUID(int=5))]),
    "json": (JSON(), [{"a": [1, None, "é"]}, [], 1e16, "text", None, JSON.NULL]),
    "jsonb": (JSONB(), [{"b": {"c": True}}, "x"]),
    "null_json": (JSON(none_as_null=True), [None, [1]]),
    "enum": (EnumType(Colour), [Colour.RED, Colour.BLUE]),
    "enum_text": (EnumType(Colour, native_enum=False), [Colour.RED]),
    "pickle": (PickleType(), [{"any": object}]),
}


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    with Database.open(postgres_url) as opened:
        yield opened


def make(database: Database, *columns: Column[Any]) -> Table:
    table = Table("typed", MetaData(), Column("id", Integer, primary_key=True), *columns)
    with database.transaction() as connection:
        table.create(connection)
    return table


def write(database: Database, table: Table, rows: list[dict[str, Any]], *, arrays: bool) -> None:
    """Insert rows, and check how they were sent."""
    operation = CoreWrite(insert(table), database.dialect)
    prepared = [operation.prepare(row) for row in rows]
    sent: list[str] = []

    def noting(send: Callable[..., Any]) -> Callable[..., Any]:
        def note(sql: str, *rest: Any) -> Any:
            sent.append(sql)
            return send(sql, *rest)

        return note

    with database.driver_transaction() as connection, pytest.MonkeyPatch.context() as patch:
        for name in ("execute", "executemany"):
            patch.setattr(connection, name, noting(getattr(connection, name)))
        operation.apply(connection, prepared)
    assert ["unnest" in sql for sql in sent] == [arrays]


@pytest.mark.parametrize("name", TYPES)
def test_arrays_hold_what_single_values_hold(database: Database, name: str) -> None:
    kind, values = TYPES[name]
    table = make(database, Column("v", kind))
    rows = [{"v": value} for value in [*values, None]]
    for row in rows:
        write(database, table, [row], arrays=False)
    write(database, table, rows, arrays=True)
    stored = [v for (v,) in database.fetch("SELECT v FROM typed ORDER BY id")]
    one_by_one, together = stored[: len(rows)], stored[len(rows) :]
    assert together == one_by_one
    assert list(map(repr, together)) == list(map(repr, one_by_one))


@pytest.mark.case("F25")
def test_more_values_than_the_formatter_counts(database: Database) -> None:
    table = make(database, Column("v", Integer), Column("w", Text))
    write(database, table, [{"v": n, "w": None if n % 3 else str(n)} for n in range(70_000)], arrays=True)
    assert database.fetch("SELECT count(*), sum(v), count(w), min(length(w)) FROM typed") == [
        (70_000, sum(range(70_000)), 23_334, 1)
    ]
    assert database.fetch("SELECT count(*) FROM typed WHERE w = v::text OR mod(v, 3) <> 0") == [(70_000,)]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Integer(), [1, True]),
        (Integer(), [1, Size.SMALL]),
        (Numeric(), [Decimal(1), 1.5]),
        (Date(), [date(2013, 8, 20), NOON]),
        (DateTime(), [NOON, date(2013, 8, 20)]),
        (DateTime(timezone=True), [NOON.replace(tzinfo=UTC), NOON]),
        (DateTime(), [NOON, NOON.replace(tzinfo=UTC)]),
        (LargeBinary(), [b"a", bytearray(b"b")]),
        (Text(), ["2013-08-20", type("Word", (str,), {})("x")]),
        (Date(), ["2013-08-20", date(2013, 8, 20)]),
        (ARRAY(Integer), [[1, 2], [3]]),
        (INET(), ["10.0.0.1", "::1"]),
        (INT4RANGE(), [Range(1, 5), None]),
    ],
    ids=str,
)
def test_other_values_are_sent_one_by_one(database: Database, kind: Any, values: list[Any]) -> None:
    table = make(database, Column("v", kind))
    write(database, table, [{"v": value} for value in values], arrays=False)
    assert database.fetch("SELECT count(*) FROM typed") == [(len(values),)]


@pytest.mark.case("F29")
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (SmallInteger(), 2**15),
        (Integer(), 2**31),
        (Integer(), -(2**31) - 1),
        (REAL(), 1e300),
        (String(3), "four"),
        (Numeric(3, 1), Decimal(1000)),
        (Integer(), frozenset()),
        (JSONB(), "\\"),  # fine: it is refused nowhere
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_and_never_cut(database: Database, kind: Any, value: Any) -> None:
    table = make(database, Column("v", kind))
    operation = CoreWrite(insert(table), database.dialect)
    rows = [{"v": None}, {"v": value}]
    if isinstance(kind, JSONB):
        database.apply(operation, rows)
        assert database.fetch("SELECT v FROM typed WHERE v <> 'null'") == [("\\",)]
        return
    with pytest.raises((RejectedRow, InvalidInput)):
        database.apply(operation, rows)
    assert database.fetch("SELECT count(*) FROM typed") == [(0,)]


def test_columns_that_the_server_fills(database: Database) -> None:
    table = make(
        database,
        Column("v", Integer),
        Column("row", Integer, Identity(start=100)),
        Column("twice", Integer, Computed("v * 2")),
        Column("stated", Text, server_default="stated"),
        Column("upper", Text, default=func.upper("sql")),
        Column("python", Integer, default=lambda: 7),
    )
    write(database, table, [{"v": 1}, {"v": 2}], arrays=True)
    assert database.fetch("SELECT * FROM typed ORDER BY id") == [
        (1, 1, 100, 2, "stated", "SQL", 7),
        (2, 2, 101, 4, "stated", "SQL", 7),
    ]


@pytest.mark.case("F32")
def test_a_column_that_is_too_large_is_sent_in_parts(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perflab.database.bulk.postgresql.MAX_ARRAY_BYTES", 300)
    table = make(database, Column("v", Text))
    operation = CoreWrite(insert(table).returning(table.c.id, table.c.v), database.dialect)
    values = ["x" * 100, "y", "z" * 150, "a" * 1_000, "b"]
    assert database.apply(operation, [{"v": value} for value in values]) == [
        [(n, value)] for n, value in enumerate(values, start=1)
    ]
