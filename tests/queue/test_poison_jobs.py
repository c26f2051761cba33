"""A job that kills its worker ends dead, and takes none of those with it that were held beside it."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from types import SimpleNamespace

import pytest

from perflab.database.database import Database
from perflab.queue.backoff import Backoff
from perflab.queue.job import NewJob, QueueCounts
from perflab.queue.queue import PriorityQueue

Queue = PriorityQueue[int, bool]
LEASE_SECONDS = 10
TICK = timedelta(seconds=0.1)


@pytest.fixture
def queue(db: Database, clock: SimpleNamespace) -> Queue:
    return PriorityQueue(db, now=lambda: clock.now, backoff=Backoff(base_seconds=1.0), rng=Random(2))


@pytest.mark.case("F01", "F40")
def test_a_poison_job_dies_alone(queue: Queue, clock: SimpleNamespace) -> None:
    """Workers claim twelve jobs at a time, and the next one starts as soon as one is killed."""
    queue.bulk_enqueue(NewJob("poison" if number == 5 else number) for number in range(12))
    lease = queue.open_lease("0", LEASE_SECONDS)
    done, killed = set(), 0
    while queue.counts().unfinished:
        queue.rescue_expired()
        jobs = queue.claim(12, lease)
        if "poison" in [job.payload for job in jobs]:
            killed += 1
            lease = queue.open_lease(str(killed), LEASE_SECONDS)
        else:
            queue.mark_done_bulk(jobs)
            done |= {job.payload for job in jobs}
        clock.now += TICK
        renewed = queue.renew_lease(lease)
        assert renewed
        lease = renewed
    (dead,) = queue.dead_jobs()
    assert (dead.payload, dead.attempts, killed) == ("poison", 5, 5)
    assert dead.error == "the lease of attempt 5 ran out at worker 4"
    assert done == set(range(12)) - {5}


def test_the_first_rescue_costs_no_time_and_later_ones_are_spread(queue: Queue, clock: SimpleNamespace) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(100))

    def lose() -> None:
        assert len(queue.claim(100, LEASE_SECONDS)) == 100
        clock.now += timedelta(seconds=LEASE_SECONDS)
        assert queue.rescue_expired() == 100

    lose()
    assert queue.counts().ready == 100
    lose()
    assert queue.counts() == QueueCounts(scheduled=100, ready=0, running=0, dead=0)
    now = round(clock.now.timestamp() * 1e6)
    waits = [(run_at - now) / 1e6 for (run_at,) in queue.db.fetch("SELECT run_at FROM perflab_jobs ORDER BY run_at")]
    assert waits[0] >= 0
    assert waits[-1] < 2.0  # base · 2^(2 - 1)
    gaps = [after - before for before, after in zip([0.0, *waits], [*waits, 2.0], strict=True)]
    assert max(gaps) < 3 * 2.0 / 100, "no crowd and no gap"
