"""Experiments whose answer is known: the same work twice, and once with a known part of lost time.

They go the way of every comparison here: a fresh database for each visit, randomised complete blocks, ratios paired by
block. What they find wrong is wrong with all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from perflab.database.database import Database
from perflab.database.values import check_integer, check_number
from perflab.lab.bench.arms import BenchEngine
from perflab.lab.bench.comparison import Arm, Comparison, compare
from perflab.lab.noise import NoiseReading, read_noise, summarise_noise
from perflab.lab.selftest.judgement import SelfTest
from perflab.lab.statistics.ratio import Ratio, paired_ratio
from perflab.lab.sweep.subject import job_payload
from perflab.lab.workloads.flights import load_flights
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue

BATCH_SIZE = 100
WARM_UP_BATCHES = 5
TIMED_BATCHES = 20
WORK = f"{TIMED_BATCHES} batches of {BATCH_SIZE} jobs of real flights enqueued, each in a transaction of its own"
REFERENCE, SAME, SLOWER = "the work", "the same work", "the work, slowed"


@dataclass(frozen=True, slots=True)
class Work:
    """An arm that enqueues batches, and then loses a share of the time that this took.

    Attributes:
        name: Of the arm.
        engine: Where it writes.
        jobs: What it enqueues, in turn; all arms of a block the same.
        lost: Share of its own time that it spends waiting in a loop: 0.05 makes it 5 % slower, by construction.
        clock: Seconds.
    """

    name: str
    engine: BenchEngine
    jobs: Sequence[NewJob]
    lost: float = 0.0
    clock: Callable[[], float] = time.perf_counter

    def visit(self, block: int) -> float:
        """Seconds per job."""
        count = BATCH_SIZE * (WARM_UP_BATCHES + TIMED_BATCHES)
        jobs = [self.jobs[(block * count + number) % len(self.jobs)] for number in range(count)]
        batches = [jobs[start : start + BATCH_SIZE] for start in range(0, count, BATCH_SIZE)]
        with self.engine.fresh_database() as url, Database.open(url) as database:
            queue = PriorityQueue(database, "selftest")
            for batch in batches[:WARM_UP_BATCHES]:
                queue.bulk_enqueue(batch)
            start = self.clock()
            for batch in batches[WARM_UP_BATCHES:]:
                queue.bulk_enqueue(batch)
            end = self.clock() + self.lost * (self.clock() - start)
            while (now := self.clock()) < end:
                pass
        return (now - start) / (BATCH_SIZE * TIMED_BATCHES)


@dataclass(frozen=True, slots=True)
class SelfTestPlan:
    """How much to measure.

    Attributes:
        experiments: Independent ones, each with its own verdict.
        blocks: Of each experiment; at least 6, so that the median has an interval.
        effect: The known difference, 0.05 for 5 %.
        seed: Of the orders.

    Raises:
        InvalidInput: a value is out of its range.
    """

    experiments: int = 20
    blocks: int = 10
    effect: float = 0.05
    seed: int = 1

    def __post_init__(self) -> None:
        check_integer(self.experiments, "experiments", low=1, high=1_000)
        check_integer(self.blocks, "blocks", low=6, high=100)
        check_number(self.effect, "effect", above_low=True, high=10.0)
        check_integer(self.seed, "seed", low=0)

    @property
    def visits(self) -> int:
        """How many there will be."""
        return self.experiments * self.blocks * 3


def arms_on(engine: BenchEngine, effect: float) -> tuple[Arm, Arm, Arm]:
    """The work, the same again, and the same slowed by `effect`."""
    jobs = [NewJob(job_payload(flight), flight.priority) for flight in load_flights("week").flights]
    return Work(REFERENCE, engine, jobs), Work(SAME, engine, jobs), Work(SLOWER, engine, jobs, lost=effect)


def run_selftest(
    plan: SelfTestPlan,
    arms: tuple[Arm, Arm, Arm],
    *,
    engine: str,
    visited: Callable[[], object] = lambda: None,
    read: Callable[[], NoiseReading] = read_noise,
) -> SelfTest:
    """Make the experiments of a plan, one after the other.

    Args:
        plan: how many, and how long.
        arms: as `arms_on` makes them.
        engine: what they write to, for the reader.
        visited: called after each visit, to show progress.
        read: reads the noise, once in each block.
    """
    reference, same, slower = arms
    comparison = Comparison("selftest", engine, WORK, reference, (same, slower), limit=None)
    readings: list[NoiseReading] = []
    (result,) = compare(
        [comparison],
        blocks=plan.experiments * plan.blocks,
        seed=plan.seed,
        visited=visited,
        begin_block=lambda _block: readings.append(read()),
    )
    seconds = {arm.name: np.array(result.seconds[arm.name]) for arm in arms}
    rng = np.random.default_rng(plan.seed)

    def ratio_of(arm: Arm, chosen: slice) -> Ratio:
        return paired_ratio(seconds[arm.name][chosen], seconds[reference.name][chosen], rng=rng)

    parts = [slice(first, first + plan.blocks) for first in range(0, plan.experiments * plan.blocks, plan.blocks)]
    return SelfTest(
        work=WORK,
        engine=engine,
        effect=plan.effect,
        blocks=plan.blocks,
        same=tuple(ratio_of(same, part) for part in parts),
        slower=tuple(ratio_of(slower, part) for part in parts),
        log_ratios=tuple(np.log(seconds[same.name] / seconds[reference.name]).tolist()),
        noise=summarise_noise(readings),
    )
