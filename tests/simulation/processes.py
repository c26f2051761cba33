"""Those who live in a simulated world: a producer, workers and schedulers, each with its own view of the database."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from random import Random
from typing import Any

from perflab.database.database import Database
from perflab.errors import OutcomeUnknown, PerflabError, ResultLost
from perflab.queue.backoff import Backoff
from perflab.queue.exchange import Exchange
from perflab.queue.held_lease import HeldLease
from perflab.queue.job import Job, NewJob
from perflab.queue.jobs_in_hand import JobsInHand
from perflab.queue.leases import WorkerLease
from perflab.queue.operations import DoneItem, job_of
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler
from tests.simulation.history import Delivered, Done, Enqueued, History, Outcome
from tests.simulation.world import Killed, World

Clock = Callable[[], datetime]
LEASE_SECONDS, HANDLER_SECONDS = 30.0, 20.0
IN_DOUBT = (OutcomeUnknown, ResultLost, Killed)
MANY_ATTEMPTS = 1000
"""A job that dies of bad luck would prove nothing."""


def identity(payload: Any) -> Hashable:
    """A number, or watch and slot."""
    return (payload["watch"], payload["slot"]) if isinstance(payload, dict) else payload


class WatchedQueue(PriorityQueue[int, bool]):
    """The queue, where a history is kept of what is asked of it and what its caller hears."""

    def __init__(self, database: Database, now: Clock, world: World, history: History) -> None:
        super().__init__(
            database,
            now=now,
            rng=Random(world.rng.random()),
            backoff=Backoff(5.0, 60.0),
            stopwatch=world.monotonic,
            sleep=world.sleep,
        )
        self.history = history

    def put_in(self, payloads: Iterable[int]) -> None:
        new = list(payloads)
        outcome: Outcome = "ok"
        try:
            self.bulk_enqueue(NewJob(payload, max_attempts=MANY_ATTEMPTS) for payload in new)
        except IN_DOUBT:
            outcome = "unknown"
            raise
        except PerflabError:
            outcome = "fail"
            raise
        finally:
            self.history.enqueued += [Enqueued(payload, outcome) for payload in new]

    def mark_done_bulk(self, jobs: Iterable[DoneItem], **options: Any) -> list[bool]:
        done = list(jobs)
        with self._ending(done) as accepted:
            accepted.extend(super().mark_done_bulk(done, **options))
        return accepted

    def mark_done_and_claim(
        self, done: Iterable[DoneItem], limit: int, lease: float | WorkerLease
    ) -> tuple[list[bool], list[Job] | None]:
        ended = list(done)
        with self._ending(ended) as accepted:
            answers, jobs = super().mark_done_and_claim(ended, limit, lease)
            accepted.extend(answers)
        at = self.history.moment()
        self.history.delivered += [Delivered(identity(job.payload), job.id, job.attempt, at) for job in jobs or ()]
        return answers, jobs

    @contextmanager
    def _ending(self, done: list[DoneItem]) -> Iterator[list[bool]]:
        """Acknowledgements with what became of them; the block adds which were accepted."""
        begun, accepted = self.history.moment(), list[bool]()
        outcomes: list[Outcome] = ["fail"] * len(done)
        try:
            yield accepted
            outcomes = ["ok" if each else "fail" for each in accepted]
        except IN_DOUBT:
            outcomes = ["unknown"] * len(done)
            raise
        finally:
            ended = self.history.moment()
            self.history.done += [
                Done(identity(job.payload), job.id, job.attempt, begun, ended, outcome)
                for job, outcome in zip(map(job_of, done), outcomes, strict=True)
            ]


class Producer:
    """Puts a few jobs in every now and then, for as long as there are faults."""

    def __init__(self, queue: WatchedQueue, world: World, numbers: count[int]) -> None:
        self._queue, self._world, self._numbers = queue, world, numbers

    def step(self) -> float:
        if not self._world.faults:
            return 60.0
        self._queue.put_in([next(self._numbers) for _ in range(self._world.rng.randint(1, 8))])
        return self._world.rng.expovariate(1 / 8.0)


class Ticker:
    def __init__(self, scheduler: Scheduler, world: World) -> None:
        self._scheduler, self._world = scheduler, world

    def step(self) -> float:
        return 0.0 if self._scheduler.tick(limit=3).more else self._world.rng.uniform(1.0, 30.0)


class LookedAfterByHand(HeldLease):
    """A lease whose thread has nothing to do: it is renewed in the steps of its process."""

    def _keep(self) -> None:
        pass


class SimulatedWorker:
    """A worker's lease, hand and exchange, without its threads. Some handlers take longer than the lease lasts.

    Now and then it stands still, as a machine does that swaps: what it held is with others when it goes on.
    """

    def __init__(self, queue: WatchedQueue, world: World) -> None:
        self._world, self._rng = world, world.rng
        self._in_hand = JobsInHand(lambda: None, monotonic=world.monotonic)
        self._exchange = Exchange(queue, self._in_hand)
        self._lease = LookedAfterByHand(
            queue, self._in_hand, "simulated", LEASE_SECONDS, lost=self._exchange.lost, rng=Random(0)
        )
        self._running: list[tuple[float, Job]] = []
        self._look_after_at = 0.0

    def step(self) -> float:
        if self._world.faults and self._rng.random() < 0.01:
            self._world.happened["stood still"] += 1
            return self._rng.uniform(LEASE_SECONDS, 4 * LEASE_SECONDS)
        now = self._world.seconds
        for end, job in self._running:
            if end <= now:
                failed = self._world.faults and self._rng.random() < 0.1
                self._in_hand.finish(job, OSError("no route") if failed else job)
        self._running = [(end, job) for end, job in self._running if end > now]
        if now >= self._look_after_at:
            self._lease.look_after()
            self._look_after_at = now + LEASE_SECONDS / 3
        self._exchange.swap(self._lease, max(0, 8 - self._in_hand.waiting - self._in_hand.running))
        while len(self._running) < 4 and (taken := self._in_hand.take_at_once()) is not None:
            self._running.append((now + self._rng.uniform(0.0, HANDLER_SECONDS), taken))
        return self._rng.uniform(0.5, 4.0)
