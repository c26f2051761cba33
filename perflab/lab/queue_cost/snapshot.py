"""What a queue suffers from somebody who looks at the database as it was.

An engine with versions of rows must keep what a transaction that is still open could see. PostgreSQL keeps the rows,
and the entries of the index that a claim walks along; SQLite keeps its log.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from itertools import cycle, islice
from statistics import median
from typing import Any

from perflab.errors import WrongAnswer
from perflab.lab.queue_cost.plan import CLAIM_LIMIT, QUEUE, Hold, QueuePlan
from perflab.lab.queue_cost.rows import bytes_on_disk, dead_rows, fill, held_snapshot, tidy
from perflab.lab.sweep.fresh import FreshDatabase
from perflab.lab.sweep.subject import job_payload
from perflab.lab.workloads.flights import load_flights
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue

BACKLOG = 1_000
"""Ready jobs that stand in the queue all the time."""


def visit_snapshot(plan: QueuePlan, fresh: FreshDatabase) -> list[dict[str, Any]]:
    """Let jobs come and go before, while and after a snapshot is held.

    Each round enqueues, claims and marks as done as many jobs. After each step comes a VACUUM, as autovacuum comes
    to a busy table each minute; when it comes is then no accident.

    Returns:
        One row for each step: step, hold, jobs (so far), claim_seconds (the median of its claims), round_seconds
        (likewise), bytes_on_disk and dead_rows (after it).

    Raises:
        WrongAnswer: a job was lost, or is left over.
    """
    fill(fresh.direct, ready=BACKLOG, priorities=1)
    tidy(fresh.direct)
    flights = islice(cycle(load_flights("week").flights), CLAIM_LIMIT)
    new = [NewJob(job_payload(flight)) for flight in flights]
    queue = PriorityQueue(fresh.measured, QUEUE)
    fresh.settle()
    rows: list[dict[str, Any]] = []
    for hold in Hold:
        with ExitStack() as stack:
            if hold is Hold.HELD:
                stack.enter_context(held_snapshot(fresh.url))
            for _ in range(plan.steps):
                figures = _step(queue, new, plan.step_jobs // CLAIM_LIMIT)
                tidy(fresh.direct)
                rows.append(
                    {
                        "step": len(rows) + 1,
                        "hold": str(hold),
                        "jobs": (len(rows) + 1) * plan.step_jobs,
                        **figures,
                        "bytes_on_disk": bytes_on_disk(fresh.direct),
                        "dead_rows": dead_rows(fresh.direct),
                    }
                )
    counts = queue.counts()
    if (counts.ready, counts.running) != (BACKLOG, 0):
        raise WrongAnswer(f"{counts.ready:,} jobs are ready and {counts.running} run, and not {BACKLOG:,} and 0")
    return rows


def _step(queue: PriorityQueue[int, bool], new: list[NewJob], rounds: int) -> dict[str, float]:
    claims, whole = [], []
    for _ in range(rounds):
        started = time.perf_counter()
        queue.bulk_enqueue(new)
        enqueued = time.perf_counter()
        jobs = queue.claim(CLAIM_LIMIT)
        claims.append(time.perf_counter() - enqueued)
        done = queue.mark_done_bulk(jobs)
        whole.append(time.perf_counter() - started)
        if len(jobs) != CLAIM_LIMIT or not all(done):
            raise WrongAnswer(f"{len(jobs)} jobs were claimed and {sum(done)} done, and not {CLAIM_LIMIT}. No time.")
    return {"claim_seconds": median(claims), "round_seconds": median(whole)}
