"""What batching does to items that arrive at random: mean batch, delay, load and latency, from formulas.

Items arrive as a Poisson stream. The first one opens a window; it closes at `batch_size` items or after the flush
interval, whichever is first, and the batch is then flushed by one writer, in order. A flush of b items costs
alpha + beta b seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from perflab.errors import InvalidInput
from perflab.lab.statistics.inputs import FloatArray, IntArray, require_positive


@dataclass(frozen=True, slots=True)
class Arrivals:
    """A Poisson stream that is batched by size and by time.

    Attributes:
        rate_per_second: Items per second.
        batch_size: Items at which a window closes.
        flush_interval_seconds: Age of its first item at which it closes; infinity for never, 0 for at once.

    Raises:
        InvalidInput: The rate is not finite and above zero, the batch size is below one, or the interval is negative.
    """

    rate_per_second: float
    batch_size: int
    flush_interval_seconds: float

    def __post_init__(self) -> None:
        require_positive(self.rate_per_second, "rate_per_second")
        if self.batch_size < 1:
            raise InvalidInput(f"batch_size must be at least 1, got {self.batch_size}.")
        if not self.flush_interval_seconds >= 0:
            raise InvalidInput(f"flush_interval_seconds must not be negative, got {self.flush_interval_seconds}.")

    @property
    def mean_batch(self) -> float:
        """E[min(b, 1 + N)], where N is Poisson with mean m = rate times interval."""
        return 1 + float(self._later_arrivals.sum())

    @property
    def batch_variance(self) -> float:
        """Variance of the same, in items squared."""
        later = self._later_arrivals
        square = float(((2 * np.arange(later.size) + 1) * later).sum())
        return max(0.0, square - float(later.sum()) ** 2)

    @property
    def size_trigger_share(self) -> float:
        """P(N >= b - 1): the share of windows that close because they are full."""
        if self.batch_size == 1:
            return 1.0
        return float(self._later_arrivals[-1])

    @property
    def batching_delay_seconds(self) -> float:
        """Mean time from an item's arrival to the end of its window.

        All the waiting in one window, over its mean batch: (1/rate) sum_{j=0}^{b-2} (j + 1) P(N > j) / E[batch]. It
        tends to (b - 1)/(2 rate) when windows fill up, and to (t + m t/2)/(1 + m) when the interval t ends them.
        """
        later = self._later_arrivals
        waiting = float(((np.arange(later.size) + 1) * later).sum())
        return waiting / self.rate_per_second / self.mean_batch

    @property
    def window_variation(self) -> float:
        """Squared coefficient of variation of the time from one batch to the next.

        The time is the wait for a first item, exponential, and then the window. It is 1/b when windows fill up.
        """
        later = self._later_arrivals
        order = np.arange(later.size)
        mean = 1 + float(later.sum())
        square = 2 * float(((order + 1) * self._more_than(order + 1)).sum())
        return (1 + square - float(later.sum()) ** 2) / mean**2

    @property
    def _later_arrivals(self) -> FloatArray:
        """P(N > j) for j = 0 ... b - 2: the chance that item j + 2 of a full batch comes in time."""
        return self._more_than(np.arange(self.batch_size - 1))

    def _more_than(self, count: IntArray) -> FloatArray:
        expected = self.rate_per_second * self.flush_interval_seconds
        if math.isinf(expected):
            return np.ones(count.size)
        return np.asarray(special.pdtrc(count, expected), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class LatencyPrediction:
    """Where the mean latency of an item comes from.

    Attributes:
        mean_batch: Items per flush.
        utilisation: Share of time that the writer is busy; at 1 or more the queue of batches grows without end.
        delay_seconds: Waiting for the batch to be complete.
        queue_seconds: Waiting for earlier batches; infinite at a utilisation of 1 or more.
        flush_seconds: The flush itself, as an item sees it: large batches hold more of the items.
    """

    mean_batch: float
    utilisation: float
    delay_seconds: float
    queue_seconds: float
    flush_seconds: float

    @property
    def stable(self) -> bool:
        """Whether the writer keeps up with the batches as they are formed."""
        return self.utilisation < 1

    @property
    def mean_latency_seconds(self) -> float:
        """From the arrival of an item to the end of its flush."""
        return self.delay_seconds + self.queue_seconds + self.flush_seconds


def smallest_stable_batch(rate_per_second: float, *, alpha: float, beta: float) -> float:
    """The batch above which one writer keeps up: rate alpha/(1 - rate beta), and infinity when no batch is enough.

    Args:
        rate_per_second: Items per second.
        alpha: Seconds per flush.
        beta: Seconds per item.

    Raises:
        InvalidInput: The rate is not above zero, or a cost is negative.
    """
    require_positive(rate_per_second, "rate_per_second")
    _require_costs(alpha, beta)
    spare = 1 - rate_per_second * beta
    return rate_per_second * alpha / spare if spare > 0 else math.inf


def predict_latency(
    arrivals: Arrivals, *, alpha: float, beta: float, flush_variation: float = 0.0
) -> LatencyPrediction:
    """Mean latency of an item under `arrivals`, with a writer that costs alpha + beta b seconds per flush.

    Batches queue for the writer as they were formed, and their mean wait is that of a GI/G/1 queue by Kingman's
    formula, rho/(1 - rho) (ca^2 + cs^2)/2 S (J. F. C. Kingman, "The Single Server Queue in Heavy Traffic", 1961). It
    errs on the high side here, because batches come more regularly than single items: at a utilisation of 0.8 by 5 %
    of the latency or so, with batches of ten. Above that, measure. A writer that lets late items join a waiting batch
    does better than this.

    Args:
        arrivals: The stream and its batching.
        alpha: Seconds per flush.
        beta: Seconds per item.
        flush_variation: Squared coefficient of variation of the flush time of batches of one size.

    Raises:
        InvalidInput: A cost or the variation is negative or not finite.
    """
    _require_costs(alpha, beta)
    if not 0 <= flush_variation < math.inf:
        raise InvalidInput(f"flush_variation must be finite and not negative, got {flush_variation}.")
    batch, variance = arrivals.mean_batch, arrivals.batch_variance
    service = alpha + beta * batch
    utilisation = arrivals.rate_per_second * service / batch
    service_variation = beta**2 * variance / service**2 + flush_variation
    return LatencyPrediction(
        mean_batch=batch,
        utilisation=utilisation,
        delay_seconds=arrivals.batching_delay_seconds,
        queue_seconds=_queue_seconds(utilisation, arrivals.window_variation, service_variation, service),
        flush_seconds=alpha + beta * (batch + variance / batch),
    )


def _queue_seconds(utilisation: float, arrival_variation: float, service_variation: float, service: float) -> float:
    if utilisation >= 1:
        return math.inf
    return utilisation / (1 - utilisation) * (arrival_variation + service_variation) / 2 * service


def _require_costs(alpha: float, beta: float) -> None:
    if not (0 <= alpha < math.inf and 0 <= beta < math.inf and alpha + beta > 0):
        raise InvalidInput(f"alpha and beta are seconds, not negative and not both zero; got {alpha} and {beta}.")
