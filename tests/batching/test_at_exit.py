"""The end of the interpreter: what an unclosed batcher still holds is written, and said."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from perflab.database.database import Database

RunPython = Callable[..., "subprocess.CompletedProcess[str]"]

SETUP = """
import asyncio, os, sys, threading, warnings
from perflab.batching.async_batcher import AsyncRequestBatcher
from perflab.batching.batcher import RequestBatcher
from perflab.batching.inserter import BulkInserter
from perflab.batching.retry import RetryPolicy
from perflab.database.database import Database
from sqlalchemy import Column, Integer, MetaData, Table, insert

url = sys.argv[1]
table = Table("sample", MetaData(), Column("n", Integer, primary_key=True))
warnings.simplefilter("always", ResourceWarning)
"""
THREADS = """
def main():
    batcher = RequestBatcher(Database.open(url), 100, 3600.0, mode="threads")
    for n in range(7):
        batcher.submit(insert(table), {"n": n})
main()
"""
INLINE = THREADS.replace('"threads"', '"inline"')
ASYNCIO = """
async def main():
    batcher = AsyncRequestBatcher(Database.open(url), 100, 3600.0)
    for n in range(7):  # no batch is due, or it would end before the loop does, or after
        batcher.submit(insert(table), {"n": n})
asyncio.run(main())
"""
ASYNCIO_IN_FLIGHT = """
class Slow:
    name, tables = "slow", frozenset({"sample"})
    def prepare(self, item):
        return item
    def size_bytes(self, item):
        return 8
    def apply(self, connection, rows):
        entered.set()
        ended.wait()
        connection.execute("INSERT INTO sample VALUES " + ", ".join(f"({row})" for row in rows))
        return rows

entered, ended = threading.Event(), threading.Event()

async def main():
    batcher = AsyncRequestBatcher(Database.open(url), 3, 3600.0, max_pending=5)
    slow = Slow()
    for n in range(7):  # some in flight, some waiting, some in line
        batcher.submit(slow, n)
    await asyncio.to_thread(entered.wait)

loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.run_until_complete(loop.shutdown_default_executor())
loop.close()  # with a batch in the thread
ended.set()
"""
INSERTER = """
def main():
    inserter = BulkInserter(Database.open(url), table, 100, 3600.0)
    inserter.extend({"n": n} for n in range(7))
main()
"""
KINDS = {
    "RequestBatcher-threads": THREADS,
    "RequestBatcher-inline": INLINE,
    "AsyncRequestBatcher-waiting": ASYNCIO,
    "AsyncRequestBatcher-in flight": ASYNCIO_IN_FLIGHT,
    "BulkInserter-": INSERTER,
}


@pytest.fixture
def url(database_url: str) -> str:
    with Database.open(database_url) as database, database.driver_transaction() as connection:
        connection.execute("CREATE TABLE sample (n INTEGER PRIMARY KEY)")
    return database_url


def written(url: str) -> list[int]:
    with Database.open(url) as reopened:
        return [n for (n,) in reopened.fetch("SELECT n FROM sample ORDER BY n")]


@pytest.mark.case("F07")
@pytest.mark.parametrize("kind", KINDS)
def test_items_left_at_the_end_are_written_with_a_warning(run_python: RunPython, url: str, kind: str) -> None:
    """Elsewhere items are lost as the interpreter ends (influxdb-client-python#697)."""
    done = run_python(SETUP + KINDS[kind], url)
    name = kind.partition("-")[0]
    assert f"ResourceWarning: a {name} was not closed: its 7 pending items were written" in done.stderr
    assert "could not be written" not in done.stderr
    assert "Traceback" not in done.stderr
    assert written(url) == list(range(7))


@pytest.mark.case("F07")
@pytest.mark.parametrize(
    "kind", ["RequestBatcher-threads", "AsyncRequestBatcher-waiting", "AsyncRequestBatcher-in flight"]
)
def test_items_left_at_the_end_are_written_to_a_server(run_python: RunPython, postgres_url: str, kind: str) -> None:
    """On a server; elsewhere items are lost as the interpreter ends (influxdb-client-python#697)."""
    with Database.open(postgres_url) as database, database.driver_transaction() as connection:
        connection.execute("CREATE TABLE sample (n INTEGER PRIMARY KEY)")
    done = run_python(SETUP + KINDS[kind], postgres_url)
    assert (
        f"ResourceWarning: a {kind.partition('-')[0]} was not closed: its 7 pending items were written" in done.stderr
    )
    assert "could not be written" not in done.stderr
    assert written(postgres_url) == list(range(7))


@pytest.mark.parametrize("kind", KINDS)
def test_a_warning_that_is_an_error_comes_after_the_writing(run_python: RunPython, url: str, kind: str) -> None:
    done = run_python(SETUP + 'warnings.simplefilter("error", ResourceWarning)\n' + KINDS[kind], url)
    assert "was not closed" in done.stderr
    assert written(url) == list(range(7))


CLOSED = """
with RequestBatcher(Database.open(url)) as batcher:
    batcher.submit(insert(table), {"n": 1})
"""
FLUSHED = """
batcher = RequestBatcher(Database.open(url), 100, 3600.0)
batcher.submit(insert(table), {"n": 1})
batcher.flush()
"""
CLOSED_INSERTER = """
with BulkInserter(Database.open(url), table) as inserter:
    inserter.add({"n": 1})
"""
UNUSED = """
database = Database.open(url)
unused = BulkInserter(database, table), RequestBatcher(database), AsyncRequestBatcher(database)
with database.driver_transaction() as connection:
    connection.execute("INSERT INTO sample VALUES (1)")
"""


@pytest.mark.parametrize("program", [CLOSED, FLUSHED, CLOSED_INSERTER, UNUSED])
def test_nothing_is_said_where_nothing_is_left(run_python: RunPython, url: str, program: str) -> None:
    done = run_python(SETUP + program, url)
    assert done.stderr == ""
    assert written(url) == [1]


LOSSES = {
    "threads": THREADS.replace('{"n": n}', '{"n": 0}'),
    "asyncio": ASYNCIO.replace('{"n": n}', '{"n": 0}'),
    "inserter": INSERTER.replace('{"n": n}', '{"n": 0}'),
}


@pytest.mark.case("F07")
@pytest.mark.parametrize("kind", LOSSES)
def test_what_cannot_be_written_is_said_loudly(run_python: RunPython, url: str, kind: str) -> None:
    done = run_python(SETUP + 'warnings.simplefilter("ignore", ResourceWarning)\n' + LOSSES[kind], url)
    assert "6 items of a " in done.stderr
    assert "that was not closed could not be written" in done.stderr
    assert written(url) == [0]


FORK = """
batcher = RequestBatcher(Database.open(url), 100, 3600.0, mode=sys.argv[2])
inserter = BulkInserter(Database.open(url), table, 100, 3600.0)
for n in range(4):
    batcher.submit(insert(table), {"n": n})
    inserter.add({"n": n + 10})

if (child := os.fork()) == 0:
    from perflab.errors import LifecycleError
    refusals = 0
    for use in (lambda: batcher.submit(insert(table), {"n": 99}), batcher.flush):
        try:
            use()
        except LifecycleError as error:
            refusals += "before a fork: make one in this process" in str(error)
    report = batcher.close()
    sys.exit(0 if (refusals, report.delivered, report.abandoned) == (2, 0, 0) else 1)

_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status))
batcher.close()
inserter.close()
"""


@pytest.mark.case("F16")
@pytest.mark.parametrize("mode", ["threads", "inline"])
def test_a_forked_child_writes_nothing_of_its_parents(run_python: RunPython, url: str, mode: str) -> None:
    """Elsewhere a forked child works with what is its parent's (rails/solid_queue#324)."""
    done = run_python(SETUP + FORK, url, mode)
    assert done.stdout == "0\n"
    assert done.stderr == ""
    assert written(url) == [0, 1, 2, 3, 10, 11, 12, 13]
