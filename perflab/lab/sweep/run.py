"""Running a sweep: measure what the store does not have yet."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import TextIO

import numpy as np

from perflab.batching.interrupts import interrupts_deferred
from perflab.errors import InvalidInput, WrongAnswer
from perflab.lab.garbage import old_objects_set_aside
from perflab.lab.noise import NoiseReading, read_noise
from perflab.lab.statistics.percentiles import samples_needed
from perflab.lab.sweep.environment import read_environment
from perflab.lab.sweep.measure import Measurement, Slice, measure
from perflab.lab.sweep.plan import Cell, Mode, SweepPlan, Visit
from perflab.lab.sweep.progress import Progress, progress_stream
from perflab.lab.sweep.store import ResultsStore
from perflab.lab.sweep.subject import ingest_events, watch_names
from perflab.lab.sweep.target import open_target
from perflab.lab.workloads.arrivals import Offsets, poisson
from perflab.lab.workloads.flights import load_flights
from perflab.lab.workloads.request_traces import REQUESTS, request_arrivals
from perflab.lab.workloads.trace import TraceEvent

FULL_BATCHES = 20
"""Batches that a closed-loop visit should have."""
BUSY_FROM_UTC_HOUR = 11
"""When New York's airports are awake; replays begin at this hour of a day."""


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a call of `run_sweep` did."""

    measured: int
    """Visits measured now."""
    reused: int
    """Visits that the store had."""
    seconds: float

    def __add__(self, other: SweepReport) -> SweepReport:
        """Of one sweep after the other."""
        return SweepReport(
            measured=self.measured + other.measured,
            reused=self.reused + other.reused,
            seconds=self.seconds + other.seconds,
        )


MeasureCell = Callable[..., Measurement]


def run_sweep(
    plan: SweepPlan,
    store: ResultsStore,
    *,
    url: str | None = None,
    progress: TextIO | bool | None = True,
    clock: Callable[[], float] = time.perf_counter,
    measure_cell: MeasureCell = measure,
    read: Callable[[], NoiseReading] = read_noise,
) -> SweepReport:
    """Measure every visit of a plan that the store does not have, in the order of the plan.

    Each visit is stored as soon as it is measured: after Ctrl-C, or a kill, the same call goes on where it stopped.

    Args:
        plan: what to measure.
        store: where results are, and go.
        url: of the user's own PostgreSQL server, if the plan is for one.
        progress: True draws a bar where a terminal is; False draws none; a stream draws there.
        clock: seconds, for costs and their estimates.
        measure_cell: measures one cell.
        read: reads the noise of the machine, before each visit.

    Raises:
        InvalidInput: the trace is too short for a cell of the plan, or the server is another one.
        MissingExtra, DatabaseUnusable: the engine is not there.
        LabError: a proxy does not add the latency that it should.
        WrongAnswer: a visit left other rows than it should have, or cells of one block differ in what they wrote.
    """
    start = clock()
    known = store.known(plan)
    missing = [visit for visit in plan.visits() if plan.visit_key(visit) not in known]
    if not missing:
        return SweepReport(0, len(known), clock() - start)
    events = ingest_events(load_flights(plan.source))
    watches = watch_names(events)
    parts = Slices(plan, events)
    with (
        open_target(plan, url) as target,
        sweep_progress(missing, len(known), progress, store=store.path, name=plan.name) as bar,
        old_objects_set_aside(),
    ):
        engine = target.environment()
        # the engine stands first, and what it says of the file system counts
        environment = {**engine, **read_environment(Path(tempfile.gettempdir())), **engine}
        run_id = store.begin_run(plan, environment)
        measured = 0
        for visit in missing:
            began = clock()
            if store.has(plan.visit_key(visit)):  # by another sweep of this process, which has the store open, too
                bar.visited(visit, clock() - began)
                continue
            noise = read()
            # Ctrl-C is heard between visits. In one it might arrive in a callback of the garbage collector, where
            # Python prints a KeyboardInterrupt and goes on.
            with interrupts_deferred():
                measurement = measure_cell(visit.cell, parts.of(visit), watches, target)
                parts.check_same_answer(visit, measurement.checksum)
                store.add(run_id, plan.visit_key(visit), visit, measurement, noise)
            measured += 1
            bar.visited(visit, clock() - began)
    store.end_run(run_id)
    return SweepReport(measured, len(known) + len(missing) - measured, clock() - start)


@contextmanager
def sweep_progress(
    missing: Sequence[Visit],
    done: int,
    wanted: TextIO | bool | None,
    *,
    store: Path | None = None,
    name: str = "sweep",
) -> Iterator[Progress]:
    """A bar for the length of a `with` block, and a note beside the store for the dashboard."""
    stream = (progress_stream() if wanted else None) if isinstance(wanted, bool) else wanted
    bar = Progress(missing, done, stream=stream, store=store, name=name)
    try:
        yield bar
    finally:
        bar.close()


class Slices:
    """Which part of the trace each visit writes: in one block the same for all cells that write equally much."""

    def __init__(self, plan: SweepPlan, events: Sequence[TraceEvent]) -> None:
        self._plan = plan
        self._events = events
        self._seconds = np.array([(event.at - events[0].at).total_seconds() for event in events])
        self._arrivals = request_arrivals(plan.arrivals) if plan.arrivals in REQUESTS else np.empty(0)
        self._answers: dict[tuple[int, Mode, int], int] = {}

    def of(self, visit: Visit) -> Slice:
        if visit.cell.mode is Mode.CLOSED_LOOP:
            return self._closed_loop(visit)
        match self._plan.arrivals:
            case "flights":
                return self._replay(visit.block)
            case "independent":
                return self._independent(visit.block)
            case _:
                return self._requests(visit.block)

    def check_same_answer(self, visit: Visit, checksum: int) -> None:
        """All cells that wrote the same events must have left the same rows."""
        key = (visit.block, visit.cell.mode, self._items(visit.cell))
        expected = self._answers.setdefault(key, checksum)
        if checksum != expected:
            raise WrongAnswer(
                f"{visit.cell} left rows with checksum {checksum}, and others of block {visit.block} left {expected}"
            )

    def _items(self, cell: Cell) -> int:
        if cell.mode is Mode.REPLAY:
            return 0
        wanted = max(self._plan.closed_loop_items, FULL_BATCHES * cell.batch_size)
        return min(wanted, len(self._events) - self._plan.warm_up_items)

    def _closed_loop(self, visit: Visit) -> Slice:
        items, warm_up = self._items(visit.cell), self._plan.warm_up_items
        if items <= 0:
            raise InvalidInput(f"the trace has {len(self._events)} events, too few for {warm_up} of warm-up: lower it")
        latest = len(self._events) - items - warm_up
        first = Random(f"{self._plan.seed}/{visit.block}/closed").randint(0, latest)
        measured = self._events[first + warm_up : first + warm_up + items]
        return Slice(self._events[first : first + warm_up], measured, clients=self._plan.closed_loop_clients)

    def _replay(self, block: int) -> Slice:
        """A stretch of one day, from the hour at which the airports are awake; another day for each block.

        Days with too few events for a p99, as Saturdays can be, are left out.
        """
        plan = self._plan
        warm_up = plan.warm_up_items
        stretch = plan.replay_seconds * plan.speed_up
        first_day = self._events[0].at.replace(hour=BUSY_FROM_UTC_HOUR, minute=0, second=0, microsecond=0)
        days = [
            day
            for number in range(int(self._seconds[-1] // 86_400) + 1)
            if (day := (first_day + timedelta(days=number) - self._events[0].at).total_seconds()) >= 0
            and day + stretch <= self._seconds[-1]
            and np.searchsorted(self._seconds, day) >= warm_up
        ]
        if not days:
            raise InvalidInput(
                f"the trace is too short to replay {plan.replay_seconds:g} s at a speed-up of {plan.speed_up:,g}: "
                "lower one of them, or use source='year'"
            )
        needed = samples_needed(0.99)
        counts = {day: int(np.diff(np.searchsorted(self._seconds, [day, day + stretch]))[0]) for day in days}
        busy = [day for day in days if counts[day] >= needed]
        if not busy:
            raise InvalidInput(
                f"a replay of {plan.replay_seconds:g} s at a speed-up of {plan.speed_up:,g} holds at most "
                f"{max(counts.values()):,} events, and a p99 needs {needed:,}: raise one of them"
            )
        Random(plan.seed).shuffle(busy)
        begin = busy[block % len(busy)]
        first, end = np.searchsorted(self._seconds, [begin, begin + stretch])
        offsets = (self._seconds[first:end] - begin) / plan.speed_up
        return Slice(self._events[first - warm_up : first], self._events[first:end], offsets)

    def _requests(self, block: int) -> Slice:
        """The events of the flights, at the times of a stretch of another trace; another stretch for each block."""
        plan = self._plan
        arrivals = self._arrivals
        stretch = plan.replay_seconds * plan.speed_up
        if arrivals[-1] < stretch:
            raise InvalidInput(
                f"the trace {plan.arrivals!r} has {arrivals[-1]:,.0f} s, too few to replay {plan.replay_seconds:g} s "
                f"at a speed-up of {plan.speed_up:,g}: lower one of them"
            )
        begin = Random(f"{plan.seed}/{block}/requests").uniform(0.0, float(arrivals[-1]) - stretch)
        first, end = np.searchsorted(arrivals, [begin, begin + stretch])
        return self._at((arrivals[first:end] - begin) / plan.speed_up)

    def _independent(self, block: int) -> Slice:
        """The events of the flights, at the times of a Poisson process; other times for each block."""
        plan = self._plan
        chance = Random(f"{plan.seed}/{block}/independent").getrandbits(64)
        return self._at(poisson(plan.speed_up, plan.replay_seconds, seed=chance))

    def _at(self, offsets: Offsets) -> Slice:
        plan, warm_up, items = self._plan, self._plan.warm_up_items, len(offsets)
        if items < samples_needed(0.99) or warm_up + items > len(self._events):
            raise InvalidInput(
                f"a replay of {plan.replay_seconds:g} s of {plan.arrivals!r} at a speed-up of {plan.speed_up:,g} holds "
                f"{items:,} items: a p99 needs {samples_needed(0.99):,}, and there are {len(self._events):,} events"
            )
        return Slice(self._events[:warm_up], self._events[warm_up : warm_up + items], offsets)
