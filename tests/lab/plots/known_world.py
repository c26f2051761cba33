"""Measurements of a world whose truth is known: what figures say can be held against it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from perflab.lab.sweep.measure import Flush, Measurement, Slice
from perflab.lab.sweep.plan import Cell, Mode
from perflab.lab.sweep.target import Target


def every_setting_keeps_up(_cell: Cell) -> bool:
    return True


@dataclass(frozen=True)
class KnownWorld:
    """Measures cells without a database.

    A flush of b items takes `alpha + beta * b` seconds, a caller needs `per_call` seconds for each item, and a replay
    brings `rate` items per second, of which a batch is what fits into it or into the interval.

    Attributes:
        round_trips: Of a flush.
        latency_effect: How often a flush pays what is added to a round trip; None for once with each.
        noise: Standard deviation of the logarithm of every time. A visit's own follows from its cell and its events, so
            that equal plans are measured equally, whatever was measured before.
        stable: Which settings keep up with a replay.
    """

    alpha: float = 80e-6
    beta: float = 10e-6
    per_call: float = 15e-6
    rate: float = 5_000.0
    round_trips: int = 3
    latency_effect: float | None = None
    noise: float = 0.02
    stable: Callable[[Cell], bool] = every_setting_keeps_up

    def seconds(self, items: float) -> float:
        return self.alpha + self.beta * items

    def batch(self, cell: Cell) -> int:
        """Items of a flush."""
        if cell.mode is Mode.CLOSED_LOOP:
            return cell.batch_size
        return max(1, min(cell.batch_size, round(1 + self.rate * cell.flush_interval)))

    def p99(self, cell: Cell) -> float:
        return self.waiting(cell) + 2 * self.seconds(self.batch(cell))

    def waiting(self, cell: Cell) -> float:
        return min(cell.flush_interval, (cell.batch_size - 1) / self.rate)

    def factor(self, cell: Cell, part: Slice) -> float:
        """By how much a visit takes longer than it should."""
        first = part.measured[0]
        return Random(f"{cell}/{first.at}/{first.watch}").lognormvariate(0, self.noise)

    def __call__(self, cell: Cell, part: Slice, watches: Sequence[str], target: Target) -> Measurement:
        assert watches
        paid = self.round_trips if self.latency_effect is None else self.latency_effect
        latency = paid * (cell.added_latency or 0.0)
        factor = self.factor(cell, part)
        items, batch = len(part.measured), self.batch(cell)
        whole, rest = divmod(items, batch)
        sizes = [batch] * whole + [rest] * (rest > 0)
        cause = "count" if batch == cell.batch_size else "age"
        flushes = tuple(
            Flush(
                items=size,
                seconds=(self.seconds(size) + latency) * factor,
                waited=self.waiting(cell),
                cause=cause if size == batch else "barrier",
                round_trips=self.round_trips,
                round_trips_unbatched=self.round_trips * size,
                warm=True,
            )
            for size in sizes
        )
        busy = sum(flush.seconds for flush in flushes)
        seconds = busy + items * self.per_call * factor
        replayed = cell.mode is Mode.REPLAY
        stable = not replayed or self.stable(cell)
        rated = replayed and stable
        return Measurement(
            items=items,
            seconds=seconds,
            writer_seconds=busy,
            items_per_second=items / seconds,
            items_per_writer_second=items / busy,
            mean_batch=items / len(flushes),
            round_trips=self.round_trips * len(flushes),
            round_trips_unbatched=self.round_trips * items,
            stable=stable,
            p50=self.p99(cell) / 2 * factor if rated else None,
            p99=self.p99(cell) * factor if rated else None,
            lag_p99=1e-4 if replayed else None,
            steady=True,
            checksum=items,
            tick_seconds=1e-3,
            added_round_trip=cell.added_latency,
            flushes=flushes,
        )
