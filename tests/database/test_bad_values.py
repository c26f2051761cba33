"""What no engine can hold is refused before anything is sent, with the same words on both."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    bindparam,
    column,
    delete,
    insert,
    table,
)

from perflab.batching.batcher import RequestBatcher
from perflab.batching.inserter import BulkInserter
from perflab.database.database import Database
from perflab.database.values import MAX_INT64, MIN_INT64, check_sql_name, shown
from perflab.errors import InvalidInput
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler

NUL = "a\x00b"
SURROGATE = "a\ud800"
HUGE = 10**5_000  # Python itself refuses to write it as text
TEXTS: dict[str, Any] = {"NUL": NUL, "surrogate": SURROGATE}
INTEGERS: dict[str, Any] = {"high": MAX_INT64 + 1, "low": MIN_INT64 - 1, "huge": HUGE}
NUMBERS: dict[str, Any] = {"nan": math.nan, "infinity": math.inf, "decimal nan": Decimal("NaN")}

VALUES = Table(
    "bad_values",
    MetaData(),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("text", Text),
    Column("integer", BigInteger),
    Column("float", Float),
    Column("numeric", Numeric),
    Column("json", JSON),
)


@pytest.fixture(scope="module")
def prepared(module_database: Database) -> Database:
    """With a table of all kinds of columns."""
    with module_database.transaction() as connection:
        VALUES.create(connection)
    Scheduler(module_database, "ingest").add_watch("known", interval=60.0)
    return module_database


@pytest.fixture
def database(prepared: Database) -> Iterator[Database]:
    """The same for every test, each of which leaves it as it was."""
    yield prepared
    with prepared.transaction() as connection:
        connection.execute(delete(VALUES))


def sends_nothing(database: Database, call: Callable[[], object], match: str) -> str:
    with database.counting() as count, pytest.raises(InvalidInput, match=match) as caught:
        call()
    assert count.round_trips == 0
    assert len(str(caught.value)) < 600
    return str(caught.value)


# -- queue and scheduler -----------------------------------------------------------------------------------------------


def enqueue(database: Database, name: str, value: Any) -> None:
    queue = PriorityQueue(database, "ingest")
    if name in ("payload", "nested payload"):
        queue.enqueue(value if name == "payload" else {"a": [value]})
    elif name == "payload key":
        queue.enqueue({value: 1})
    else:
        options: dict[str, Any] = {name: value}
        queue.enqueue(1, **options)


def schedule(database: Database, name: str, value: Any) -> None:
    scheduler = Scheduler(database, "ingest")
    options: dict[str, Any] = {"name": "w", name: value}
    scheduler.add_watch(**({} if "cron" in options else {"interval": 60.0}) | options)


def report_state(database: Database, name: str, value: Any) -> None:
    options: dict[str, Any] = {"watch": "w", "cursor": "c", name: value}
    Scheduler(database, "ingest").update_ingest_state(**options)


def cancel(database: Database, name: str, value: Any) -> None:
    getattr(PriorityQueue(database, "ingest"), name)([value])


def claim(database: Database, name: str, value: Any) -> None:
    options: dict[str, Any] = {"limit": 1, name: value}
    PriorityQueue(database, "ingest").claim(**options)


def name_queue(database: Database, _name: str, value: Any) -> None:
    PriorityQueue(database, value)


PLACES: list[tuple[Callable[[Database, str, Any], None], str, dict[str, Any]]] = [
    (enqueue, "payload", TEXTS | INTEGERS | NUMBERS),
    (enqueue, "nested payload", TEXTS | INTEGERS | NUMBERS),
    (enqueue, "payload key", TEXTS | {"huge": HUGE, "nan": math.nan}),
    (enqueue, "key", TEXTS | {"huge": HUGE, "long": "k" * 1_000}),
    (enqueue, "priority", INTEGERS | NUMBERS),
    (enqueue, "max_attempts", INTEGERS | NUMBERS),
    (claim, "limit", INTEGERS | NUMBERS),
    (claim, "lease", NUMBERS),
    (cancel, "cancel", INTEGERS | NUMBERS | TEXTS),
    (cancel, "retry", INTEGERS | NUMBERS | TEXTS),
    (name_queue, "name", TEXTS | {"huge": HUGE, "long": "q" * 64}),
    (schedule, "name", TEXTS | {"huge": HUGE, "long": "w" * 1_000}),
    (schedule, "payload", TEXTS | INTEGERS | NUMBERS),
    (schedule, "queue", TEXTS | {"huge": HUGE, "long": "q" * 64}),
    (schedule, "priority", INTEGERS | NUMBERS),
    (schedule, "interval", INTEGERS | NUMBERS),
    (schedule, "cron", TEXTS | {"huge": HUGE}),
    (schedule, "timezone", TEXTS | {"huge": HUGE}),
    (report_state, "watch", TEXTS | {"huge": HUGE}),
    (report_state, "cursor", TEXTS | {"huge": HUGE}),
    (report_state, "etag", TEXTS | {"huge": HUGE}),
]


@pytest.mark.case("F26", "F27", "F29")
@pytest.mark.parametrize(
    ("act", "name"), [(act, name) for act, name, _values in PLACES], ids=[f"{act.__name__} {n}" for act, n, _ in PLACES]
)
def test_calls_refuse_it(database: Database, act: Callable[[Database, str, Any], None], name: str) -> None:
    [values] = [values for place, known, values in PLACES if (place, known) == (act, name)]
    for value in values.values():
        sends_nothing(database, partial(act, database, name, value), ".")


@pytest.mark.case("F27")
def test_the_text_of_an_error_is_kept_as_well_as_it_can_be(database: Database) -> None:
    """An error is no input of the user's: refusing its text would lose the job instead."""
    queue = PriorityQueue(database, "ingest")
    queue.enqueue(1, max_attempts=1)
    [job] = queue.claim(1)
    assert queue.mark_error(job, f"{NUL} {SURROGATE}")
    assert database.fetch("SELECT last_error FROM perflab_jobs") == [("a\N{REPLACEMENT CHARACTER}b a?",)]


# -- any statement of Core, and the bulk loader ------------------------------------------------------------------------

COLUMNS: list[tuple[str, dict[str, Any]]] = [
    ("text", TEXTS),
    ("integer", INTEGERS | NUMBERS),
    ("float", INTEGERS | NUMBERS),
    ("numeric", INTEGERS | NUMBERS),
    ("json", TEXTS | INTEGERS | NUMBERS),
    ("json", {kind: {"a": [value]} for kind, value in (TEXTS | INTEGERS | NUMBERS).items()}),
]


def submit(database: Database, statement: Any, row: dict[str, Any]) -> None:
    with RequestBatcher(database, batch_size=10, flush_interval=60.0) as batcher:
        future = batcher.submit(statement, row)
        batcher.flush()
        future.result(60)


def load(database: Database, target: Any, row: dict[str, Any]) -> None:
    with BulkInserter(database, target, batch_size=10) as inserter:
        inserter.add(row)


@pytest.mark.case("F26", "F27", "F28")
@pytest.mark.parametrize(
    ("name", "values"), COLUMNS, ids=[f"{name} {number}" for number, (name, _values) in enumerate(COLUMNS)]
)
def test_columns_refuse_it(database: Database, name: str, values: dict[str, Any]) -> None:
    messages = set()
    where = rf"^bad_values\.{name}[ \[]"
    for value in values.values():
        row = {"id": 1, name: value}
        for statement in (insert(VALUES), insert(VALUES).returning(VALUES.c.id)):
            messages.add(sends_nothing(database, partial(submit, database, statement, row), where))
        sends_nothing(database, partial(load, database, VALUES, row), where)
    assert len(messages) == len(values), "each says which value it was"
    assert database.fetch("SELECT count(*) FROM bad_values") == [(0,)]


def test_the_largest_values_are_stored(database: Database) -> None:
    rows = [
        {"id": 1, "text": "\x01\N{GRINNING FACE}", "integer": MAX_INT64, "float": 1.5e300, "numeric": Decimal("1.5")},
        {"id": 2, "text": "", "integer": MIN_INT64, "float": -0.0, "numeric": Decimal(-2)},
    ]
    with BulkInserter(database, VALUES, batch_size=10) as inserter:
        inserter.extend(rows)
    stored = database.fetch("SELECT id, text, integer, float FROM bad_values ORDER BY id")
    assert stored == [(row["id"], row["text"], row["integer"], row["float"]) for row in rows]


# -- names of tables, schemas and columns ------------------------------------------------------------------------------

ROW = {"id": 1}
LONGEST = "ä" * 31 + "n"  # 63 bytes
TOO_LONG = "ä" * 32
BAD_NAMES = {
    "NUL": (NUL, "holds a NUL character at position 1"),
    "surrogate": (SURROGATE, "holds a lone surrogate"),
    "long": (TOO_LONG, f"is '{TOO_LONG}', which has 64 bytes: PostgreSQL would cut it at 63; shorten it"),
    "empty": ("", "is '': give its name"),
}


@pytest.mark.case("F35")
@pytest.mark.parametrize(("name", "reason"), BAD_NAMES.values(), ids=BAD_NAMES)
def test_names_refuse_it(database: Database, name: str, reason: str) -> None:
    columns = [Column("id", Integer, primary_key=True)]
    tables = {f"the name of the table {reason}": Table(name, MetaData(), *columns)}
    if name:  # without one, the schema is the one in force, and a column cannot be made
        columns = [Column("id", Integer, primary_key=True), Column(name, Integer, key="v")]
        tables[f"the name of a column of good {reason}"] = Table("good", MetaData(), *columns)
        columns = [Column("id", Integer, primary_key=True)]
        tables[f"the schema of the table 'good' {reason}"] = Table("good", MetaData(), *columns, schema=name)
    for expected, bad in tables.items():
        for statement in (insert(bad), delete(bad).where(bad.c.id == bindparam("id"))):
            sends_nothing(database, partial(submit, database, statement, ROW), expected)
        sends_nothing(database, partial(load, database, bad, ROW), expected)
    light = insert(table(name, column("id")))
    sends_nothing(database, partial(submit, database, light, ROW), f"the name of the table {reason}")
    sends_nothing(database, partial(load, database, name, ROW), f"the name of the table {reason}")


@pytest.mark.case("F35")
def test_the_longest_name_is_taken_whole(database: Database) -> None:
    longest = Table(LONGEST, MetaData(), Column("id", Integer, primary_key=True), Column(LONGEST, Integer))
    with database.transaction() as connection:
        connection.exec_driver_sql(f'CREATE TABLE "{LONGEST}" (id INTEGER PRIMARY KEY, "{LONGEST}" INTEGER)')
    with BulkInserter(database, longest, batch_size=10) as inserter:
        inserter.add({"id": 1, LONGEST: 2})
    assert database.fetch(f'SELECT * FROM "{LONGEST}"') == [(1, 2)]


def test_a_name_is_text() -> None:
    name: Any = 5
    with pytest.raises(InvalidInput, match="the table is 5: give its name"):
        check_sql_name(name, "the table")


# -- values in messages ------------------------------------------------------------------------------------------------


class Colour(enum.IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "'a'"),
        (7, "7"),
        (Colour.RED, "<Colour.RED: 1>"),
        (HUGE, "an integer of 16,610 bits"),
        ([HUGE], "a list with an integer too long to be written"),
        ("x" * 500, f"'{'x' * 199}"),
    ],
    ids=["text", "integer", "enumeration", "huge", "huge inside", "long"],
)
def test_any_value_can_be_shown(value: object, expected: str) -> None:
    assert shown(value) == expected
