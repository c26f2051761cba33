"""What a cache did, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CacheMetrics:
    """The life of a cache so far. Every key that was asked for is one of hits, stale, waited, misses or failed."""

    asked: int
    """Keys that were asked for."""
    hits: int
    """Served from memory within their life; those without a row included."""
    negative_hits: int
    """Of the hits, those that say that there is no row."""
    stale: int
    """Served from memory after their life, because the database failed."""
    waited: int
    """Got from a read that somebody else had begun: single flight."""
    misses: int
    """Were read because they were asked for."""
    failed: int
    """Ended in an error."""
    warmed: int
    """Keys that were read before anybody asked."""
    warmed_used: int
    """Of these, those that somebody then asked for, while they were kept."""
    refreshed: int
    """Keys that were read again ahead of their end, because somebody asked."""
    outdated_at_most: int
    """Hits on rows that were others when they were read again: those before the change were right. Only those
    count that are read again while they are kept, and not those that `invalidate` was told of."""
    evicted: int
    """Entries that had to go before their time, for want of room."""
    too_large: int
    """Rows that alone are larger than the cache."""
    entries: int
    bytes: int
    """In use now, about."""
    round_trips: int
    """Counted, for whatever reason rows were read."""

    @property
    def hit_rate(self) -> float:
        """The share of the keys asked for that waited for nothing: 0 … 1; 0 before the first."""
        return (self.hits + self.stale) / self.asked if self.asked else 0.0

    @property
    def round_trips_saved(self) -> int:
        """Against reading each key alone when it is asked for, which is one round trip on both engines. Negative: more
        was read than asked for.
        """
        return self.asked - self.failed - self.round_trips

    @property
    def precision(self) -> float:
        """The share of the warmed keys that somebody asked for: 0 … 1; 0 before the first."""
        return self.warmed_used / self.warmed if self.warmed else 0.0


class CacheTally:
    """Counts. The cache calls it under its lock."""

    def __init__(self) -> None:
        self.hits = self.negative_hits = self.stale = self.waited = self.misses = self.failed = 0
        self.warmed = self.warmed_used = self.refreshed = self.outdated_at_most = self.too_large = 0
        self.round_trips = 0

    def metrics(self, *, evicted: int, entries: int, used_bytes: int) -> CacheMetrics:
        return CacheMetrics(
            asked=self.hits + self.stale + self.waited + self.misses + self.failed,
            hits=self.hits,
            negative_hits=self.negative_hits,
            stale=self.stale,
            waited=self.waited,
            misses=self.misses,
            failed=self.failed,
            warmed=self.warmed,
            warmed_used=self.warmed_used,
            refreshed=self.refreshed,
            outdated_at_most=self.outdated_at_most,
            evicted=evicted,
            too_large=self.too_large,
            entries=entries,
            bytes=used_bytes,
            round_trips=self.round_trips,
        )
