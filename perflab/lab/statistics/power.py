"""What an experiment of paired blocks would find, before or after it is made."""

from __future__ import annotations

import math

from scipy import special

from perflab.errors import InvalidInput
from perflab.lab.statistics.inputs import require_fraction, require_positive
from perflab.lab.statistics.intervals import student_t

MOST_BLOCKS = 100_000
"""Beyond this, more blocks are no answer to noise."""


def power(effect: float, deviation: float, blocks: int, *, level: float = 0.95) -> float:
    """The chance that a t interval over paired blocks leaves out 1, on the right side.

    The t statistic of log ratios has a noncentral t distribution (J. Cohen, *Statistical Power Analysis for the
    Behavioral Sciences*, 2nd ed., section 2.2).

    Args:
        effect: The true relative difference, above zero: 0.05 for 5 %.
        deviation: Standard deviation of the log ratios of the blocks, above zero.
        blocks: At least two.
        level: Confidence level of the interval.

    Raises:
        InvalidInput: A value is out of its range.
    """
    require_positive(effect, "effect")
    require_positive(deviation, "deviation")
    require_fraction(level, "level")
    if blocks < 2:
        raise InvalidInput(f"A t interval needs at least 2 blocks, got {blocks}.")
    degrees = blocks - 1
    shift = math.log1p(effect) / deviation * math.sqrt(blocks)
    return 1 - float(special.nctdtr(degrees, shift, student_t((1 + level) / 2, degrees)))


def blocks_for(effect: float, deviation: float, *, wanted: float = 0.8, level: float = 0.95) -> int | None:
    """How many blocks find `effect` with probability `wanted`; None when 100,000 do not.

    Args:
        effect: As for `power`.
        deviation: As for `power`; 0 takes two blocks.
        wanted: Power.
        level: As for `power`.

    Raises:
        InvalidInput: As `power`, or the wanted power is outside (0, 1).
    """
    require_fraction(wanted, "wanted")
    if deviation == 0:
        return 2

    def enough(blocks: int) -> bool:
        return power(effect, deviation, blocks, level=level) >= wanted

    high = 2
    while not enough(high):
        high *= 2
        if high > MOST_BLOCKS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
