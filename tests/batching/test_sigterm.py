"""SIGTERM while a batch is being written and another one waits: what is lost by default, and how nothing is."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from perflab.batching.interrupts import EXIT_TERMINATED, exit_on_sigterm
from perflab.database.database import Database
from tests.batching.conftest import PATIENCE_SECONDS, Lock

StartPython = Callable[..., "subprocess.Popen[str]"]

COMMON = """
    import asyncio, sys, time
    from sqlalchemy import Column, Integer, MetaData, Table, insert
    from perflab.batching.async_batcher import AsyncRequestBatcher
    from perflab.batching.batcher import RequestBatcher
    from perflab.batching.interrupts import exit_on_sigterm
    from perflab.database.database import Database

    write = insert(Table("sample", MetaData(), Column("n", Integer)))
    database = Database.open(sys.argv[1])

    def say(word):
        print(word, flush=True)
"""

BODY = """
    def run(batcher):
        for future in [batcher.submit(write, {"n": n}) for n in range(100, 110)]:
            future.result()
        say("acknowledged")
        sys.stdin.readline()
        try:
            futures = [batcher.submit(write, {"n": n}) for n in range(110, 125)]
            while len(batcher.explain().departures) < 2:
                time.sleep(0.001)
            say("writing")
            while True:
                time.sleep(0.01)
        except SystemExit:
            say("ending")
            raise
"""

BARE = """
    run(RequestBatcher(database, 10, 3600.0))
"""

DRAINED = """
    with exit_on_sigterm(), database, RequestBatcher(database, 10, 3600.0) as batcher:
        run(batcher)
"""

ASYNCIO = """
    async def run():
        with exit_on_sigterm():
            async with AsyncRequestBatcher(database, 10, 3600.0) as batcher:
                await asyncio.gather(*(batcher.submit(write, {"n": n}) for n in range(100, 110)))
                say("acknowledged")
                sys.stdin.readline()
                try:
                    futures = [batcher.submit(write, {"n": n}) for n in range(110, 125)]
                    while len(batcher.explain().departures) < 2:
                        await asyncio.sleep(0.001)
                    say("writing")
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    say("ending")
                    raise

    with database:
        asyncio.run(run())
"""


def heard(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == f"{word}\n"


def start_writing(process: subprocess.Popen[str], lock: Lock) -> None:
    """Let ten items through, and keep the next batch from being written."""
    assert process.stdin is not None
    heard(process, "acknowledged")
    lock.hold()
    process.stdin.write("\n")
    process.stdin.flush()
    heard(process, "writing")


def test_by_default_what_is_not_acknowledged_is_lost(
    db: Database, lock: Lock, rows: Callable[[], list[int]], start_python: StartPython
) -> None:
    process = start_python(COMMON + BODY + BARE, db.url)
    start_writing(process, lock)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_SECONDS) == -signal.SIGTERM
    lock.release()
    if db.engine_name == "postgresql":
        wait_for_other_sessions(db.url)
    written = rows()
    # A server that has the whole batch writes it, although nobody is there to hear of it.
    assert written == list(range(100, 120 if db.engine_name == "postgresql" and len(written) > 10 else 110))


@pytest.mark.case("F05")
@pytest.mark.parametrize("program", [COMMON + BODY + DRAINED, COMMON + ASYNCIO], ids=["threads", "asyncio"])
def test_what_was_submitted_is_written_before_the_process_ends(
    db: Database, lock: Lock, rows: Callable[[], list[int]], start_python: StartPython, program: str
) -> None:
    process = start_python(program, db.url)
    start_writing(process, lock)
    process.send_signal(signal.SIGTERM)
    heard(process, "ending")
    process.send_signal(signal.SIGTERM)  # of no effect
    lock.release()
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == EXIT_TERMINATED, errors
    assert errors == ""
    assert rows() == list(range(100, 125))


def wait_for_other_sessions(url: str) -> None:
    """Until those of the killed process have ended; the ones of the test are idle."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with psycopg.connect(url, autocommit=True) as observer:
        while observer.execute(
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND state = 'active'"
        ).fetchone():
            assert time.monotonic() < deadline
            time.sleep(0.005)


# -- the block ---------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def restored_handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_the_signal_raises_once_and_is_as_before_after_the_block() -> None:
    with pytest.raises(SystemExit) as stopped, exit_on_sigterm():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
    assert stopped.value.code == EXIT_TERMINATED == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_handler_of_somebody_else_stays() -> None:
    calls: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: calls.append(number))
    with exit_on_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert calls == [signal.SIGTERM]


def test_a_coroutine_is_cancelled_once_and_its_handler_is_gone_after_the_block() -> None:
    ended: list[str] = []

    async def work() -> None:
        with exit_on_sigterm():
            try:
                signal.raise_signal(signal.SIGTERM)
                await asyncio.sleep(3600)
            finally:
                signal.raise_signal(signal.SIGTERM)
                await asyncio.sleep(0.01)  # long enough to be cancelled
                ended.append("well")

    with pytest.raises(SystemExit) as stopped:
        asyncio.run(work())
    assert stopped.value.code == EXIT_TERMINATED
    assert ended == ["well"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_cancellation_of_somebody_else_stays_one() -> None:
    async def work() -> None:
        with exit_on_sigterm():
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(work())


def test_another_thread_changes_nothing() -> None:
    seen: list[object] = []

    def look() -> None:
        with exit_on_sigterm():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]
