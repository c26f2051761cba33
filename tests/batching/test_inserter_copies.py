"""The bulk inserter on PostgreSQL by COPY: when, at what cost, and what becomes of it when the connection is lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import (
    ARRAY,
    CHAR,
    JSON,
    REAL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Float,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    Table,
    Text,
    Uuid,
    func,
    select,
)
from sqlalchemy import Enum as EnumType
from sqlalchemy.dialects.postgresql import JSONB

from perflab.batching.inserter import BulkInserter, InsertReport
from perflab.batching.retry import RetryPolicy
from perflab.database.bulk import postgresql
from perflab.database.bulk.postgresql_copy import AT_ONCE
from perflab.database.copying import copy_rows
from perflab.database.core_write import CHECKED_FIRST
from perflab.database.database import Database
from perflab.errors import InvalidInput, OutcomeUnknown, RejectedRow
from perflab.lab.network.faults import Mode
from perflab.lab.network.postgres_meter import PostgresMeter
from perflab.lab.network.proxy import Proxy
from perflab.lab.network.triggers import AfterBytes, AfterMessages
from tests.listening import to_flushes

COPY_DONE = AfterMessages(1, "c")
ROWS = [{"id": n, "name": f"row {n}"} for n in range(2_000)]


@pytest.fixture
def engine() -> str:
    return "postgresql"


class Colour(Enum):
    RED = 1
    BLUE = 2


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each COPY that is sent, with all that goes along with it."""
    seen: list[str] = []

    def note(connection: Any, statement: Any, rows: Any, note: Any) -> None:
        seen.append("; ".join([*note.statements, *statement.before, statement.sql, *statement.after]))
        copy_rows(connection, statement, rows, note)

    monkeypatch.setattr("perflab.database.bulk.postgresql_copy.copy_rows", note)
    return seen


@pytest.fixture
def items(perflab_url: str) -> Iterator[Table]:
    table = Table(
        "copied",
        MetaData(),
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("name", Text, CheckConstraint("name <> 'poison'")),
    )
    with Database.open(perflab_url) as database, database.transaction() as connection:
        table.drop(connection, checkfirst=True)
        table.create(connection)
    yield table
    with Database.open(perflab_url) as database, database.transaction() as connection:
        table.drop(connection)


def stored(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT id, name FROM copied ORDER BY id").fetchall()


# -- when, and at what cost --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_conflict", ["error", "ignore", "update"])
def test_a_copy_is_one_round_trip_as_the_wire_counts_it(
    far_database: Database, proxy: Proxy, items: Table, copies: list[str], on_conflict: Any
) -> None:
    meter = proxy._meter
    assert isinstance(meter, PostgresMeter)
    rows = [(n, "x") for n in range(postgresql.STAGING_FROM_ROWS)]
    with BulkInserter(far_database, items, len(rows), 3600.0, on_conflict=on_conflict) as inserter:
        inserter.extend(rows)  # the types of the columns are asked for once
        before, count = meter.ready_for_query, far_database.round_trips
        inserter.extend((n + len(rows), "y") for n, _ in rows)
        assert far_database.round_trips - count == meter.ready_for_query - before == 1
    assert len(copies) == 2
    assert all("INSERT INTO perflab_batches" in copy for copy in copies), "the ledger's note goes along"
    assert inserter.metrics().round_trips == 3


def test_few_rows_are_sent_as_arrays(far_database: Database, items: Table, copies: list[str]) -> None:
    with BulkInserter(far_database, items, postgresql.COPY_FROM_ROWS - 1, 3600.0) as inserter:
        inserter.extend(ROWS)
    assert copies == []


@pytest.mark.case("F30")
def test_what_is_superseded_is_counted(
    far_database: Database, items: Table, perflab_url: str, copies: list[str]
) -> None:
    rows = [{"id": n % 100, "name": str(n)} for n in range(postgresql.STAGING_FROM_ROWS)]
    with BulkInserter(far_database, items, len(rows), 3600.0, on_conflict="update") as inserter:
        inserter.extend(rows)
    assert inserter.metrics().superseded == len(rows) - 100
    assert len(copies) == 1
    assert stored(perflab_url) == [(n, str(len(rows) - 100 + n)) for n in range(100)]


# -- values ------------------------------------------------------------------------------------------------------------

TYPES: dict[str, tuple[Any, list[Any]]] = {
    "small": (SmallInteger(), [-(2**15), 2**15 - 1]),
    "big": (BigInteger(), [-(2**63), 2**63 - 1]),
    "float": (Float(), [0.1, -0.0, 5]),
    "real": (REAL(), [0.5, 3e38]),
    "decimal": (Numeric(20, 4), [Decimal("12.5"), 7]),
    "text": (Text(), ["", "ä'\t\\N\n", "😀"]),
    "string": (String(10), ["ten chars."]),
    "padded": (CHAR(4), ["ab"]),
    "bytes": (LargeBinary(), [b"", b"\x00\xff\\"]),
    "flag": (Boolean(), [True, False]),
    "day": (Date(), [date(1, 1, 1)]),
    "at": (DateTime(), [datetime(2013, 8, 20, 12, 0, 0, 250)]),  # noqa: DTZ001
    "moment": (DateTime(timezone=True), [datetime(2013, 8, 20, tzinfo=UTC)]),
    "uuid": (Uuid(), [UUID(int=5)]),
    "json": (JSON(), [{"a": [1, None, "é"]}, 1e16]),
    "jsonb": (JSONB(), [{"b": {"c": True}}, "x"]),
    "enum": (EnumType(Colour), [Colour.RED]),
}


@pytest.fixture
def typed(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(postgresql, "COPY_FROM_ROWS", 2)
    with Database.open(postgres_url) as opened:
        yield opened


def insert(database: Database, kind: Any, values: list[Any]) -> list[Exception]:
    table = Table("typed", MetaData(), Column("id", Integer, primary_key=True), Column("v", kind))
    with database.transaction() as connection:
        table.create(connection, checkfirst=True)
    errors: list[Exception] = []
    with BulkInserter(database, table, 100, 3600.0, on_reject=lambda _, error: errors.append(error)) as inserter:
        inserter.extend({"v": value} for value in values)
    return errors


@pytest.mark.parametrize("name", TYPES)
def test_a_copy_holds_what_single_values_hold(typed: Database, copies: list[str], name: str) -> None:
    kind, values = TYPES[name]
    for value in [*values, None]:
        assert insert(typed, kind, [value]) == []
    assert copies == []
    assert insert(typed, kind, [*values, None]) == []
    assert len(copies) == 1
    found = [v for (v,) in typed.fetch("SELECT v FROM typed ORDER BY id")]
    assert found[len(values) + 1 :] == found[: len(values) + 1]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (SmallInteger(), 1, 2**15),
        (Integer(), 1, 2**31),
        (REAL(), 1.0, 1e300),
        (String(3), "ok", "four"),
        (Text(), "a", 5),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_alone(typed: Database, kind: Any, good: Any, bad: Any) -> None:
    errors = insert(typed, kind, [good, bad, good, good])
    assert [type(error) for error in errors] in ([RejectedRow], [])
    if errors:
        assert typed.fetch("SELECT count(*) FROM typed") == [(3,)]
    else:  # a text that was a number
        assert typed.fetch("SELECT v FROM typed WHERE v = '5'") == [("5",)]


def test_what_only_an_insert_can_do_is_inserted(typed: Database, copies: list[str]) -> None:
    table = Table(
        "made",
        MetaData(),
        Column("id", Integer, Identity(always=True), primary_key=True),
        Column("n", Integer),
        Column("list", ARRAY(Integer)),
        Column("upper", Text, default=func.upper("sql")),
    )
    with typed.transaction() as connection:
        table.create(connection)
        connection.exec_driver_sql("CREATE VIEW seen AS SELECT id, n FROM made")
    errors: list[Exception] = []
    for target, rows in (
        (table, [{"id": 1, "n": 1}, {"id": 2, "n": 1}]),
        (table, [{"n": 1, "upper": "x", "list": [1]}, {"n": 2, "upper": "y", "list": []}]),
        (table, [{"n": 1}, {"n": 2}]),
    ):
        with BulkInserter(typed, target, 100, 3600.0, on_reject=lambda _, error: errors.append(error)) as inserter:
            inserter.extend(rows)
    assert copies == []
    assert len(errors) == 2, "an id that is always made cannot be given"
    view = Table("seen", MetaData(), Column("n", Integer))
    with BulkInserter(typed, view, 100, 3600.0) as inserter:
        inserter.extend([{"n": 7}, {"n": 8}])
        inserter.flush()
        inserter.extend([{"n": 9}, {"n": 10}])
    assert len(copies) == 1, "it was tried, and not again"
    with typed.reading() as connection:
        assert len(connection.execute(select(table.c.n).where(table.c.n > 6)).all()) == 4


def test_a_column_whose_type_changes_is_noticed(typed: Database, copies: list[str]) -> None:
    table = Table("typed", MetaData(), Column("id", Integer, primary_key=True), Column("v", Integer))
    with typed.transaction() as connection:
        table.create(connection)
    with BulkInserter(typed, table, 100, 3600.0) as inserter:
        inserter.extend({"v": n} for n in range(3))
        inserter.flush()
        with typed.transaction() as connection:
            connection.exec_driver_sql("ALTER TABLE typed ALTER COLUMN v TYPE bigint")
        inserter.extend({"v": n} for n in range(3))
    assert inserter.close() == InsertReport(delivered=6, rejected=0)


# -- rows that perflab refuses while a COPY is under way ---------------------------------------------------------------

BEHIND = CHECKED_FIRST + 10
"""Not looked at before the first rows are sent."""


@pytest.mark.parametrize(
    "bad", [(7, "a\x00b"), (2**70, "x"), (7,), (7, "x", 1)], ids=["NUL", "integer", "too few", "too many"]
)
def test_a_row_that_is_refused_while_others_are_sent_is_refused_alone(
    far_database: Database, proxy: Proxy, items: Table, copies: list[str], bad: Any
) -> None:
    meter = proxy._meter
    assert isinstance(meter, PostgresMeter)
    good = [(n, "x") for n in range(BEHIND + 2 * AT_ONCE)]
    rows = [*good[:BEHIND], bad, *good[BEHIND:]]
    refused: list[Any] = []
    with BulkInserter(
        far_database, items, len(rows), 3600.0, on_reject=lambda row, error: refused.append((row, type(error)))
    ) as inserter:
        inserter.extend((n + len(rows), "first") for n in range(len(rows)))  # it asks for the types of the columns
        before, count = meter.ready_for_query, far_database.round_trips
        inserter.extend(rows)
        assert far_database.round_trips - count == meter.ready_for_query - before == 2, "a COPY that was broken off"
    assert refused == [(bad, InvalidInput)]
    assert len(copies) == 2
    assert far_database.fetch("SELECT id, name FROM copied WHERE name = 'x' ORDER BY id") == good
    assert inserter.close() == InsertReport(delivered=len(rows) + len(good), rejected=1)
    assert inserter.metrics().retries == 1


def test_after_a_refused_row_the_next_batch_is_looked_at_before_it_is_sent(
    far_database: Database, items: Table, perflab_url: str, copies: list[str]
) -> None:
    size = BEHIND + 1

    def batch(number: int, last: str) -> list[tuple[int, str]]:
        return [(number * size + n, "x") for n in range(size - 1)] + [((number + 1) * size - 1, last)]

    refused: list[Any] = []
    with BulkInserter(far_database, items, size, 3600.0, on_reject=lambda row, _error: refused.append(row)) as inserter:
        for number, (last, sent) in enumerate([("\x00", 1), ("\x00", 1), ("x", 2), ("\x00", 3), ("\x00", 3)]):
            inserter.extend(batch(number, last))
            assert len(copies) == sent, f"batch {number}"
    assert len(refused) == 4
    assert len(stored(perflab_url)) == 5 * size - 4


# -- lost connections --------------------------------------------------------------------------------------------------


def retry() -> RetryPolicy:
    return RetryPolicy(base_seconds=0.001, cap_seconds=0.01)


@pytest.mark.parametrize("mode", [Mode.CUT, Mode.RESET])
def test_a_connection_that_is_cut_in_the_middle_leaves_nothing_and_the_batch_is_sent_again(
    far_database: Database, proxy: Proxy, items: Table, perflab_url: str, mode: Mode
) -> None:
    with BulkInserter(far_database, items, 1_000, 3600.0, retry=retry()) as inserter:
        inserter.extend(ROWS[:1_000])
        left: list[int] = []
        far_database.events.add(to_flushes(lambda _flush: left.append(len(stored(perflab_url)))))
        proxy.arm(mode, when=AfterBytes(5_000))
        inserter.extend(ROWS[1_000:])
        assert [firing.mode for firing in proxy.fired] == [mode], "or nothing was cut"
    assert left[0] == 1_000, "nothing is left of what was cut"
    assert inserter.metrics().retries == 1
    assert inserter.close() == InsertReport(delivered=2_000, rejected=0)
    assert stored(perflab_url) == [(row["id"], row["name"]) for row in ROWS]


@pytest.mark.case("F12")
def test_a_copy_whose_reply_is_lost_is_written_once(
    far_database: Database, proxy: Proxy, items: Table, perflab_url: str
) -> None:
    with BulkInserter(far_database, items, 1_000, 3600.0, retry=retry()) as inserter:
        inserter.extend(ROWS[:1_000])
        proxy.arm(Mode.LOSE_REPLY, when=COPY_DONE)
        inserter.extend(ROWS[1_000:])
        assert [firing.mode for firing in proxy.fired] == [Mode.LOSE_REPLY], "or nothing was lost"
    assert inserter.close() == InsertReport(delivered=2_000, rejected=0)
    assert inserter.metrics().retries == 0, "the ledger was asked"
    assert stored(perflab_url) == [(row["id"], row["name"]) for row in ROWS]


def test_without_a_ledger_rows_in_doubt_are_told(
    far_database: Database, proxy: Proxy, items: Table, perflab_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(far_database.ledger, "_is_present", False)
    rejected: list[Exception] = []
    with BulkInserter(
        far_database, items, 1_000, 3600.0, retry=retry(), on_reject=lambda _, error: rejected.append(error)
    ) as inserter:
        inserter.extend(ROWS[:1_000])
        proxy.arm(Mode.LOSE_REPLY, when=COPY_DONE)
        inserter.extend(ROWS[1_000:])
    assert [type(error) for error in rejected] == [OutcomeUnknown] * 1_000
    assert len(stored(perflab_url)) == 2_000


@pytest.mark.case("F31")
def test_a_poisoned_row_of_a_copy_fails_alone(far_database: Database, items: Table, perflab_url: str) -> None:
    rejected: dict[int, str] = {}

    def note(row: Any, error: Exception) -> None:
        rejected[row["id"]] = type(error).__name__

    rows = [*ROWS[:777], {"id": 777, "name": "poison"}, {"id": 778, "name": "nul\0"}, *ROWS[779:]]
    with BulkInserter(far_database, items, 2_000, 3600.0, on_reject=note) as inserter:
        inserter.extend(rows)
    assert rejected == {777: "RejectedRow", 778: "InvalidInput"}
    assert len(stored(perflab_url)) == 1_998
