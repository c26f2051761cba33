"""Enqueue, claim and mark_done, in calls of one size."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import chain, cycle, islice
from typing import Any, TypeVar

from perflab.database.database import Database
from perflab.errors import WrongAnswer
from perflab.lab.queue_cost.plan import QUEUE, QueuePlan
from perflab.lab.queue_cost.rows import check_empty
from perflab.lab.sweep.fresh import FreshDatabase
from perflab.lab.sweep.subject import job_payload
from perflab.lab.workloads.flights import load_flights
from perflab.queue.job import Job, NewJob
from perflab.queue.queue import PriorityQueue

Answer = TypeVar("Answer")

CALLS = ("enqueue", "claim", "mark_done")


def visit_calls(plan: QueuePlan, batch_size: int, fresh: FreshDatabase) -> list[dict[str, Any]]:
    """Put real flights in, take them out and mark them done, each in calls of `batch_size` jobs.

    Returns:
        One row for each of `CALLS`: call, batch_size, jobs, seconds_per_job, round_trips_per_job.

    Raises:
        WrongAnswer: other jobs came out than went in, in another order, or one was not done.
    """
    calls = max(3, min(plan.most_calls, plan.most_jobs // batch_size))
    flights = islice(cycle(load_flights("week").flights), calls * batch_size)
    new = [NewJob(job_payload(flight), flight.priority) for flight in flights]
    batches = [new[start : start + batch_size] for start in range(0, len(new), batch_size)]
    queue = PriorityQueue(fresh.measured, QUEUE)
    _warm_up(queue)
    fresh.settle()
    ids, enqueuing = _timed(fresh.measured, lambda: [queue.bulk_enqueue(batch) for batch in batches])
    claimed, claiming = _timed(fresh.measured, lambda: [queue.claim(batch_size) for _ in batches])
    done, marking = _timed(fresh.measured, lambda: [queue.mark_done_bulk(jobs) for jobs in claimed])
    _check(new, list(chain(*ids)), list(chain(*claimed)), list(chain(*done)))
    check_empty(fresh.direct, f"calls of {batch_size:,}")
    return [
        {
            "call": call,
            "batch_size": batch_size,
            "jobs": len(new),
            "seconds_per_job": seconds / len(new),
            "round_trips_per_job": round_trips / len(new),
        }
        for call, (seconds, round_trips) in zip(CALLS, (enqueuing, claiming, marking), strict=True)
    ]


def _warm_up(queue: PriorityQueue[int, bool]) -> None:
    """Connections are opened, and statements planned."""
    queue.bulk_enqueue([NewJob(None)])
    queue.mark_done_bulk(queue.claim(1))


def _timed(database: Database, calls: Callable[[], Answer]) -> tuple[Answer, tuple[float, int]]:
    """What the calls return, and their seconds and round trips."""
    with database.counting() as count:
        started = time.perf_counter()
        answer = calls()
        seconds = time.perf_counter() - started
    return answer, (seconds, count.round_trips)


def _check(new: list[NewJob], ids: list[int], claimed: list[Job], done: list[bool]) -> None:
    by_id = dict(zip(ids, new, strict=True))
    if sorted(by_id) != sorted(job.id for job in claimed) or not all(done):
        raise WrongAnswer(
            f"{len(claimed)} jobs were claimed and {sum(done)} done of {len(new)}. This visit has no time."
        )
    if any(by_id[job.id].payload != job.payload for job in claimed):
        raise WrongAnswer("a job came out with another payload. This visit has no time.")
    places = [(job.priority, job.run_at, job.id) for job in claimed]
    if places != sorted(places):
        raise WrongAnswer("jobs were not claimed in their order. This visit has no time.")
