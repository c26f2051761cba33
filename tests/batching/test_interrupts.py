"""Ctrl-C and SIGTERM during a flush: each batch is wholly in or wholly not, and nobody waits for ever."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

import pytest

from perflab.batching.interrupts import interrupts_deferred
from perflab.database.database import Database

StartPython = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def restored_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


# -- the block ---------------------------------------------------------------------------------------------------------


def test_a_keyboard_interrupt_comes_at_the_end_of_the_block() -> None:
    steps: list[str] = []

    def work() -> None:
        with interrupts_deferred():
            signal.raise_signal(signal.SIGINT)
            steps.append("inside")
        steps.append("after")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == ["inside"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_every_handler_is_called_also_when_one_raises(restored_handlers: None) -> None:
    heard: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        raise SystemExit

    def work() -> None:
        with interrupts_deferred():
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
                signal.raise_signal(number)
            assert heard == []

    signal.signal(signal.SIGTERM, note)
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        work()
    assert heard == [signal.SIGTERM, signal.SIGTERM]


def test_blocks_may_stand_in_each_other() -> None:
    steps: list[str] = []

    def work() -> None:
        with interrupts_deferred():
            with interrupts_deferred():
                signal.raise_signal(signal.SIGINT)
                steps.append("inner")
            steps.append("outer")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == ["inner", "outer"]


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_a_signal_that_python_does_not_handle_is_left_alone(restored_handlers: None, handler: signal.Handlers) -> None:
    signal.signal(signal.SIGINT, handler)
    with interrupts_deferred():
        assert signal.getsignal(signal.SIGINT) is handler
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_exception_of_the_block_passes() -> None:
    with pytest.raises(ZeroDivisionError), interrupts_deferred():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_are_not_concerned() -> None:
    def handler_inside() -> object:
        with interrupts_deferred():
            assert threading.current_thread() is not threading.main_thread()
            return signal.getsignal(signal.SIGINT)

    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(handler_inside).result() is signal.default_int_handler


# -- a real interrupt of a process -------------------------------------------------------------------------------------

WRITE_UNTIL_INTERRUPTED = """
    import signal, sys
    from perflab.batching.async_batcher import AsyncRequestBatcher
    from perflab.batching.batcher import RequestBatcher
    from perflab.batching.inserter import BulkInserter
    from perflab.database.database import Database
    from sqlalchemy import Column, Integer, MetaData, Table, insert

    url, kind = sys.argv[1:]
    table = Table("sample", MetaData(), Column("n", Integer, primary_key=True), Column("batch", Integer))
    # With primary keys, a batch that is written twice is refused, and seen as a failure.
    futures = []
    database = Database.open(url)

    def items():
        n = 0
        while True:
            yield {"n": n, "batch": n // 50}
            n += 1
            if n == 500:
                print("running", flush=True)

    try:
        if kind == "inserter":
            inserter = BulkInserter(database, table, 50, 3600.0)
            inserter.extend(items())
        else:
            batcher = RequestBatcher(database, 50, 3600.0, mode=kind)
            for item in items():
                futures.append(batcher.submit(insert(table), item))
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("interrupted", flush=True)
        if kind == "inserter":
            report = inserter.close()
            print("report", report.delivered, report.rejected, 0)
        else:
            report = batcher.close(60)
            print("report", report.delivered, report.failed, report.abandoned)
            assert all(future.done() for future in futures)
            acknowledged = sum(future.exception() is None for future in futures)
            print("acknowledged", acknowledged, len(futures))
    database.close()
"""


@pytest.mark.case("F06")
@pytest.mark.parametrize("kind", ["threads", "inline", "inserter"])
def test_an_interrupt_leaves_every_batch_wholly_in_or_out(
    database_url: str, start_python: StartPython, kind: str
) -> None:
    """Elsewhere closing cuts a batch that is being written (OpenViking#3438)."""
    with Database.open(database_url) as database, database.driver_transaction() as connection:
        connection.execute("CREATE TABLE sample (n INTEGER PRIMARY KEY, batch INTEGER)")
    process = start_python(WRITE_UNTIL_INTERRUPTED, database_url, kind)
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert errors == ""
    lines = [line.split() for line in output.splitlines()]
    assert lines[0] == ["interrupted"]
    _, _, failed, abandoned = lines[1]
    assert (failed, abandoned) == ("0", "0"), "no batch was written twice, and none was left"
    with Database.open(database_url) as reopened:
        ((rows, last),) = reopened.fetch("SELECT count(*), max(n) FROM sample")
        assert rows == last + 1, "all items up to the last one"
        check_integrity(reopened)
    if kind != "inserter":
        _, acknowledged, submitted = lines[2]
        assert acknowledged == submitted
        # The one item whose submit was cut may be in without anybody holding its future.
        assert rows - int(acknowledged) in (0, 1)


INTERRUPT_IN_A_BATCH = """
    import os, signal, sys
    from perflab.batching.batcher import RequestBatcher
    from perflab.database.database import Database

    class InterruptedWrite:
        name = "interrupted write"
        tables = frozenset({"sample"})
        def prepare(self, item):
            return item
        def size_bytes(self, item):
            return 8
        def apply(self, connection, rows):
            connection.execute(f"INSERT INTO sample (n) VALUES ({rows[0]})")
            os.kill(os.getpid(), signal.SIGINT)
            for row in rows[1:]:
                connection.execute(f"INSERT INTO sample (n) VALUES ({row})")
            return rows

    with Database.open(sys.argv[1]) as database:
        batcher = RequestBatcher(database, 100, 3600.0, mode=sys.argv[2])
        operation = InterruptedWrite()
        futures = [batcher.submit(operation, n) for n in range(5)]
        try:
            batcher.flush(60)
            batcher.flush(60)
            while True:
                pass
        except KeyboardInterrupt:
            print("interrupted")
        batcher.close(60)
        print([future.result(0) for future in futures])
"""


@pytest.mark.case("F06")
@pytest.mark.parametrize("mode", ["threads", "inline"])
def test_an_interrupt_in_the_middle_of_a_batch_is_heard_after_it(
    database_url: str, start_python: StartPython, mode: str
) -> None:
    with Database.open(database_url) as database, database.driver_transaction() as connection:
        connection.execute("CREATE TABLE sample (n INTEGER PRIMARY KEY)")
    process = start_python(INTERRUPT_IN_A_BATCH, database_url, mode)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert output == "interrupted\n[0, 1, 2, 3, 4]\n"
    with Database.open(database_url) as reopened:
        assert reopened.fetch("SELECT n FROM sample") == [(n,) for n in range(5)]


KILLED = """
    import os, signal, sys
    from perflab.batching.batcher import RequestBatcher
    from perflab.database.database import Database
    from sqlalchemy import Column, Integer, MetaData, Table, insert

    table = Table("sample", MetaData(), Column("n", Integer, primary_key=True))
    database = Database.open(sys.argv[1])
    batcher = RequestBatcher(database, 10, 0.001)
    n = 0
    while True:
        futures = [batcher.submit(insert(table), {"n": n + k}) for k in range(10)]
        for future in futures:
            future.result()
        n += 10
        print(n, flush=True)
"""


@pytest.mark.case("F02")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_was_acknowledged_survives_a_kill(
    database_url: str, start_python: StartPython, number: signal.Signals
) -> None:
    """Elsewhere what was acknowledged is lost with the process (nats-server#7564)."""
    with Database.open(database_url) as database, database.driver_transaction() as connection:
        connection.execute("CREATE TABLE sample (n INTEGER PRIMARY KEY)")
    process = start_python(KILLED, database_url)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(30)]
    process.send_signal(number)
    rest, _ = process.communicate()
    assert process.returncode == -number
    acknowledged = int([*lines, *(line + "\n" for line in rest.splitlines())][-1])
    assert acknowledged >= 300
    with Database.open(database_url) as reopened:
        ((rows, last),) = reopened.fetch("SELECT count(*), max(n) FROM sample")
        assert rows == last + 1 >= acknowledged
        check_integrity(reopened)


def check_integrity(database: Database) -> None:
    if database.dialect.name == "sqlite":
        assert database.fetch("PRAGMA integrity_check") == [("ok",)]
