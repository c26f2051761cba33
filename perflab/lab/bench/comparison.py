"""Comparing arms fairly: every block visits every arm once, in an order of its own, each time from a fresh start."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

import numpy as np

from perflab.database.values import check_integer
from perflab.lab.garbage import old_objects_set_aside
from perflab.lab.statistics.intervals import Estimate, geometric_mean_interval
from perflab.lab.statistics.ratio import Ratio, paired_ratio


class Arm(Protocol):
    """One way to do the work."""

    @property
    def name(self) -> str: ...

    def visit(self, block: int) -> float:
        """Do the work once from a fresh start, and return the seconds per item of its timed part."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Our way against others for the same work.

    Attributes:
        name: Of the operation.
        engine: Where it writes, such as "sqlite"; "" where it does not.
        work: What is done.
        ours: Our arm.
        others: What it is held against; the fastest of them counts.
        limit: The largest ratio ours/fastest that is acceptable; None where there is no promise.
        alike: Further arms, which promise what ours does and are not in the race for the fastest.
    """

    name: str
    engine: str
    work: str
    ours: Arm
    others: tuple[Arm, ...]
    limit: float | None
    alike: tuple[Arm, ...] = ()

    @property
    def arms(self) -> tuple[Arm, ...]:
        return (self.ours, *self.others, *self.alike)


@dataclass(frozen=True, slots=True)
class ComparisonResult:
    """Seconds per item of each arm, one number for each block.

    Attributes:
        comparison: What was compared.
        seconds: By name of the arm, in the order of the blocks.
    """

    comparison: Comparison
    seconds: dict[str, tuple[float, ...]]

    def estimate(self, arm: str) -> Estimate:
        """Geometric mean of the seconds per item over the blocks."""
        return geometric_mean_interval(self.seconds[arm])

    @property
    def fastest_other(self) -> str:
        return min((arm.name for arm in self.comparison.others), key=lambda name: self.estimate(name).value)

    @property
    def ratio(self) -> Ratio:
        """Ours over the fastest other: the cost of what ours does more."""
        return self.ratio_to(self.fastest_other)

    def ratio_to(self, arm: str) -> Ratio:
        """Ours over another arm, paired by block."""
        return paired_ratio(self.seconds[self.comparison.ours.name], self.seconds[arm], rng=np.random.default_rng(0))

    @property
    def verdict(self) -> str:
        """Against the limit: "within", "over", "inconclusive" where the interval holds it; "" without one."""
        limit = self.comparison.limit
        if limit is None:
            return ""
        if self.ratio.high <= limit:
            return "within"
        return "over" if self.ratio.low > limit else "inconclusive"


def compare(
    comparisons: Sequence[Comparison],
    *,
    blocks: int,
    seed: int,
    visited: Callable[[], object] = lambda: None,
    begin_block: Callable[[int], object] = lambda _block: None,
) -> list[ComparisonResult]:
    """Visit all arms of all comparisons in randomised complete blocks.

    Args:
        comparisons: What to measure.
        blocks: At least 6, so that the median has an interval.
        seed: Of the order of each block.
        visited: Called after each visit, to show progress.
        begin_block: Called before each block with its number, to look at the machine.

    Raises:
        InvalidInput: fewer than 6 blocks.
    """
    check_integer(blocks, "blocks", low=6, high=100_000)
    seconds: dict[tuple[int, str], list[float]] = {}
    visits = [(number, arm) for number, comparison in enumerate(comparisons) for arm in comparison.arms]
    with old_objects_set_aside():
        for block in range(blocks):
            begin_block(block)
            order = list(visits)
            Random(f"{seed}/{block}").shuffle(order)
            for number, arm in order:
                gc.collect()
                seconds.setdefault((number, arm.name), []).append(arm.visit(block))
                visited()
    return [
        ComparisonResult(comparison, {arm.name: tuple(seconds[number, arm.name]) for arm in comparison.arms})
        for number, comparison in enumerate(comparisons)
    ]
