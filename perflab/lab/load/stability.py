"""Whether a load was within what its subject can take.

If not, it has no percentiles: they would be of the length of the run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from perflab.lab.quantities import format_percent, format_seconds

LARGEST_SLOPE = 0.01
"""Seconds per second: see `judge_stability`."""
LATE_END_SHARE = 0.10
"""Share of its length by which a run may end late."""


@dataclass(frozen=True, slots=True)
class Stability:
    """A verdict with its figures.

    Attributes:
        stable: False: overloaded.
        slope: By how many seconds the response grows in a second.
        slope_low: Lower end of its 95 % interval.
        late_seconds: How long after the end of the schedule the last item ended.
        reason: One sentence.
    """

    stable: bool
    slope: float
    slope_low: float
    late_seconds: float
    reason: str


def judge_stability(
    moments: Sequence[float], responses: Sequence[float], *, length_seconds: float, late_seconds: float, unsent: int = 0
) -> Stability:
    """Tell a backlog that grows from one that does not.

    An open loop of L items a second on a subject that takes C < L has a backlog that grows by L - C a second, so that
    an item which arrives at t responds after t (L - C) / C: the slope of response over time is what is missing, as a
    share of the capacity. A load is unstable when

    - that slope is above 0.01, less than 99 % of what is offered being done, and the lower end of its 95 % interval is
      above 0 (least squares over the medians of windows of equally many arrivals, which depend on each other far less
      than single items do);
    - or the last item ends later than the schedule by a tenth of its length, as with a stall near the end;
    - or items had to be given up.

    Args:
        moments: Of each window, seconds.
        responses: Median of each window, seconds.
        length_seconds: Of the schedule.
        late_seconds: From the end of the schedule to the last end.
        unsent: Items that were given up.

    """
    slope, low = _slope(moments, responses)
    if unsent:
        reason = f"{unsent:,} items were so late that they were given up"
    elif slope > LARGEST_SLOPE and low > 0:
        reason = f"the response grew by {format_seconds(slope)} in each second, so the backlog did, too"
    elif late_seconds > LATE_END_SHARE * length_seconds:
        reason = (
            f"the last item ended {format_seconds(late_seconds)} after the schedule, "
            f"{format_percent(late_seconds / length_seconds)} of its length"
        )
    else:
        return Stability(True, slope, low, late_seconds, "the backlog did not grow")
    return Stability(False, slope, low, late_seconds, reason)


def _slope(moments: Sequence[float], responses: Sequence[float]) -> tuple[float, float]:
    """Least squares, and the lower end of its 95 % t interval."""
    if len(moments) < 3 or np.ptp(moments) == 0:
        return 0.0, -math.inf  # nothing is known of it
    fit = stats.linregress(moments, responses)
    width = float(special.stdtrit(len(moments) - 2, 0.975)) * float(fit.stderr)
    return float(fit.slope), float(fit.slope) - width
