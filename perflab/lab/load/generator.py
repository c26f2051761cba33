"""One generator: it checks itself against nothing, and then sends its share of the load."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from perflab.lab.garbage import old_objects_set_aside
from perflab.lab.load.items import Item, make_items
from perflab.lab.load.observed import Observed, by_window, histogram_of
from perflab.lab.load.pacing import Pace
from perflab.lab.load.plan import LoadPlan, Share
from perflab.lab.load.writers import NoWriter, open_writer
from perflab.lab.workloads.arrivals import Offsets
from perflab.lab.workloads.schedule import Schedule

CHECK_SECONDS = 1.0
CHECKS = 3
SHORTEST_PATIENCE = 10.0
"""Seconds after the schedule for which late items are still sent, or its length if that is more."""
PROGRESS_SECONDS = 0.25
SOON = 0.05
"""Seconds from making ready to the first item of the self-check."""


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """A generator against a writer that does nothing, over the busiest second of its schedule.

    Attributes:
        items: That it sent.
        lags: How late each was started, seconds.
        late_seconds: How long after their moments the last tenth of them were started, in the median.
        length_seconds: Of the stretch.
    """

    items: int
    lags: Offsets
    late_seconds: float
    length_seconds: float

    @property
    def keeps_up(self) -> bool:
        """Whether it was at the end of the stretch when the stretch was."""
        return self.late_seconds <= 0.1 * self.length_seconds


def busiest(offsets_seconds: Offsets, seconds: float) -> tuple[int, int]:
    """First and end of the stretch of that length, beginning with an arrival, that holds the most."""
    ends = np.searchsorted(offsets_seconds, offsets_seconds + seconds)
    first = int(np.argmax(ends - np.arange(len(offsets_seconds))))
    return first, int(ends[first])


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a generator is: items, by now."""

    sent: int
    done: int
    failed: int


Tell = Callable[[Progress], None]


class Generator:
    """One share of a load.

    Args:
        share: What to send.

    Raises:
        InvalidInput: the schedule cannot be made.
    """

    def __init__(self, share: Share) -> None:
        self._share = share
        self._schedule, self._bounds = share.make()
        self._items: list[Item] = []

    def check(self, _tell: Tell | None = None) -> SelfCheck:
        """Send the busiest second to a writer that does nothing.

        If it does not keep up, it may try again: a pause of the machine is no lack of speed.
        """
        for _ in range(CHECKS - 1):
            if (found := self._check()).keeps_up:
                return found
        return self._check()

    def _check(self) -> SelfCheck:
        first, end = busiest(self._schedule.offsets_seconds, CHECK_SECONDS)
        offsets = self._schedule.offsets_seconds[first:end]
        items = [Item(number, "enqueue", None) for number in range(len(offsets))]
        with old_objects_set_aside():
            start = time.perf_counter() + SOON
            threads = _threads(self._share.plan)
            pace = Pace(items, offsets - offsets[0] + start, NoWriter(), threads=threads, give_up_at=np.inf)
            pace.run()
        intended, started, _ = pace.times()
        lags = started - intended
        return SelfCheck(len(items), lags, float(np.median(lags[-(1 + len(lags) // 10) :])), CHECK_SECONDS)

    def prepare(self, _tell: Tell | None = None) -> None:
        """Make its items."""
        recipe = self._share.plan.recipe
        self._items = make_items(self._schedule, recipe.mix.names, recipe.seed)

    def run(self, start_at: float, tell: Tell | None = None) -> Observed:
        """Send it.

        Args:
            start_at: When the schedule begins, by `time.time()` of this machine.
            tell: Hears how far it is, some times a second.

        Raises:
            DatabaseError: the database cannot be opened.
        """
        plan, offsets = self._share.plan, self._schedule.offsets_seconds
        with open_writer(plan, self._share.url) as writer, old_objects_set_aside():
            start = time.perf_counter() + (start_at - time.time())
            length = min(plan.recipe.duration_seconds, float(offsets[-1]))
            pace = Pace(
                self._items,
                offsets + start,
                writer,
                threads=_threads(plan),
                give_up_at=start + length + (0 if plan.clients else max(length, SHORTEST_PATIENCE)),
                closed=plan.clients is not None,
            )
            time.sleep(max(0.0, start - time.perf_counter()))  # clients begin together, too
            pace.run(partial(_report, pace, tell) if tell else None)
        gc.collect()
        return observe(pace, self._share, self._schedule, self._bounds, start)


def _threads(plan: LoadPlan) -> int:
    if plan.clients is not None:
        return plan.clients
    return plan.connections if plan.writes == "single" else 1


def _report(pace: Pace, tell: Tell) -> None:
    time.sleep(PROGRESS_SECONDS)
    tell(Progress(pace.sent, pace.done, len(pace.errors)))


def observe(pace: Pace, share: Share, schedule: Schedule, bounds: Offsets, start: float) -> Observed:
    """What came of a run that began at `start`. Items that failed have no times."""
    sent = pace.sent_positions()
    intended, started, ended = pace.times()
    succeeded = np.array([index not in pace.errors for index in sent.tolist()], dtype=bool)
    counted = succeeded & (intended - start >= bounds[0])
    names = share.plan.recipe.mix.names
    operations = [names[operation] for operation in schedule.operations[sent[succeeded]].tolist()]
    jobs = succeeded & np.array([names[operation] == "enqueue" for operation in schedule.operations[sent].tolist()])
    first_errors: dict[str, str] = {}
    for error in pace.errors.values():
        first_errors.setdefault(type(error).__name__, str(error))
    return Observed(
        by_window((intended - start)[counted], (ended - intended)[counted], bounds),
        service=histogram_of((ended - started)[counted]),
        lag=histogram_of((started - intended)[counted]),
        sent=len(sent),
        unsent=0 if share.plan.clients else len(schedule) - len(sent),
        done=Counter(operations),
        failed=Counter(type(error).__name__ for error in pace.errors.values()),
        first_errors=first_errors,
        checksum=int(schedule.numbers[sent[jobs]].sum()),
        measured=int(counted.sum()),
        last_end=float(ended.max() - start) if len(sent) else 0.0,
    )
