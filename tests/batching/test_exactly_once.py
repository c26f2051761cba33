"""Batches whose connection is lost, on a real server behind a proxy: written once, and every future told rightly."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from random import Random
from typing import Any

import psycopg
import pytest
from sqlalchemy import Table, insert
from sqlalchemy.dialects import postgresql

from perflab.batching.accumulator import Accumulator
from perflab.batching.batcher import RequestBatcher
from perflab.batching.delivery import Delivery
from perflab.batching.inserter import BulkInserter
from perflab.batching.limits import make_limits
from perflab.batching.outcomes import resolve
from perflab.batching.part import Submission
from perflab.batching.retry import RetryPolicy
from perflab.database.database import Database
from perflab.database.embedded import EmbeddedServer
from perflab.database.embedded_process import StopMode
from perflab.errors import DeliveryTimeout, LifecycleError, OutcomeUnknown, RejectedRow, ResultLost
from perflab.events import Event, FlushCompleted, Outcome
from perflab.lab.network.faults import Mode
from perflab.lab.network.postgres_url import url_through
from perflab.lab.network.proxy import Proxy
from perflab.lab.network.side import Side
from perflab.lab.network.triggers import AfterBytes, AfterMessages, Sends
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue
from tests.listening import to_flushes

MakeShell = Callable[..., Any]
NOTE = Sends(b"INSERT INTO perflab_batches")
BEFORE_SYNC = Sends(b"S\x00\x00\x00\x04")
PATIENCE_SECONDS = 60.0
QUICK = RetryPolicy(base_seconds=0.001, cap_seconds=0.01, delivery_timeout=PATIENCE_SECONDS)


@pytest.fixture
def engine() -> str:
    return "postgresql"


@pytest.fixture
def db(far_database: Database, perflab_url: str, table: Table) -> Iterator[Database]:
    """What the batchers of this file write to; past the proxy it is `perflab_url`."""
    with far_database.transaction() as connection:
        table.create(connection)
    yield far_database
    far_database.close()
    rows(perflab_url, "DROP TABLE sample")


def rows(url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


def numbers(url: str) -> list[int]:
    return [n for (n,) in rows(url, "SELECT n FROM sample ORDER BY n")]


def payloads(url: str) -> list[tuple[int, int]]:
    """Id and payload of each job."""
    return rows(url, "SELECT id, payload::text::int FROM perflab_jobs ORDER BY id")


# -- one batch, on each batcher ----------------------------------------------------------------------------------------


@pytest.mark.case("F12")
@pytest.mark.parametrize("mode", [Mode.LOSE_REPLY, Mode.CUT])
def test_a_mixed_batch_is_written_once(
    make_shell: MakeShell, db: Database, proxy: Proxy, perflab_url: str, table: Table, *, mode: Mode
) -> None:
    when, round_trips = (NOTE, [1, 1]) if mode is Mode.LOSE_REPLY else (BEFORE_SYNC, [1, 2])
    flushes: list[Event] = []
    db.events.add(to_flushes(flushes.append))
    queue = PriorityQueue(db, "ingest")
    queue.bulk_enqueue([NewJob(-1), NewJob(-2)])
    held, lost = queue.claim(2)
    queue.mark_done(lost)
    shell = make_shell(retry=QUICK)
    proxy.arm(mode, when=when)

    inserted = shell.submit_all(insert(table), [{"n": n} for n in range(10)])
    enqueued = shell.submit_all(queue.operations.enqueue, [NewJob(n) for n in (5, 3, 4)])
    done = shell.submit_all(queue.operations.mark_done, [lost, held])
    keyed = shell.submit_all(queue.operations.enqueue, [NewJob(7, key="a"), NewJob(7, key="a")])
    shell.flush()

    assert [firing.mode for firing in proxy.fired] == [mode], "or nothing was lost"
    assert [handle.result() for handle in inserted] == [None] * 10
    assert [handle.result() for handle in done] == [False, True]
    first, second, third = (handle.result() for handle in enqueued)
    fourth, fifth = (handle.result() for handle in keyed)
    assert fourth == fifth
    assert payloads(perflab_url) == [(first, 5), (second, 3), (third, 4), (fourth, 7)]
    assert numbers(perflab_url) == list(range(10))
    written = [flush for flush in flushes if isinstance(flush, FlushCompleted)]
    assert [(flush.outcome, flush.attempt) for flush in written] == [(Outcome.RETRIED, 1), (Outcome.COMMITTED, 2)]
    assert [flush.round_trips for flush in written] == round_trips
    assert shell.metrics().failed == 0
    assert shell.metrics().items == 17
    assert shell.metrics().round_trips_saved == 17 - sum(round_trips)


@pytest.mark.parametrize("sync", range(1, 8))
def test_whichever_half_is_lost_the_poison_alone_fails(
    make_shell: MakeShell, db: Database, proxy: Proxy, perflab_url: str, table: Table, *, sync: int
) -> None:
    shell = make_shell(retry=QUICK)
    shell.submit(insert(table), {"n": 100})
    shell.flush()  # on the connection whose messages are counted
    proxy.arm(Mode.LOSE_REPLY, when=AfterMessages(sync, "S"))
    handles = shell.submit_all(insert(table), [{"n": n} for n in range(10, 17)])
    shell.flush()
    assert proxy.fired, "or nothing was lost"
    for n, handle in zip(range(10, 17), handles, strict=True):
        if n == 13:
            assert isinstance(handle.error(), RejectedRow)
        else:
            assert handle.result() is None
    assert numbers(perflab_url) == [10, 11, 12, 14, 15, 16, 100]


@pytest.mark.case("F12")
def test_wherever_the_wire_is_cut_every_item_is_written_once(
    make_shell: MakeShell, db: Database, proxy: Proxy, perflab_url: str
) -> None:
    """Elsewhere a COMMIT without an answer writes rows twice (activerecord-jdbc-adapter#1216)."""
    queue = PriorityQueue(db, "ingest")
    random = Random(20_130_820)
    shell = make_shell(retry=QUICK, batch_size=20)
    handles = []
    for batch in range(40):
        if not proxy.armed:  # else the batches before were shorter than that
            side = random.choice([Side.CLIENT, Side.SERVER])
            modes = [Mode.CUT, Mode.RESET, Mode.LOSE_REPLY] if side is Side.CLIENT else [Mode.CUT, Mode.RESET]
            length = 3_500 if side is Side.CLIENT else 800
            proxy.arm(random.choice(modes), when=AfterBytes(random.randrange(1, length), by=side))
        handles += shell.submit_all(queue.operations.enqueue, [NewJob(20 * batch + n) for n in range(20)])
        shell.flush()
    assert len(proxy.fired) > 10
    assert [handle.result() for handle in handles] == [job_id for job_id, _ in payloads(perflab_url)]
    assert [payload for _, payload in payloads(perflab_url)] == list(range(800))
    assert shell.metrics().failed == 0


# -- in doubt for longer -----------------------------------------------------------------------------------------------


def after_retry(db: Database, act: Callable[[], object]) -> None:
    """Do something once, right after a batch has gone back."""
    done: list[Event] = []

    def listen(event: Event) -> None:
        if isinstance(event, FlushCompleted) and event.outcome is Outcome.RETRIED and not done:
            done.append(event)
            act()

    db.events.add(listen)


@pytest.mark.case("F12")
def test_what_stays_in_doubt_until_its_deadline_is_not_guessed(
    make_shell: MakeShell, db: Database, proxy: Proxy, perflab_url: str, table: Table
) -> None:
    attempts: list[Event] = []
    db.events.add(to_flushes(attempts.append))

    def clock() -> float:
        """Each attempt takes 50 seconds."""
        return time.monotonic() + 50.0 * len(attempts)

    policy = RetryPolicy(base_seconds=0.001, cap_seconds=0.01, delivery_timeout=50.0)
    shell = make_shell(retry=policy, batch_size=5, clock=clock)
    proxy.arm(Mode.LOSE_REPLY, when=NOTE)
    after_retry(db, lambda: proxy.switch(Mode.REFUSE))
    handles = shell.submit_all(insert(table), [{"n": n} for n in range(10)])
    shell.flush(timeout=None)
    assert {firing.mode for firing in proxy.fired} == {Mode.LOSE_REPLY, Mode.REFUSE}, "or nothing was lost"
    for handle in handles[:5]:
        error = handle.error()
        assert isinstance(error, OutcomeUnknown)
        assert "it is written whole or not at all, and the ledger could not be asked in time" in str(error)
        assert error.batch is not None
    assert {type(handle.error()) for handle in handles[5:]} == {DeliveryTimeout}, "these were never sent"
    assert numbers(perflab_url) == [0, 1, 2, 3, 4]
    assert shell.metrics().failed == 10


def test_what_is_in_doubt_when_the_batcher_gives_up_is_not_guessed(
    make_shell: MakeShell, db: Database, proxy: Proxy, table: Table
) -> None:
    patient = RetryPolicy(base_seconds=3_000.0, cap_seconds=3_000.0, delivery_timeout=10_000.0)
    shell = make_shell(retry=patient, batch_size=5)
    proxy.arm(Mode.LOSE_REPLY, when=NOTE)
    gone_back = threading.Event()
    after_retry(db, gone_back.set)
    handles = shell.submit_all(insert(table), [{"n": n} for n in range(7)])
    assert gone_back.wait(PATIENCE_SECONDS)
    shell.close(timeout=0.05)
    assert proxy.fired, "or nothing was lost"
    assert {type(handle.error()) for handle in handles[:5]} == {OutcomeUnknown}
    assert {type(handle.error()) for handle in handles[5:]} == {LifecycleError}


def test_a_database_that_is_closed_meanwhile_leaves_doubt(
    make_shell: MakeShell, db: Database, proxy: Proxy, table: Table
) -> None:
    shell = make_shell(retry=QUICK)
    proxy.arm(Mode.LOSE_REPLY, when=NOTE)
    after_retry(db, db.close)
    handles = shell.submit_all(insert(table), [{"n": n} for n in range(3)])
    shell.flush()
    assert proxy.fired, "or nothing was lost"
    assert {type(handle.error()) for handle in handles} == {OutcomeUnknown}


@pytest.mark.case("F12")
def test_without_a_ledger_a_batch_in_doubt_is_not_tried_again(
    postgres_url: str, proxy_to: Callable[[str], Proxy], table: Table
) -> None:
    proxy = proxy_to(postgres_url)
    with Database.open(url_through(postgres_url, proxy.address)) as database:
        with database.transaction() as connection:
            table.create(connection)
        with RequestBatcher(database, batch_size=10, flush_interval=3_600.0, retry=QUICK) as batcher:
            proxy.arm(Mode.LOSE_REPLY, when=Sends(b"INSERT INTO sample"))
            lost = [batcher.submit(insert(table), {"n": n}) for n in range(10)]
            after = [batcher.submit(insert(table), {"n": n}) for n in range(20, 30)]
            batcher.flush()
            assert proxy.fired, "or nothing was lost"
            for future in lost:
                with pytest.raises(OutcomeUnknown, match=r"insert sample: .* there is no ledger to ask"):
                    future.result(PATIENCE_SECONDS)
            assert [future.result(PATIENCE_SECONDS) for future in after] == [None] * 10
            assert batcher.metrics().failed == 10
    assert numbers(postgres_url) == [*range(10), *range(20, 30)]


def test_a_part_in_doubt_may_come_back_in_pieces(db: Database, proxy: Proxy, perflab_url: str) -> None:
    """As when the batch size shrinks meanwhile: the ledger is asked once, and tells all."""
    queue = PriorityQueue(db, "ingest")
    delivery = Delivery(db, QUICK, start=lambda entries: entries, clock=lambda: 0.0, random=Random(1))
    accumulator: Accumulator[Submission] = Accumulator(make_limits(100, 0.0, None, None, None))
    futures: list[Future[int]] = [Future() for _ in range(12)]
    for number, future in enumerate(futures):
        accumulator.add(Submission(queue.operations.enqueue, NewJob(number), future), 0.0)
    batch = accumulator.take(0.0)
    assert batch is not None
    proxy.arm(Mode.LOSE_REPLY, when=NOTE)
    assert len(delivery.write(replace(batch, entries=batch.entries[:10])).undecided) == 10
    assert proxy.fired, "or nothing was lost"
    round_trips = []
    for piece in (batch.entries[:4], batch.entries[4:8], batch.entries[8:]):
        with db.counting() as count:
            resolve(delivery.write(replace(batch, entries=piece)))
        round_trips.append(count.round_trips)
    assert round_trips == [1, 0, 1], "the question; nothing; and the two that were never sent"
    assert [(future.result(0), number) for number, future in enumerate(futures)] == payloads(perflab_url)


def test_rows_that_were_returned_and_not_kept_are_lost_and_not_guessed(
    make_shell: MakeShell, db: Database, proxy: Proxy, perflab_url: str, table: Table
) -> None:
    shell = make_shell(retry=QUICK)
    proxy.arm(Mode.LOSE_REPLY, when=NOTE)
    returning = insert(table).values(n=1).returning(table.c.name.cast(postgresql.BYTEA))
    lost = shell.submit(returning, {"name": "a"})
    beside = shell.submit(insert(table), {"n": 2})
    shell.flush()
    assert proxy.fired, "or nothing was lost"
    assert isinstance(lost.error(), ResultLost)
    assert beside.result() is None
    assert numbers(perflab_url) == [1, 2]


# -- the inserter ------------------------------------------------------------------------------------------------------


@pytest.mark.case("F12")
@pytest.mark.parametrize("seed", range(3))
def test_the_inserter_writes_each_row_once(
    db: Database, proxy: Proxy, perflab_url: str, table: Table, seed: int
) -> None:
    random = Random(seed)
    rejected: list[Any] = []
    with BulkInserter(
        db, table, batch_size=100, retry=QUICK, on_reject=lambda row, error: rejected.append((row["n"], error))
    ) as inserter:
        for n in range(100, 2_100):
            if n % 100 == 50 and not proxy.armed:
                modes = [Mode.LOSE_REPLY, Mode.CUT, Mode.RESET]
                proxy.arm(random.choice(modes), when=AfterBytes(random.randrange(1, 1_500)))
            inserter.add({"n": 13 if n == 1_234 else n})
    report = inserter.close()
    assert len(proxy.fired) >= 5
    assert [(n, type(error)) for n, error in rejected] == [(13, RejectedRow)]
    assert (report.delivered, report.rejected) == (1_999, 1)
    assert numbers(perflab_url) == [n for n in range(100, 2_100) if n != 1_234]


# -- the server goes down ----------------------------------------------------------------------------------------------


@pytest.mark.case("F10")
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_restarts_in_the_middle_loses_nothing_and_doubles_nothing(
    postgres_server: EmbeddedServer, perflab_url: str, mode: StopMode
) -> None:
    # Full durability, because the test server commits before it has written anything down.
    with Database.open(perflab_url, durability="full") as database:
        queue = PriorityQueue(database, "ingest")
        retry = RetryPolicy(base_seconds=0.01, cap_seconds=0.1, delivery_timeout=PATIENCE_SECONDS)
        seen: list[Event] = []
        database.events.add(to_flushes(seen.append))
        with RequestBatcher(database, batch_size=50, flush_interval=0.001, retry=retry) as batcher:
            futures = [batcher.submit(queue.operations.enqueue, NewJob(n)) for n in range(500)]
            restart = threading.Thread(target=postgres_server.restart, args=(mode,))
            restart.start()
            while restart.is_alive():
                futures.append(batcher.submit(queue.operations.enqueue, NewJob(len(futures)), timeout=PATIENCE_SECONDS))
            restart.join()
            futures += [batcher.submit(queue.operations.enqueue, NewJob(len(futures) + n)) for n in range(500)]
            ids = [future.result(PATIENCE_SECONDS) for future in futures]
            assert batcher.metrics().retries > 0, "or the server was not missed"
    assert payloads(perflab_url) == sorted(zip(ids, range(len(ids)), strict=True))
