"""Which batch size and flush interval to use, and how sure that is.

The rule is that of one standard error (L. Breiman et al., *Classification and Regression Trees*, 1984, section 3.4.3):
not the point with the highest throughput, which noise picks among many near-equal ones, but the smallest batch that
cannot be told from it. Small batches cost less memory, and less is lost with a crash.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from perflab.errors import InvalidInput
from perflab.lab.grid_points import GridPoint, pareto
from perflab.lab.quantities import format_seconds, format_seconds_interval
from perflab.lab.recommendation import REGRET_LIMIT, NoRecommendation, Recommendation, in_words
from perflab.lab.statistics.bootstrap import resample_counts
from perflab.lab.statistics.intervals import student_t
from perflab.lab.statistics.ratio import Ratio, paired_ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perflab.lab.statistics.inputs import BoolArray, FloatArray, IntArray

__all__ = ["GridPoint", "NoRecommendation", "Recommendation", "pareto", "recommend"]

LEVEL = 0.95


def recommend(
    points: Sequence[GridPoint],
    latency_target_seconds: float,
    *,
    rng: np.random.Generator,
    resamples: int = 2000,
) -> Recommendation | NoRecommendation:
    """Choose the smallest batch within one standard error of the best throughput that meets the target.

    A point meets the target when it is stable and the upper 95 % bound of its p99 (t interval on logarithms over the
    blocks) does not exceed it. Distances from the best throughput are paired by block. Equal batch sizes are decided
    by the shorter flush interval.

    The choice is then repeated on blocks drawn with replacement. Regret is counted among the points that meet the
    target in the data as measured. A bootstrap of n blocks shows their scatter too small by about sqrt((n - 1)/n), so
    with a handful of blocks the frequencies are on the confident side.

    Args:
        points: The grid, measured in complete blocks: every stable point has every block, in one order.
        latency_target_seconds: Largest p99 that is acceptable; infinity for no target.
        rng: For the resamples.
        resamples: How many to draw.

    Returns:
        A recommendation, or the reason why no measured point can be one.

    Raises:
        InvalidInput: No points, two with one setting, a target that is not above zero, blocks that do not match, or
            fewer than two of them.
    """
    if not latency_target_seconds > 0:
        raise InvalidInput(f"The latency target must be above zero seconds, got {latency_target_seconds!r}.")
    ordered = _checked(points)
    stable = [point for point in ordered if point.stable]
    if not stable:
        return _nothing_meets(stable, latency_target_seconds)
    # rows are blocks; columns are points by rising batch size and interval, so that the first of several is the choice
    throughputs = np.log([point.throughput_by_block for point in stable]).T
    latencies = np.log([point.p99_seconds_by_block for point in stable]).T
    blocks = throughputs.shape[0]
    log_target = math.log(latency_target_seconds)
    once = np.ones((1, blocks), dtype=np.int64)
    columns = np.flatnonzero(_meets(latencies, once, log_target)[0])
    if columns.size == 0:
        return _nothing_meets(stable, latency_target_seconds)
    eligible = [stable[column] for column in columns]
    choice = int(_choose(throughputs, latencies, once, log_target)[0])
    chosen = stable[choice]
    counts = resample_counts(blocks, resamples, rng)
    choices = _choose(throughputs, latencies, counts, log_target)
    made = choices[choices >= 0]
    sizes = np.array([stable[int(column)].batch_size for column in made] or [chosen.batch_size])
    smallest, largest = np.quantile(sizes, [0.05, 0.95], method="inverted_cdf")
    regret = _regret(throughputs[:, columns], counts)
    within = np.mean(regret <= REGRET_LIMIT, axis=0) >= LEVEL
    return Recommendation(
        batch_size=chosen.batch_size,
        flush_interval_seconds=chosen.flush_interval_seconds,
        mean_batch=chosen.mean_batch,
        throughput=chosen.throughput,
        p99=chosen.p99,
        latency_target_seconds=float(latency_target_seconds),
        gain_over_unbatched=_gain_over_unbatched(chosen, ordered, rng),
        selection_frequency=float(np.mean(choices == choice)),
        batch_size_range=(int(smallest), int(largest)),
        expected_regret=float(regret[:, eligible.index(chosen)].mean()),
        indifference_set=tuple(point for point, inside in zip(eligible, within, strict=True) if inside),
        reason=_reason(chosen, eligible, len(ordered), latency_target_seconds),
        resamples=resamples,
        items_at_risk=chosen.items_at_risk,
    )


def _checked(points: Sequence[GridPoint]) -> list[GridPoint]:
    """The points by rising batch size and interval."""
    if not points:
        raise InvalidInput("A recommendation needs measured points; got none.")
    ordered = sorted(points, key=lambda point: (point.batch_size, point.flush_interval_seconds))
    settings = {(point.batch_size, point.flush_interval_seconds) for point in points}
    if len(settings) < len(points):
        raise InvalidInput("Two points have the same batch size and flush interval; combine their blocks into one.")
    lengths = {len(point.throughput_by_block) for point in points if point.stable}
    if len(lengths) > 1:
        raise InvalidInput(
            f"Points are compared block by block, but have {min(lengths)} to {max(lengths)} blocks; "
            "finish the sweep, or leave out the incomplete blocks."
        )
    if lengths == {1}:
        raise InvalidInput("One block has no measure of its own scatter; a recommendation needs at least 2, better 8.")
    return ordered


def _choose(throughputs: FloatArray, latencies: FloatArray, counts: IntArray, log_target: float) -> IntArray:
    """For each row of block counts, the column that the one-standard-error rule chooses; -1 where none is eligible."""
    blocks = throughputs.shape[0]
    eligible = _meets(latencies, counts, log_target)
    rates = np.where(eligible, counts @ throughputs / blocks, -np.inf)
    best = rates.argmax(axis=1)
    choices = np.full(counts.shape[0], -1, dtype=np.int64)
    for leader in np.unique(best):
        rows = (best == leader) & eligible[:, leader]
        lags, lag_errors = _means_and_errors(throughputs[:, [leader]] - throughputs, counts[rows])
        # rounding must not part points that are equal in every block
        near = eligible[rows] & (lags <= lag_errors + 1e-12)
        choices[rows] = near.argmax(axis=1)
    return choices


def _meets(latencies: FloatArray, counts: IntArray, log_target: float) -> BoolArray:
    """Which points have an upper bound of p99 within the target, for each row of block counts."""
    means, errors = _means_and_errors(latencies, counts)
    bounds = means + student_t((1 + LEVEL) / 2, latencies.shape[0] - 1) * errors
    return np.asarray(bounds <= log_target)


def _means_and_errors(values: FloatArray, counts: IntArray) -> tuple[FloatArray, FloatArray]:
    """Means and their standard errors of the columns of `values`, for each row of block counts."""
    blocks = values.shape[0]
    # around the column means, so that squares do not cancel and equal values have exactly their own mean
    centre = values.mean(axis=0)
    shifts = counts @ (values - centre) / blocks
    variances = np.maximum(counts @ np.square(values - centre) / blocks - np.square(shifts), 0)
    return centre + shifts, np.sqrt(variances / (blocks - 1))


def _regret(throughputs: FloatArray, counts: IntArray) -> FloatArray:
    """Share of throughput that each point loses against the best, for each row of block counts."""
    means = counts @ throughputs / throughputs.shape[0]
    regret: FloatArray = -np.expm1(means - means.max(axis=1, keepdims=True))
    return regret


def _gain_over_unbatched(chosen: GridPoint, points: Sequence[GridPoint], rng: np.random.Generator) -> Ratio | None:
    """Against the best that batch size 1 did, even where it could not keep up: its throughput was still measured."""
    blocks = len(chosen.throughput_by_block)
    baselines = [
        point
        for point in points
        if point.batch_size == 1 and len(point.throughput_by_block) == blocks and _positive(point.throughput_by_block)
    ]
    if chosen.batch_size == 1 or not baselines:
        return None
    baseline = max(baselines, key=lambda point: point.throughput.value)
    return paired_ratio(chosen.throughput_by_block, baseline.throughput_by_block, rng=rng)


def _reason(chosen: GridPoint, eligible: Sequence[GridPoint], measured: int, target_seconds: float) -> str:
    best = max(eligible, key=lambda point: point.throughput.value)
    met = "were stable" if math.isinf(target_seconds) else "meet the target"
    scope = f"among the {len(eligible)} of {measured} measured settings that {met}"
    if best is chosen:
        return (
            f"The choice has the highest throughput {scope}, and no smaller batch is within one standard error of it."
        )
    return (
        "The choice is the smallest batch within one standard error of the highest throughput "
        f"({in_words(best.batch_size, best.flush_interval_seconds)}) {scope}."
    )


def _nothing_meets(stable: Sequence[GridPoint], target_seconds: float) -> NoRecommendation:
    target = format_seconds(target_seconds)
    if not stable:
        return NoRecommendation(
            f"Nothing meets the target of {target}: no measured setting kept up. Lower the rate, or add writers.",
            None,
            target_seconds,
        )
    fastest = min(stable, key=lambda point: point.p99.value)
    p99 = fastest.p99
    return NoRecommendation(
        f"Nothing meets the target of {target}: the lowest p99 is "
        f"{format_seconds_interval(p99.value, p99.low, p99.high)}, with {fastest.name}. Its upper bound must meet the "
        "target: relax the target, measure smaller settings, or, where the interval is wide, measure more blocks.",
        p99,
        target_seconds,
    )


def _positive(values: Sequence[float]) -> bool:
    return all(0 < value < math.inf for value in values)
