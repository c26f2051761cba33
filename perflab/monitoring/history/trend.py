"""How a signal went, and where its level changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from perflab.monitoring.change import Change, Window
from perflab.monitoring.change_points import ChangePoint, find_change_points
from perflab.monitoring.metric import Series
from perflab.monitoring.signals.catalogue import Signal
from perflab.monitoring.signals.readings import Labels


@dataclass(frozen=True, slots=True)
class Trend:
    """One series of a signal."""

    signal: Signal
    labels: Labels
    moments: Sequence[float]
    """Ends of the spans, in seconds since 1970."""
    values: Sequence[float]
    """Of the span that ends at the same place of `moments`."""
    changes: Sequence[ChangePoint]

    @property
    def last(self) -> float:
        return self.values[-1]

    @property
    def median(self) -> float:
        return median(self.values)


def trends(spans: Sequence[Change], signals: Iterable[Signal], *, min_relative_change: float = 0.1) -> Sequence[Trend]:
    """The series of signals over spans, with their change points. Signals of which nothing is known are left out.

    Args:
        spans: as `History.between` returns them.
        signals: such as `SIGNALS.values()`.
        min_relative_change: smaller changes than this share of the level before are not worth a line.

    Raises:
        InvalidInput: the smallest change is out of its range.
    """
    windows = [Window(span, _gauges_at(span.began_at, before)) for before, span in pairwise((None, *spans)) if span]
    found: list[Trend] = []
    for signal in signals:
        series: dict[Labels, tuple[list[float], list[float]]] = {}
        for window in windows:
            for labels, value in signal.reading.measure(window, signal.by).items():
                moments, values = series.setdefault(labels, ([], []))
                moments.append(window.change.ended_at)
                values.append(value)
        found += [
            Trend(signal, labels, moments, values, find_change_points(values, min_relative_change=min_relative_change))
            for labels, (moments, values) in sorted(series.items())
        ]
    return found


def _gauges_at(moment: float, before: Change | None) -> Mapping[Series, float]:
    """Those at the beginning of a span, where the one before it is known."""
    return before.counted.gauges if before and before.ended_at == moment else {}
