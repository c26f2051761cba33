"""What tuning found, in figures and in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from perflab.lab.plots.wording import times_interval
from perflab.lab.quantities import (
    format_count,
    format_percent,
    format_rate,
    format_rate_interval,
    format_seconds,
    format_seconds_interval,
)
from perflab.lab.recommendation import NoRecommendation, Recommendation, in_words
from perflab.lab.statistics.ratio import Ratio, paired_ratio
from perflab.lab.sweep.findings import Confirmation, Findings
from perflab.lab.tune.prediction import Prediction
from perflab.lab.tune.request import TuneRequest
from perflab.lab.verdict import paste_lines


@dataclass(frozen=True)
class Tuning:
    """A recommendation for one database, with all that it rests on.

    Attributes:
        request: What was asked.
        engine: The engine and its version.
        arrivals: Items per second that were replayed.
        cost: The closed loop that gave the cost of a flush.
        predictions: What flush intervals would do by that cost, by rising interval.
        findings: The replayed intervals.
        recommendation: The setting, or why there is none.
        confirmation: The second measurement of it; the same reason where there is none.
        visits: Measurements made.
        seconds: All of it took.
    """

    request: TuneRequest
    engine: str
    arrivals: float
    cost: Findings
    predictions: tuple[Prediction, ...]
    findings: Findings
    recommendation: Recommendation | NoRecommendation
    confirmation: Confirmation | NoRecommendation
    visits: int
    seconds: float

    @property
    def confirmed(self) -> bool:
        """Whether there is a setting, and its second measurement met the target."""
        return isinstance(self.confirmation, Confirmation) and self.confirmation.meets_target

    @cached_property
    def predicted_gain(self) -> Ratio | None:
        """Throughput of the writer with the recommended setting over single writes, by the cost model.

        None where nothing is recommended, or where the noise of a block leaves no cost of a single write.
        """
        if isinstance(self.recommendation, NoRecommendation):
            return None
        model = self.cost.cost_model
        batch = min(max(1.0, self.recommendation.mean_batch), model.batch_sizes[-1])
        together, single = (np.array(model.predict_by_block(size)) for size in (batch, 1.0))
        if (together <= 0).any() or (single <= 0).any():
            return None
        return paired_ratio(batch / together, 1 / single, rng=np.random.default_rng(self.request.seed))

    @property
    def paste(self) -> str:
        """The lines of Python that put it to work."""
        return paste_lines(self.recommendation)

    def describe(self) -> list[str]:
        """What to tell a reader, a paragraph each."""
        return [self._setting, *self._gain, *self._neighbours, self.cost.cost_model.describe()]

    @property
    def measured(self) -> str:
        """What was measured, and for how long."""
        return (
            f"{self.engine}: {format_count(self.visits)} measurements in {self.seconds:.0f} s, at "
            f"{format_rate(self.arrivals)} of independent arrivals"
        )

    @property
    def _setting(self) -> str:
        target = format_seconds(self.request.latency_target)
        if not isinstance(self.confirmation, Confirmation):
            return self.confirmation.describe()
        chosen, p99 = self.confirmation.recommended, self.confirmation.p99
        setting = f"Send at {in_words(chosen.batch_size, chosen.flush_interval_seconds)}."
        if p99 is None:
            return f"{setting} NOT confirmed: measured again, the writer did not keep up."
        again = f"p99 {format_seconds_interval(p99.value, p99.low, p99.high)} against a target of {target}"
        rate = self.confirmation.throughput
        return (
            f"{setting} {'Confirmed' if self.confirmed else 'NOT confirmed'} by a second measurement: {again}, "
            f"{format_rate_interval(rate.value, rate.low, rate.high)} of writer time "
            f"({format_percent(self.confirmation.prediction_error, signed=True)} against the first), batches of "
            f"{format_count(chosen.mean_batch)} on average."
            f"{'' if self.confirmed else ' A larger budget, a quieter moment or a longer target would help.'}"
        )

    @property
    def _gain(self) -> list[str]:
        gain, confirmation = self.predicted_gain, self.confirmation
        if gain is None:
            return []
        sentence = f"Predicted gain over single writes: {_times(gain)} the throughput"
        measured = confirmation.against_unbatched if isinstance(confirmation, Confirmation) else None
        return [f"{sentence}; measured: {_times(measured)}." if measured else f"{sentence}."]

    @property
    def _neighbours(self) -> list[str]:
        if not isinstance(self.confirmation, Confirmation):
            return []
        size = self.confirmation.recommended.batch_size
        pairs = (
            (f"half the batch size ({max(1, size // 2):,})", self.confirmation.against_half),
            (f"double ({2 * size:,})", self.confirmation.against_double),
        )
        found = [f"{_times(ratio)} that of {name}" for name, ratio in pairs if ratio is not None]
        return [f"Its throughput is {' and '.join(found)}."] if found else []


def _times(ratio: Ratio) -> str:
    if math.isinf(ratio.high):
        return f"{ratio.value:.3g} times"
    return f"{times_interval(ratio.value, ratio.low, ratio.high)} times"
