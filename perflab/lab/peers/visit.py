"""One visit to one queue, in a process of its own: `python -m perflab.lab.peers.visit`, with a request on its input.

A process of its own gives every queue a fresh interpreter, its own event loop and threads, and one worker process; and
it can be ended when a queue never does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, TypeVar

from perflab.errors import WrongAnswer
from perflab.lab.garbage import old_objects_set_aside
from perflab.lab.peers.catalogue import find_queue
from perflab.lab.peers.peer import Payload, QueuePeer
from perflab.lab.sweep.subject import job_payload
from perflab.lab.workloads.flights import load_flights

BULK = 1_000
WARM_UP_JOBS = 20

Item = TypeVar("Item")


@dataclass(slots=True)
class Timed(Generic[Item]):
    """Items that say how long somebody took for all of them, from the request for the first to that for one more.

    So what is timed is the calls, and neither the connection before nor the end of it.
    """

    items: Sequence[Item]
    seconds: float = 0.0

    def __iter__(self) -> Iterator[Item]:
        start = time.perf_counter()
        yield from self.items
        self.seconds = time.perf_counter() - start


@dataclass(slots=True)
class Seen:
    """What handlers saw.

    Attributes:
        expected: the numbers of the jobs are those below.
    """

    expected: int
    runs: int = 0
    numbers: set[int] = field(default_factory=set)
    last_seconds: float = 0.0
    start: float = field(default_factory=time.perf_counter)

    def handle(self, payload: Payload) -> bool:
        self.runs += 1
        self.numbers.add(payload["number"])
        if len(self.numbers) < self.expected:
            return False
        self.last_seconds = time.perf_counter() - self.start
        return True

    def check(self, queue: QueuePeer, url: str) -> None:
        """Refuse a figure of work that was not done.

        Raises:
            WrongAnswer: other jobs ran than were enqueued, or some are not known to be done.
        """
        if self.numbers != set(range(self.expected)):
            raise WrongAnswer(f"handlers of {queue.card.name} saw {len(self.numbers)} of {self.expected} jobs")
        if left := queue.unfinished(url):
            raise WrongAnswer(f"all jobs of {queue.card.name} ran, and it holds {left} for unfinished")


def make_payloads(jobs: int) -> list[Payload]:
    """Jobs of real flights, each with a number of its own."""
    flights = load_flights("week").flights
    return [{**job_payload(flights[number % len(flights)]), "number": number} for number in range(jobs)]


def batches_of(payloads: Iterable[Payload]) -> list[list[Payload]]:
    """The same in lists of what one bulk call takes."""
    rest = iter(payloads)
    return list(iter(lambda: list(islice(rest, BULK)), []))


def visit_drain(queue: QueuePeer, url: str, *, singles: int, jobs: int) -> dict[str, Any]:
    """Enqueue some one by one and the others in bulk, and have a worker run all of them.

    Returns:
        Seconds of each part; those of the drain are from the start of the worker to its last handler.
    """
    payloads = make_payloads(jobs)
    singles = singles if queue.card.bulk else jobs
    each, bulk = Timed(payloads[:singles]), Timed(batches_of(payloads[singles:]))
    queue.create(url)
    durability = queue.durability(url)
    queue.enqueue_each(url, each)
    if bulk.items:
        queue.enqueue_bulk(url, bulk)
    seen = Seen(jobs)
    queue.work(url, seen.handle)
    seen.check(queue, url)
    return {
        "jobs": jobs,
        "runs": seen.runs,
        "durability": durability,
        "enqueue_each": each.seconds / singles,
        "enqueue_bulk": bulk.seconds / (jobs - singles) if bulk.items else None,
        "drain": seen.last_seconds / jobs,
    }


def visit_latency(queue: QueuePeer, url: str, *, jobs: int, interval: float) -> dict[str, Any]:
    """Seconds from before a call that enqueues one job, in another process, to its handler on an idle worker."""
    queue.create(url)
    durability = queue.durability(url)
    request = {"what": "produce", "queue": queue.card.name, "url": url, "jobs": jobs, "interval": interval}
    latencies: list[float] = []
    seen = Seen(WARM_UP_JOBS + jobs)
    with subprocess.Popen(
        [sys.executable, "-m", "perflab.lab.peers.visit"], stdin=subprocess.PIPE, text=True
    ) as producer:
        assert producer.stdin is not None
        producer.stdin.write(json.dumps(request) + "\n")
        producer.stdin.flush()

        def handle(payload: Payload) -> bool:
            now = time.monotonic()
            if not seen.runs:
                producer.stdin.write("go\n")  # type: ignore[union-attr]  # asserted above
                producer.stdin.flush()  # type: ignore[union-attr]
            if payload["number"] >= WARM_UP_JOBS:
                latencies.append(now - payload["sent"])
            return seen.handle(payload)

        queue.work(url, handle)
    seen.check(queue, url)
    return {"jobs": jobs, "runs": seen.runs, "durability": durability, "latencies": latencies}


def produce(queue: QueuePeer, url: str, *, jobs: int, interval: float) -> None:
    """Enqueue a job at each interval, once the worker has run the first one and so is there."""

    def paced() -> Iterator[Payload]:
        for payload in make_payloads(WARM_UP_JOBS + jobs):
            if payload["number"] == 1:
                sys.stdin.readline()
                start = time.monotonic()
            if payload["number"]:
                time.sleep(max(0.0, start + payload["number"] * interval - time.monotonic()))
            payload["sent"] = time.monotonic()
            yield payload

    queue.enqueue_each(url, paced())


def main() -> None:
    """Answer the request on the first line of the input, on what was the output: whatever queues print is no answer."""
    answer, sys.stdout = sys.stdout, sys.stderr
    request = json.loads(sys.stdin.readline())
    what, queue, url = request.pop("what"), find_queue(request.pop("queue")), request.pop("url")
    with old_objects_set_aside():
        if what == "produce":
            produce(queue, url, **request)
        else:
            visit = visit_drain if what == "drain" else visit_latency
            answer.write(json.dumps(visit(queue, url, **request)) + "\n")


if __name__ == "__main__":
    main()
