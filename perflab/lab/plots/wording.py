"""Phrases that several figures share, so that all of them say the same thing the same way."""

from __future__ import annotations

import math
from collections.abc import Sequence

from perflab.lab.quantities import UNBOUNDED, format_count, format_seconds
from perflab.lab.statistics.intervals import median_rank
from perflab.lab.statistics.ratio import Ratio, Verdict


def basis(blocks: int) -> str:
    """What the points and their bars are: `"geometric mean of 6 blocks, 95% interval"`."""
    return "one block, so no interval" if blocks == 1 else f"geometric mean of {blocks} blocks, 95% interval"


def batches_of(size: int) -> str:
    """`"single items"`, `"batches of 500"`."""
    return "single items" if size == 1 else f"batches of {size:,}"


def latency_of(added_seconds: float) -> str:
    """What was measured to be added to a round trip: `"+2.05 ms"`, and `"nothing added"` for the baseline."""
    return f"+{format_seconds(added_seconds)}" if added_seconds else "nothing added"


def milliseconds(seconds: float) -> str:
    """`"0.5"`, `"100"`: a setting in milliseconds, as it was chosen."""
    return f"{seconds * 1_000:g}"


def times(factor: float) -> str:
    """A factor in a title: `"9.87"`, `"12.3"`, `"1,230"`."""
    if math.isinf(factor):
        return UNBOUNDED
    rounded = float(f"{factor:.2e}")
    decimals = max(0, 2 - math.floor(math.log10(rounded))) if rounded > 0 else 0
    return f"{factor:,.{decimals}f}"


def times_interval(factor: float, low: float, high: float) -> str:
    """`"12.3 [11.6, 13.1]"`."""
    return f"{times(factor)} [{times(low)}, {times(high)}]"


def verdict(ratio: Ratio) -> Verdict:
    """What a figure may claim about a ratio: the verdict on it, without the check by the median where there is none.

    With five blocks or fewer no interval of the median reaches the level, and the interval that is drawn decides.
    """
    if median_rank(ratio.n, level=ratio.level):
        return ratio.verdict
    if ratio.low > 1:
        return Verdict.HIGHER
    return Verdict.LOWER if ratio.high < 1 else Verdict.NO_DIFFERENCE


def settings_of(count: int) -> str:
    """`"1 setting"`, `"25 settings"`."""
    return f"{format_count(count)} setting{'' if count == 1 else 's'}"


def verb(count: int, one: str, several: str) -> str:
    """The form of a verb that goes with a count."""
    return one if count == 1 else several


def listed(settings: Sequence[tuple[int, float]], *, most: int = 3) -> str:
    """Settings in words, the first few of them by name. Single items wait for no interval."""
    named = [
        f"{batches_of(size)} at {format_seconds(interval)}" if size > 1 else batches_of(size)
        for size, interval in settings[:most]
    ]
    rest = len(settings) - len(named)
    return ", ".join(named) + (f" and {rest} more" if rest else "")


def sentence(text: str) -> str:
    """The text with a capital at its beginning."""
    return text[:1].upper() + text[1:]
