"""What a scheduler ought to do, in a few lines of Python: watches, slots, and the jobs that come of them.

Times are whole seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from perflab.scheduler.watch import Overlap

ATTEMPTS = 5
BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 7, 40


@dataclass(frozen=True, slots=True)
class ModelWatch:
    period: int
    is_cron: bool
    """Then its slots are the multiples of its period; otherwise they are anchored to the first one."""
    overlap: Overlap
    catch_up: int
    next_slot: int
    enabled: bool = True
    waiting_slot: int | None = None
    """Of the last job that may still wait, where slots coalesce."""
    failures: int = 0
    failed_at: int = 0
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class ModelJob:
    """An unfinished one."""

    watch: str
    slot: int
    run_at: int
    state: str = "ready"
    attempt: int = 0
    lease_until: int | None = None


@dataclass(slots=True)
class Tally:
    """What a tick reports."""

    due: int = 0
    enqueued: int = 0
    skipped: int = 0
    backed_off: int = 0
    late: int = 0


class ModelScheduler:
    """Watches by name, unfinished jobs by key."""

    def __init__(self) -> None:
        self.watches: dict[str, ModelWatch] = {}
        self.jobs: dict[str, ModelJob] = {}

    def add(self, name: str, watch: ModelWatch, now: int) -> None:
        """One that is there keeps its slot, unless its schedule changes."""
        first = (now // watch.period + 1) * watch.period if watch.is_cron else now
        known = self.watches.get(name)
        if known is None:
            self.watches[name] = replace(watch, next_slot=first)
            return
        is_same = (known.period, known.is_cron) == (watch.period, watch.is_cron)
        self.watches[name] = replace(
            known,
            period=watch.period,
            is_cron=watch.is_cron,
            overlap=watch.overlap,
            catch_up=watch.catch_up,
            enabled=watch.enabled,
            next_slot=known.next_slot if is_same else first,
        )

    # -- ticks ---------------------------------------------------------------------------------------------------------

    def tick(self, now: int) -> Tally:
        """All that is due."""
        tally = Tally()
        for name, watch in self.watches.items():
            if not watch.enabled or watch.next_slot > now:
                continue
            slots = list(range(watch.next_slot, now + 1, watch.period))
            tally.due += 1
            tally.late += len(slots) > 1
            if self.is_backed_off(watch, now):
                tally.backed_off += 1
            else:
                brings = not self.waits(name, watch) and self.put_in(name, watch, slots[-1])
                tally.skipped += not brings
                missed = slots[-watch.catch_up : -1]
                tally.enqueued += brings + sum([self.put_in(name, watch, slot) for slot in missed])
            waiting = watch.waiting_slot
            if watch.overlap == "coalesce" and key_of(name, watch, slots[-1]) in self.jobs:
                waiting = slots[-1]
            self.watches[name] = replace(watch, next_slot=slots[-1] + watch.period, waiting_slot=waiting)
        return tally

    @staticmethod
    def is_backed_off(watch: ModelWatch, now: int) -> bool:
        pause = min(LONGEST_BACKOFF_SECONDS, BACKOFF_SECONDS * 2 ** (watch.failures - 1))
        return watch.failures > 0 and now < watch.failed_at + pause

    def waits(self, name: str, watch: ModelWatch) -> bool:
        """Whether a job that has not begun stands for the slots that come."""
        if watch.overlap != "coalesce" or watch.waiting_slot is None:
            return False
        job = self.jobs.get(key_of(name, watch, watch.waiting_slot))
        return job is not None and job.state != "running"

    def put_in(self, name: str, watch: ModelWatch, slot: int) -> bool:
        key = key_of(name, watch, slot)
        if key in self.jobs:
            return False
        self.jobs[key] = ModelJob(name, slot, slot)
        return True

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def ready(self, now: int) -> dict[str, ModelJob]:
        """What a claim chooses from. It makes those ready whose time has come."""
        for key, job in self.jobs.items():
            if job.state == "scheduled" and job.run_at <= now:
                self.jobs[key] = replace(job, state="ready")
        return {key: job for key, job in self.jobs.items() if job.state == "ready"}

    def fail(self, key: str, again: ModelJob) -> None:
        """It comes again, or is dead and out of the way."""
        if self.jobs[key].attempt < ATTEMPTS:
            self.jobs[key] = replace(again, lease_until=None)
        else:
            del self.jobs[key]

    def note(self, name: str, cursor: str, now: int, *, failed: bool) -> None:
        watch = self.watches.get(name)
        if watch is not None:
            failures = watch.failures + 1 if failed else 0
            self.watches[name] = replace(watch, cursor=cursor, failures=failures, failed_at=now)

    def expired(self, now: int) -> Iterator[str]:
        return (key for key, job in self.jobs.items() if job.lease_until is not None and job.lease_until <= now)


def key_of(name: str, watch: ModelWatch, slot: int) -> str:
    return f"watch:{name}" if watch.overlap == "skip" else f"slot:{slot}000000:{name}"
