"""One visit: a fresh database, a warm-up, the measured part, and the check that the answer is right."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from perflab.batching.batcher import RequestBatcher
from perflab.events import Event, FlushCompleted
from perflab.lab.statistics.percentiles import percentile
from perflab.lab.statistics.warmup import WarmUp, confirmed_by_windows, mser5
from perflab.lab.sweep.fresh import FreshDatabase
from perflab.lab.sweep.plan import Cell, Mode
from perflab.lab.sweep.sizings import sizing_named
from perflab.lab.sweep.subject import IngestService, Submission
from perflab.lab.sweep.target import Target
from perflab.lab.workloads.trace import TraceEvent

FloatArray = npt.NDArray[np.float64]

WRITER_SATURATED = 0.95
"""Share of the time for which the writer may be busy before the load counts as more than it can take."""
LATE_END_SHARE = 0.10
"""Share of its length by which a replay may end late, beyond the flush interval, before it counts as overloaded."""
ENOUGH_FLUSHES_FOR_WARM_UP = 50


@dataclass(frozen=True, slots=True)
class Slice:
    """The part of the trace that all cells of a block write.

    Attributes:
        warm_up: written before the clock starts.
        measured: written under the clock.
        offsets: for a replay, the intended seconds of the measured events from the start.
        clients: for a closed loop, how many submit an item whenever they have the result of their last one; None: one
            that waits for no result.
    """

    warm_up: Sequence[TraceEvent]
    measured: Sequence[TraceEvent]
    offsets: FloatArray | None = None
    clients: int | None = None


@dataclass(frozen=True, slots=True)
class Flush:
    """What is kept of one flush."""

    items: int
    seconds: float
    waited: float
    cause: str
    round_trips: int
    round_trips_unbatched: int
    warm: bool
    """False where it came before the steady state (MSER-5)."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one visit found. Times are seconds; latencies are None where they would mean nothing."""

    items: int
    seconds: float
    """From the first intended submission to the last result."""
    writer_seconds: float
    """Time that the writer was busy with the flushes, warm ones only for `items_per_writer_second`."""
    items_per_second: float
    items_per_writer_second: float
    mean_batch: float
    round_trips: int
    round_trips_unbatched: int
    stable: bool
    """False where the load was more than the writer could take: then there are no percentiles."""
    p50: float | None
    p99: float | None
    lag_p99: float | None
    """Replay: how late the generator itself was; latencies include it, because they count from the intended time."""
    steady: bool
    """Whether the flushes reached a steady state; True also where there were too few to tell."""
    checksum: int
    tick_seconds: float
    """One tick of the scheduler over all watches, before the measured part and without added latency."""
    added_round_trip: float | None
    """What the proxy of a cell with added latency was measured to add to a round trip, before this visit."""
    flushes: tuple[Flush, ...]
    steady_confirmed: bool | None = None
    """Whether a second rule found the steady state, too; None where there were too few flushes for both."""


def measure(cell: Cell, part: Slice, watches: Sequence[str], target: Target) -> Measurement:
    """Visit one cell.

    Raises:
        WrongAnswer: other rows are in the database than should be.
        LabError: the proxy of the cell does not add what it should.
    """
    with target.fresh(cell.added_latency) as fresh:
        return _measure(fresh, IngestService(fresh.direct, watches), cell, part)


def _measure(fresh: FreshDatabase, service: IngestService, cell: Cell, part: Slice) -> Measurement:
    warm_up = service.submissions(part.warm_up)
    measured = service.submissions(part.measured)
    flushes: list[FlushCompleted] = []

    def keep(event: Event) -> None:
        if isinstance(event, FlushCompleted):
            flushes.append(event)

    fresh.settle()
    sizing = sizing_named(cell.sizing, cell.latency_target)
    with RequestBatcher(fresh.measured, cell.batch_size, cell.flush_interval, sizing=sizing) as batcher:
        for submission in warm_up:
            batcher.submit(submission.operation, submission.item)
        batcher.flush()
        gc.collect()  # not in the measured part
        with fresh.measured.events.listening(keep):
            if cell.mode is Mode.REPLAY and part.offsets is not None:
                run = _replay(batcher, measured, part.offsets)
            elif part.clients is not None:
                run = _clients(batcher, measured, part.clients)
            else:
                run = _as_fast_as_possible(batcher, measured)
            batcher.flush()
        metrics = batcher.metrics()
    if metrics.failed:
        raise AssertionError(f"{metrics.failed} items failed; the check of the answer would have found it")
    checksum = service.check([*part.warm_up, *part.measured])
    return _summary(
        flushes,
        cell,
        part,
        run,
        checksum=checksum,
        tick_seconds=service.tick.seconds,
        added_round_trip=fresh.added_round_trip,
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """The measured part: its length, each item's latency where it has one, and for a replay the lag of its submission
    from the intended time.
    """

    seconds: float
    latencies: FloatArray | None = None
    lags: FloatArray | None = None


def _as_fast_as_possible(batcher: RequestBatcher, submissions: Sequence[Submission]) -> _Run:
    """Submit everything and have it written."""
    start = time.perf_counter()
    for operation, item in submissions:
        batcher.submit(operation, item)
    batcher.flush()
    return _Run(time.perf_counter() - start)


def _clients(batcher: RequestBatcher, submissions: Sequence[Submission], clients: int) -> _Run:
    """Have so many items on their way at once, one of each client. Latencies count from `submit`."""
    count = len(submissions)
    started, ended = [0.0] * count, [0.0] * count
    answers = 0
    answered = threading.Event()

    def note_end(index: int, _future: Any) -> None:
        nonlocal answers
        ended[index] = time.perf_counter()
        answers += 1  # only the flusher's thread comes here
        if not answered.is_set():
            answered.set()

    def wait_for(least: int) -> None:
        while answers < least:
            answered.clear()
            if answers < least:
                answered.wait()

    callbacks: list[Callable[[Any], None]] = [partial(note_end, index) for index in range(count)]
    for index, (operation, item) in enumerate(submissions):
        wait_for(index + 1 - clients)
        started[index] = time.perf_counter()
        batcher.submit(operation, item).add_done_callback(callbacks[index])
    batcher.flush()
    wait_for(count)
    return _Run(max(ended) - started[0], np.array(ended) - np.array(started))


def _replay(batcher: RequestBatcher, submissions: Sequence[Submission], offsets: FloatArray) -> _Run:
    """Submit each item at its time."""
    count = len(submissions)
    ended = [0.0] * count
    started = [0.0] * count
    all_ended = threading.Event()
    left = count

    def note_end(index: int, _future: Any) -> None:
        nonlocal left
        ended[index] = time.perf_counter()
        left -= 1  # only the flusher's thread comes here
        if not left:
            all_ended.set()

    callbacks: list[Callable[[Any], None]] = [partial(note_end, index) for index in range(count)]
    intended = offsets + (time.perf_counter() + 0.005)
    for index, (moment, (operation, item)) in enumerate(zip(intended.tolist(), submissions, strict=True)):
        # Never skipped, however late: a late submission is part of the answer.
        now = time.perf_counter()
        if moment > now:
            time.sleep(moment - now)
        started[index] = time.perf_counter()
        batcher.submit(operation, item).add_done_callback(callbacks[index])
    batcher.flush()
    all_ended.wait()
    end = np.array(ended)
    return _Run(float(end.max() - intended[0]), end - intended, np.array(started) - intended)


def _summary(
    events: Sequence[FlushCompleted],
    cell: Cell,
    part: Slice,
    run: _Run,
    *,
    checksum: int,
    tick_seconds: float,
    added_round_trip: float | None,
) -> Measurement:
    seconds, latencies = run.seconds, run.latencies
    warm_up, confirmed = _warm_up(events)
    cold = warm_up.drop or 0
    flushes = tuple(
        Flush(
            items=event.delivered,
            seconds=event.seconds,
            waited=event.waited,
            cause=str(event.cause),
            round_trips=event.round_trips,
            round_trips_unbatched=event.round_trips_unbatched,
            warm=index >= cold,
        )
        for index, event in enumerate(events)
    )
    warm = flushes[cold:]
    items = len(part.measured)
    busy = sum(flush.seconds for flush in flushes)
    stable = True
    if latencies is not None and part.offsets is not None:
        late = seconds - float(part.offsets[-1]) - cell.flush_interval
        stable = busy < WRITER_SATURATED * seconds and late < LATE_END_SHARE * float(part.offsets[-1])
    rated = latencies if stable else None
    return Measurement(
        items=items,
        seconds=seconds,
        writer_seconds=busy,
        items_per_second=items / seconds,
        items_per_writer_second=sum(flush.items for flush in warm) / sum(flush.seconds for flush in warm),
        mean_batch=items / len(flushes),
        round_trips=sum(flush.round_trips for flush in flushes),
        round_trips_unbatched=sum(flush.round_trips_unbatched for flush in flushes),
        stable=stable,
        p50=None if rated is None else _percentile(rated, 0.50),
        p99=None if rated is None else _percentile(rated, 0.99),
        lag_p99=None if run.lags is None else float(np.quantile(run.lags, 0.99)),
        steady=warm_up.steady,
        steady_confirmed=confirmed,
        flushes=flushes,
        checksum=checksum,
        tick_seconds=tick_seconds,
        added_round_trip=added_round_trip,
    )


def _warm_up(events: Sequence[FlushCompleted]) -> tuple[WarmUp, bool | None]:
    """Which flushes came before the steady state, and whether a second rule agrees; none where there are too few."""
    if len(events) < ENOUGH_FLUSHES_FOR_WARM_UP:
        return WarmUp(0, "too few flushes to tell"), None
    seconds = [event.seconds / max(1, event.items) for event in events]
    found = mser5(seconds)
    return found, confirmed_by_windows(seconds, found)


def _percentile(seconds: FloatArray, fraction: float) -> float | None:
    reading = percentile(seconds, fraction)
    return None if reading.estimate is None else reading.estimate.value
