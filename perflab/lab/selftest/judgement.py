"""What experiments with known answers say of the machine, and of the procedure on it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

from perflab.lab.noise import Noise
from perflab.lab.quantities import format_factor, format_percent
from perflab.lab.statistics.inputs import FloatArray
from perflab.lab.statistics.intervals import Estimate, geometric_mean_interval
from perflab.lab.statistics.power import blocks_for
from perflab.lab.statistics.proportion import proportion_interval, too_many_p_value
from perflab.lab.statistics.ratio import Ratio, Verdict, minimum_detectable_difference

PROMISED_FALSE_ALARMS = 0.05
"""Of the intervals, which are of 95 %."""
TOO_MANY_LIMIT = 0.05
"""Below this chance of as many false alarms, the promise counts as broken."""
WANTED_POWER = 0.8


class Outcome(enum.StrEnum):
    """What a self-test comes to."""

    PASSED = "passed"
    FALSE_ALARMS = "false alarms"
    """Differences were found where there are none, more often than promised: no verdict here can be relied on."""
    TOO_NOISY = "too noisy"
    """The known difference was missed too often: with so few blocks, "no difference" says little here."""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """The experiments and what follows from them.

    Attributes:
        work: What all arms do.
        engine: What they wrote to.
        effect: The known difference, 0.05 for 5 %.
        blocks: Of each experiment.
        same: Time of the same work over that of the work, one for each experiment. The truth is 1.
        slower: Of the slowed work, likewise. The truth is 1 + effect.
        log_ratios: Of the same work, one for each block of all experiments.
        noise: How quiet the machine was.
    """

    work: str
    engine: str
    effect: float
    blocks: int
    same: tuple[Ratio, ...]
    slower: tuple[Ratio, ...]
    log_ratios: tuple[float, ...]
    noise: Noise

    @property
    def alarms(self) -> int:
        """Experiments that found a difference where there is none."""
        return sum(ratio.verdict in {Verdict.HIGHER, Verdict.LOWER} for ratio in self.same)

    @property
    def false_alarm_rate(self) -> Estimate:
        """Their share, with its exact interval."""
        return proportion_interval(self.alarms, len(self.same))

    @property
    def power(self) -> Estimate:
        """The share of experiments that found the known difference, on its right side."""
        return proportion_interval(sum(ratio.verdict is Verdict.HIGHER for ratio in self.slower), len(self.slower))

    @property
    def coverage(self) -> Estimate:
        """The share of all intervals that hold the truth; it should be 95 %."""
        truths = [(1.0, ratio) for ratio in self.same] + [(1 + self.effect, ratio) for ratio in self.slower]
        return proportion_interval(sum(ratio.low <= truth <= ratio.high for truth, ratio in truths), len(truths))

    @property
    def bias(self) -> Estimate:
        """The same work over the work, over the blocks of all experiments."""
        return geometric_mean_interval(np.exp(self.log_ratios))

    @property
    def deviation(self) -> float:
        """Standard deviation of the log ratios of two blocks of equal work: median over the experiments.

        A stall of the machine then spoils the experiment that it fell into, and not the picture of all others.
        """
        return float(np.median([np.std(part, ddof=1) for part in self._parts]))

    @property
    def smallest_detectable(self) -> float:
        """The relative difference that so many blocks find with a chance of 80 %: median over the experiments."""
        return float(np.median([minimum_detectable_difference(part) for part in self._parts]))

    @property
    def _parts(self) -> list[FloatArray]:
        """The log ratios of each experiment."""
        return list(np.array(self.log_ratios).reshape(-1, self.blocks))

    def blocks_for(self, effect: float) -> int | None:
        """How many blocks find a difference with a chance of 80 % in the noise of this machine; None if none do."""
        return blocks_for(effect, self.deviation, wanted=WANTED_POWER)

    @property
    def outcome(self) -> Outcome:
        """The judgement.

        False alarms count as too many when the promised 5 % would bring so many in fewer than one self-test of twenty.
        """
        if too_many_p_value(self.alarms, len(self.same), PROMISED_FALSE_ALARMS) < TOO_MANY_LIMIT:
            return Outcome.FALSE_ALARMS
        return Outcome.PASSED if self.power.value >= WANTED_POWER else Outcome.TOO_NOISY

    def describe(self) -> list[str]:
        """Sentences: what was found, and what to make of it."""
        count = len(self.same)
        effect = format_percent(self.effect)
        needed = [(size, self.blocks_for(size)) for size in sorted({0.02, self.effect, 0.1})]
        table = ", ".join(f"{format_percent(size)}: {_blocks(blocks)}" for size, blocks in needed)
        alarms = (
            f"Equal work was told apart in {self.alarms} of {count} experiments of {self.blocks} blocks: "
            f"{_share(self.false_alarm_rate)} false alarms, {PROMISED_FALSE_ALARMS:.0%} are promised."
        )
        found = (
            f"A difference of {effect} was found in {round(self.power.value * count)} of {count}: power "
            f"{_share(self.power)}."
        )
        covered = f"{_share(self.coverage)} of the 95% intervals hold the true ratio."
        bias = (
            f"Over all {len(self.log_ratios)} blocks equal work differs by a factor of "
            f"{format_factor(self.bias.value)} [{format_factor(self.bias.low)}, {format_factor(self.bias.high)}]; "
            f"single blocks of a typical experiment scatter by {format_percent(self.deviation)}."
        )
        smallest = (
            f"{self.blocks} blocks find {format_percent(self.smallest_detectable)} and more with a chance of "
            f"{WANTED_POWER:.0%}. Blocks that it takes to find {table}."
        )
        return [alarms, found, covered, bias, smallest, self.noise.describe(), self._advice]

    @property
    def _advice(self) -> str:
        match self.outcome:
            case Outcome.PASSED:
                return "Passed: verdicts on this machine mean what they say."
            case Outcome.FALSE_ALARMS:
                return (
                    "Failed: differences are found where there are none. Something favours one arm or changes during a "
                    "block: stop what else runs, and run this again before you believe any verdict here."
                )
            case Outcome.TOO_NOISY:
                blocks = self.blocks_for(self.effect)
                more = "quieten the machine" if blocks is None else f"take {blocks} blocks, or quieten the machine"
                return (
                    f"Too noisy: {format_percent(self.effect)} is missed too often with {self.blocks} blocks; {more}."
                )


def _blocks(count: int | None) -> str:
    return "no number of them" if count is None else f"{count:,}"


def _share(estimate: Estimate) -> str:
    low, high = format_percent(estimate.low), format_percent(estimate.high)
    return f"{format_percent(estimate.value)} [{low}, {high}]"
