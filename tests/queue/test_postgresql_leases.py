"""Claims that are on their way while the lease they use ends, on PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.lab.network.faults import Mode
from perflab.lab.network.proxy import Proxy
from perflab.lab.network.triggers import Sends
from perflab.queue.job import NewJob, QueueCounts
from perflab.queue.queue import PriorityQueue
from tests.postgres_databases import PostgresDatabases

Queue = PriorityQueue[int, bool]
A_MINUTE = 60.0
NOTE = Sends(b"INSERT INTO perflab_batches")


@pytest.fixture
def engine() -> str:
    return "postgresql"


@pytest.fixture
def db(postgres_databases: PostgresDatabases) -> Iterator[Database]:
    with Database.open(postgres_databases.perflab(), busy_timeout=A_MINUTE) as opened:
        yield opened


@pytest.fixture
def in_thread() -> Iterator[Callable[..., Future[Any]]]:
    with ThreadPoolExecutor() as threads:
        yield threads.submit


def wait_until_somebody_waits(db: Database) -> None:
    """The test's own timeout ends it if nobody does."""
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while not db.fetch(waiting):
        time.sleep(0.001)


CLAIM_AND_STOP = """
    WITH holder AS (SELECT id FROM perflab_workers FOR KEY SHARE)
    UPDATE perflab_jobs SET state = 'running', attempt = 1, worker_id = (SELECT id FROM holder) WHERE id = 1
"""
"""What a claim does, in a transaction that a test can keep open."""


def test_closing_waits_for_a_claim_and_gives_back_what_it_took(
    queue: Queue, in_thread: Callable[..., Future[Any]]
) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(2))
    opened = queue.open_lease("w")
    with queue.db.transaction() as claim:
        claim.exec_driver_sql(CLAIM_AND_STOP)
        closing = in_thread(queue.close_lease, opened)
        wait_until_somebody_waits(queue.db)
    assert closing.result(A_MINUTE) == 1
    assert queue.counts() == QueueCounts(scheduled=0, ready=2, running=0, dead=0)


def test_a_claim_that_comes_while_its_lease_is_closed_finds_nothing(
    queue: Queue, in_thread: Callable[..., Future[Any]]
) -> None:
    queue.enqueue("x")
    opened = queue.open_lease("w")
    with queue.db.transaction() as closing:
        closing.exec_driver_sql("DELETE FROM perflab_workers")
        claim = in_thread(queue.claim, 1, opened)
        wait_until_somebody_waits(queue.db)
    assert claim.result(A_MINUTE) == []
    assert queue.counts().ready == 1


@pytest.mark.case("F03")
def test_a_worker_is_not_given_up_while_it_claims(queue: Queue, clock: SimpleNamespace) -> None:
    queue.enqueue("x")
    queue.open_lease("w", 10)
    with queue.db.transaction() as claim:
        claim.exec_driver_sql(CLAIM_AND_STOP)
        clock.now += timedelta(seconds=10)
        assert queue.rescue_expired() == 0
    assert queue.rescue_expired() == 1
    assert queue.db.fetch("SELECT count(*) FROM perflab_workers") == [(0,)]


def test_a_renewal_does_not_wait_for_a_claim(queue: Queue) -> None:
    queue.enqueue("x")
    opened = queue.open_lease("w")
    with queue.db.transaction() as claim:
        claim.exec_driver_sql(CLAIM_AND_STOP)
        assert queue.renew_lease(opened), "or it would wait for ever here"


@pytest.mark.case("F12")
def test_jobs_whose_answer_was_lost_come_back_by_replacing_the_lease(
    far_database: Database, proxy: Proxy, clock: SimpleNamespace
) -> None:
    queue: Queue = PriorityQueue(far_database, now=lambda: clock.now)
    queue.bulk_enqueue(NewJob(number) for number in range(4))
    opened = queue.open_lease("w")
    first, second = queue.claim(2, opened)
    proxy.arm(Mode.LOSE_REPLY, when=NOTE)
    assert queue.mark_done_and_claim([first], 2, opened) == ([True], None)
    assert [firing.mode for firing in proxy.fired] == [Mode.LOSE_REPLY], "or nothing was lost"
    assert queue.counts() == QueueCounts(scheduled=0, ready=0, running=3, dead=0)
    new, holds = queue.replace_lease(opened, [second])
    assert holds == [True]
    assert queue.counts() == QueueCounts(scheduled=0, ready=2, running=1, dead=0)
    assert [job.payload for job in queue.claim(5, new)] == [2, 3]
