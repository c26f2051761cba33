"""The jobs that a worker holds, and who may decide their end."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TypeAlias

from perflab.queue.job import Job
from perflab.queue.operations import DoneItem, job_of

Failure: TypeAlias = tuple[Job, BaseException]
Outcome: TypeAlias = DoneItem | BaseException
"""How a job has ended: what to acknowledge, or its error."""

_claim_order = attrgetter("priority", "run_at", "id")


@dataclass(frozen=True, slots=True)
class Ended:
    """Jobs that have ended, and are to be acknowledged."""

    done: list[DoneItem] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.done) + len(self.failed)


class JobsInHand:
    """Jobs wait here in the order of claims until a runner takes them, run, and end; then they are acknowledged.

    Each job is ended by exactly one party: the runner that finishes it, or the worker that takes it back. One lock
    guards all of it, and is taken once for each job by a thread that runs one after the other.

    Args:
        changed: called when there may be something to do, or to wait for: no more than `low_water` wait, the first one
            has ended and nobody looks in time, nothing runs any more, or there is a deadline where there was none. It
            must not block.
        timeout: seconds that a job may run.
        patience: seconds that what has ended may wait for a look.
        monotonic: seconds.
    """

    def __init__(
        self,
        changed: Callable[[], None],
        *,
        timeout: float | None = None,
        patience: float = 0.0,
        monotonic: Callable[[], float],
    ) -> None:
        self.low_water = 0
        self.looks_at = math.inf
        """When somebody looks by himself, at the latest: he need not be woken for what can wait until then."""
        self.ended_since: float | None = None
        """When the first one of those to be acknowledged has ended."""
        self._changed = changed
        self._timeout = timeout
        self._patience = patience
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._arrival = threading.Condition(self._lock)
        self._waiting: deque[Job] = deque()
        # By identity: a job whose lease was lost may be claimed here again while its handler still runs.
        self._running: dict[int, Job] = {}
        self._deadlines: deque[tuple[float, Job]] = deque()
        """Of running jobs, and of some that have ended. All have the same timeout, so that these are in order."""
        self._ended = Ended()
        self._acknowledging = Ended()
        self._idle = 0
        """Threads that wait for a job."""
        self._closed = False

    # -- what there is -------------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def ended(self) -> int:
        """Ended, and not yet taken to be acknowledged."""
        return len(self._ended)

    @property
    def is_idle(self) -> bool:
        """Nothing waits or runs."""
        return not self._waiting and not self._running

    def jobs(self) -> list[Job]:
        """All that are not acknowledged yet."""
        with self._lock:
            unacknowledged = (self._acknowledging, self._ended)
            return [
                *self._waiting,
                *self._running.values(),
                *(job_of(item) for ended in unacknowledged for item in ended.done),
                *(job for ended in unacknowledged for job, _ in ended.failed),
            ]

    # -- the way of a job ----------------------------------------------------------------------------------------------

    def add(self, jobs: Iterable[Job]) -> None:
        """Claimed jobs, in the order of claims. More urgent ones than those that wait go before them."""
        with self._lock:
            waiting = len(self._waiting)
            self._waiting.extend(jobs)
            if 0 < waiting < len(self._waiting) and _claim_order(self._waiting[waiting]) < _claim_order(
                self._waiting[waiting - 1]
            ):
                self._waiting = deque(sorted(self._waiting, key=_claim_order))
            if self._idle:
                self._arrival.notify(len(self._waiting))

    def take(self) -> Job | None:
        """The next job, which runs from here on; waits for one. None: no more will come."""
        with self._lock:
            return self._take()

    def take_at_once(self) -> Job | None:
        """The next job, which runs from here on; None if none waits."""
        with self._lock:
            return self._start() if self._waiting else None

    def finish(self, job: Job, outcome: Outcome) -> bool:
        """Its handler has ended. False: it was taken back while it ran, and is not to be acknowledged."""
        with self._lock:
            if self._running.pop(id(job), None) is None:
                return False
            if self._end(job, outcome) or not self._running:
                self._changed()
            return True

    def finish_and_take(self, job: Job, outcome: Outcome) -> Job | None:
        """`finish`, and then `take`. None also if it was taken back."""
        with self._lock:
            if self._running.pop(id(job), None) is None:
                return None
            if self._end(job, outcome) or not (self._waiting or self._running):
                self._changed()
            return self._start() if self._waiting else self._take()

    def take_ended(self) -> Ended:
        """What is to be acknowledged; it is in hand until `acknowledged`, or `put_back` if that failed."""
        with self._lock:
            self._acknowledging, self._ended = self._ended, Ended()
            self.ended_since = None
            return self._acknowledging

    def acknowledged(self) -> None:
        with self._lock:
            self._acknowledging = Ended()

    def put_back(self) -> None:
        with self._lock:
            again, later = self._acknowledging, self._ended
            self._ended, self._acknowledging = Ended(again.done + later.done, again.failed + later.failed), Ended()
            if self._ended and self.ended_since is None:
                self.ended_since = self._monotonic()

    # -- taking back ---------------------------------------------------------------------------------------------------

    def take_waiting(self, among: Iterable[Job] | None = None) -> list[Job]:
        """Take jobs back that have not started: all, or those of `among`. From here on they never start."""
        with self._lock:
            if among is None:
                taken, self._waiting = list(self._waiting), deque()
            else:
                wanted = set(map(id, among))
                taken = [job for job in self._waiting if id(job) in wanted]
                self._waiting = deque(job for job in self._waiting if id(job) not in wanted)
            return taken

    def take_running(self) -> list[Job]:
        """Take jobs back that are running: how they end does not count any more."""
        with self._lock:
            taken = list(self._running.values())
            self._running.clear()
            return taken

    def next_deadline(self) -> float | None:
        """When the first running job has used its time up."""
        with self._lock:
            while self._deadlines and id(self._deadlines[0][1]) not in self._running:
                self._deadlines.popleft()
            return self._deadlines[0][0] if self._deadlines else None

    def expire(self, now: float) -> list[Job]:
        """End what has used its time up, with a TimeoutError. How its handler ends does not count any more."""
        expired: list[Job] = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            with self._lock:
                _, job = self._deadlines.popleft()
                if self._running.pop(id(job), None) is not None:
                    expired.append(job)
                    self._end(job, TimeoutError(f"it had not ended after {self._timeout:g} seconds"))
        return expired

    def close(self) -> None:
        """No more will come: `take` returns None when nothing waits."""
        with self._lock:
            self._closed = True
            self._arrival.notify_all()

    # -- inside, under the lock ----------------------------------------------------------------------------------------

    def _take(self) -> Job | None:
        while not self._waiting:
            if self._closed:
                return None
            self._idle += 1
            self._arrival.wait()
            self._idle -= 1
        return self._start()

    def _start(self) -> Job:
        job = self._waiting.popleft()
        self._running[id(job)] = job
        has_news = len(self._waiting) == self.low_water
        if self._timeout is not None:
            has_news = has_news or not self._deadlines
            self._deadlines.append((self._monotonic() + self._timeout, job))
        if has_news:
            self._changed()
        return job

    def _end(self, job: Job, outcome: Outcome) -> bool:
        """Whether it is the first one that is to be acknowledged, and nobody looks in time."""
        if isinstance(outcome, BaseException):
            self._ended.failed.append((job, outcome))
        else:
            self._ended.done.append(outcome)
        if self.ended_since is not None:
            return False
        self.ended_since = self._monotonic()
        return self.looks_at > self.ended_since + self._patience
