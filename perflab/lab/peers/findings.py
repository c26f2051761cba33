"""What the visits say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from perflab.lab.peers.catalogue import queues_of
from perflab.lab.peers.peer import Card
from perflab.lab.peers.plan import MEASURES, PROMISES, Measure, PeersPlan, Promise
from perflab.lab.statistics.intervals import Estimate, geometric_mean_interval
from perflab.lab.statistics.percentiles import PercentileReading, percentile
from perflab.lab.statistics.ratio import Ratio, paired_ratio
from perflab.lab.sweep.environment import Environment

PromiseVerdict = Literal["kept", "missed", "beyond the raw driver", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a promise.

    Attributes:
        promise: What was promised.
        ratio: How many times as fast as the peer ours is.
        limit: How many times as fast SQL by hand on the raw driver is, at the same durability; None: not measured.
    """

    promise: Promise
    ratio: Ratio
    limit: Ratio | None

    @property
    def verdict(self) -> PromiseVerdict:
        """By the intervals. What the raw driver itself does not reach was promised too high, and is not missed."""
        if self.ratio.low >= self.promise.factor:
            return "kept"
        if self.ratio.high >= self.promise.factor:
            return "inconclusive"
        is_beyond = self.limit is not None and self.limit.high < self.promise.factor
        return "beyond the raw driver" if is_beyond else "missed"


class PeersFindings:
    """Tables made of the visits.

    Attributes:
        plan: What was measured.
        visits: One row for each visit: block, queue, what (drain or latency), measured_at, jobs, runs (handlers that
            were called), and of a drain the seconds per job of each measure, of a latency the list of seconds.
        reasons: By the name of a queue, why it has no figures.
        environment: On what.
    """

    def __init__(
        self,
        plan: PeersPlan,
        visits: Sequence[Mapping[str, Any]],
        reasons: Mapping[str, str],
        environment: Environment,
    ) -> None:
        self.plan = plan
        self.visits = pd.DataFrame(visits)
        self.reasons = dict(reasons)
        self.environment = environment

    @cached_property
    def cards(self) -> list[Card]:
        """Of the queues that have figures."""
        measured = set(self.visits["queue"])
        return [queue.card for queue in queues_of(self.plan.engine) if queue.card.name in measured]

    @property
    def missing_cards(self) -> list[Card]:
        """Of those that have a reason instead."""
        return [queue.card for queue in queues_of(self.plan.engine) if queue.card.name in self.reasons]

    def _seconds(self, queue: str, measure: Measure) -> np.ndarray[Any, np.dtype[np.float64]]:
        drains = self.visits[(self.visits["queue"] == queue) & (self.visits["what"] == "drain")]
        return drains.sort_values("block")[measure].dropna().to_numpy(float)

    def seconds_per_job(self, queue: str, measure: Measure) -> Estimate | None:
        """Geometric mean over the blocks; None where the queue has no such call."""
        seconds = self._seconds(queue, measure)
        return geometric_mean_interval(seconds) if seconds.size else None

    def ours_beside(self, card: Card) -> str:
        """Which of ours a queue is held against: that of its durability, which deletes finished jobs, too."""
        return next(
            ours.name
            for ours in (queue.card for queue in queues_of(self.plan.engine))
            if ours.role == "ours" and ours.durability == card.durability
        )

    def times_faster(self, ours: str, queue: str, measure: Measure) -> Ratio | None:
        """Seconds per job of a queue ÷ ours, paired by block; None where one of them has none."""
        slow, fast = self._seconds(queue, measure), self._seconds(ours, measure)
        if not slow.size or not fast.size:
            return None
        return paired_ratio(slow, fast, rng=np.random.default_rng(slow.size))

    @cached_property
    def costs(self) -> pd.DataFrame:
        """One row for each queue and measure that it has.

        Columns: queue, role, measure, jobs (of a visit), seconds_per_job and its _low and _high, jobs_per_second,
        ours, times_faster (ours against it) and its _low and _high, blocks.
        """
        rows = []
        for card in self.cards:
            for measure in MEASURES:
                estimate = self.seconds_per_job(card.name, measure)
                if estimate is None:
                    continue
                ours = self.ours_beside(card)
                ratio = self.times_faster(ours, card.name, measure)
                assert ratio is not None  # ours has all measures
                rows.append(
                    {
                        "queue": card.name,
                        "role": card.role,
                        "measure": measure,
                        "jobs": self.plan.jobs_for(card.slowness),
                        "seconds_per_job": estimate.value,
                        "seconds_per_job_low": estimate.low,
                        "seconds_per_job_high": estimate.high,
                        "jobs_per_second": 1 / estimate.value,
                        "ours": ours,
                        "times_faster": ratio.value,
                        "times_faster_low": ratio.low,
                        "times_faster_high": ratio.high,
                        "blocks": estimate.n,
                    }
                )
        return pd.DataFrame(rows)

    @cached_property
    def fastest_peer(self) -> Card | None:
        """At draining; None: no other queue was measured."""
        drains = self.costs[(self.costs["measure"] == "drain") & (self.costs["role"] == "peer")]
        if drains.empty:
            return None
        name = drains.sort_values("jobs_per_second")["queue"].iloc[-1]
        return next(card for card in self.cards if card.name == name)

    def drained_times_faster(self, card: Card) -> Ratio:
        """Of ours of the same durability against a queue that was measured."""
        ratio = self.times_faster(self.ours_beside(card), card.name, "drain")
        assert ratio is not None  # every visit drains
        return ratio

    def limit_beside(self, card: Card) -> str | None:
        """The loop on the raw driver that a queue is held against: that of its durability; None: not measured."""
        limits = (each for each in self.cards if each.role == "limit" and each.durability == card.durability)
        return next((each.name for each in limits), None)

    @cached_property
    def judgements(self) -> list[Judgement]:
        """Of the promises on this engine that were measured."""
        found = []
        measured = {card.name: card for card in self.cards}
        for promise in PROMISES:
            if {promise.peer, promise.ours} <= measured.keys():
                ratio = self.times_faster(promise.ours, promise.peer, promise.measure)
                assert ratio is not None  # promises are made where there is a call
                raw = self.limit_beside(measured[promise.ours])
                limit = self.times_faster(raw, promise.peer, promise.measure) if raw else None
                found.append(Judgement(promise, ratio, limit))
        return found

    @cached_property
    def latencies(self) -> dict[str, dict[float, PercentileReading]]:
        """By queue and fraction: p50 and p99 of all blocks together, where there are enough samples."""
        found = {}
        for card in self.cards:
            visits = self.visits[(self.visits["queue"] == card.name) & (self.visits["what"] == "latency")]
            if len(visits):
                samples = np.concatenate([np.asarray(each, float) for each in visits["latencies"]])
                found[card.name] = {fraction: percentile(samples, fraction) for fraction in (0.5, 0.99)}
        return found
