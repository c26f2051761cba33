"""What a claim costs, however many jobs stand in the queue."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

from perflab.errors import WrongAnswer
from perflab.lab.queue_cost.plan import CLAIM_LIMIT, PRIORITIES, QUEUE, Depth, QueuePlan
from perflab.lab.queue_cost.rows import fill, tidy
from perflab.lab.sweep.fresh import FreshDatabase
from perflab.queue.queue import PriorityQueue


def visit_depth(plan: QueuePlan, depth: Depth, fresh: FreshDatabase) -> list[dict[str, Any]]:
    """Fill a queue, and claim its first jobs, some at a time.

    Returns:
        One row: depth, ready, scheduled, claim_seconds (the median of the claims).

    Raises:
        WrongAnswer: they were not the first ones, in their order.
    """
    fill(fresh.direct, ready=depth.ready, scheduled=depth.scheduled)
    tidy(fresh.direct)
    queue = PriorityQueue(fresh.measured, QUEUE)
    fresh.settle()
    seconds: list[float] = []
    numbers: list[int] = []
    for _ in range(plan.claims):
        started = time.perf_counter()
        jobs = queue.claim(CLAIM_LIMIT)
        seconds.append(time.perf_counter() - started)
        numbers += [job.payload["number"] for job in jobs]
    if numbers != [PRIORITIES * place for place in range(plan.claims * CLAIM_LIMIT)]:
        raise WrongAnswer(f"{depth}: the first {len(numbers):,} jobs were not claimed in order. No time.")
    row = {"depth": str(depth), "ready": depth.ready, "scheduled": depth.scheduled}
    return [{**row, "claim_seconds": median(seconds)}]
