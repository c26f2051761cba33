"""SQLAlchemy Core writes as operations: what goes in, in how many statements, and what is refused before."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    bindparam,
    column,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    table,
    update,
)
from sqlalchemy import Enum as EnumType
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from perflab.database.core_write import CoreWrite
from perflab.database.database import Database
from perflab.errors import InvalidInput, RejectedRow


class Colour(Enum):
    RED = 1
    BLUE = 2


METADATA = MetaData()
PLANE = Table(
    "plane",
    METADATA,
    Column("tail", Text, primary_key=True),
    Column("seats", Integer),
)
FLIGHT = Table(
    "flight",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("tail", ForeignKey("plane.tail", ondelete="CASCADE")),
    Column("origin", Text, nullable=False, server_default="JFK"),
    Column("delay", Integer, default=7),
    Column("noted", Text, default=lambda: "by a function"),
    Column("changed", Text, onupdate=lambda: "at change"),
    Column("upper", Text, default=func.upper("sql")),
)
TYPED = Table(
    "typed",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", DateTime),
    Column("day", Date),
    Column("on_time", Boolean),
    Column("fare", Numeric(10, 2)),
    Column("tags", JSON),
    Column("colour", EnumType(Colour)),
    Column("raw", LargeBinary),
)


@pytest.fixture
def flights(database_url: str) -> Iterator[Database]:
    with Database.open(database_url) as opened:
        with opened.transaction() as connection:
            METADATA.create_all(connection)
        yield opened


def apply(database: Database, statement: Any, *rows: Mapping[str, Any]) -> list[Any]:
    return database.apply(CoreWrite(statement, database.dialect), rows)


def trips(database: Database, statements: int) -> int:
    """Round trips of a transaction with so many statements."""
    return 1 if database.engine_name == "postgresql" else statements + 2


def read(database: Database, columns: str, of: str = "flight") -> list[tuple[Any, ...]]:
    return database.fetch(f"SELECT {columns} FROM {of} ORDER BY id")


# -- the three kinds ---------------------------------------------------------------------------------------------------


def test_an_insert_sends_all_rows_at_once(flights: Database) -> None:
    with flights.counting() as count:
        assert apply(flights, insert(FLIGHT), *({"delay": delay} for delay in range(100))) == [None] * 100
    assert count.round_trips == trips(flights, 1)
    assert read(flights, "delay") == [(delay,) for delay in range(100)]


def test_an_update_takes_its_values_and_its_conditions_from_the_row(flights: Database) -> None:
    apply(flights, insert(FLIGHT), {"id": 1}, {"id": 2}, {"id": 3})
    statement = update(FLIGHT).where(FLIGHT.c.id == bindparam("which")).values(delay=bindparam("minutes"))
    with flights.counting() as count:
        results = apply(flights, statement, {"which": 1, "minutes": 10}, {"minutes": 30, "which": 3})
    assert results == [None, None]
    assert read(flights, "id, delay, changed") == [(1, 10, "at change"), (2, 7, None), (3, 30, "at change")]
    assert count.round_trips == trips(flights, 2), "rows of another order of columns are a statement of their own"


def test_a_delete_takes_its_conditions_from_the_row(flights: Database) -> None:
    apply(flights, insert(FLIGHT), {"id": 1}, {"id": 2}, {"id": 3})
    statement = delete(FLIGHT).where(FLIGHT.c.id == bindparam("which"), FLIGHT.c.delay == 7)
    apply(flights, statement, {"which": 1}, {"which": 3})
    assert read(flights, "id") == [(2,)]


def test_returning_gives_each_item_its_own_rows(flights: Database) -> None:
    apply(flights, insert(FLIGHT), {"id": 1, "delay": 5}, {"id": 2, "delay": 5}, {"id": 3})
    statement = (
        update(FLIGHT)
        .where(FLIGHT.c.delay == bindparam("minutes"))
        .values(noted=bindparam("note"))
        .returning(FLIGHT.c.id, FLIGHT.c.noted)
    )
    results = apply(
        flights, statement, {"minutes": 5, "note": "a"}, {"minutes": 6, "note": "b"}, {"minutes": 7, "note": "c"}
    )
    assert [sorted(rows) for rows in results] == [[(1, "a"), (2, "a")], [], [(3, "c")]]


def test_returned_values_have_their_python_types(flights: Database) -> None:
    at = datetime(2013, 3, 10, 2, 30)  # noqa: DTZ001  # as the column holds it
    statement = insert(TYPED).returning(TYPED.c.id, TYPED.c.at, TYPED.c.on_time, TYPED.c.colour, TYPED.c.tags)
    row = {"at": at, "on_time": True, "colour": Colour.BLUE, "tags": {"a": [1]}}
    assert apply(flights, statement, row, {}) == [
        [(1, at, True, Colour.BLUE, {"a": [1]})],
        [(2, None, None, None, None)],
    ]


# -- columns, defaults, types ------------------------------------------------------------------------------------------


def test_columns_that_a_row_leaves_out_get_their_defaults(flights: Database) -> None:
    apply(flights, insert(FLIGHT), {}, {"delay": None}, {"noted": "x", "origin": "LGA", "upper": "y"})
    assert read(flights, "origin, delay, noted, upper") == [
        ("JFK", 7, "by a function", "SQL"),
        ("JFK", None, "by a function", "SQL"),
        ("LGA", 7, "x", "y"),
    ]


def test_rows_with_different_columns_keep_their_order(flights: Database) -> None:
    rows = [{"id": 1}, {"id": 2, "delay": 2}, {"delay": 3, "id": 3}, {"id": 4}, {"id": 5}]
    with flights.counting() as count:
        apply(flights, insert(FLIGHT), *rows)
    assert read(flights, "id, delay") == [(1, 7), (2, 2), (3, 3), (4, 7), (5, 7)]
    assert count.round_trips == trips(flights, 4), "neighbours with the same columns share a statement"


def test_a_default_that_needs_the_rest_of_the_row_is_refused(flights: Database) -> None:
    needy = Table(
        "flight",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("noted", Text, default=lambda context: context.get_current_parameters()["id"]),
    )
    with pytest.raises(InvalidInput, match=r"the default of flight.noted failed .* give the value in the row"):
        apply(flights, insert(needy), {"id": 1})
    apply(flights, insert(needy), {"id": 1, "noted": "given"})
    assert read(flights, "id, noted") == [(1, "given")]


def test_a_primary_key_that_the_database_makes_needs_no_returning(flights: Database) -> None:
    with flights.transaction() as connection:
        connection.exec_driver_sql("CREATE TABLE token (id TEXT PRIMARY KEY DEFAULT 'made', name TEXT)")
    token = Table(
        "token", MetaData(), Column("id", Text, primary_key=True, server_default="made"), Column("name", Text)
    )
    apply(flights, insert(token), {"name": "a"})
    assert "RETURNING" not in CoreWrite(insert(token), flights.dialect).prepare({"name": "a"}).form.sql
    assert flights.fetch("SELECT id, name FROM token") == [("made", "a")]


def test_values_go_through_their_types(flights: Database) -> None:
    row = {
        "id": 1,
        "at": datetime(2013, 1, 1, 5, 15, 0, 250),  # noqa: DTZ001
        "day": date(2013, 1, 1),
        "on_time": False,
        "fare": Decimal("12.50"),
        "tags": ["a", {"b": None}],
        "colour": Colour.RED,
        "raw": b"\0\xff",
    }
    apply(flights, insert(TYPED), row, dict.fromkeys(row) | {"id": 2})
    with flights.reading() as connection:
        first, second = connection.execute(select(TYPED).order_by(TYPED.c.id)).mappings()
    assert dict(first) == row
    assert dict(second) == dict.fromkeys(row) | {"id": 2}


def test_sqlalchemy_itself_stores_the_same(flights: Database) -> None:
    rows: list[dict[str, Any]] = [
        {"id": 1, "tags": None, "on_time": None},
        {"id": 2, "tags": {"k": "é"}, "on_time": True},
    ]
    apply(flights, insert(TYPED), *rows)
    ours = read(flights, "*", "typed")
    with flights.transaction() as connection:
        connection.execute(delete(TYPED))
        connection.execute(insert(TYPED), rows)
    assert read(flights, "*", "typed") == ours


def test_values_fixed_in_the_statement_are_kept(flights: Database) -> None:
    apply(flights, insert(FLIGHT).values(origin="EWR", delay=0), {"id": 1}, {"id": 2})
    apply(flights, update(FLIGHT).where(FLIGHT.c.origin == "EWR").values(noted=literal("all")), {})
    assert read(flights, "id, origin, delay, noted") == [(1, "EWR", 0, "all"), (2, "EWR", 0, "all")]


def test_a_row_may_be_any_mapping(flights: Database) -> None:
    apply(flights, insert(FLIGHT), MappingProxyType({"id": 1, "delay": 1}))
    assert read(flights, "id, delay") == [(1, 1)]


def test_a_lightweight_table_works_too(flights: Database) -> None:
    light = table("flight", column("id"), column("delay"))
    operation = CoreWrite(insert(light), flights.dialect)
    flights.apply(operation, [{"id": 1, "delay": 1}])
    assert read(flights, "id, delay") == [(1, 1)]
    assert operation.tables == {"flight"}
    assert operation.name == "insert flight"


@given(
    st.lists(
        st.fixed_dictionaries({"delay": st.integers(-1000, 1000)}, optional={"origin": st.sampled_from("AB")}),
        max_size=12,
    )
)
def test_any_mixture_of_columns_is_stored_like_one_by_one(rows: list[dict[str, Any]]) -> None:
    with Database.open("sqlite://") as together, Database.open("sqlite://") as apart:
        for database in (together, apart):
            with database.transaction() as connection:
                METADATA.create_all(connection)
        apply(together, insert(FLIGHT), *rows)
        for row in rows:
            apply(apart, insert(FLIGHT), row)
        assert read(together, "*") == read(apart, "*")


# -- what is refused before anything is sent ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "row", "message"),
    [
        (insert(FLIGHT), {"id": 1, "gate": "B2"}, "unknown column 'gate' for insert flight: it takes id, tail, origin"),
        (insert(FLIGHT), [("id", 1)], "insert flight takes a dictionary for each item, not list"),
        (insert(FLIGHT), None, "takes a dictionary for each item, not NoneType"),
        (insert(FLIGHT), {1: 2}, "insert flight cannot take a row with 1: "),
        (insert(FLIGHT).values(origin=bindparam("from")), {"id": 1}, "insert flight needs a value for from"),
        (
            update(FLIGHT).where(FLIGHT.c.id == bindparam("which")).values(delay=bindparam("minutes")),
            {"which": 1},
            "update flight needs a value for minutes",
        ),
        (
            update(FLIGHT).where(FLIGHT.c.id == bindparam("which")).values(delay=bindparam("minutes")),
            {"which": 1, "minutes": 2, "other": 3},
            "other",
        ),
        (
            update(FLIGHT).where(FLIGHT.c.id == bindparam("id")).values(delay=1),
            {"id": 1},
            "Please use a name other than",
        ),
        (delete(FLIGHT).where(FLIGHT.c.id == bindparam("which")), {}, "delete flight needs a value for which"),
        (delete(FLIGHT).where(FLIGHT.c.id.in_([1, 2])), {}, "without IN lists"),
        (delete(FLIGHT).where(FLIGHT.c.id.in_(bindparam("ids", expanding=True))), {"ids": [1]}, "without IN lists"),
        (delete(FLIGHT).where(FLIGHT.c.id == bindparam("x", callable_=lambda: 1)), {}, "computed at execution"),
        (insert(FLIGHT), {"delay": math.nan}, "flight.delay is nan: engines disagree on it"),
        (insert(FLIGHT), {"origin": "a\0"}, "flight.origin holds a NUL character at position 1"),
        (insert(FLIGHT), {"origin": "\ud800"}, "flight.origin holds a lone surrogate"),
        (insert(FLIGHT), {"delay": 2**63}, "flight.delay is 9223372036854775808: it must lie between"),
        (insert(TYPED), {"tags": {1, 2}}, "typed.tags is of type set: use dict"),
        (insert(TYPED), {"tags": [1, math.nan]}, r"typed.tags\[1\] is nan, which JSON does not have"),
        (insert(TYPED), {"tags": {"a": "x\0"}}, r"typed.tags\['a'\] holds a NUL character"),
        (insert(TYPED), {"tags": "\ud800"}, "typed.tags holds a lone surrogate"),
        (insert(TYPED), {"tags": {1: 2}}, "typed.tags has the key 1, which JSON does not have"),
        (insert(TYPED), {"colour": 5}, "typed.colour cannot hold 5: .* not among the defined enum values"),
    ],
)
def test_bad_rows_and_statements_are_refused(flights: Database, statement: Any, row: Any, message: str) -> None:
    with flights.counting() as count, pytest.raises(InvalidInput, match=message):
        apply(flights, statement, row)
    assert count.round_trips == 0


def test_a_value_of_another_type_is_refused_by_its_column(flights: Database) -> None:
    """By SQLAlchemy's type on SQLite, which has no type for moments, and by the server on PostgreSQL."""
    with pytest.raises((InvalidInput, RejectedRow), match="not a time"):
        apply(flights, insert(TYPED), {"at": "not a time"})


def test_a_long_value_is_cut_in_the_message(flights: Database) -> None:
    with pytest.raises((InvalidInput, RejectedRow)) as caught:
        apply(flights, insert(TYPED), {"at": "x" * 10_000})
    assert len(str(caught.value)) < 1_000


def test_a_value_that_the_driver_cannot_bind_is_a_rejected_row(flights: Database) -> None:
    with pytest.raises(RejectedRow, match="correct the row"):
        apply(flights, insert(FLIGHT), {"delay": object()})


# -- tables: what keeps its order --------------------------------------------------------------------------------------


def test_an_operation_names_what_it_writes_and_all_that_this_refers_to(flights: Database) -> None:
    metadata = MetaData()
    seat = Table("seat", metadata, Column("id", Integer, primary_key=True), Column("flight", ForeignKey("flight.id")))
    FLIGHT.to_metadata(metadata)
    PLANE.to_metadata(metadata)
    assert CoreWrite(insert(PLANE), flights.dialect).tables == {"plane"}
    assert CoreWrite(insert(FLIGHT), flights.dialect).tables == {"flight", "plane"}
    assert CoreWrite(delete(seat), flights.dialect).tables == {"seat", "flight", "plane"}


def test_only_a_plain_insert_does_nothing_but_add(flights: Database) -> None:
    from_dialect = sqlite_insert if flights.dialect.name == "sqlite" else postgresql_insert
    adding: list[Any] = [
        insert(FLIGHT),
        insert(FLIGHT).returning(FLIGHT.c.id),
        from_dialect(FLIGHT).on_conflict_do_nothing(),
    ]
    assert [CoreWrite(statement, flights.dialect).adds_to for statement in adding] == ["flight"] * 3
    others: list[Any] = [
        insert(FLIGHT).prefix_with("OR REPLACE"),
        from_dialect(FLIGHT).on_conflict_do_update(index_elements=["id"], set_={"delay": 0}),
        insert(TYPED).from_select(["id"], select(PLANE.c.seats)),
        update(FLIGHT),
        delete(FLIGHT),
    ]
    assert [CoreWrite(statement, flights.dialect).adds_to for statement in others] == [None] * 5


def test_a_reference_to_an_unknown_table_or_in_a_circle_is_named_too(flights: Database) -> None:
    lonely = Table(
        "lonely", MetaData(), Column("id", Integer, primary_key=True), Column("to", ForeignKey("far.away.id"))
    )
    assert CoreWrite(insert(lonely), flights.dialect).tables == {"lonely", "away"}
    circle = MetaData()
    one = Table("one", circle, Column("id", Integer, primary_key=True), Column("other", ForeignKey("two.id")))
    Table("two", circle, Column("id", Integer, primary_key=True), Column("other", ForeignKey("one.id")))
    assert CoreWrite(insert(one), flights.dialect).tables == {"one", "two"}


def test_tables_that_a_statement_only_reads_are_named_too(flights: Database) -> None:
    seats = select(PLANE.c.seats).where(PLANE.c.tail == bindparam("which")).scalar_subquery()
    for statement in (
        insert(TYPED).from_select(["id"], select(PLANE.c.seats)),
        update(TYPED).values(id=seats),
        delete(TYPED).where(exists().where(PLANE.c.seats == TYPED.c.id)),
    ):
        assert CoreWrite(statement, flights.dialect).tables == {"typed", "plane"}
