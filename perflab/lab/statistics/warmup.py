"""Where the steady state begins: what comes before is start-up cost and says nothing about the long run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perflab.errors import InvalidInput
from perflab.lab.statistics.inputs import FloatArray, finite_samples, positive_samples

BATCH = 5
FEWEST_BATCHES = 10
WINDOW = 20
GIVE_UP_AT = 300
"""Samples in which pyperf looks for two windows that look alike."""


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How much of a series is warm-up.

    Attributes:
        drop: Samples to leave out at the front; None when no steady state was found.
        reason: One sentence: what was found.
    """

    drop: int | None
    reason: str

    @property
    def steady(self) -> bool:
        """Whether a steady state was found."""
        return self.drop is not None


def mser5(samples: npt.ArrayLike) -> WarmUp:
    """Find the warm-up by the marginal standard error rule on means of five.

    The series is averaged in fives, and d such means are cut off at the front so that the squared standard error of
    what remains, sum (y - mean)^2 / m^2 over the m remaining, is least. A cut beyond half of the series means that it
    had not settled (K. P. White, M. J. Cobb and S. C. Spratt, "A Comparison of Five Steady-State Truncation
    Heuristics for Simulation", WSC 2000). The last five means are never cut into: so few can agree by accident.

    Args:
        samples: In order of time, any unit.

    Returns:
        The samples to drop, or no steady state; also for fewer than 50 samples, which are too few to tell.

    Raises:
        InvalidInput: A sample is not finite, or there is none.
    """
    series = finite_samples(samples, "The samples of a warm-up search")
    count = series.size // BATCH
    if count < FEWEST_BATCHES:
        needed = FEWEST_BATCHES * BATCH
        return WarmUp(None, f"No steady state can be told from {series.size} samples: {needed} are needed.")
    means = series[: count * BATCH].reshape(count, BATCH).mean(axis=1)
    cut = int(np.argmin(_squared_standard_errors(means)[: count - BATCH]))
    if cut > count / 2:
        return WarmUp(None, f"No steady state: the level still changed after half of {series.size} samples.")
    return WarmUp(cut * BATCH, f"Steady after {cut * BATCH} of {series.size} samples.")


def confirmed_by_windows(seconds: npt.ArrayLike, warm_up: WarmUp) -> bool | None:
    """Whether a second rule finds a steady state, too, in what `mser5` left: two windows that look alike.

    The rules fail in different ways: one takes a slow drift for steady where its means scatter, the other a series that
    scatters much for unsteady. Where they agree there is little doubt.

    Args:
        seconds: In order of time.
        warm_up: What `mser5` found in them.

    Returns:
        None where there is nothing to confirm, or fewer than 40 samples are left.

    Raises:
        InvalidInput: A time is not finite and above zero.
    """
    series = positive_samples(seconds, "The times of a window comparison")
    if warm_up.drop is None or series.size - warm_up.drop < 2 * WINDOW:
        return None
    return first_alike_windows(series, start=warm_up.drop, limit=warm_up.drop + GIVE_UP_AT) is not None


@dataclass(frozen=True, slots=True)
class WindowComparison:
    """Whether two neighbouring windows look alike, and in what they differ."""

    differences: tuple[str, ...]

    @property
    def alike(self) -> bool:
        """Whether no difference was found."""
        return not self.differences


def compare_windows(seconds: npt.ArrayLike, start: int) -> WindowComparison:
    """Compare the 20 times from `start` on with the 20 after them, by the rule of pyperf's warm-up calibration.

    They are alike when the first time is no high outlier, the first mean lies between 50 % below and 10 % above the
    second, the median absolute deviations differ by 10 % at most and the quartiles by 5 % at most (pyperf,
    `WorkerTask.test_calibrate_warmups`). Spreads of twenty values scatter by more than that, so one failed comparison
    means little: `first_alike_windows` looks for a start that passes.

    Raises:
        InvalidInput: A time is not finite and above zero, or fewer than 40 of them follow `start`.
    """
    series = positive_samples(seconds, "The times of a window comparison")
    if start < 0 or start + 2 * WINDOW > series.size:
        raise InvalidInput(f"Two windows of {WINDOW} do not fit into {series.size} samples from {start} on.")
    first, second = series[start : start + WINDOW], series[start + WINDOW : start + 2 * WINDOW]
    lower, upper = np.quantile(series[start + 1 : start + 2 * WINDOW], [0.25, 0.75])
    (first_lower, first_upper), (second_lower, second_upper) = (np.quantile(w, [0.25, 0.75]) for w in (first, second))
    mean_change = _relative(float(first.mean()), float(second.mean()))
    findings = {
        "first value": first[0] > upper + 1.5 * (upper - lower),
        "mean": not -0.5 <= mean_change <= 0.1,
        "spread": abs(_relative(_median_deviation(first), _median_deviation(second))) > 0.1,
        "lower quartile": abs(_relative(first_lower, second_lower)) > 0.05,
        "upper quartile": abs(_relative(first_upper, second_upper)) > 0.05,
    }
    return WindowComparison(tuple(name for name, differs in findings.items() if differs))


def first_alike_windows(seconds: npt.ArrayLike, *, start: int = 0, limit: int = GIVE_UP_AT) -> int | None:
    """The first position from `start` on where two windows of 20 look alike; None when there is none before `limit`.

    Raises:
        InvalidInput: As `compare_windows`.
    """
    series = positive_samples(seconds, "The times of a window comparison")
    last = min(limit, series.size) - 2 * WINDOW
    return next((position for position in range(start, last + 1) if compare_windows(series, position).alike), None)


def _squared_standard_errors(means: FloatArray) -> FloatArray:
    """For each d: the sum of squared deviations of means[d:] divided by the square of their number."""
    centred = means - means.mean()
    remaining = np.arange(means.size, 0, -1)
    sums = np.cumsum(centred[::-1])[::-1]
    squares = np.cumsum(np.square(centred)[::-1])[::-1]
    errors: FloatArray = (squares - np.square(sums) / remaining) / np.square(remaining)
    return errors


def _median_deviation(samples: FloatArray) -> float:
    return float(np.median(np.abs(samples - np.median(samples))))


def _relative(first: float, second: float) -> float:
    """(first - second) / second; equal values do not differ, even if both are zero."""
    if first == second:
        return 0.0
    return float("inf") if second == 0 else (first - second) / second
