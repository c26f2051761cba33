"""A measurement of cells whose cost is known, without a database."""

from __future__ import annotations

from collections.abc import Sequence

from perflab.lab.sweep.measure import Flush, Measurement, Slice
from perflab.lab.sweep.plan import Cell, Mode
from perflab.lab.sweep.target import Target

ALPHA, BETA = 200e-6, 10e-6
"""True cost of a flush in the synthetic measurements: seconds, and seconds per item."""


class KnownCost:
    """Measures cells without doing anything: a flush of b items takes exactly ALPHA + BETA * b seconds."""

    def __init__(self, fail_at: int | None = None, failure: BaseException | None = None) -> None:
        self.visited: list[Cell] = []
        self._fail_at = fail_at
        self._failure = failure

    def __call__(self, cell: Cell, part: Slice, watches: Sequence[str], target: Target) -> Measurement:
        assert watches
        if self._failure is not None and len(self.visited) == self._fail_at:
            raise self._failure
        self.visited.append(cell)
        items = len(part.measured)
        full, rest = divmod(items, cell.batch_size)
        sizes = [cell.batch_size] * full + ([rest] if rest else [])
        # One item of noise that differs by block and not by cell keeps intervals from being empty.
        noise = 1 + 0.001 * (items % 7)
        flushes = tuple(
            Flush(size, (ALPHA + BETA * size) * noise, cell.flush_interval, "count", 3, 3 * size, warm=True)
            for size in sizes
        )
        seconds = sum(flush.seconds for flush in flushes)
        replayed = cell.mode is Mode.REPLAY
        timed = replayed or part.clients is not None
        return Measurement(
            items=items,
            seconds=seconds,
            writer_seconds=seconds,
            items_per_second=items / seconds,
            items_per_writer_second=items / seconds,
            mean_batch=items / len(flushes),
            round_trips=3 * len(flushes),
            round_trips_unbatched=3 * items,
            stable=True,
            p50=(cell.flush_interval / 2 + ALPHA) * noise if timed else None,
            p99=(cell.flush_interval + ALPHA + BETA * cell.batch_size) * noise if timed else None,
            lag_p99=0.0001 if replayed else None,
            steady=True,
            checksum=items,
            tick_seconds=0.001,
            added_round_trip=cell.added_latency,
            flushes=flushes,
        )
