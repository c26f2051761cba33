"""What happened in a span of time, over all processes: the form in which alerts look back and history is kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from types import MappingProxyType

from perflab.monitoring.metric import Series
from perflab.monitoring.snapshot import Snapshot
from perflab.monitoring.source import Labelled

REMEMBERED_SECONDS = 86_400.0
"""A process that was not seen for a day is forgotten; if it comes back, it begins anew."""


@dataclass(frozen=True, slots=True)
class Change:
    """What was counted in a span, and how gauges were.

    Two spans add up: counts are summed, and of a gauge the larger value stays, for peaks are what one looks back for.
    """

    began_at: float
    """Seconds since 1970."""
    ended_at: float
    counted: Snapshot
    """Increases of counters and distributions; gauges as they were at the end, or the largest of several spans."""

    @property
    def seconds(self) -> float:
        return self.ended_at - self.began_at

    def __add__(self, other: Change) -> Change:
        gauges = dict(self.counted.gauges)
        for series, value in other.counted.gauges.items():
            gauges[series] = max(value, gauges.get(series, value))
        began_at, ended_at = min(self.began_at, other.began_at), max(self.ended_at, other.ended_at)
        return Change(
            began_at, ended_at, replace(_summed(self.counted, other.counted, ended_at), gauges=MappingProxyType(gauges))
        )


@dataclass(frozen=True, slots=True)
class Window:
    """The last seconds: what was counted in them, and gauges at both of their ends."""

    change: Change
    gauges_before: Mapping[Series, float]
    """Empty where nothing is known of that time."""

    @property
    def gauges(self) -> Mapping[Series, float]:
        return self.change.counted.gauges


class ChangeTracker:
    """Makes changes out of what is read again and again; holds one snapshot of each process.

    Counts of a process that was there at the first read are those of a time before, and begin with zero. One that comes
    later is taken whole. When a process begins anew, so do its counts.
    """

    def __init__(self) -> None:
        self._last: dict[str, Snapshot] = {}
        self._heard_at: dict[str, float] = {}
        self._read_at: float | None = None

    def change(self, found: Iterable[Labelled], now: float) -> Change:
        """What happened since the last call; at the first one only gauges.

        Args:
            found: what a source has read.
            now: seconds since 1970.
        """
        began_at, is_first = (now, True) if self._read_at is None else (self._read_at, False)
        self._read_at = now
        total = EMPTY
        for snapshot, labels in found:
            process = labels.get("process", "")
            before = self._last.get(process, snapshot if is_first else EMPTY)
            self._last[process], self._heard_at[process] = snapshot, now
            total = merged(total, snapshot.since(before))
        for process in [known for known, heard_at in self._heard_at.items() if now - heard_at > REMEMBERED_SECONDS]:
            del self._last[process], self._heard_at[process]
        return Change(began_at, now, replace(total, taken_at=now))


class RecentChanges:
    """The changes of the last while, so that each window within it can be looked at.

    Args:
        horizon: seconds that the longest window spans.
    """

    def __init__(self, horizon: float) -> None:
        self._horizon = horizon
        self._changes: deque[Change] = deque()

    def add(self, change: Change) -> None:
        self._changes.append(change)
        while len(self._changes) > 1 and self._changes[1].ended_at <= change.ended_at - self._horizon:
            self._changes.popleft()

    def window(self, seconds: float) -> Window:
        """The last `seconds`, or as many of them as are known; whole changes only, and at least the last one.

        Raises:
            IndexError: nothing was added yet.
        """
        last = self._changes[-1]
        if len(self._changes) == 1:
            return Window(last, MappingProxyType({}))
        begin = last.ended_at - seconds
        start = max(sum(change.ended_at <= begin for change in self._changes) - 1, 0)
        first, *inside = islice(self._changes, start, None)
        total = sum(inside[1:], inside[0])
        counted = replace(total.counted, gauges=last.counted.gauges)
        return Window(replace(total, counted=counted), first.counted.gauges)


def merged(one: Snapshot, other: Snapshot) -> Snapshot:
    """Two snapshots of different processes as one: counts and gauges are summed, and of moments the last one counts."""
    gauges = dict(one.gauges)
    for series, value in other.gauges.items():
        if series not in gauges:
            gauges[series] = value
        elif series.metric.endswith("_timestamp_seconds"):
            gauges[series] = max(value, gauges[series])
        else:
            gauges[series] += value
    return replace(_summed(one, other, max(one.taken_at, other.taken_at)), gauges=MappingProxyType(gauges))


def _summed(one: Snapshot, other: Snapshot, taken_at: float) -> Snapshot:
    """The counts of both, and no gauges."""
    counters = dict(one.counters)
    for series, value in other.counters.items():
        counters[series] = counters.get(series, 0.0) + value
    distributions = dict(one.distributions)
    for series, seen in other.distributions.items():
        distributions[series] = distributions[series] + seen if series in distributions else seen
    return Snapshot(taken_at, MappingProxyType(counters), MappingProxyType({}), MappingProxyType(distributions))


EMPTY = Snapshot(0.0, MappingProxyType({}), MappingProxyType({}), MappingProxyType({}))
