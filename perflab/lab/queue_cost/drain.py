"""How fast worker processes empty a queue."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

from perflab.errors import WrongAnswer
from perflab.lab.queue_cost.plan import QUEUE, Handler, QueuePlan
from perflab.lab.queue_cost.rows import check_empty, fill, tidy
from perflab.lab.queue_cost.worker_process import WorkerProcess
from perflab.lab.sweep.fresh import FreshDatabase


def visit_drain(plan: QueuePlan, cell: tuple[Handler, int], fresh: FreshDatabase) -> list[dict[str, Any]]:
    """Start processes, wait until all are ready, and have them empty the queue.

    Args:
        plan: how many jobs.
        cell: what their handler does, and how many processes.
        fresh: where.

    Returns:
        One row: handler, workers, jobs, seconds (from the word to begin until the last of them found no job any more),
        jobs_per_second.

    Raises:
        WrongAnswer: handlers saw other jobs than there were, or not each of them once.
        LabError: a process could not go on.
    """
    handler, workers = cell
    waits = handler is Handler.WAITS
    jobs = plan.waiting_jobs if waits else plan.idle_jobs
    fill(fresh.direct, ready=jobs)
    tidy(fresh.direct)
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                WorkerProcess(fresh.url, QUEUE, plan.handler_seconds if waits else 0.0, plan.durability)
            )
            for _ in range(workers)
        ]
        for process in processes:
            process.wait_until_ready()
        fresh.settle()
        started = time.perf_counter()
        for process in processes:
            process.begin()
        reports = [process.wait_until_empty() for process in processes]
        seconds = time.perf_counter() - started
    check_reports(jobs, reports, f"{workers} workers")
    check_empty(fresh.direct, f"{workers} workers")
    row = {"handler": str(handler), "workers": workers, "jobs": jobs}
    return [{**row, "seconds": seconds, "jobs_per_second": jobs / seconds}]


def check_reports(jobs: int, reports: list[dict[str, int]], what: str) -> None:
    """Compare what the workers of a visit say with the jobs that there were, numbered from 0.

    Raises:
        WrongAnswer: not every job was claimed, seen by a handler and done, each once.
    """
    found = tuple(sum(report[name] for report in reports) for name in ("claimed", "done", "seen", "checksum"))
    expected = (jobs, jobs, jobs, jobs * (jobs - 1) // 2)
    if found != expected:
        raise WrongAnswer(f"{what}: (claimed, done, seen, checksum) are {found}, and not {expected}. No time.")
