"""What a snapshot says about whether batching pays, in a few figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from perflab.batching.metrics import efficiency
from perflab.events import Outcome
from perflab.monitoring.instruments import caches, flushes, queues, ticks
from perflab.monitoring.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Overview:
    """The figures that people look at first. Of `later.since(earlier)` they are those of the time between."""

    items: int
    """Delivered by batchers."""
    flushes: int
    mean_batch: float
    utilisation: float
    """Items of batches ÷ their capacity: 0 … 1."""
    efficiency: float
    """As that of `BatchingMetrics`."""
    round_trips: int
    """Of flushes."""
    round_trips_saved: int
    """What the delivered items would have cost one by one, less `round_trips`; negative where batching costs more."""
    flush_causes: Mapping[str, int]
    retries: int
    """Attempts that ended in a passing failure."""
    failed: int
    """Items that ended in an error."""
    flush_p50_seconds: float
    flush_p99_seconds: float
    wait_p99_seconds: float
    jobs_done: int
    jobs_retried: int
    jobs_dead: int
    """Those that failed for the last time, and those that were rescued for the last time."""
    leases_rescued: int
    tick_lag_p99_seconds: float
    cache_hit_rate: float | None
    """Answers from memory ÷ keys asked for; None where none was."""

    @classmethod
    def of(cls, snapshot: Snapshot) -> Overview:
        """The figures of a snapshot, over all engines, queues and caches in it."""
        sizes = snapshot.distributed(flushes.BATCH_ITEMS)
        capacity = snapshot.counted(flushes.CAPACITY)
        utilisation = min(1.0, sizes.total / capacity) if capacity else 0.0
        sent, unbatched = snapshot.counted(flushes.ROUND_TRIPS), snapshot.counted(flushes.UNBATCHED)
        saved_share = max(0.0, (unbatched - sent) / unbatched) if unbatched else 0.0
        durations = snapshot.distributed(flushes.DURATION)
        causes = {cause: int(count) for cause, count in snapshot.counted_by(flushes.FLUSHES, "cause").items() if count}
        finished = snapshot.counted_by(queues.FINISHED, "outcome")
        asked = snapshot.counted(caches.ASKED)
        in_memory = sum(snapshot.counted(caches.ASKED, result=result) for result in ("hits", "stale"))
        return cls(
            items=int(snapshot.counted(flushes.DELIVERED)),
            flushes=sum(causes.values()),
            mean_batch=sizes.mean,
            utilisation=utilisation,
            efficiency=efficiency(utilisation, saved_share),
            round_trips=int(sent),
            round_trips_saved=int(unbatched - sent),
            flush_causes=causes,
            retries=int(snapshot.counted(flushes.ATTEMPTS, outcome=Outcome.RETRIED)),
            failed=int(snapshot.counted(flushes.FAILED)),
            flush_p50_seconds=durations.quantile(0.50),
            flush_p99_seconds=durations.quantile(0.99),
            wait_p99_seconds=snapshot.distributed(flushes.WAIT).quantile(0.99),
            jobs_done=int(finished.get("done", 0)),
            jobs_retried=int(finished.get("retried", 0)),
            jobs_dead=int(finished.get("dead", 0) + snapshot.counted(queues.RESCUED, outcome="dead")),
            leases_rescued=int(snapshot.counted(queues.RESCUED)),
            tick_lag_p99_seconds=snapshot.distributed(ticks.LAG).quantile(0.99),
            cache_hit_rate=in_memory / asked if asked else None,
        )
