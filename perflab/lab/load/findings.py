"""What a load came to, in numbers: response, service and lag side by side, or why there are none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from perflab.batching.histogram import Histogram, quantiles_of
from perflab.lab.load.consumer import Completed
from perflab.lab.load.generator import SelfCheck
from perflab.lab.load.observed import Observed, histogram_of, merged
from perflab.lab.load.plan import LoadPlan
from perflab.lab.load.stability import Stability, judge_stability
from perflab.lab.statistics.percentiles import PercentileReading, histogram_percentile
from perflab.lab.sweep.environment import Environment
from perflab.lab.workloads.arrivals import Offsets

FRACTIONS = (0.5, 0.9, 0.99, 0.999)
FIT_SHARE = 0.10
"""The generator's own lateness may be at most this share of the median response."""


@dataclass(frozen=True)
class LoadFindings:
    """Times are seconds.

    Attributes:
        plan: What was asked for.
        environment: Where it was measured.
        checks: Of each generator, before the load.
        seen: By all generators.
        completed: By each consumer; empty without workers.
        window_moments: Where each window begins, seconds from the start of the schedule.
        offered: Arrivals of the measured part of the schedule.
        length: Of the measured part of the schedule, seconds.
        clocks: What is known of the clocks of other machines, one line for each; empty on this one alone.
    """

    plan: LoadPlan
    environment: Environment
    checks: Sequence[SelfCheck]
    seen: Observed
    completed: Sequence[Completed]
    window_moments: Offsets
    offered: int
    length: float
    clocks: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        return self.plan.clients is None

    @property
    def offered_per_second(self) -> float:
        """Of an open loop. A closed one offers what it gets done."""
        return self.offered / self.length

    @property
    def achieved_per_second(self) -> float:
        """Measured items over the time from the end of the warm-up to the end of the last of them, if that is later."""
        return self.seen.measured / max(self.length, self.seen.last_end - self.plan.warm_up_seconds)

    @cached_property
    def stability(self) -> Stability | None:
        """Of what was written; None of a closed loop, which cannot be overloaded."""
        return self._judge(self.seen.windows, self.seen.last_end, self.seen.unsent) if self.is_open else None

    @cached_property
    def completion(self) -> Histogram:
        """From the intended moment of a job to the end of its handler."""
        return merged(one.observed.response for one in self.completed)

    @cached_property
    def completion_stability(self) -> Stability | None:
        """Whether the workers kept up; None without workers, and of a closed loop."""
        if not self.completed or not self.is_open:
            return None
        windows = [merged(parts) for parts in zip(*(one.observed.windows for one in self.completed), strict=True)]
        last_end = max(one.observed.last_end for one in self.completed)
        return self._judge(windows, last_end, 0)

    @property
    def stable(self) -> bool:
        """Whether writers and workers kept up."""
        return all(one is None or one.stable for one in (self.stability, self.completion_stability))

    @cached_property
    def generator_lag(self) -> Histogram:
        """Of all generators in their self-check: what they are late without any work."""
        return merged(histogram_of(check.lags) for check in self.checks)

    @property
    def generator_share(self) -> float | None:
        """The generator's own lateness (p99, or the highest known percentile below) over the median response.

        Above `FIT_SHARE` the figures are of the generator as much as of its subject. None where there is no median.
        """
        median = histogram_percentile(self.seen.response, 0.5).estimate
        late = self.generator_late
        return None if median is None or late is None else late / median.value

    @property
    def generator_late(self) -> float | None:
        """That lateness, seconds; None of a closed loop, which is never late."""
        readings = [histogram_percentile(self.generator_lag, fraction) for fraction in (0.99, 0.9, 0.5)]
        found = next((reading.estimate for reading in readings if reading.estimate is not None), None)
        return found.value if self.is_open and found is not None else None

    @property
    def failed(self) -> Counter[str]:
        """Failed items, by the type of their error."""
        return self.seen.failed

    def series(self) -> dict[str, Histogram]:
        """Histograms by name; empty where the load was more than could be taken: they would be of the run's length."""
        if self.stability is not None and not self.stability.stable:
            return {}
        found = {"response": self.seen.response}
        if self.is_open:
            found |= {"service": self.seen.service, "lag": self.seen.lag}
        if self.completed and (self.completion_stability is None or self.completion_stability.stable):
            found["completion"] = self.completion
        return found

    def readings(self) -> dict[str, list[PercentileReading]]:
        """Percentiles of each series, or why there is none."""
        return {
            name: [histogram_percentile(histogram, fraction) for fraction in FRACTIONS]
            for name, histogram in self.series().items()
        }

    def _judge(self, windows: Sequence[Histogram], last_end: float, unsent: int) -> Stability:
        medians = {
            moment: quantiles_of([window]).p50
            for moment, window in zip(self.window_moments.tolist(), windows, strict=True)
            if window.counts
        }
        late = last_end - self.plan.warm_up_seconds - self.length
        return judge_stability(
            list(medians), list(medians.values()), length_seconds=self.length, late_seconds=late, unsent=unsent
        )
