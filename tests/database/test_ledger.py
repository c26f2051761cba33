"""The ledger: connections lost at COMMIT, on a real server behind a proxy that loses things on purpose."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from random import Random
from typing import Any, Self

import psycopg
import pytest
from psycopg.waiting import Ready
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert
from sqlalchemy.engine import make_url

from perflab.database.core_write import CoreWrite
from perflab.database.database import Database
from perflab.database.failures import classify
from perflab.database.ledger import KeptAnswers
from perflab.database.operation import Deferred, DriverConnection
from perflab.database.postgresql import PostgresConnection
from perflab.database.postgresql_ledger import FORGOTTEN_AT_ONCE
from perflab.database.result_codes import FailureKind
from perflab.errors import OutcomeUnknown, RejectedRow, ResultLost, TransientError
from perflab.lab.network.faults import Mode
from perflab.lab.network.postgres_url import url_through
from perflab.lab.network.proxy import Proxy
from perflab.lab.network.side import Side
from perflab.lab.network.triggers import AfterBytes, AfterMessages, Sends
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import IngestState, Watch

NOTE = Sends(b"INSERT INTO perflab_batches")
SYNC = AfterMessages(1, "S")
BEFORE_SYNC = Sends(b"S\x00\x00\x00\x04")
PATIENCE_SECONDS = 60.0
A_LONG_TIME = 3_600.0
ITEMS = Table("items", MetaData(), Column("id", Integer, primary_key=True, autoincrement=False), Column("name", Text))


@pytest.fixture
def engine() -> str:
    return "postgresql"


def rows(url: str, sql: str) -> list[tuple[Any, ...]]:
    """Past the proxy."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


def queue_of(database: Database) -> PriorityQueue[int, bool]:
    """With a back-off that is the same in each run."""
    return PriorityQueue(database, "ingest", rng=Random(1))


# -- the reply is lost -------------------------------------------------------------------------------------------------

ACTS: dict[str, Callable[[PriorityQueue[int, bool], Scheduler, list[Any]], Any]] = {
    "enqueue": lambda queue, _, __: queue.bulk_enqueue(map(NewJob, range(3))),
    "enqueue with keys": lambda queue, _, __: queue.bulk_enqueue(
        NewJob(key, key=key) for key in ("b", None, "a", "b", "held")
    ),
    "enqueue or raise": lambda queue, _, __: queue.bulk_enqueue(
        (NewJob(key, key=key) for key in ("b", None, "a")), on_conflict="raise"
    ),
    "enqueue and replace": lambda queue, _, __: queue.bulk_enqueue(
        (NewJob(key, key=key) for key in ("b", None, "a", "b", "held")), on_conflict="replace"
    ),
    "mark_done": lambda queue, _, jobs: queue.mark_done_bulk([*jobs, jobs[0]]),
    "mark_done of one attempt": lambda queue, _, jobs: queue.mark_done_bulk(jobs[:2]),
    "mark_done and keep": lambda queue, _, jobs: PriorityQueue(queue.db, keep_done=True).mark_done_bulk(
        [(jobs[0], 1), jobs[1], jobs[2], jobs[0]]
    ),
    "mark_error": lambda queue, _, jobs: queue.mark_error_bulk((job, "no") for job in jobs),
    "release": lambda queue, _, jobs: queue.release(jobs),
    "extend_lease": lambda queue, _, jobs: queue.extend_lease(jobs, A_LONG_TIME),
    "mark_done and claim": lambda queue, _, jobs: queue.mark_done_and_claim(jobs, 1, 60.0)[0],
    "cancel": lambda queue, _, jobs: queue.cancel([jobs[0].id, jobs[3].id + 1, jobs[3].id + 1]),
    "cancel nothing": lambda queue, _, __: queue.cancel([999]),
    "retry": lambda queue, _, jobs: queue.retry([jobs[0].id, jobs[3].id]),
    "add_watches": lambda _, scheduler, __: scheduler.add_watches_bulk(
        Watch(name, interval=60.0) for name in ("z", "known", "a")
    ),
    "update_ingest_states": lambda _, scheduler, __: scheduler.update_ingest_states_bulk(
        [IngestState("known", error="no"), IngestState("unknown")]
    ),
    "remove_watches": lambda _, scheduler, __: scheduler.remove_watches(["known", "unknown", "known"]),
    "pause_watches": lambda _, scheduler, __: scheduler.pause_watches(["unknown", "known"]),
}


def run(act: Callable[..., Any], database: Database, url: str, disturb: Callable[[], None]) -> tuple[Any, ...]:
    """Do it on tables that are as new; its result and all that is in the tables."""
    rows(url, "TRUNCATE perflab_jobs, perflab_jobs_done, perflab_watches, perflab_ingest_states RESTART IDENTITY")
    queue = queue_of(database)
    scheduler = Scheduler(database, queue)
    scheduler.add_watch("known", 60.0)
    queue.bulk_enqueue([NewJob(0, max_attempts=1), *map(NewJob, range(3)), NewJob("held", priority=1, key="held")])
    dead, *jobs = queue.claim(4)
    queue.mark_error(dead, "no")
    queue.release(jobs[1:2])
    jobs[1:2] = queue.claim(1)  # its second attempt
    queue.mark_done(jobs[2])  # and so its lease is lost
    disturb()
    result = act(queue, scheduler, [*jobs, dead])
    return (
        result,
        rows(url, "SELECT id, payload::text, state, attempt, key, lease_until IS NULL FROM perflab_jobs ORDER BY id"),
        rows(url, "SELECT id, result::text FROM perflab_jobs_done ORDER BY id"),
        rows(url, "SELECT id, name, enabled FROM perflab_watches ORDER BY id"),
        rows(url, "SELECT watch_id, last_error, consecutive_failures FROM perflab_ingest_states"),
    )


@pytest.mark.case("F12")
@pytest.mark.parametrize("name", ACTS)
def test_a_call_whose_reply_is_lost_returns_what_it_would_have(
    name: str, far_database: Database, proxy: Proxy, perflab_url: str
) -> None:
    undisturbed = run(ACTS[name], far_database, perflab_url, lambda: None)
    disturbed = run(ACTS[name], far_database, perflab_url, lambda: proxy.arm(Mode.LOSE_REPLY, when=NOTE))
    assert [firing.mode for firing in proxy.fired] == [Mode.LOSE_REPLY], "or nothing was lost"
    assert disturbed == undisturbed


@pytest.mark.parametrize("name", ACTS)
def test_a_call_that_is_cut_before_commit_is_not_written(
    name: str, far_database: Database, proxy: Proxy, perflab_url: str
) -> None:
    untouched = run(lambda *_: None, far_database, perflab_url, lambda: None)

    def cut(*arguments: Any) -> None:
        with pytest.raises(TransientError, match="try again later"):
            ACTS[name](*arguments)

    assert run(cut, far_database, perflab_url, lambda: proxy.arm(Mode.CUT, when=NOTE)) == untouched
    assert [firing.mode for firing in proxy.fired] == [Mode.CUT], "or nothing was cut"


@pytest.mark.case("F12")
def test_wherever_the_wire_is_cut_it_is_written_once_or_not_at_all(
    far_database: Database, proxy: Proxy, perflab_url: str
) -> None:
    queue = queue_of(far_database)
    random = Random(20_130_820)
    outcomes = {"written": 0, "not written": 0}
    for number in range(80):
        if not proxy.armed:  # else the call before was shorter than that
            side = random.choice([Side.CLIENT, Side.SERVER])
            modes = [Mode.CUT, Mode.RESET, Mode.LOSE_REPLY] if side is Side.CLIENT else [Mode.CUT, Mode.RESET]
            length = 2_200 if side is Side.CLIENT else 150
            proxy.arm(random.choice(modes), when=AfterBytes(random.randrange(1, length), by=side))
        payload = f"{number} {'x' * random.randrange(400)}"
        fired = len(proxy.fired)
        try:
            ids = queue.bulk_enqueue([NewJob(payload)] * 2)
        except TransientError:
            ids = []
        if len(proxy.fired) > fired:
            outcomes["written" if ids else "not written"] += 1
        found = rows(perflab_url, f"SELECT id FROM perflab_jobs WHERE payload #>> '{{}}' = '{payload}' ORDER BY id")
        assert [job_id for (job_id,) in found] == ids
    assert min(outcomes.values()) > 10, outcomes


# -- asking ------------------------------------------------------------------------------------------------------------

FENCE = Sends(b"ON CONFLICT (id, position) DO NOTHING")


def fences(url: str) -> list[tuple[Any, ...]]:
    return rows(url, "SELECT count(*) FROM perflab_batches WHERE fenced")


def test_the_ledger_is_asked_until_it_answers(far_database: Database, proxy: Proxy, perflab_url: str) -> None:
    proxy.arm(Mode.LOSE_REPLY, when=NOTE)
    for mode in (Mode.CUT, Mode.LOSE_REPLY, Mode.RESET):  # each on the connection after the one before
        proxy.arm(mode, when=FENCE)
    ids = queue_of(far_database).bulk_enqueue([NewJob(1)])
    assert len(proxy.fired) == 4, "or not all was lost"
    assert rows(perflab_url, "SELECT id FROM perflab_jobs") == [(ids[0],)]
    assert fences(perflab_url) == [(0,)]


def test_a_fence_whose_reply_is_lost_is_found_again(far_database: Database, proxy: Proxy, perflab_url: str) -> None:
    proxy.arm(Mode.CUT, when=BEFORE_SYNC)
    proxy.arm(Mode.LOSE_REPLY, when=FENCE)
    with pytest.raises(TransientError, match="nothing was written"):
        queue_of(far_database).bulk_enqueue([NewJob(1)])
    assert len(proxy.fired) == 2, "or not all was lost"
    assert rows(perflab_url, "SELECT id FROM perflab_jobs") == []
    assert fences(perflab_url) == [(1,)]


@pytest.mark.case("F12")
def test_what_cannot_be_asked_in_time_stays_unknown(proxy: Proxy, far_url: str, perflab_url: str) -> None:
    with Database.open(far_url, busy_timeout=0.0) as database:
        proxy.arm(Mode.LOSE_REPLY, when=NOTE)
        proxy.arm(Mode.CUT, when=FENCE)
        with pytest.raises(OutcomeUnknown, match="it is written whole or not at all") as caught:
            queue_of(database).bulk_enqueue([NewJob(1)])
        assert len(proxy.fired) == 2, "or not all was lost"
        assert caught.value.batch is not None
        assert classify(caught.value) is FailureKind.UNKNOWN
        # Whoever handles the error can still find out.
        assert rows(perflab_url, f"SELECT fenced FROM perflab_batches WHERE id = '{caught.value.batch}'") == [(False,)]


@pytest.mark.case("F12")
def test_a_commit_that_is_still_under_way_is_waited_for(far_database: Database, proxy: Proxy, perflab_url: str) -> None:
    rows(
        perflab_url,
        """
        CREATE FUNCTION pg_temp_wait() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_advisory_xact_lock(13); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON perflab_jobs DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION pg_temp_wait()
        """,
    )
    try:
        with psycopg.connect(perflab_url) as holder:
            holder.execute("SELECT pg_advisory_xact_lock(13)")
            proxy.arm(Mode.CUT, when=SYNC)
            with Calling(lambda: queue_of(far_database).bulk_enqueue([NewJob(1)])) as call:
                assert proxy.wait_fired(PATIENCE_SECONDS), "or nothing was cut"
                wait_until(lambda: waiting_for_transactions(perflab_url) == 1)
                assert rows(perflab_url, "SELECT id FROM perflab_jobs") == []
                holder.rollback()
            ids = call.result()
        assert rows(perflab_url, "SELECT id FROM perflab_jobs") == [(ids[0],)]
    finally:
        rows(perflab_url, "DROP FUNCTION pg_temp_wait CASCADE")


@pytest.mark.case("F12")
def test_a_transaction_that_still_waits_can_never_be_committed_after_the_answer_was_no(
    far_database: Database, proxy: Proxy, perflab_url: str
) -> None:
    queue = queue_of(far_database)
    queue.bulk_enqueue([NewJob(1)])
    jobs = queue.claim(1)
    with psycopg.connect(perflab_url) as holder:
        holder.execute("SELECT FROM perflab_jobs FOR UPDATE")
        proxy.arm(Mode.CUT, when=SYNC)
        with pytest.raises(TransientError, match="nothing was written"):
            queue.mark_done_bulk(jobs)
        assert proxy.fired, "or nothing was cut"
        assert waiting(perflab_url) == 1, "the first one, for the row"
    wait_until(lambda: waiting(perflab_url) == 0)
    assert rows(perflab_url, "SELECT state FROM perflab_jobs") == [("running",)]
    assert queue.mark_done_bulk(jobs) == [True]


def test_a_socket_that_closes_before_the_driver_has_read_from_it_leaves_doubt_too(
    far_database: Database, perflab_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """psycopg then says so without asking libpq, which still takes the connection for a good one."""
    queue = queue_of(far_database)
    lost = []

    def send_and_lose(connection: PostgresConnection, gen: Any) -> None:
        next(gen)
        assert connection._pipeline is not None
        while connection._pipeline.command_queue:
            gen.send(Ready.W)
        connection.pgconn.flush()
        # Whoever asks before the server has read it forbids it, and that is right too.
        wait_until(lambda: rows(perflab_url, "SELECT count(*) FROM perflab_jobs") == [(2,)])
        lost.append(connection)
        with suppress(RuntimeError):  # it would go on to fetch
            gen.close()
        raise psycopg.OperationalError("connection socket closed")

    def undisturbed_until_the_sync(connection: PostgresConnection, gen: Any, **options: Any) -> Any:
        if gen.__name__ == "_exit_gen" and not lost:
            return send_and_lose(connection, gen)
        return wait(connection, gen, **options)

    wait = PostgresConnection.wait
    monkeypatch.setattr(PostgresConnection, "wait", undisturbed_until_the_sync)
    ids = queue.bulk_enqueue([NewJob(1), NewJob(2)])
    assert lost, "or nothing was lost"
    assert rows(perflab_url, "SELECT id FROM perflab_jobs ORDER BY id") == [(job_id,) for job_id in ids]


def waiting(url: str) -> int:
    """Transactions that wait for a lock."""
    return int(
        rows(
            url,
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )[0][0]
    )


def waiting_for_transactions(url: str) -> int:
    return int(rows(url, "SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted")[0][0])


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Calling:
    """A call in a thread of its own, ended when the block ends."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._outcome: list[Any] = []
        self._thread = threading.Thread(target=lambda: self._outcome.append(call()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(PATIENCE_SECONDS)

    def result(self) -> Any:
        assert self._outcome, "it failed, or goes on"
        return self._outcome[0]


# -- without a ledger, and what it cannot tell -------------------------------------------------------------------------


@pytest.fixture
def far_items(far_database: Database, perflab_url: str) -> Iterator[Database]:
    """With a table that is not perflab's."""
    with far_database.transaction() as connection:
        ITEMS.create(connection)
    yield far_database
    rows(perflab_url, "DROP TABLE items")


def items(url: str) -> list[Any]:
    return [number for (number,) in rows(url, "SELECT id FROM items ORDER BY id")]


def test_core_writes_are_applied_once(far_items: Database, proxy: Proxy, perflab_url: str) -> None:
    write = CoreWrite(insert(ITEMS), far_items.dialect)
    proxy.arm(Mode.LOSE_REPLY, when=NOTE)
    written: list[dict[str, Any]] = [{"id": 1}, {"id": 2, "name": "two"}]
    assert far_items.apply(write, written) == [None, None]
    assert proxy.fired, "or nothing was lost"
    assert items(perflab_url) == [1, 2]


def test_without_a_ledger_it_stays_unknown_and_everything_else_works(
    postgres_url: str, proxy_to: Callable[[str], Proxy]
) -> None:
    proxy = proxy_to(postgres_url)
    with Database.open(url_through(postgres_url, proxy.address)) as database:
        with database.transaction() as connection:
            ITEMS.create(connection)
        write = CoreWrite(insert(ITEMS), database.dialect)
        assert database.apply(write, [{"id": 1}]) == [None]
        with pytest.raises(RejectedRow):
            database.apply(write, [{"id": 1}])
        proxy.arm(Mode.LOSE_REPLY, when=Sends(b"INSERT INTO items"))
        with pytest.raises(OutcomeUnknown, match=r"there is no ledger to ask: create_schema\(\) makes one") as caught:
            database.apply(write, [{"id": 2}])
        assert len(proxy.fired) == 1, "or nothing was lost"
        assert caught.value.batch is None
        assert items(postgres_url) == [1, 2]

        database.create_schema()  # from now on there is one
        proxy.arm(Mode.LOSE_REPLY, when=NOTE)
        assert database.apply(write, [{"id": 3}]) == [None]
        assert len(proxy.fired) == 2, "or nothing was lost"
        assert items(postgres_url) == [1, 2, 3]


def test_a_ledger_that_may_not_be_written_is_none(perflab_url: str) -> None:
    rows(perflab_url, "CREATE ROLE guest LOGIN; CREATE TABLE items (id int); GRANT INSERT ON items TO guest")
    try:
        with Database.open(make_url(perflab_url).set(username="guest").render_as_string()) as database:
            assert database.apply(CoreWrite(insert(ITEMS), database.dialect), [{"id": 1}]) == [None]
        assert items(perflab_url) == [1]
        assert rows(perflab_url, "SELECT count(*) FROM perflab_batches") == [(0,)]
    finally:
        rows(perflab_url, "DROP TABLE items; DROP ROLE guest")


class Returning:
    """An operation whose answer the ledger does not keep."""

    name = "returning"
    tables = frozenset({"items"})

    def prepare(self, item: int) -> int:
        return item

    def size_bytes(self, item: int) -> int:
        return 8

    def apply(self, connection: DriverConnection, rows: Sequence[int]) -> Sequence[Any]:
        cursor = connection.execute("INSERT INTO items SELECT unnest(%(ids)s::int[]) RETURNING id", {"ids": list(rows)})
        return Deferred(cursor.fetchall)


def test_a_result_that_was_not_kept_is_not_guessed(far_items: Database, proxy: Proxy, perflab_url: str) -> None:
    assert far_items.apply(Returning(), [1]) == [(1,)]
    proxy.arm(Mode.LOSE_REPLY, when=NOTE)
    with pytest.raises(ResultLost, match=r"it is written, once, .* \(the statement does not keep its answer\)"):
        far_items.apply(Returning(), [2, 3])
    assert proxy.fired, "or nothing was lost"
    assert items(perflab_url) == [1, 2, 3]


def test_an_operation_that_asks_for_other_answers_than_it_sent_has_none() -> None:
    keeping = "SELECT /* ledger: id */"
    kept = [[(1,)], [(2,)]]
    assert KeptAnswers(kept).replay(
        lambda connection: [connection.execute(keeping).fetchone(), *connection.execute(keeping)]
    ) == [(1,), (2,)]
    for apply in (
        lambda connection: connection.execute(keeping),
        lambda connection: [connection.execute(keeping) for _ in range(3)],
        lambda connection: connection.execute("SELECT").rowcount,
        lambda connection: connection.executemany("SELECT", []).fetchall(),
        lambda connection: connection.no_such_thing,
    ):
        with pytest.raises(ResultLost):
            KeptAnswers(kept).replay(apply)


# -- what is left behind -----------------------------------------------------------------------------------------------


def test_the_ledger_stays_small(perflab_url: str) -> None:
    with Database.open(perflab_url) as database:
        queue = queue_of(database)
        most = 0
        for number in range(3 * FORGOTTEN_AT_ONCE):
            queue.bulk_enqueue([NewJob(number)])
            if number % 50 == 49:
                most = max(most, rows(perflab_url, "SELECT count(*) FROM perflab_batches")[0][0])
        assert most <= FORGOTTEN_AT_ONCE + 1
    assert queue_count(perflab_url) == 3 * FORGOTTEN_AT_ONCE


def queue_count(url: str) -> int:
    return int(rows(url, "SELECT count(*) FROM perflab_jobs")[0][0])


def test_what_a_batch_would_have_deleted_is_deleted_by_a_later_one(perflab_url: str) -> None:
    with Database.open(perflab_url) as database:
        queue = queue_of(database)
        for number in range(FORGOTTEN_AT_ONCE):
            queue.bulk_enqueue([NewJob(number)])
        rows(perflab_url, "ALTER TABLE perflab_jobs ADD CONSTRAINT refuse CHECK (priority < 7)")
        try:
            with pytest.raises(RejectedRow):
                queue.bulk_enqueue([NewJob(1, priority=7)])
        finally:
            rows(perflab_url, "ALTER TABLE perflab_jobs DROP CONSTRAINT refuse")
        assert rows(perflab_url, "SELECT count(*) FROM perflab_batches") == [(FORGOTTEN_AT_ONCE,)]
        queue.bulk_enqueue([NewJob(1)])
        assert rows(perflab_url, "SELECT count(*) FROM perflab_batches") == [(1,)]


def test_what_ended_processes_left_goes_after_a_day_and_nothing_sooner(
    far_database: Database, proxy: Proxy, perflab_url: str
) -> None:
    proxy.arm(Mode.CUT, when=BEFORE_SYNC)
    with pytest.raises(TransientError, match="nothing was written"):
        queue_of(far_database).bulk_enqueue([NewJob(1)])
    assert fences(perflab_url) == [(1,)]
    rows(
        perflab_url,
        "INSERT INTO perflab_batches (id, position, written_at) SELECT gen_random_uuid(), 0, now() - age "
        "FROM unnest(ARRAY['23 hours', '25 hours', '1 year']::interval[]) AS age",
    )
    with Database.open(perflab_url) as another:
        queue_of(another).bulk_enqueue([NewJob(1)])
    assert rows(perflab_url, "SELECT count(*) FROM perflab_batches WHERE written_at < now() - interval '1 hour'") == [
        (1,)
    ]
    assert fences(perflab_url) == [(1,)]


def test_what_a_lost_connection_says_is_heard_before_anything_is_sent(
    far_database: Database, proxy: Proxy, perflab_url: str
) -> None:
    queue_of(far_database).bulk_enqueue([NewJob(1)])
    proxy.switch(Mode.RESET)
    wait_until(lambda: proxy.open_connections == 0)
    proxy.switch(Mode.PASS)
    assert proxy.fired, "or nothing was lost"
    queue_of(far_database).bulk_enqueue([NewJob(2)])  # on another connection, and not in doubt
    assert far_database.fetch("SELECT count(*) FROM perflab_jobs") == [(2,)]
