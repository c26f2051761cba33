"""What caches answer, and what was read ahead."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from perflab.events import CacheAsked, CacheWarmed
from perflab.monitoring.distribution import DistributionRecorder
from perflab.monitoring.metric import Metric, counter, distribution
from perflab.monitoring.snapshot import SnapshotBuilder

ASKED = counter(
    "perflab_cache_requests_total",
    "Keys that a cache was asked for; stale: served although over, because the database failed; waited: got from a "
    "read that had begun.",
    "cache",
    "result",
    unit="{key}",
)
WARMED = counter("perflab_cache_warmed_total", "Keys that were to be read ahead.", "cache", unit="{key}")
READ = counter("perflab_cache_warm_reads_total", "Of these, those that were not in memory.", "cache", unit="{key}")
ROUND_TRIPS = counter(
    "perflab_cache_warm_round_trips_total", "Round trips for reading ahead.", "cache", unit="{round_trip}"
)
DURATION = distribution("perflab_cache_warm_duration_seconds", "How long reading ahead took.", "cache")

METRICS: tuple[Metric, ...] = (ASKED, WARMED, READ, ROUND_TRIPS, DURATION)
RESULTS = ("hits", "stale", "waited", "misses", "failed")


@dataclass(slots=True)
class _Cache:
    results: Counter[str] = field(default_factory=Counter)
    warmed: int = 0
    read: int = 0
    round_trips: int = 0
    durations: DistributionRecorder = field(default_factory=DistributionRecorder)


class CacheInstrument:
    """Counts by name of the cache. Its registry holds the lock."""

    def __init__(self) -> None:
        self._caches: defaultdict[str, _Cache] = defaultdict(_Cache)

    def add_asked(self, event: CacheAsked) -> None:
        results = self._caches[event.cache].results
        for result in RESULTS:
            if keys := getattr(event, result):
                results[result] += keys

    def add_warmed(self, event: CacheWarmed) -> None:
        cache = self._caches[event.cache]
        cache.warmed += event.keys
        cache.read += event.read
        cache.round_trips += event.round_trips
        cache.durations.add(event.seconds)

    def collect(self, builder: SnapshotBuilder) -> None:
        for name, cache in sorted(self._caches.items()):
            for result in RESULTS:
                builder.count(ASKED, cache.results[result], name, result)
            builder.count(WARMED, cache.warmed, name)
            builder.count(READ, cache.read, name)
            builder.count(ROUND_TRIPS, cache.round_trips, name)
            builder.distribute(DURATION, cache.durations.distribution(), name)
