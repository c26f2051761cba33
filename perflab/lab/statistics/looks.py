"""Looking at an experiment while it runs: how sure each look must be, so that all of them together hold.

Who stops as soon as an interval leaves out 1 finds a difference more often than its level says, for each look is one
more chance to be wrong. Pocock's rule makes every look equally strict.
"""

from __future__ import annotations

import enum
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy import optimize, special

from perflab.errors import InvalidInput
from perflab.lab.statistics.inputs import FloatArray, require_fraction, require_positive
from perflab.lab.statistics.intervals import Estimate

_NODES = 96
"""Of the quadrature: the level has six correct digits with half as many."""


@dataclass(frozen=True)
class Looks:
    """After how many blocks to look.

    Attributes:
        blocks: Rising; the last is where the experiment ends in any case.
        level: At which all looks together hold.

    Raises:
        InvalidInput: There is no look, the first has fewer than two blocks, they do not rise, or the level is outside
            (0, 1).
    """

    blocks: tuple[int, ...]
    level: float = 0.95

    def __post_init__(self) -> None:
        require_fraction(self.level, "level")
        if not self.blocks or self.blocks[0] < 2 or any(after <= before for before, after in pairwise(self.blocks)):
            raise InvalidInput(
                f"Looks come after rising numbers of blocks, two or more, such as 10, 20, 30; got {self.blocks}."
            )

    @classmethod
    def spread(cls, first: int, most: int, *, count: int = 3, level: float = 0.95) -> Looks:
        """At most `count` looks, evenly from the first to the most blocks; one, where both are the same.

        Raises:
            InvalidInput: As the class, or the count is below two, or the most blocks are below the first.
        """
        if count < 2 or most < first:
            raise InvalidInput(f"Looks need two or more, and room for them: got {count} from {first} to {most} blocks.")
        return cls(tuple(sorted({round(blocks) for blocks in np.linspace(first, most, count)})), level)

    @cached_property
    def level_of_each(self) -> float:
        """The level of the interval at each look: 0.978 for three equal steps at 0.95 together.

        With normal statistics, by integrating over all paths that stay within the bounds so far (P. Armitage, C. K.
        McPherson and B. C. Rowe, "Repeated Significance Tests on Accumulating Data", *JRSS A* 132, 1969; S. J. Pocock,
        "Group Sequential Methods in the Design and Analysis of Clinical Trials", *Biometrika* 64, 1977). As a level for
        t intervals it holds closely from some six blocks on.
        """
        if len(self.blocks) == 1:
            return self.level
        wanted = self.level
        bound = float(optimize.brentq(lambda bound: _stays_within(bound, self.blocks) - wanted, 1e-3, 8.0))
        return 1 - 2 * float(special.ndtr(-bound))


class Stop(enum.StrEnum):
    """Why an experiment ended."""

    KNOWN = "known well enough"
    BUDGET = "the budget is spent"
    MOST = "the last look"


@dataclass(frozen=True, slots=True)
class Stopped:
    """Where an experiment ended.

    Attributes:
        blocks: How many were measured.
        stop: Why no more.
        seconds: How long it took.
    """

    blocks: int
    stop: Stop
    seconds: float


def look_until(
    measure_until: Callable[[int], object],
    known: Callable[[], bool],
    looks: Looks,
    *,
    budget_seconds: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
) -> Stopped:
    """Measure from look to look until enough is known, or the next look would come too late.

    Args:
        measure_until: Measures what is missing to so many blocks in all.
        known: Whether that is enough. It must judge by intervals of `looks.level_of_each`.
        looks: When to look.
        budget_seconds: The blocks until the next look must fit in, by what blocks have cost so far. Those of the first
            one are measured in any case.
        clock: Seconds.

    Raises:
        InvalidInput: The budget is not above zero.
    """
    if not budget_seconds > 0:
        raise InvalidInput(f"budget_seconds must be above zero, got {budget_seconds!r}.")
    start = clock()
    done = 0
    for blocks in looks.blocks:
        spent = clock() - start
        if done and spent / done * blocks > budget_seconds:
            return Stopped(done, Stop.BUDGET, spent)
        measure_until(blocks)
        done = blocks
        if known():
            return Stopped(done, Stop.KNOWN, clock() - start)
    return Stopped(done, Stop.MOST, clock() - start)


def _stays_within(bound: float, blocks: tuple[int, ...]) -> float:
    """The chance that sums of so many standard normal values stay within `bound` standard deviations at each look."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)

    def places(count: int) -> tuple[FloatArray, FloatArray]:
        half = bound * np.sqrt(count)
        return nodes * half, weights * half

    sums, widths = places(blocks[0])
    density = _normal_density(sums, blocks[0])
    for before, after in pairwise(blocks):
        ends, end_widths = places(after)
        steps = _normal_density(ends[:, np.newaxis] - sums, after - before)
        density, sums, widths = steps @ (density * widths), ends, end_widths
    return float(density @ widths)


def _normal_density(values: FloatArray, variance: float) -> FloatArray:
    density: FloatArray = np.exp(-np.square(values) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
    return density


def relative_width(estimate: Estimate) -> float:
    """How far the farther bound of a positive quantity is from its value, as a share of it: 0.05 for 5 %.

    Infinite without bounds.

    Raises:
        InvalidInput: The value is not above zero.
    """
    require_positive(estimate.value, "The value of an estimate")
    return max(estimate.high / estimate.value - 1, 1 - estimate.low / estimate.value)


def widest(estimates: Iterable[Estimate]) -> float:
    """The largest `relative_width`, infinity for none.

    Raises:
        InvalidInput: As `relative_width`.
    """
    return max(map(relative_width, estimates), default=math.inf)
