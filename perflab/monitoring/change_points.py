"""Where a history of one figure changed its level: for what is measured again and again, runs and services alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import median

from perflab.errors import InvalidInput

_OUTLIER_REACH = 5.0  # in standard deviations: far enough for three changed values to count, near enough for one not to
_DECAY = math.sqrt(0.5)


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """A place at which the level changed and stayed changed.

    Attributes:
        index: Of the first value of the new level.
        before: Median from the change point before (or the start) to here, in the unit of the values.
        after: Median from here to the next change point (or the end).
        p_value: Chance that a history of this length which changes nowhere shows any change as clear as this one.
    """

    index: int
    before: float
    after: float
    p_value: float

    @property
    def ratio(self) -> float:
        """`after` over `before`; infinite where the level was zero before."""
        return self.after / self.before if self.before else math.copysign(math.inf, self.after)


@dataclass(frozen=True, slots=True)
class _Split:
    """The best place to cut values[start:stop] in two, and the chance of such a clear one at a place given before."""

    start: int
    index: int
    stop: int
    p_value: float


@dataclass(frozen=True, slots=True)
class _Rules:
    """What a change must be to be one; see `find_change_points`."""

    false_alarm_rate: float
    min_relative_change: float
    min_change: float
    min_segment: int

    def __post_init__(self) -> None:
        rate, relative, absolute, segment = (getattr(self, name) for name in self.__slots__)
        if not 0 < rate < 1:
            raise InvalidInput(f"false_alarm_rate is {rate!r}: it must lie between 0 and 1, such as 0.01")
        if not (math.isfinite(relative) and relative >= 0):
            raise InvalidInput(f"min_relative_change is {relative!r}: give a share of 0 or more, such as 0.03")
        if not (math.isfinite(absolute) and absolute >= 0):
            raise InvalidInput(f"min_change is {absolute!r}: give 0 or more, in the unit of the values")
        if isinstance(segment, bool) or not isinstance(segment, int) or segment < 2:
            raise InvalidInput(f"min_segment is {segment!r}: give a whole number of 2 or more")

    def hold(self, change: ChangePoint) -> bool:
        size = abs(change.after - change.before)
        enough = size >= max(self.min_change, self.min_relative_change * abs(change.before))
        return change.p_value <= self.false_alarm_rate and size > 0 and enough


def find_change_points(
    values: Sequence[float],
    *,
    false_alarm_rate: float = 0.01,
    min_relative_change: float = 0.03,
    min_change: float = 0.0,
    min_segment: int = 3,
) -> list[ChangePoint]:
    """The places at which a series changes its level, in their order.

    Each of a fixed set of intervals, from the whole series down to twice `min_segment`, is cut where Student's t
    between its two parts is greatest; the clearest cuts are taken first, and an interval that holds one already is out
    (seeded binary segmentation: S. Kovács, P. Bühlmann, H. Li and A. Munk, Biometrika 110, 2023), so that a change that
    was taken back is found as well as one that lasts. Every cut that was looked at counts for the significance
    (Bonferroni), which is why it needs no random numbers. Outliers are drawn in to five standard deviations of the
    noise first, and the change must show in the medians: a spike is no change. Values that resemble the ones before
    them, as those of a busy service do, count for as much less. A drift shows as a staircase.

    Args:
        values: In the order of time, all of one unit; at regular intervals or not.
        false_alarm_rate: Share of series of independent noise that may show a change point, between 0 and 1.
        min_relative_change: Smaller changes than this share of the level before are left out; 0.03 is 3 %.
        min_change: The same in the unit of the values; both must be met.
        min_segment: How many values must be at each level, at least 2.

    Raises:
        InvalidInput: a value is not finite, or a setting is out of its range.
    """
    rules = _Rules(false_alarm_rate, min_relative_change, min_change, min_segment)
    for position, value in enumerate(values):
        if not math.isfinite(value):
            raise InvalidInput(f"value {position} of {len(values)} of a history is {value!r}: leave it out")
    series = [float(value) for value in values]
    if len(series) < 2 * min_segment:
        return []
    intervals = list(_seeded_intervals(len(series), 2 * min_segment))
    looked_at = len(series) + sum(stop - start - 2 * min_segment + 1 for start, stop in intervals)
    search = _Search(series, min_segment, _variance_inflation(series))
    clear = [
        split
        for split in sorted((search.best_split(*each) for each in intervals), key=lambda split: split.p_value)
        if split.p_value * looked_at <= false_alarm_rate
    ]
    found: list[int] = []
    for split in clear:
        if not any(split.start < index < split.stop for index in found):
            found.append(split.index)
    return _settle(search, _completed(search, sorted(found), false_alarm_rate / looked_at), looked_at, rules)


def _completed(search: _Search, found: list[int], level: float) -> list[int]:
    """The changes, and those that show only between two of them, where none of the intervals happens to lie."""
    bounds = [0, *found, len(search.series)]
    for place, (start, stop) in enumerate(pairwise(bounds)):
        if found and stop - start >= 2 * search.min_segment:
            split = search.best_split(start, stop)
            if split.p_value <= level:
                return _completed(search, [*found[:place], split.index, *found[place:]], level)
    return found


def _settle(search: _Search, found: list[int], looked_at: int, rules: _Rules) -> list[ChangePoint]:
    """Judge each change by all values between its neighbours, and drop the least clear one until all of them hold."""
    bounds = [0, *found, len(search.series)]
    while True:
        p_values = []
        for i in range(1, len(bounds) - 1):
            split = search.best_split(bounds[i - 1], bounds[i + 1])
            bounds[i] = split.index
            p_values.append(min(1.0, split.p_value * looked_at))
        levels = [median(search.series[start:stop]) for start, stop in pairwise(bounds)]
        changes = [ChangePoint(*change) for change in zip(bounds[1:-1], levels[:-1], levels[1:], p_values, strict=True)]
        weak = [change for change in changes if not rules.hold(change)]
        if not weak:
            return changes
        bounds.remove(max(weak, key=lambda change: change.p_value).index)


def _seeded_intervals(length: int, shortest: int) -> Iterator[tuple[int, int]]:
    """Layers of overlapping intervals, each layer shorter by the square root of two, from `length` to `shortest`."""
    layer = 0
    while (width := length * _DECAY**layer) >= shortest:
        count = 2 * math.ceil(round(_DECAY**-layer, 9)) - 1
        shift = (length - width) / max(1, count - 1)
        for number in range(count):
            yield math.floor(number * shift), min(length, math.ceil(number * shift + width))
        layer += 1


def _variance_inflation(series: list[float]) -> float:
    """How much more means vary than those of independent values, where each value resembles the one before; at least 1.

    (1 + r) / (1 - r), as for a first-order autoregression. r comes from the squares of the differences to the next
    value and to the next but one, which a few changes of level hardly touch. One and a half standard errors are taken
    off it: most histories are independent, and would pay for the noise of r with changes that are not seen.
    """
    one, two = ([b - a for a, b in zip(series, series[lag:], strict=False)] for lag in (1, 2))
    reach = _OUTLIER_REACH * _deviation_of(one)
    squares = [math.fsum(min(abs(each), reach) ** 2 for each in lag) / len(lag) for lag in (one, two)]
    if squares[0] == 0:
        return 1.0
    r = min(0.9, max(0.0, squares[1] / squares[0] - 1 - 1.5 / math.sqrt(len(series))))
    return (1 + r) / (1 - r)


@dataclass(frozen=True, slots=True)
class _Search:
    series: list[float]
    min_segment: int
    variance_inflation: float

    def best_split(self, start: int, stop: int) -> _Split:
        """The cut of series[start:stop] with the greatest t between its parts, which has the most of the squares."""
        values = _outliers_drawn_in(self.series[start:stop])
        n = len(values)
        centre = math.fsum(values) / n
        sums = list(accumulate(value - centre for value in values))
        cuts = range(self.min_segment, n - self.min_segment + 1)
        cut = max(cuts, key=lambda k: sums[k - 1] ** 2 / (k * (n - k)))
        between = sums[cut - 1] ** 2 * n / (cut * (n - cut))
        within = max(0.0, math.fsum((value - centre) ** 2 for value in values) - between)
        return _Split(start, start + cut, stop, _f_tail(between / self.variance_inflation, within, n - 2))


def _outliers_drawn_in(values: list[float]) -> list[float]:
    """The values within some standard deviations of their median; those come from neighbours, which share a level."""
    centre = median(values)
    reach = _OUTLIER_REACH * _deviation_of([b - a for a, b in pairwise(values)]) / math.sqrt(2)
    if reach == 0:
        return values  # most values repeat exactly: there is no noise to measure outliers by
    return [min(max(value, centre - reach), centre + reach) for value in values]


def _deviation_of(differences: list[float]) -> float:
    """Standard deviation about zero by the median of the sizes, for normal noise."""
    return median(abs(each) for each in differences) / 0.6745


def _f_tail(between: float, within: float, degrees: int) -> float:
    """Two-sided p of Student's t with t² = degrees * between / within: a regularised incomplete beta function.

    I_x(degrees/2, 1/2) at x = within / (within + between) (NIST DLMF 8.17.5, 26.7 of Abramowitz and Stegun).
    """
    if between <= 0:
        return 1.0
    return _incomplete_beta(within / (within + between), degrees / 2, 0.5)


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """I_x(a, b) by the continued fraction of DLMF 8.17.22, which stays precise where the result is tiny."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # where the fraction would converge slowly, that of the other tail does quickly
        return 1 - _incomplete_beta(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    fraction = 1.0
    for m in range(200, 0, -1):  # from the innermost term outwards; 200 are far more than it takes here
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        fraction = 1 + even / (1 + odd / fraction)
    first = -(a + b) * x / (a + 1)
    return front / (1 + first / fraction)
