"""Behind PgBouncer in transaction mode: all works in as many round trips, and nothing stays in a session."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, select, text

from perflab.batching.batcher import RequestBatcher
from perflab.batching.fleet.fleet import Fleet
from perflab.batching.fleet.settings import FleetSettings
from perflab.batching.inserter import BulkInserter
from perflab.database.database import Database
from perflab.database.embedded import EmbeddedServer
from perflab.lab.network.address import TcpAddress
from perflab.lab.network.postgres_meter import PostgresMeter
from perflab.lab.network.postgres_url import server_address, url_through
from perflab.lab.network.proxy import Proxy
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue
from perflab.queue.worker import Worker
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import IngestState, Watch
from tests.pgbouncer import PgBouncer, find_program, pgbouncer

ITEMS = Table("items", MetaData(), Column("id", Integer, primary_key=True, autoincrement=False), Column("name", Text))
PATIENCE_SECONDS = 60.0
KILLS = 5


@pytest.fixture
def engine() -> str:
    return "postgresql"


@pytest.fixture(scope="module")
def program() -> str:
    found = find_program()
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("there is no pgbouncer to test with: `make pgbouncer` installs it")
        pytest.skip("there is no pgbouncer to test with: `make pgbouncer` installs it")
    return found


@pytest.fixture(scope="module")
def pooler(program: str, postgres_server: EmbeddedServer) -> Iterator[PgBouncer]:
    """With one session of the server for each database: what one client leaves there, the next one finds."""
    with pgbouncer(program, postgres_server.url, sessions=1) as running:
        yield running


@pytest.fixture
def url(pooler: PgBouncer, perflab_url: str) -> str:
    with psycopg.connect(perflab_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE items (id int PRIMARY KEY, name text)")
    return pooler.url(perflab_url)


def leftovers(url: str) -> tuple[Any, ...]:
    """What somebody else finds in the session of the server."""
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as somebody_else:
        found = somebody_else.execute(
            """
            SELECT current_setting('lock_timeout'), current_setting('synchronous_commit'),
                   current_setting('statement_timeout'), current_setting('search_path'),
                   (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_listening_channels()),
                   (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),
                   (SELECT count(*) FROM pg_class WHERE relpersistence = 't')
            """
        ).fetchone()
        assert found is not None
        return found


# -- each way to write -------------------------------------------------------------------------------------------------


def whole_batches(database: Database) -> None:
    queue = PriorityQueue(database, "ingest")
    with RequestBatcher(database, batch_size=100, flush_interval=60.0) as batcher:
        rows = [batcher.submit(insert(ITEMS), {"id": number, "name": "x"}) for number in range(50)]
        jobs = [batcher.submit(queue.operations.enqueue, NewJob(number)) for number in range(50)]
        assert [future.result(PATIENCE_SECONDS) for future in rows] == [None] * 50
        assert len({future.result(PATIENCE_SECONDS) for future in jobs}) == 50


def claims_and_acknowledgements(database: Database) -> None:
    queue = PriorityQueue(database, "ingest")
    queue.bulk_enqueue([NewJob({"n": number}) for number in range(50)])
    jobs = queue.claim(20)
    assert queue.mark_done_bulk(jobs[:10]) == [True] * 10
    assert queue.mark_error_bulk([(job, "no") for job in jobs[10:]]) == [True] * 10


def ticks(database: Database) -> None:
    scheduler = Scheduler(database, "ingest")
    scheduler.add_watches_bulk([Watch(f"w{number}", interval=60.0) for number in range(30)])
    assert scheduler.tick().enqueued == 30
    assert scheduler.update_ingest_states_bulk([IngestState("w1", cursor="a")]) == [True]


def cron_ticks(database: Database) -> None:
    scheduler = Scheduler(database, "ingest")
    scheduler.add_watch("cron", cron="* * * * *")
    scheduler.tick()


def loads(database: Database) -> None:
    for on_conflict in ("error", "ignore", "update"):
        with BulkInserter(database, ITEMS, batch_size=3_000, on_conflict=on_conflict) as inserter:
            inserter.extend({"id": number, "name": on_conflict} for number in range(6_000))
    assert database.fetch("SELECT count(*), min(name) FROM items") == [(6_000, "update")]


def transactions_of_yours(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(insert(ITEMS), {"id": 1})
        PriorityQueue(database, "ingest").bulk_enqueue([NewJob(1)], connection=connection)
    with database.reading() as connection:
        assert connection.execute(select(ITEMS.c.id)).all() == [(1,)]
    with database.driver_conversation() as driver:
        (number,) = driver.execute("SELECT max(id) + 1 FROM items").fetchone()
        driver.execute("INSERT INTO items (id) VALUES (%s)", [number])


def the_schema(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    database.create_schema()


@pytest.mark.parametrize(
    ("act", "round_trips"),
    [
        (whole_batches, 1),
        (claims_and_acknowledgements, 4),
        (ticks, 3),
        (cron_ticks, None),
        (loads, None),
        (transactions_of_yours, None),
        (the_schema, None),
    ],
)
def test_all_works_in_as_many_round_trips_and_leaves_nothing_behind(
    url: str, act: Callable[[Database], None], round_trips: int | None
) -> None:
    before = leftovers(url)
    meter = PostgresMeter()
    with (
        Proxy(server_address(url), listen=TcpAddress(), meter=meter) as proxy,
        Database.open(url_through(url, proxy.address), durability="full", busy_timeout=7.0) as database,
    ):
        counted = meter.ready_for_query
        with database.counting() as count:
            act(database)
        assert count.round_trips == meter.ready_for_query - counted
        assert round_trips in (count.round_trips, None)
        assert leftovers(url) == before
    assert leftovers(url) == before


def test_a_member_of_a_fleet_does_not_listen_there_and_hears_of_settings_all_the_same(url: str) -> None:
    before = leftovers(url)
    with Database.open(url) as database:
        fleet = Fleet(database, "ingest")
        with fleet.join(heartbeat=0.05) as member:
            fleet.configure(FleetSettings(batch_size=7))
            deadline = time.monotonic() + PATIENCE_SECONDS
            while member.settings != FleetSettings(batch_size=7):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert leftovers(url) == before


# -- settings ----------------------------------------------------------------------------------------------------------


@contextmanager
def conversation(database: Database) -> Iterator[Any]:
    with database.driver_conversation() as connection:
        yield connection.execute


@contextmanager
def pipeline(database: Database) -> Iterator[Any]:
    with database.driver_transaction() as connection:
        yield connection.execute


@contextmanager
def transaction_of_yours(database: Database) -> Iterator[Any]:
    with database.transaction() as connection:
        yield connection.exec_driver_sql


WAYS = [conversation, pipeline, transaction_of_yours]


@pytest.mark.parametrize("way", WAYS)
def test_settings_hold_in_each_transaction_and_only_there(url: str, way: Callable[[Database], Any]) -> None:
    before = leftovers(url)
    with Database.open(url, durability="full", busy_timeout=1.25) as database:
        for _ in range(2):
            with way(database) as execute:
                found = execute(
                    "SELECT current_setting('lock_timeout'), current_setting('synchronous_commit'), txid_current()"
                )
                if way is not pipeline:
                    assert found.fetchone()[:2] == ("1250ms", "on")
            if way is pipeline:
                assert found.fetchone()[:2] == ("1250ms", "on")
                # psycopg may send a Flush behind the Sync, for which PgBouncer lends the only session once more, until
                # the next statement has ended.
                database.fetch("SELECT 1")
            assert leftovers(url) == before


@pytest.mark.parametrize("way", WAYS)
def test_a_lock_is_waited_for_as_long_as_was_said(url: str, perflab_url: str, way: Callable[[Database], Any]) -> None:
    with (
        psycopg.connect(perflab_url) as other,
        Database.open(url, busy_timeout=0.01) as database,
    ):
        other.execute("LOCK TABLE items IN SHARE MODE")
        with pytest.raises(Exception, match="lock timeout"), way(database) as execute:
            execute("INSERT INTO items (id) VALUES (1)")
        other.rollback()
        with way(database) as execute:
            execute("INSERT INTO items (id) VALUES (1)")
        assert database.fetch("SELECT id FROM items") == [(1,)]


def test_a_session_of_ones_own_is_set_up_once(perflab_url: str) -> None:
    with Database.open(perflab_url, durability="full", busy_timeout=1.25) as database:
        assert database.fetch("SHOW lock_timeout") == [("1250ms",)]
        assert database.fetch("SHOW synchronous_commit") == [("on",)]


# -- many clients, and the end of the pooler ---------------------------------------------------------------------------


def test_many_clients_share_few_sessions(program: str, postgres_server: EmbeddedServer, perflab_url: str) -> None:
    with pgbouncer(program, postgres_server.url, sessions=2) as pooler:
        with Database.open(pooler.url(perflab_url)) as database:
            PriorityQueue(database, "ingest").bulk_enqueue([NewJob(number) for number in range(400)])

        def work(_thread: int) -> list[int]:
            done = []
            with Database.open(pooler.url(perflab_url), pool_size=3, busy_timeout=PATIENCE_SECONDS) as own:
                queue = PriorityQueue(own, "ingest")
                while jobs := queue.claim(20):
                    assert queue.mark_done_bulk(jobs) == [True] * len(jobs)
                    done += [job.payload for job in jobs]
            return done

        with ThreadPoolExecutor(6) as threads:
            done = [payload for payloads in threads.map(work, range(6)) for payload in payloads]
    assert sorted(done) == list(range(400))


def test_a_worker_says_that_it_hears_nothing_and_finds_its_jobs_by_looking(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    handled = threading.Semaphore(0)
    with Database.open(url) as database:
        queue = PriorityQueue(database)
        worker = Worker(queue, lambda _job: handled.release(), poll_interval=0.01)
        thread = threading.Thread(target=worker.run)
        thread.start()
        for number in range(3):
            queue.enqueue(number)
            assert handled.acquire(timeout=PATIENCE_SECONDS)
        worker.stop()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
    assert caplog.text.count("nothing can be heard through this pooler") == 1


@pytest.mark.case("F10")
def test_a_pooler_that_is_killed_under_load_loses_nothing_and_doubles_nothing(
    program: str, postgres_server: EmbeddedServer, perflab_url: str
) -> None:
    with psycopg.connect(perflab_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE items (id int PRIMARY KEY, name text)")
    futures: list[Future[Any]] = []
    handled: list[int] = []
    stop = threading.Event()
    with (
        pgbouncer(program, postgres_server.url, sessions=3) as pooler,
        Database.open(pooler.url(perflab_url), busy_timeout=PATIENCE_SECONDS) as database,
        RequestBatcher(database, batch_size=20, flush_interval=0.001) as batcher,
    ):
        queue = PriorityQueue(database, "ingest")

        def submit() -> None:
            while not stop.is_set():
                number = len(futures) // 2
                futures.append(batcher.submit(insert(ITEMS), {"id": number}))
                futures.append(batcher.submit(queue.operations.enqueue, NewJob(number)))
                if number % 50 == 0:
                    batcher.flush(PATIENCE_SECONDS)

        def work(**options: Any) -> Worker:
            return Worker(queue, lambda job: handled.append(job.payload), lease=2.0, poll_interval=0.01, **options)

        worker = work()
        threads = [threading.Thread(target=submit), threading.Thread(target=worker.run)]
        for thread in threads:
            thread.start()
        for _ in range(KILLS):
            submitted, finished = len(futures), len(handled)
            while len(futures) < submitted + 200 or len(handled) < finished + 50:  # both are at work
                stop.wait(0.001)
            pooler.kill()
            pooler.start()
        stop.set()
        threads[0].join()
        batcher.flush(PATIENCE_SECONDS)
        worker.stop()
        threads[1].join()
        while queue.counts().unfinished:  # claims whose answer was lost, until their lease ends
            work().run(until_empty=True)
        assert batcher.metrics().retries + batcher.metrics().failed > 0, "the fault fired"
        results = [future.result(PATIENCE_SECONDS) for future in futures]
    numbers = list(range(len(futures) // 2))
    assert results[0::2] == [None] * len(numbers)
    assert len(set(results[1::2])) == len(numbers)
    assert set(handled) == set(numbers)
    with psycopg.connect(perflab_url) as connection:
        assert connection.execute("SELECT id FROM items ORDER BY id").fetchall() == [(number,) for number in numbers]
