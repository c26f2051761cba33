"""The jobs that a worker holds leases of, and who may decide their end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from enum import Enum, auto

from perflab.queue.job import Job


class _Phase(Enum):
    WAITING = auto()
    """Claimed, not started."""
    RUNNING = auto()
    """The handler has it."""
    FINISHED = auto()
    """Its acknowledgement is on its way."""


class JobsInHand:
    """Each job is ended by exactly one party: the handler's thread that finishes it, or the worker that gives it back.

    Jobs are known by their lease: a failed one may be claimed again, with its next attempt, before the note that its
    acknowledgement is written gets here.

    Args:
        changed: called after a job has started or finished; must not block.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._lock = threading.Lock()
        self._jobs: dict[tuple[int, int], Job] = {}
        self._phases: dict[tuple[int, int], _Phase] = {}
        self._counts = dict.fromkeys(_Phase, 0)

    @property
    def waiting(self) -> int:
        return self._counts[_Phase.WAITING]

    @property
    def running(self) -> int:
        return self._counts[_Phase.RUNNING]

    @property
    def finished(self) -> int:
        """Finished, and not yet acknowledged."""
        return self._counts[_Phase.FINISHED]

    @property
    def is_empty(self) -> bool:
        return not self._jobs

    def jobs(self) -> list[Job]:
        """All of them: their leases are to be kept."""
        with self._lock:
            return list(self._jobs.values())

    def add(self, jobs: Iterable[Job]) -> None:
        with self._lock:
            for job in jobs:
                lease = _lease(job)
                self._jobs[lease] = job
                self._phases[lease] = _Phase.WAITING
                self._counts[_Phase.WAITING] += 1

    def start(self, job: Job) -> bool:
        """False: it was given back or lost, and must not run."""
        return self._advance(job, _Phase.WAITING, _Phase.RUNNING)

    def finish(self, job: Job) -> bool:
        """False: it was given back while it ran, and is not to be acknowledged."""
        return self._advance(job, _Phase.RUNNING, _Phase.FINISHED)

    def forget(self, job: Job) -> None:
        """Its acknowledgement is decided."""
        with self._lock:
            self._remove(_lease(job))

    def take_waiting(self, among: Iterable[Job] | None = None) -> list[Job]:
        """Take jobs back that have not started: all, or those of `among`. From here on they never start."""
        return self._take(_Phase.WAITING, among)

    def take_running(self) -> list[Job]:
        """Take jobs back that are running: how they end does not count any more."""
        return self._take(_Phase.RUNNING, None)

    def _advance(self, job: Job, source: _Phase, target: _Phase) -> bool:
        lease = _lease(job)
        with self._lock:
            if self._phases.get(lease) is not source:
                return False
            self._phases[lease] = target
            self._counts[source] -= 1
            self._counts[target] += 1
        self._changed()
        return True

    def _take(self, phase: _Phase, among: Iterable[Job] | None) -> list[Job]:
        with self._lock:
            candidates = list(self._phases) if among is None else [_lease(job) for job in among]
            return [self._remove(lease) for lease in candidates if self._phases.get(lease) is phase]

    def _remove(self, lease: tuple[int, int]) -> Job:
        self._counts[self._phases.pop(lease)] -= 1
        return self._jobs.pop(lease)


def _lease(job: Job) -> tuple[int, int]:
    return job.id, job.attempt
