"""Many rows at once leave what they leave one by one, and answer the same: on both engines, in all forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    BindParameter,
    CheckConstraint,
    Column,
    Integer,
    MetaData,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from perflab.batching.batcher import RequestBatcher
from perflab.database.core_write import CoreWrite
from perflab.database.database import Database
from perflab.errors import DatabaseError, RejectedRow, StatementError
from tests.listening import to_flushes

ITEM = Table(
    "item",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("n", Integer, CheckConstraint("n <> 13")),
    Column("name", Text, unique=True),
    Column("note", Text, server_default="none"),
)
KEYS = st.integers(1, 6)
NUMBERS = st.integers(0, 9)
NAMES = st.one_of(st.none(), st.text("ä'%s\\\"", max_size=3))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database.open(database_url) as opened:
        with opened.transaction() as connection:
            ITEM.create(connection)
        yield opened


def engine_insert(database: Database) -> Any:
    return postgresql.insert(ITEM) if database.engine_name == "postgresql" else sqlite.insert(ITEM)


def write(database: Database, statement: Any, rows: Sequence[dict[str, Any]]) -> list[Any]:
    return database.apply(CoreWrite(statement, database.dialect), rows)


def stored(database: Database) -> list[tuple[Any, ...]]:
    return database.fetch("SELECT id, n, name, note FROM item ORDER BY id")


def refill(database: Database, rows: int = 4) -> None:
    """Items 1, 3, 5 … with n = 1, 2, …: every other key is new."""
    with database.transaction() as connection:
        connection.execute(delete(ITEM))
        connection.execute(insert(ITEM), [{"id": 2 * n - 1, "n": n, "name": f"old{n}"} for n in range(1, rows + 1)])


@contextmanager
def statements_sent(database: Database) -> Iterator[list[str]]:
    """The SQL that goes to the driver."""
    sent: list[str] = []
    kind = type(next(iter(database._connections)))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("execute", "executemany"):
            patch.setattr(kind, name, noting(getattr(kind, name), sent))
        yield sent


def noting(send: Callable[..., Any], sent: list[str]) -> Callable[..., Any]:
    def note(self: Any, sql: str, *rest: Any, **options: Any) -> Any:
        sent.append(sql)
        return send(self, sql, *rest, **options)

    return note


WHICH: BindParameter[int] = bindparam("which", type_=Integer())


def upsert_all(database: Database) -> Any:
    statement = engine_insert(database)
    return statement.on_conflict_do_update(
        index_elements=["id"], set_={"n": statement.excluded.n, "note": statement.excluded.note}
    )


def upsert_some(database: Database) -> Any:
    statement = engine_insert(database)
    return statement.on_conflict_do_update(index_elements=["id"], set_={"n": statement.excluded.n})


def upsert_adding(database: Database) -> Any:
    statement = engine_insert(database)
    return statement.on_conflict_do_update(index_elements=["id"], set_={"n": ITEM.c.n + statement.excluded.n + 100})


def upsert_where(database: Database) -> Any:
    statement = engine_insert(database)
    return statement.on_conflict_do_update(
        index_elements=["id"], set_={"n": statement.excluded.n}, where=ITEM.c.n < statement.excluded.n
    )


def upsert_fixed(database: Database) -> Any:
    statement = engine_insert(database).values(note="fixed")
    return statement.on_conflict_do_update(index_elements=["id"], set_={"n": statement.excluded.n, "note": "again"})


WRITES: dict[str, tuple[Callable[[Database], Any], tuple[str, ...]]] = {
    "ignore": (lambda database: engine_insert(database).on_conflict_do_nothing(), ("id", "n")),
    "upsert all": (upsert_all, ("id", "n", "note")),
    "upsert some": (upsert_some, ("id", "n", "note")),
    "upsert adding": (upsert_adding, ("id", "n")),
    "upsert where": (upsert_where, ("id", "n")),
    "upsert fixed": (upsert_fixed, ("id", "n")),
    "update": (lambda _: update(ITEM).where(ITEM.c.id == WHICH), ("which", "n")),
    "update adding": (
        lambda _: update(ITEM).where(ITEM.c.id == WHICH).values(n=ITEM.c.n + bindparam("add") + 100),
        ("which", "add"),
    ),
    "update where": (lambda _: update(ITEM).where(ITEM.c.id == WHICH, ITEM.c.n < bindparam("m")), ("which", "m", "n")),
    "update not by key": (lambda _: update(ITEM).where(ITEM.c.n == WHICH).values(note="changed"), ("which",)),
    "update its own key": (lambda _: update(ITEM).where(ITEM.c.n == WHICH), ("which", "n")),
    "delete": (lambda _: delete(ITEM).where(ITEM.c.id == WHICH), ("which",)),
    "delete where": (lambda _: delete(ITEM).where(ITEM.c.id == WHICH, ITEM.c.n == bindparam("m")), ("which", "m")),
}
VALUES = {"which": KEYS, "id": KEYS, "n": NUMBERS, "add": NUMBERS, "m": NUMBERS, "note": NAMES}


@pytest.mark.parametrize("returning", [False, True], ids=["", "returning"])
@pytest.mark.parametrize("name", WRITES)
@settings(max_examples=10)
@given(data=st.data())
def test_rows_together_leave_what_they_leave_one_by_one(
    database: Database, name: str, returning: bool, data: st.DataObject
) -> None:
    make, columns = WRITES[name]
    statement = make(database)
    if returning:
        statement = statement.returning(ITEM.c.id, ITEM.c.note)
    rows = data.draw(st.lists(st.fixed_dictionaries({column: VALUES[column] for column in columns}), max_size=8))
    refill(database)
    one_by_one = [write(database, statement, [row])[0] for row in rows]
    expected = stored(database)
    refill(database)
    together = write(database, statement, rows)
    assert stored(database) == expected
    if returning and len({row.get("id", row.get("which")) for row in rows}) == len(rows):
        assert [sorted(returned) for returned in together] == [sorted(returned) for returned in one_by_one]
    else:  # of several with one key, all have the result of the last
        assert [returned is None for returned in together] == [returned is None for returned in one_by_one]


def test_the_superseded_have_the_rows_of_the_last(database: Database) -> None:
    refill(database)
    rows = [{"id": key, "n": n, "note": f"v{n}"} for key, n in ((9, 1), (3, 2), (9, 3), (2, 4), (9, 5))]
    returned = write(database, upsert_all(database).returning(ITEM.c.id, ITEM.c.n), rows)
    assert returned == [[(9, 5)], [(3, 2)], [(9, 5)], [(2, 4)], [(9, 5)]]
    assert [row[:2] for row in stored(database)] == [(1, 1), (2, 4), (3, 2), (5, 3), (7, 4), (9, 5)]


# -- forms -------------------------------------------------------------------------------------------------------------

MANY = [{"id": n, "n": 1, "note": "x"} for n in range(200, 100, -1)]


def keyed(*names: str) -> list[dict[str, Any]]:
    return [dict.fromkeys(names, 1) | {"which": row["id"]} for row in MANY]


@pytest.mark.parametrize(
    ("make", "rows", "form"),
    [
        (lambda _: insert(ITEM), MANY, "INSERT INTO item (id, n, note) SELECT"),
        (lambda _: insert(ITEM).returning(ITEM.c.id), MANY, "INSERT INTO item (id, n, note) SELECT"),
        (upsert_all, MANY, "INSERT INTO item (id, n, note) SELECT"),
        (lambda database: upsert_some(database).returning(ITEM.c.id), MANY, "INSERT INTO item (id, n, note) SELECT"),
        (WRITES["ignore"][0], MANY, "INSERT INTO item (id, n, note) SELECT"),
        (WRITES["update"][0], keyed("n"), "WITH perflab_rows"),
        (WRITES["update where"][0], keyed("m", "n"), "WITH perflab_rows"),
        (WRITES["delete"][0], keyed(), "DELETE FROM item WHERE item.id = ANY("),
        (WRITES["delete where"][0], keyed("m"), "WITH perflab_rows"),
    ],
)
def test_a_hundred_rows_are_one_statement(
    database: Database, make: Callable[[Database], Any], rows: list[dict[str, Any]], form: str
) -> None:
    statement = make(database)
    with statements_sent(database) as sent:
        write(database, statement, rows)
    writes = [sql for sql in sent if sql.split()[0] not in ("BEGIN", "COMMIT")]
    assert len(writes) == 1
    if database.engine_name == "postgresql":
        assert writes[0].startswith(form)


def test_rows_come_back_in_the_order_in_which_they_were_given(database: Database) -> None:
    statement = insert(ITEM).returning(ITEM.c.id, ITEM.c.n)
    rows = [{"n": n % 7} for n in range(20, 1_020)]
    returned = write(database, statement, rows)
    assert [n for [(_, n)] in returned] == [row["n"] for row in rows]
    ids = [key for [(key, _)] in returned]
    assert ids == sorted(ids)
    shuffled = [{"id": key, "n": key % 5} for key in range(3_000, 2_000, -7)]
    assert write(database, statement, shuffled) == [[(row["id"], row["n"])] for row in shuffled]


def test_the_superseded_are_counted(database: Database) -> None:
    operation = CoreWrite(upsert_all(database), database.dialect)
    rows = [operation.prepare({"id": n % 3, "n": n, "note": None}) for n in range(10)]
    with database.driver_transaction() as connection:
        operation.apply(connection, rows)
        assert connection.superseded == 7
        operation.apply(connection, rows[-3:])
        assert connection.superseded == 7
    assert [row[:2] for row in stored(database)] == [(0, 9), (1, 7), (2, 8)]


def test_upserts_of_several_forms_go_out_in_the_order_of_their_keys(database: Database) -> None:
    operation = CoreWrite(upsert_some(database), database.dialect)
    rows: list[dict[str, Any]] = [
        {"id": 3, "n": 1},
        {"id": 1, "n": 1, "note": "x"},
        {"id": 2, "n": 1},
        {"id": 3, "n": 2, "note": "y"},
    ]
    with statements_sent(database) as sent:
        database.apply(operation, rows)
    assert [row[:2] for row in stored(database)] == [(1, 1), (2, 1), (3, 2)]
    writes = [sql for sql in sent if sql.startswith("INSERT")]
    assert ["note" in sql for sql in writes] == [True, False, True]


def test_a_bad_row_among_many_refuses_them_all(database: Database) -> None:
    for bad, statement in (({"n": 13}, insert(ITEM)), ({"n": 13}, insert(ITEM).returning(ITEM.c.id))):
        with pytest.raises(RejectedRow):
            write(database, statement, [{"n": 1}, bad, {"n": 2}])
    assert stored(database) == []


def test_a_table_that_leaves_rows_out_is_no_silent_mistake(database: Database) -> None:
    with database.transaction() as connection:
        if database.engine_name == "postgresql":
            connection.exec_driver_sql(
                "CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS "
                "'BEGIN IF NEW.n = 5 THEN RETURN NULL; END IF; RETURN NEW; END'"
            )
            connection.exec_driver_sql("CREATE TRIGGER skip BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION skip()")
        else:
            connection.exec_driver_sql(
                "CREATE TRIGGER skip BEFORE INSERT ON item WHEN NEW.n = 5 BEGIN SELECT RAISE(IGNORE); END"
            )
    statement = insert(ITEM).returning(ITEM.c.n)
    assert write(database, statement, [{"n": 5}]) == [[]]
    with pytest.raises((StatementError, DatabaseError), match="2 rows came back for 3"):
        write(database, statement, [{"n": 1}, {"n": 5}, {"n": 2}])


def test_a_batch_wider_than_the_engine_binds_at_once(database: Database) -> None:
    wide = Table(
        "wide", MetaData(), Column("id", Integer, primary_key=True), *(Column(f"c{n}", Integer) for n in range(400))
    )
    with database.transaction() as connection:
        wide.create(connection)
    rows = [{f"c{n}": row for n in range(400)} for row in range(300)]
    returned = write(database, insert(wide).returning(wide.c.c0, wide.c.c399), rows)
    assert returned == [[(row, row)] for row in range(300)]
    with database.reading() as connection:
        assert len(connection.execute(select(wide.c.id)).all()) == 300


def test_a_batcher_tells_how_many_were_superseded(database: Database) -> None:
    flushes: list[Any] = []
    database.events.add(to_flushes(flushes.append))
    with RequestBatcher(database, batch_size=100, flush_interval=60.0) as batcher:
        upsert = upsert_all(database)
        futures = [batcher.submit(upsert, {"id": n % 4, "n": n, "note": None}) for n in range(10)]
        poisoned = batcher.submit(upsert, {"id": 9, "n": 13, "note": None})
        batcher.flush()
        assert [future.result(60) for future in futures] == [None] * 10
        assert isinstance(poisoned.exception(60), RejectedRow)
        metrics = batcher.metrics()
    assert [row[:2] for row in stored(database)] == [(0, 8), (1, 9), (2, 6), (3, 7)]
    assert metrics.items == 10
    # Of the first eight, which were sent together when the poison had been found, four; the next two stood apart.
    assert metrics.superseded == sum(flush.superseded for flush in flushes) == 4
