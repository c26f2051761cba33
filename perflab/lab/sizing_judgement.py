"""Whether a policy reaches what the best fixed setting does, within its latency target, load by load."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from perflab.lab.markdown_table import markdown_table
from perflab.lab.plots.wording import times_interval
from perflab.lab.quantities import format_percent, format_rate, format_seconds, format_seconds_interval
from perflab.lab.statistics.intervals import Estimate
from perflab.lab.statistics.ratio import Ratio
from perflab.lab.sweep.sizing_findings import Arm, SizingFindings

REACHED = 0.95
"""Share of the best fixed setting's throughput that counts as reaching it."""


class Judgement(StrEnum):
    """What the intervals say about a promise."""

    MET = "met"
    NOT_MET = "not met"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True)
class JudgedLoad:
    """A policy under one load, against the best of the fixed settings that keep its latency target.

    Attributes:
        load: Name of the load.
        target: Seconds, of the p99.
        best: The fixed setting of the highest throughput among those within the target; where none is, of all.
        policy: What is judged.
        throughput: Policy over best, paired by block.
        fixed: Fixed settings in all.
        fixed_within: Those whose p99 is within the target.
    """

    load: str
    target: float
    best: Arm
    policy: Arm
    throughput: Ratio
    fixed: int
    fixed_within: int

    @property
    def reaches(self) -> Judgement:
        """Whether it has 95 % of the throughput of the best."""
        return _judged(self.throughput.low >= REACHED, self.throughput.high < REACHED)

    @property
    def in_time(self) -> Judgement:
        """Whether its p99 is within the target. What did not keep up in every block is not."""
        p99 = self.policy.p99
        return Judgement.NOT_MET if p99 is None else _judged(p99.high <= self.target, p99.low > self.target)

    @property
    def verdict(self) -> Judgement:
        """Both of them."""
        both = {self.reaches, self.in_time}
        return _judged(both == {Judgement.MET}, Judgement.NOT_MET in both)


def judge(findings: SizingFindings, sizing: str = "adaptive") -> list[JudgedLoad]:
    """Judge a policy under each load that has latencies, in the order of the plans."""
    return [
        _judge(findings, load, sizing)
        for load, plan in findings.plans.items()
        if plan.replay_batch_sizes or plan.closed_loop_clients
    ]


def judgement_table(judged: Sequence[JudgedLoad]) -> str:
    """As a Markdown table."""
    header = [
        "load",
        "best fixed",
        "adaptive",
        "ratio",
        "p99 of best",
        "p99 of adaptive",
        "load late",
        "fixed in time",
        "verdict",
    ]
    rows = [
        (
            one.load,
            f"{format_rate(one.best.items_per_second.value)} ({one.best.label})",
            format_rate(one.policy.items_per_second.value),
            times_interval(one.throughput.value, one.throughput.low, one.throughput.high),
            _p99(one.best.p99),
            _p99(one.policy.p99),
            "" if one.policy.lag_p99 is None else format_seconds(one.policy.lag_p99),
            f"{one.fixed_within} of {one.fixed}",
            f"**{one.verdict}**",
        )
        for one in judged
    ]
    return markdown_table(header, rows)


def met_under(judged: Sequence[JudgedLoad]) -> str:
    """`"under 5 of 7 loads"`."""
    return f"under {sum(one.verdict is Judgement.MET for one in judged)} of {len(judged)} loads"


def judgement_reading(judged: Sequence[JudgedLoad]) -> str:
    """The table in words: where both is met, and what is missing elsewhere."""
    target = format_seconds(judged[0].target)
    promise = f"{format_percent(REACHED)} of the throughput of the best fixed setting, with a p99 within {target}"
    verdict = f"Adaptive sizing reaches {promise}, {met_under(judged)}."
    return " ".join([verdict, *(_exception(one) for one in judged if one.verdict is not Judgement.MET)])


def _judge(findings: SizingFindings, load: str, sizing: str) -> JudgedLoad:
    arms = [arm for arm in findings.arms if arm.load == load]
    fixed = [arm for arm in arms if arm.cell.sizing == "fixed"]
    within = [arm for arm in fixed if arm.p99 is not None and arm.p99.value <= findings.target]
    best = max(within or fixed, key=lambda arm: arm.items_per_second.value)
    (policy,) = (arm for arm in arms if arm.cell.sizing == sizing)
    return JudgedLoad(
        load=load,
        target=findings.target,
        best=best,
        policy=policy,
        throughput=findings.ratio(policy, best, "items_per_second"),
        fixed=len(fixed),
        fixed_within=len(within),
    )


def _judged(met: bool, missed: bool) -> Judgement:  # two findings, and not two flags
    return Judgement.MET if met else Judgement.NOT_MET if missed else Judgement.CANNOT_TELL


def _exception(one: JudgedLoad) -> str:
    faults = []
    if one.reaches is not Judgement.MET:
        ratio = times_interval(one.throughput.value, one.throughput.low, one.throughput.high)
        faults.append(f"it has {ratio} times the throughput of {one.best.label}")
    if one.in_time is not Judgement.MET:
        p99 = "it did not keep up in every block" if one.policy.p99 is None else f"its p99 is {_p99(one.policy.p99)}"
        late = (
            "" if one.policy.lag_p99 is None else f" (the load itself came {format_seconds(one.policy.lag_p99)} late)"
        )
        faults.append(
            f"{p99}{late}, and {one.fixed_within or 'none'} of {one.fixed} fixed settings kept within the target"
        )
    return f"{one.load}: {one.verdict}, for {'; and '.join(faults)}."


def _p99(estimate: Estimate | None) -> str:
    if estimate is None:
        return "did not keep up"
    if not math.isfinite(estimate.high):
        return format_seconds(estimate.value)
    return format_seconds_interval(estimate.value, estimate.low, estimate.high)
