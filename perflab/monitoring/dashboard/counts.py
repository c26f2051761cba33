"""The counts of many processes as those of one, and what each of them does per second."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from perflab.monitoring.change import EMPTY, ChangeTracker, merged
from perflab.monitoring.instruments import databases, flushes, queues
from perflab.monitoring.snapshot import Snapshot
from perflab.monitoring.source import Labelled

KEPT_SECONDS = 60.0
"""Of totals, so that windows of up to a minute can be asked for."""
_NOTHING: Mapping[str, float] = MappingProxyType({})


class Totals:
    """What all processes counted since the first look, as it was after each look of the last minute.

    Windows are differences of two totals: they cost the same however many looks lie between.
    """

    def __init__(self) -> None:
        self._tracker = ChangeTracker()
        self._totals: deque[Snapshot] = deque()

    def add(self, found: Sequence[Labelled], now: float) -> None:
        """Take up a look that is later than the last one."""
        change = self._tracker.change(found, now).counted
        total = merged(self._totals[-1] if self._totals else EMPTY, change)
        self._totals.append(replace(total, taken_at=now, gauges=EMPTY.gauges))
        while self._totals[0].taken_at < now - KEPT_SECONDS:
            self._totals.popleft()

    def window(self, seconds: float) -> Snapshot:
        """What was counted in the last so many seconds, up to a minute; less where it has not looked for so long."""
        if not self._totals:
            return EMPTY
        now = self._totals[-1]
        return now.since(next(total for total in self._totals if total.taken_at >= now.taken_at - seconds))


@dataclass(slots=True)
class _Process:
    snapshot: Snapshot
    """The last one."""
    rates: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    """By name, between the last two snapshots."""


class Rates:
    """What each process does per second, by its own clock: between its last two snapshots, until the next one comes."""

    def __init__(self) -> None:
        self._processes: dict[str, _Process] | None = None
        self._looked_at = 0.0

    def add(self, processes: Mapping[str, Snapshot], now: float) -> None:
        """Take up a look that is later than the last one. Who was not there before began after it, with zero."""
        before, began = self._processes, self._looked_at
        self._processes = {
            name: _Process(new) if before is None else self._next(before.get(name), new, began)
            for name, new in processes.items()
        }
        self._looked_at = now

    def of(self, process: str) -> Mapping[str, float]:
        """Of one process."""
        known = (self._processes or {}).get(process)
        return _NOTHING if known is None else known.rates

    def total(self) -> Mapping[str, float]:
        """Of all of them."""
        totals: defaultdict[str, float] = defaultdict(float)
        for process in (self._processes or {}).values():
            for name, rate in process.rates.items():
                totals[name] += rate
        return totals

    @staticmethod
    def _next(known: _Process | None, new: Snapshot, began: float) -> _Process:
        if not new.gauges:  # it has ended, or is lost
            return _Process(new)
        if known is None:
            return _Process(new, rates_of(new, new.taken_at - began))
        if known.snapshot.taken_at == new.taken_at:
            return known
        return _Process(new, rates_of(new.since(known.snapshot), new.taken_at - known.snapshot.taken_at))


def rates_of(change: Snapshot, seconds: float) -> Mapping[str, float]:
    """What was counted in so many seconds, by name and per second; nothing where no time has passed."""
    if seconds <= 0:
        return _NOTHING
    finished = change.counted_by(queues.FINISHED, "outcome")
    counted = {
        "items": change.counted(flushes.DELIVERED),
        "round_trips": change.counted(flushes.ROUND_TRIPS),
        "unbatched": change.counted(flushes.UNBATCHED),
        "enqueued": change.counted(queues.ENQUEUED),
        "done": finished.get("done", 0.0),
        "failed": finished.get("retried", 0.0) + finished.get("dead", 0.0),
        "database_round_trips": change.counted(databases.ROUND_TRIPS),
    }
    return {name: value / seconds for name, value in counted.items()}
