"""The ledger: connections lost at COMMIT, on a real server behind a proxy that loses things on purpose."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import psycopg
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text

from perflab.database.database import Database
from perflab.errors import TransientError
from perflab.lab.network.faults import Mode
from perflab.lab.network.proxy import Proxy
from perflab.lab.network.side import Side
from perflab.lab.network.triggers import AfterBytes, AfterMessages, Sends
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import IngestState, Watch

NOTE = Sends(b"INSERT INTO perflab_batches")
SYNC = AfterMessages(1, "S")
PATIENCE_SECONDS = 60.0
A_LONG_TIME = 3_600.0
ITEMS = Table("items", MetaData(), Column("id", Integer, primary_key=True, autoincrement=False), Column("name", Text))


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
    "mark_done": lambda queue, _, jobs: queue.mark_done_bulk([*jobs, jobs[0]]),
    "mark_done of one attempt": lambda queue, _, jobs: queue.mark_done_bulk(jobs[:2]),
    "mark_error": lambda queue, _, jobs: queue.mark_error_bulk((job, "no") for job in jobs),
    "release": lambda queue, _, jobs: queue.release(jobs),
    "extend_lease": lambda queue, _, jobs: queue.extend_lease(jobs, A_LONG_TIME),
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
    rows(url, "TRUNCATE perflab_jobs, perflab_watches, perflab_ingest_states RESTART IDENTITY")
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
        rows(url, "SELECT id, name, enabled FROM perflab_watches ORDER BY id"),
        rows(url, "SELECT watch_id, last_error, consecutive_failures FROM perflab_ingest_states"),
    )


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
