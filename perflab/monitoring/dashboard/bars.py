"""Shares of a whole, and sizes of batches, as rows of bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from perflab.monitoring.instruments import flushes
from perflab.monitoring.metric import ITEMS
from perflab.monitoring.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Bar:
    label: str
    count: float
    share: float
    """Of all, 0 … 1."""
    width: float
    """Of the longest bar, 0 … 1."""
    is_capacity: bool = False
    """Whether the batches could have held so many."""


def causes(window: Snapshot) -> Sequence[Bar]:
    """Flushes by why they left, the most frequent first; those that never came are left out."""
    counts = {cause: count for cause, count in window.counted_by(flushes.FLUSHES, "cause").items() if count}
    return _bars(sorted(counts.items(), key=lambda item: -item[1]))


def batch_sizes(window: Snapshot) -> tuple[Sequence[Bar], float | None]:
    """How many batches had how many items, in the steps of the metric, and what they could have held on average.

    Both ends are those of what was seen; the row of the capacity is always there.
    """
    sizes = window.distributed(flushes.BATCH_ITEMS)
    if not sizes.counts:
        return (), None
    capacity = window.counted(flushes.CAPACITY) / sizes.count
    edges = (0.0, *ITEMS)
    steps = [(low, high, sizes.at_most(high) - (sizes.at_most(low) if low else 0)) for low, high in pairwise(edges)]
    beyond = sizes.count - sizes.at_most(ITEMS[-1])
    rows = [(_between(low, high), count, low < capacity <= high) for low, high, count in steps]
    rows.append((f"> {ITEMS[-1]:,.0f}", beyond, capacity > ITEMS[-1]))
    seen = [place for place, (_, count, holds) in enumerate(rows) if count or holds]
    rows = rows[seen[0] : seen[-1] + 1]
    bars = _bars([(label, count) for label, count, _ in rows])
    marked = [holds for _, _, holds in rows]
    return [
        Bar(bar.label, bar.count, bar.share, bar.width, is_capacity)
        for bar, is_capacity in zip(bars, marked, strict=True)
    ], capacity


def _between(low: float, high: float) -> str:
    return f"{high:,.0f}" if high - low == 1 else f"{low + 1:,.0f}\N{EN DASH}{high:,.0f}"


def _bars(counts: Sequence[tuple[str, float]]) -> list[Bar]:
    whole, longest = sum(count for _, count in counts), max((count for _, count in counts), default=0)
    return [Bar(label, count, count / whole, count / longest) for label, count in counts if whole]
