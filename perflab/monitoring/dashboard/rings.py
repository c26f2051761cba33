"""The last hours in a bounded number of points."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Point(NamedTuple):
    """The figures of one moment, or of a stretch of time. Rates are per second; NaN: nothing was seen."""

    moment: float
    """Seconds since 1970."""
    items: float
    enqueued: float
    done: float
    failed: float
    round_trips: float
    unbatched: float
    """Round trips that the delivered items would have cost one by one."""
    scheduled: float
    ready: float
    running: float
    dead: float
    flush_p50: float
    flush_p99: float
    wait_p99: float
    tick_lag: float


WORST = frozenset({"flush_p50", "flush_p99", "wait_p99", "tick_lag"})
"""Of a stretch of time the largest is kept; of the others the mean."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time up to now that can be looked at."""

    name: str
    label: str
    step_seconds: float
    points: int

    @property
    def seconds(self) -> float:
        return self.step_seconds * self.points


SPANS = (
    Span("5m", "5 minutes", 1.0, 300),
    Span("1h", "1 hour", 10.0, 360),
    Span("8h", "8 hours", 60.0, 480),
)
SPAN_OF: Mapping[str, Span] = {span.name: span for span in SPANS}


class _Stretch:
    """Points of one step, as one."""

    __slots__ = ("_count", "_values", "step")

    def __init__(self, step: int, point: Point) -> None:
        self.step, self._count, self._values = step, 1, list(point)

    def add(self, point: Point) -> None:
        self._count += 1
        for place, (name, value) in enumerate(zip(Point._fields, point, strict=True)):
            if name in WORST:
                self._values[place] = max((self._values[place], value), key=_nothing_first)
            else:
                self._values[place] += (value - self._values[place]) / self._count

    def point(self) -> Point:
        return Point(*self._values)


def _nothing_first(value: float) -> float:
    return -math.inf if math.isnan(value) else value


class Rings:
    """Keeps each point in the ring of each span, together with others where a step is longer than theirs."""

    def __init__(self) -> None:
        self._rings: dict[str, deque[_Stretch]] = {span.name: deque(maxlen=span.points) for span in SPANS}

    def add(self, point: Point) -> None:
        """Take up a point. One of before the last one says that the clock was set back: it begins anew."""
        for span in SPANS:
            ring, step = self._rings[span.name], int(point.moment // span.step_seconds)
            if ring and step < ring[-1].step:
                ring.clear()
            if ring and step == ring[-1].step:
                ring[-1].add(point)
            else:
                ring.append(_Stretch(step, point))

    def recall(self, point: Point) -> None:
        """Take up a minute of before. It is in the longest span alone: in others it would be one point of many."""
        span = SPANS[-1]
        self._rings[span.name].append(_Stretch(int(point.moment // span.step_seconds), point))

    def points(self, span: Span) -> Sequence[Point]:
        """Of a span, the oldest first."""
        return [stretch.point() for stretch in self._rings[span.name]]
