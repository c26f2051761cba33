"""The counts of many processes as those of one: what happened since the dashboard looked for the first time."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from perflab.monitoring.dashboard.reading import Reading
from perflab.monitoring.distribution import Distribution
from perflab.monitoring.instruments import databases, flushes, queues
from perflab.monitoring.snapshot import Snapshot

KEPT_SECONDS = 60.0
"""Of totals, so that windows of up to a minute can be asked for."""
_NOTHING: Mapping[str, float] = MappingProxyType({})


@dataclass(slots=True)
class _Process:
    snapshot: Snapshot
    """The last one."""
    rates: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    """By name, each second, between the last two snapshots."""


class Counts:
    """Adds up what processes counted from one snapshot to the next.

    What a process had counted before the first reading is not shown: nobody knows when that was. One that comes later
    began with zero, at most one reading ago. One that is gone keeps its part of the totals.
    """

    def __init__(self) -> None:
        self._processes: dict[str, _Process] = {}
        self._totals: deque[Snapshot] = deque()
        """One for each reading; the last one is now."""

    def add(self, reading: Reading) -> None:
        """Take up a reading that is later than the last one."""
        total = self._totals[-1] if self._totals else Snapshot(reading.taken_at, {}, {}, {})
        for one in reading.processes:
            known, new = self._processes.get(one.process), one.snapshot
            if known is not None and new.taken_at == known.snapshot.taken_at:
                if not new.gauges:  # it has ended, or is lost
                    known.rates = _NOTHING
                continue
            if known is None and not self._totals:
                self._processes[one.process] = _Process(new)
                continue
            began = total.taken_at if known is None else known.snapshot.taken_at
            change = new if known is None else new.since(known.snapshot)
            rates = _rates(change, new.taken_at - began) if new.gauges else _NOTHING
            self._processes[one.process] = _Process(new, rates)
            total = _sum(total, change)
        listed = {one.process for one in reading.processes}
        self._processes = {name: process for name, process in self._processes.items() if name in listed}
        self._totals.append(Snapshot(reading.taken_at, total.counters, {}, total.distributions))
        while self._totals[0].taken_at < reading.taken_at - KEPT_SECONDS:
            self._totals.popleft()

    def window(self, seconds: float) -> Snapshot:
        """What was counted in the last so many seconds, up to a minute; less where it has not looked for so long."""
        now = self._totals[-1]
        earliest = next(total for total in self._totals if total.taken_at >= now.taken_at - seconds)
        return now.since(earliest)

    def rates_of(self, process: str) -> Mapping[str, float]:
        """What one process does each second."""
        known = self._processes.get(process)
        return _NOTHING if known is None else known.rates

    def rate(self, name: str) -> float:
        """What all of them do each second."""
        return sum(process.rates.get(name, 0.0) for process in self._processes.values())


def _rates(change: Snapshot, seconds: float) -> Mapping[str, float]:
    if seconds <= 0:
        return _NOTHING
    finished = change.counted_by(queues.FINISHED, "outcome")
    counted = {
        "items": change.counted(flushes.DELIVERED),
        "flushes": change.counted(flushes.FLUSHES),
        "round_trips": change.counted(flushes.ROUND_TRIPS),
        "unbatched": change.counted(flushes.UNBATCHED),
        "enqueued": change.counted(queues.ENQUEUED),
        "done": finished.get("done", 0.0),
        "failed": finished.get("retried", 0.0) + finished.get("dead", 0.0),
        "database_round_trips": change.counted(databases.ROUND_TRIPS),
    }
    return {name: value / seconds for name, value in counted.items()}


def _sum(total: Snapshot, change: Snapshot) -> Snapshot:
    counters, distributions = dict(total.counters), dict(total.distributions)
    for series, value in change.counters.items():
        counters[series] = counters.get(series, 0.0) + value
    for series, seen in change.distributions.items():
        if seen.counts:
            distributions[series] = distributions.get(series, Distribution()) + seen
    return Snapshot(total.taken_at, counters, {}, distributions)
