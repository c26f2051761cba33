"""What batchers do: flushes, and what they save."""

from __future__ import annotations

from collections import Counter

from perflab.events import Cause, FlushCompleted, FlushFailed, Outcome
from perflab.monitoring.distribution import DistributionRecorder
from perflab.monitoring.metric import ITEMS, Metric, counter, distribution
from perflab.monitoring.snapshot import SnapshotBuilder

FLUSHES = counter(
    "perflab_flushes_total",
    "Batches that left, by why they did; a retry is no new one.",
    "engine",
    "cause",
    unit="{flush}",
)
ATTEMPTS = counter(
    "perflab_flush_attempts_total",
    "Attempts to write a batch, by how they ended.",
    "engine",
    "outcome",
    unit="{attempt}",
)
DELIVERED = counter("perflab_items_delivered_total", "Items that batchers have written.", "engine", unit="{item}")
FAILED = counter("perflab_items_failed_total", "Items that ended in an error.", "engine", unit="{item}")
SUPERSEDED = counter(
    "perflab_items_superseded_total",
    "Delivered items that a later one of their batch overwrites.",
    "engine",
    unit="{item}",
)
CAPACITY = counter(
    "perflab_batch_capacity_items_total", "Items that the batches could have held.", "engine", unit="{item}"
)
BYTES = counter("perflab_flush_bytes_total", "Payload bytes of batches, where they are measured.", "engine", unit="By")
CUT = counter(
    "perflab_batches_cut_total", "Attempts of which a part was too much, and was halved.", "engine", unit="{batch}"
)
ROUND_TRIPS = counter(
    "perflab_round_trips_total", "Round trips of flushes, failed ones included.", "engine", unit="{round_trip}"
)
UNBATCHED = counter(
    "perflab_round_trips_unbatched_total",
    "The least that the delivered items would have cost one by one.",
    "engine",
    unit="{round_trip}",
)
BATCH_ITEMS = distribution(
    "perflab_batch_items", "Items of a batch when it left.", "engine", bounds=ITEMS, unit="{item}"
)
WAIT = distribution("perflab_flush_wait_seconds", "How long the oldest item of a batch had waited for it.", "engine")
DURATION = distribution("perflab_flush_duration_seconds", "How long an attempt to write a batch took.", "engine")

METRICS: tuple[Metric, ...] = (
    FLUSHES,
    ATTEMPTS,
    DELIVERED,
    FAILED,
    SUPERSEDED,
    CAPACITY,
    BYTES,
    CUT,
    ROUND_TRIPS,
    UNBATCHED,
    BATCH_ITEMS,
    WAIT,
    DURATION,
)


class FlushInstrument:
    """Counts flushes of one engine. Its registry holds the lock."""

    def __init__(self) -> None:
        self._flushes: Counter[Cause] = Counter()
        self._attempts: Counter[Outcome] = Counter()
        self._delivered = self._failed = self._superseded = self._capacity = self._bytes = self._cut = 0
        self._round_trips = self._unbatched = 0
        self._items, self._waits = DistributionRecorder(), DistributionRecorder()
        self._durations = DistributionRecorder()

    def add(self, flush: FlushCompleted) -> None:
        self._attempts[flush.outcome] += 1
        self._delivered += flush.delivered
        self._superseded += flush.superseded
        self._cut += flush.too_much
        self._round_trips += flush.round_trips
        self._unbatched += flush.round_trips_unbatched
        self._durations.add(flush.seconds)
        if flush.attempt == 1:  # a retry leaves for the same cause and with the same items
            self._flushes[flush.cause] += 1
            self._capacity += flush.capacity
            self._bytes += flush.bytes
            self._items.add(flush.items)
            self._waits.add(flush.waited)

    def add_failure(self, failure: FlushFailed) -> None:
        self._failed += failure.failed

    def collect(self, builder: SnapshotBuilder, engine: str) -> None:
        """All causes and outcomes are told, also of those that never came: a rate needs a zero to begin with."""
        for cause in Cause:
            builder.count(FLUSHES, self._flushes[cause], engine, cause)
        for outcome in Outcome:
            builder.count(ATTEMPTS, self._attempts[outcome], engine, outcome)
        for metric, value in (
            (DELIVERED, self._delivered),
            (FAILED, self._failed),
            (SUPERSEDED, self._superseded),
            (CAPACITY, self._capacity),
            (BYTES, self._bytes),
            (CUT, self._cut),
            (ROUND_TRIPS, self._round_trips),
            (UNBATCHED, self._unbatched),
        ):
            builder.count(metric, value, engine)
        builder.distribute(BATCH_ITEMS, self._items.distribution(), engine)
        builder.distribute(WAIT, self._waits.distribution(), engine)
        builder.distribute(DURATION, self._durations.distribution(), engine)
