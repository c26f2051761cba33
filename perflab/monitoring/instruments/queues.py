"""What producers and workers do with the jobs of queues."""

from __future__ import annotations

from collections import Counter, defaultdict

from perflab.events import JobsClaimed, JobsEnqueued, JobsFinished, LeasesRescued
from perflab.monitoring.distribution import DistributionRecorder
from perflab.monitoring.metric import Metric, counter, distribution
from perflab.monitoring.snapshot import SnapshotBuilder

ENQUEUED = counter("perflab_jobs_enqueued_total", "Jobs that were put into a queue.", "engine", "queue", unit="{job}")
CLAIMED = counter("perflab_jobs_claimed_total", "Jobs that workers took.", "engine", "queue", unit="{job}")
FINISHED = counter(
    "perflab_jobs_finished_total",
    "Jobs whose end was acknowledged: done, retried, dead, or stale, where the lease had been lost.",
    "engine",
    "queue",
    "outcome",
    unit="{job}",
)
RESCUED = counter(
    "perflab_leases_rescued_total",
    "Jobs taken from workers that were lost: ready once more, or dead.",
    "engine",
    "queue",
    "outcome",
    unit="{job}",
)
CLAIM_DURATION = distribution("perflab_claim_duration_seconds", "How long a claim took.", "engine", "queue")
CLAIM_WAIT = distribution(
    "perflab_claim_wait_seconds", "How long that job of a claim was due which was due the longest.", "engine", "queue"
)

METRICS: tuple[Metric, ...] = (ENQUEUED, CLAIMED, FINISHED, RESCUED, CLAIM_DURATION, CLAIM_WAIT)
FINISHES = ("done", "retried", "dead", "stale")
RESCUES = ("ready", "dead")


class QueueInstrument:
    """Counts jobs of one engine, queue by queue. Its registry holds the lock."""

    def __init__(self) -> None:
        self._queues: set[str] = set()
        self._enqueued: Counter[str] = Counter()
        self._claimed: Counter[str] = Counter()
        self._finished: Counter[tuple[str, str]] = Counter()
        self._rescued: Counter[tuple[str, str]] = Counter()
        self._durations: defaultdict[str, DistributionRecorder] = defaultdict(DistributionRecorder)
        self._waits: defaultdict[str, DistributionRecorder] = defaultdict(DistributionRecorder)

    def add_enqueued(self, event: JobsEnqueued) -> None:
        self._queues.add(event.queue)
        self._enqueued[event.queue] += event.jobs

    def add_claimed(self, event: JobsClaimed) -> None:
        self._queues.add(event.queue)
        self._claimed[event.queue] += event.jobs
        self._durations[event.queue].add(event.seconds)
        if event.jobs:
            self._waits[event.queue].add(event.waited)

    def add_finished(self, event: JobsFinished) -> None:
        self._queues.add(event.queue)
        for outcome in FINISHES:
            if jobs := getattr(event, outcome):
                self._finished[event.queue, outcome] += jobs

    def add_rescued(self, event: LeasesRescued) -> None:
        self._queues.add(event.queue)
        for outcome in RESCUES:
            self._rescued[event.queue, outcome] += getattr(event, outcome)

    def collect(self, builder: SnapshotBuilder, engine: str) -> None:
        for queue in sorted(self._queues):
            builder.count(ENQUEUED, self._enqueued[queue], engine, queue)
            builder.count(CLAIMED, self._claimed[queue], engine, queue)
            for outcome in FINISHES:
                builder.count(FINISHED, self._finished[queue, outcome], engine, queue, outcome)
            for outcome in RESCUES:
                builder.count(RESCUED, self._rescued[queue, outcome], engine, queue, outcome)
            builder.distribute(CLAIM_DURATION, self._durations[queue].distribution(), engine, queue)
            builder.distribute(CLAIM_WAIT, self._waits[queue].distribution(), engine, queue)
