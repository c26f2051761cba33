"""Comparing arms fairly: every block visits every arm once, in an order of its own, each time from a fresh start."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

import numpy as np

from perflab.database.values import check_integer
from perflab.lab.garbage import old_objects_set_aside
from perflab.lab.statistics.intervals import Estimate, geometric_mean_interval
from perflab.lab.statistics.looks import Looks, Stop, look_until, relative_width
from perflab.lab.statistics.ratio import Ratio, paired_ratio

FEWEST_BLOCKS = 6


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
    def title(self) -> str:
        """`"bulk_enqueue, sqlite"`: no other comparison of a bench has it."""
        return ", ".join(filter(None, (self.name, self.engine)))

    @property
    def arms(self) -> tuple[Arm, ...]:
        return (self.ours, *self.others, *self.alike)


@dataclass(frozen=True, slots=True)
class ComparisonResult:
    """Seconds per item of each arm, one number for each block.

    Attributes:
        comparison: What was compared.
        seconds: By name of the arm, in the order of the blocks.
        level: Of the intervals.
    """

    comparison: Comparison
    seconds: dict[str, tuple[float, ...]]
    level: float = 0.95

    def estimate(self, arm: str) -> Estimate:
        """Geometric mean of the seconds per item over the blocks."""
        return geometric_mean_interval(self.seconds[arm], level=self.level)

    @property
    def fastest_other(self) -> str:
        return min((arm.name for arm in self.comparison.others), key=lambda name: self.estimate(name).value)

    @property
    def ratio(self) -> Ratio:
        """Ours over the fastest other: the cost of what ours does more."""
        return self.ratio_to(self.fastest_other)

    def ratio_to(self, arm: str) -> Ratio:
        """Ours over another arm, paired by block."""
        ours, other = self.seconds[self.comparison.ours.name], self.seconds[arm]
        return paired_ratio(ours, other, rng=np.random.default_rng(0), level=self.level)

    @property
    def verdict(self) -> str:
        """Against the limit: "within", "over", "inconclusive" where the interval holds it; "" without one."""
        limit = self.comparison.limit
        if limit is None:
            return ""
        if self.ratio.high <= limit:
            return "within"
        return "over" if self.ratio.low > limit else "inconclusive"

    def known_to(self, precision: float) -> bool:
        """Whether more blocks would say nothing that matters: there is a verdict, or the ratio is known as well."""
        return self.verdict in {"within", "over"} or relative_width(self.ratio.estimate) <= precision


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
    check_integer(blocks, "blocks", low=FEWEST_BLOCKS, high=100_000)
    contest = _Contest(comparisons, seed, visited, begin_block)
    contest.measure_until(blocks)
    return contest.results(0.95)


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison came to that ended as soon as it knew enough.

    Attributes:
        results: One for each comparison. Their intervals are of the level of a look, so that they hold together at that
            of the looks, whenever the measuring stopped.
        blocks: How many were measured.
        stop: Why no more.
    """

    results: list[ComparisonResult]
    blocks: int
    stop: Stop


def compare_until(
    comparisons: Sequence[Comparison],
    looks: Looks,
    *,
    precision: float,
    budget_seconds: float = math.inf,
    seed: int,
    visited: Callable[[], object] = lambda: None,
    begin_block: Callable[[int], object] = lambda _block: None,
    clock: Callable[[], float] = time.monotonic,
) -> Compared:
    """The same with as many blocks as it takes.

    After each look the measuring ends when every comparison is known well enough: its ratio to the fastest other is on
    one side of its limit, or its interval no wider than `precision`. It also ends when the blocks until the next look
    would not fit into what is left of the budget, by what blocks have cost so far.

    Args:
        comparisons: As for `compare`.
        looks: After how many blocks to look, at least 6 at first.
        precision: Of a ratio, to either side: 0.05 for 5 %.
        budget_seconds: In which to end; the blocks of the first look are measured in any case.
        seed: As for `compare`.
        visited: As for `compare`.
        begin_block: As for `compare`.
        clock: Seconds.

    Raises:
        InvalidInput: the first look comes before 6 blocks, or a bound is not above zero.
    """
    check_integer(looks.blocks[0], "blocks", low=FEWEST_BLOCKS, high=100_000)
    contest = _Contest(comparisons, seed, visited, begin_block)

    def known() -> bool:
        return all(result.known_to(precision) for result in contest.results(looks.level_of_each))

    stopped = look_until(contest.measure_until, known, looks, budget_seconds=budget_seconds, clock=clock)
    return Compared(contest.results(looks.level_of_each), stopped.blocks, stopped.stop)


def looks_between(blocks: int, most_blocks: int | None) -> Looks:
    """When `compare_until` looks: at three numbers of blocks at most, or only at the one that is given.

    Raises:
        InvalidInput: fewer than 6 blocks, or the most are fewer than the least.
    """
    check_integer(blocks, "blocks", low=FEWEST_BLOCKS, high=1_000)
    if most_blocks is None:
        return Looks((blocks,))
    check_integer(most_blocks, "most_blocks", low=blocks, high=1_000)
    return Looks.spread(blocks, most_blocks)


class _Contest:
    """Comparisons under way: what all their visits have taken so far."""

    def __init__(
        self,
        comparisons: Sequence[Comparison],
        seed: int,
        visited: Callable[[], object],
        begin_block: Callable[[int], object],
    ) -> None:
        self._comparisons = comparisons
        self._seed = seed
        self._visited = visited
        self._begin_block = begin_block
        self._visits = [(number, arm) for number, comparison in enumerate(comparisons) for arm in comparison.arms]
        self._seconds: dict[tuple[int, str], list[float]] = {(number, arm.name): [] for number, arm in self._visits}
        self._blocks = 0

    def measure_until(self, blocks: int) -> None:
        """Measure the blocks that are missing to so many."""
        with old_objects_set_aside():
            for block in range(self._blocks, blocks):
                self._begin_block(block)
                order = list(self._visits)
                Random(f"{self._seed}/{block}").shuffle(order)
                for number, arm in order:
                    gc.collect()
                    self._seconds[number, arm.name].append(arm.visit(block))
                    self._visited()
        self._blocks = blocks

    def results(self, level: float) -> list[ComparisonResult]:
        return [
            ComparisonResult(
                comparison, {arm.name: tuple(self._seconds[number, arm.name]) for arm in comparison.arms}, level
            )
            for number, comparison in enumerate(self._comparisons)
        ]
