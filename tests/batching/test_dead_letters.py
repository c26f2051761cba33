"""What fails for good is handed over once, in order, and to nobody's harm."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert

from perflab.batching.batcher import RequestBatcher
from perflab.batching.dead_letters import STORED_CHARACTERS, DeadLetter, DeadLetterTable
from perflab.batching.retry import RetryPolicy
from perflab.database.database import Database
from perflab.database.load import load
from perflab.database.operation import DriverConnection
from perflab.errors import DeliveryTimeout, InvalidInput, LifecycleError, RejectedRow, StatementError
from perflab.events import Event
from tests.batching.conftest import PATIENCE_SECONDS
from tests.listening import to_flushes

MakeShell = Callable[..., Any]
Rows = Callable[[], list[int]]
SECRET = "Canary"


class Inbox:
    def __init__(self) -> None:
        self.batches: list[list[DeadLetter]] = []
        self.threads: list[str] = []

    def __call__(self, letters: Sequence[DeadLetter]) -> None:
        self.batches.append(list(letters))
        self.threads.append(threading.current_thread().name)


@pytest.mark.case("F31")
def test_refused_and_rejected_items_are_handed_over_in_order(make_shell: MakeShell, append: Any, rows: Rows) -> None:
    inbox = Inbox()
    shell = make_shell(dead_letters=inbox)
    handles = shell.submit_all(append, [1, 13, 2, -5, 3, 1])
    shell.flush()
    (letters,) = inbox.batches
    assert [(letter.operation, letter.item, letter.attempts) for letter in letters] == [
        ("append", 13, 1),
        ("append", -5, 1),
        ("append", 1, 1),
    ]
    assert [type(letter.error) for letter in letters] == [RejectedRow, InvalidInput, RejectedRow]
    assert [letter.error for letter in letters] == [handles[index].error() for index in (1, 3, 5)]
    assert rows() == [1, 2, 3]
    shell.submit_all(append, [4, 5])
    shell.flush()
    assert len(inbox.batches) == 1, "what is delivered is no letter"
    if hasattr(shell, "stop"):
        assert "perflab-flusher" in inbox.threads[0], "the loop is not blocked by it"


def test_a_receiver_that_raises_strands_nobody_and_shows_nothing(
    make_shell: MakeShell, table: Table, caplog: pytest.LogCaptureFixture
) -> None:
    def raising(letters: Sequence[DeadLetter]) -> None:
        called.append(repr(letters))
        raise SystemExit(f"cannot take {letters[0].item}")

    called: list[str] = []
    shell = make_shell(dead_letters=raising)
    with caplog.at_level(logging.DEBUG):
        handles = shell.submit_all(insert(table), [{"n": n, "name": SECRET} for n in (1, 13, 2)])
        shell.flush()
    assert isinstance(handles[1].error(), RejectedRow)
    handles[0].result()
    handles[2].result()
    assert len(called) == 1
    assert "dead letters of" in caplog.text
    assert SECRET not in caplog.text + called[0]


def test_items_that_ran_out_of_time_are_letters_too(
    make_shell: MakeShell, db: Database, append: Any, lock: Any
) -> None:
    inbox = Inbox()
    attempts: list[Event] = []
    db.events.add(to_flushes(attempts.append))

    def clock() -> float:
        """Each attempt takes 25 seconds."""
        return time.monotonic() + 25.0 * len(attempts)

    policy = RetryPolicy(base_seconds=0.001, cap_seconds=0.002, delivery_timeout=50.0)
    shell = make_shell(retry=policy, dead_letters=inbox, clock=clock)
    lock.hold()
    shell.submit_all(append, [1, 2])
    shell.flush(timeout=None)
    letters = [letter for batch in inbox.batches for letter in batch]
    assert [letter.item for letter in letters] == [1, 2]
    assert {type(letter.error) for letter in letters} == {DeliveryTimeout}
    assert {letter.attempts for letter in letters} == {3}


def test_a_cancelled_item_is_no_letter(make_shell: MakeShell, append: Any) -> None:
    inbox = Inbox()
    shell = make_shell(dead_letters=inbox)
    handles = shell.submit_all(append, [13, 13])
    assert shell.cancel(handles[0])
    shell.flush()
    assert [[letter.item for letter in batch] for batch in inbox.batches] == [[13]]


def test_a_load_that_fails_is_no_letter(make_shell: MakeShell) -> None:
    inbox = Inbox()
    shell = make_shell(dead_letters=inbox)
    missing = Table("missing", MetaData(), Column("id", Integer, primary_key=True))
    handle = shell.submit(load(missing), 1)
    shell.flush()
    assert isinstance(handle.error(), StatementError)
    assert inbox.batches == []


class _Answer:
    """Of a length, but it cannot be read."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        raise ZeroDivisionError


# -- the table ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def target(perflab_url: str, table: Table) -> Iterator[Database]:
    with Database.open(perflab_url) as database:
        with database.transaction() as connection:
            table.create(connection)
        yield database


class Mute:
    """Writes a row and cannot read the answer."""

    name = "mute"
    tables = frozenset({"sample"})

    def prepare(self, item: int) -> int:
        return item

    def size_bytes(self, item: int) -> int:
        return 8

    def apply(self, connection: DriverConnection, rows: Sequence[int]) -> Any:
        connection.execute("INSERT INTO sample (n) VALUES (7)")
        return _Answer(len(rows))


def test_what_is_written_is_no_letter_though_its_result_is_lost(target: Database) -> None:
    """SQLite's answer is read while the row can be undone; PostgreSQL's comes when it is committed."""
    inbox = Inbox()
    with RequestBatcher(target, dead_letters=inbox) as batcher:
        assert isinstance(batcher.submit(Mute(), 7).exception(PATIENCE_SECONDS), ZeroDivisionError)
    written = target.fetch("SELECT n FROM sample") == [(7,)]
    assert written is (target.dialect.name == "postgresql")
    assert [[letter.item for letter in batch] for batch in inbox.batches] == ([] if written else [[7]])


@pytest.mark.case("F31")
def test_the_table_keeps_what_failed(target: Database, table: Table) -> None:
    """Elsewhere whoever wants bad rows kept writes it himself (langwatch#6555)."""
    letters = DeadLetterTable(target, now=lambda: 1_700_000_000.25)
    with RequestBatcher(target, dead_letters=letters) as batcher:
        for n in (1, 13, 2, 1):
            batcher.submit(insert(table), {"n": n, "name": "ä"})
        batcher.flush(PATIENCE_SECONDS)
        stored = letters.oldest()
    assert [json.loads(letter.item) for letter in stored] == [{"n": 13, "name": "ä"}, {"n": 1, "name": "ä"}]
    assert {letter.error_type for letter in stored} == {"RejectedRow"}
    assert {letter.failed_at for letter in stored} == {1_700_000_000_250_000}
    assert all("sample" in letter.operation and letter.error and letter.attempts == 1 for letter in stored)
    letters.remove(stored[:1])
    letters.remove(stored[:1])
    assert letters.oldest(1) == stored[1:]


@dataclass
class Thing:
    n: int


def endless() -> list[Any]:
    inside: list[Any] = []
    inside.append(inside)
    return inside


@pytest.mark.parametrize(
    ("item", "stored"),
    [
        ({"n": 1, "at": datetime(2013, 1, 1, tzinfo=UTC)}, {"n": 1, "at": repr(datetime(2013, 1, 1, tzinfo=UTC))}),
        (Thing(3), "Thing(n=3)"),
        ("nul \0, lone \ud800", "nul \0, lone \ud800"),
        ({"x": float("nan")}, "{'x': nan}"),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        (endless(), "[[...]]"),
        (b"\xff", r"b'\xff'"),
    ],
)
def test_the_table_keeps_any_item(target: Database, item: Any, stored: Any) -> None:
    letters = DeadLetterTable(target)
    letters([DeadLetter("op \0 \ud800", item, RejectedRow("bad \0 \ud800 value"), 2)])
    (letter,) = letters.oldest()
    assert json.loads(letter.item) == stored
    assert (letter.operation, letter.error) == (r"op \x00 \ud800", r"bad \x00 \ud800 value")


def test_what_is_too_large_is_cut(target: Database) -> None:
    letters = DeadLetterTable(target)
    letters([DeadLetter("op", "x" * (STORED_CHARACTERS + 10), RejectedRow("too large"), 1)])
    (letter,) = letters.oldest()
    assert letter.item == '"' + "x" * (STORED_CHARACTERS - 1)


def test_without_the_schema_the_futures_still_fail(db: Database, append: Any, caplog: pytest.LogCaptureFixture) -> None:
    with db.driver_transaction() as connection:
        connection.execute("DROP TABLE perflab_dead_letters")
    with RequestBatcher(db, dead_letters=DeadLetterTable(db)) as batcher:
        bad, good = batcher.submit(append, 13), batcher.submit(append, 1)
        assert isinstance(bad.exception(PATIENCE_SECONDS), RejectedRow)
        assert good.result(PATIENCE_SECONDS) == 10
    assert "1 dead letters of append were not received: StatementError" in caplog.text


def test_a_table_elsewhere_has_what_an_unusable_database_left(db: Database, append: Any, tmp_path: Path) -> None:
    with Database.open(f"sqlite:///{tmp_path / 'letters.db'}") as elsewhere:
        elsewhere.create_schema()
        letters = DeadLetterTable(elsewhere)
        with RequestBatcher(db, dead_letters=letters) as batcher:
            db.close()
            assert isinstance(batcher.submit(append, 1).exception(PATIENCE_SECONDS), LifecycleError)
        assert [(letter.item, letter.error_type) for letter in letters.oldest()] == [("1", "LifecycleError")]
