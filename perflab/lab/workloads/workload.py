"""A workload: the intended arrivals of one open-loop run, with what is needed to state and repeat it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perflab.errors import InvalidInput
from perflab.lab.workloads import arrivals
from perflab.lab.workloads.arrivals import Offsets
from perflab.lab.workloads.trace import TraceEvent


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """What a sweep sends, and when.

    Attributes:
        name: Short name for results and plots, as in `flights-week`.
        description: One sentence for a report: source or generator, and its numbers.
        offsets_seconds: Intended arrivals from the start of the run, sorted, as it will be run: a speed-up is already
            in them. Kept as a read-only copy.
        speed_up: How many times faster than in the source. 1 for generators.
        seed: The seed that generated the offsets, None for a trace.
        events: What arrives at each offset; empty for a generator, whose arrivals have no content of their own.
    """

    name: str
    description: str
    offsets_seconds: Offsets
    speed_up: float = 1.0
    seed: int | None = None
    events: tuple[TraceEvent, ...] = ()

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            InvalidInput: The name is empty, the offsets are not a sorted, non-negative, finite row, the speed-up is not
                positive, or there are events but not one for each offset.
        """
        offsets = np.array(self.offsets_seconds, dtype=np.float64)
        if not self.name:
            raise InvalidInput("a workload needs a name")
        if offsets.ndim != 1 or not len(offsets):
            raise InvalidInput(f"workload {self.name!r} needs one row of arrivals, got the shape {offsets.shape}")
        if not np.isfinite(offsets).all() or offsets[0] < 0 or (np.diff(offsets) < 0).any():
            raise InvalidInput(f"the offsets of workload {self.name!r} must be finite, sorted, and not negative")
        _require_speed_up(self.speed_up)
        if self.events and len(self.events) != len(offsets):
            raise InvalidInput(f"workload {self.name!r} has {len(self.events)} events for {len(offsets)} offsets")
        offsets.flags.writeable = False
        object.__setattr__(self, "offsets_seconds", offsets)

    def __len__(self) -> int:
        """Return the number of arrivals."""
        return len(self.offsets_seconds)

    @property
    def duration_seconds(self) -> float:
        """Time from the start to the last arrival."""
        return float(self.offsets_seconds[-1])

    @property
    def mean_rate(self) -> float:
        """Arrivals per second: one over the mean time between arrivals. Infinite if all come at one instant."""
        span_seconds = float(self.offsets_seconds[-1] - self.offsets_seconds[0])
        return (len(self) - 1) / span_seconds if span_seconds > 0 else math.inf

    def peak_rate(self, window_seconds: float) -> float:
        """Arrivals per second in the fullest window of that length.

        The number means nothing without its window. For a replay, `60 / speed_up` is one minute of the source.
        """
        return arrivals.peak_rate(self.offsets_seconds, window_seconds)


def replay(events: Sequence[TraceEvent], *, speed_up: float, name: str, description: str) -> Workload:
    """Plan ordered events against the clock: each at `(at - first.at) / speed_up` seconds from the start.

    A speed-up multiplies rates and leaves the shape alone. The jobs of the year arrive at 0.64 per minute on average,
    and 28 in the fullest minute; at a speed-up of 10,000 that is 107 and 4,667 per second, and the year takes 52.5
    minutes. The data has no seconds, so those 28 arrive at one instant.

    Args:
        events: One at least, ordered by time.
        speed_up: Seconds of the source per second of the run, above 0.
        name: Name of the workload.
        description: What the events are; the workload's description adds the speed-up.

    Raises:
        InvalidInput: There are no events, they are out of order, or the speed-up is not positive and finite.
    """
    if not events:
        raise InvalidInput(f"workload {name!r} needs one event at least: widen the window")
    _require_speed_up(speed_up)
    first_at = events[0].at
    seconds = np.array([(event.at - first_at).total_seconds() for event in events])
    return Workload(
        name,
        f"{description}, replayed {speed_up:,g} times as fast as it happened",
        seconds / speed_up,
        speed_up=speed_up,
        events=tuple(events),
    )


def _require_speed_up(speed_up: float) -> None:
    if not (math.isfinite(speed_up) and speed_up > 0):
        raise InvalidInput(f"the speed-up must be a positive, finite number, got {speed_up!r}")
