"""`tune`: a setting for a user's own database, found in a budget of seconds and confirmed by a second measurement.

1. Four batch sizes as fast as possible give the cost of a flush.
2. A simulation with that cost predicts the p99 and the throughput of flush intervals up to the target.
3. The predicted best is replayed with a shorter one, the prediction is corrected by what was measured, and its new
   best is replayed too, until that is among the measured ones.
4. The setting that the usual rule recommends among them is measured again on other arrivals, beside half and double.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TextIO

import numpy as np

from perflab.errors import InvalidInput
from perflab.lab.cost_model import CostModel
from perflab.lab.recommend import recommend
from perflab.lab.recommendation import NoRecommendation, Recommendation
from perflab.lab.scratch.directory import scratch_directory
from perflab.lab.statistics.percentiles import samples_needed
from perflab.lab.sweep.findings import Confirmation, Findings, confirm
from perflab.lab.sweep.measure import measure
from perflab.lab.sweep.plan import SweepPlan
from perflab.lab.sweep.run import MeasureCell, run_sweep
from perflab.lab.sweep.server import server_label
from perflab.lab.sweep.store import ResultsStore
from perflab.lab.tune.place import Place, open_place
from perflab.lab.tune.prediction import Prediction, batch_limit, choose, corrected, noise_of, predict_intervals
from perflab.lab.tune.request import FEWEST_BLOCKS, TuneRequest
from perflab.lab.tune.result import Tuning

COST_SIZES = (1, 10, 100, 1_000)
COST_BLOCKS = 3
COST_ITEMS = 100
"""Of single writes; other sizes have twenty batches."""
SHARE_OF_CAPACITY, MOST_DEFAULT_ARRIVALS = 1 / 3, 5_000.0
ITEMS_OF_A_REPLAY = 1.3 * samples_needed(0.99)
"""So that hardly any Poisson number of them is too few for a p99."""
LEAST_REPLAY_SECONDS = 0.2
MOST_INTERVALS = 4
"""Replayed in all, the first two at once."""
FIRST_STEP = 2
"""Steps of the ladder between the predicted best and the shorter interval that is looked at with it."""
CONFIRMED = 3
"""Settings of a confirmation, besides single items."""
ATTEMPTS = 2


def tune(
    request: TuneRequest,
    *,
    progress: TextIO | bool | None = True,
    clock: Callable[[], float] = time.perf_counter,
    measure_cell: MeasureCell = measure,
) -> Tuning:
    """Find and confirm a setting. Nothing is left in the database, also after Ctrl-C or an error.

    Args:
        request: what is asked.
        progress: as for `run_sweep`.
        clock: seconds, for the budget.
        measure_cell: as for `run_sweep`.

    Raises:
        InvalidInput: the URL is wrong, the user may not create a schema, or the budget is too short for the load.
        DatabaseUnusable: there is no such database, or it cannot be reached or written.
        MissingExtra: the driver of the engine is not installed.
        WrongAnswer: the database gave back other rows than were written.
    """
    with (
        open_place(request.url) as place,
        scratch_directory() as folder,
        ResultsStore(folder / "tune.duckdb") as store,
    ):
        return _Tuner(request, place, store, progress, clock, measure_cell).run()


@dataclass(frozen=True, slots=True)
class _Pace:
    """What measuring takes here, in seconds, from the visits so far."""

    overhead: float
    """Of a visit besides its replay: a fresh database, the check of its rows."""
    single: float
    """Of one flush of one item."""


@dataclass
class _Tuner:
    """One run: its parts in their order, and what they share."""

    request: TuneRequest
    place: Place
    store: ResultsStore
    progress: TextIO | bool | None
    clock: Callable[[], float]
    measure_cell: MeasureCell
    visits: int = 0

    def __post_init__(self) -> None:
        self._start = self._replays_began = self.clock()
        self._visits_before = 0

    def run(self) -> Tuning:
        cost, pace = self._measure_cost()
        model = cost.cost_model
        arrivals = self.request.arrivals or self._default_arrivals(cost)
        plan = self._replays(arrivals, pace)
        size = batch_limit(model, arrivals, self.request.latency_target)
        predictions = self._predict(cost, model, arrivals, size)
        self._replays_began, self._visits_before = self.clock(), self.visits
        plan = replace(plan, replay_batch_sizes=(size,))
        findings, recommendation = self._look(plan, predictions)
        confirmation: Confirmation | NoRecommendation = (
            recommendation
            if isinstance(recommendation, NoRecommendation)
            else self._confirm(recommendation, findings, pace)
        )
        return Tuning(
            request=self.request,
            engine=str(cost.environment["engine"]),
            arrivals=arrivals,
            cost=cost,
            predictions=predictions,
            findings=findings,
            recommendation=(recommendation if isinstance(confirmation, NoRecommendation) else confirmation.recommended),
            confirmation=confirmation,
            visits=self.visits,
            seconds=self.clock() - self._start,
        )

    def _measure_cost(self) -> tuple[Findings, _Pace]:
        plan = SweepPlan(
            name="cost of a flush",
            closed_loop_batch_sizes=COST_SIZES,
            blocks=COST_BLOCKS,
            closed_loop_items=COST_ITEMS,
            warm_up_items=COST_ITEMS,
            engine=self.place.engine,
            server=server_label(self.place.engine, self.place.url),
            seed=self.request.seed,
            durability=self.request.durability,
        )
        began = self.clock()
        findings = self._sweep(plan)
        seconds, visits = self.clock() - began, findings.visits
        overhead = max(0.0, seconds - float(visits["seconds"].sum())) / len(visits)
        return findings, _Pace(overhead, findings.cost_model.predict(1))

    def _default_arrivals(self, cost: Findings) -> float:
        capacity = float(cost.capacity["items_per_second"].max())
        return float(f"{min(MOST_DEFAULT_ARRIVALS, SHARE_OF_CAPACITY * capacity):.1e}")

    def _replays(self, arrivals: float, pace: _Pace) -> SweepPlan:
        """The plan of the replays, but for their settings: as many blocks as the budget has time for."""
        seconds = float(f"{max(LEAST_REPLAY_SECONDS, ITEMS_OF_A_REPLAY / arrivals):.3g}")
        visit = pace.overhead + seconds
        each = (MOST_INTERVALS + CONFIRMED) * visit
        left = self.request.budget - (self.clock() - self._start)
        blocks = math.floor(left / each)
        if blocks < FEWEST_BLOCKS:
            needed = self.request.budget - left + FEWEST_BLOCKS * each
            raise InvalidInput(
                f"a budget of {self.request.budget:g} s is too short: with {arrivals:,.0f} items per second a replay "
                f"of enough of them for a p99 takes {visit:.1f} s here, and all together {math.ceil(needed)} s; raise "
                "the budget, or the arrivals"
            )
        return SweepPlan(
            name="replays",
            replay_batch_sizes=(1,),
            replay_flush_intervals=(0.0,),
            blocks=min(self.request.blocks, blocks),
            replay_seconds=seconds,
            arrivals="independent",
            speed_up=arrivals,
            engine=self.place.engine,
            server=server_label(self.place.engine, self.place.url),
            seed=self.request.seed,
            durability=self.request.durability,
        )

    def _predict(self, cost: Findings, model: CostModel, arrivals: float, size: int) -> tuple[Prediction, ...]:
        full = cost.full_flushes
        noise = noise_of(full["seconds"].tolist(), full["items"].tolist(), model)
        return predict_intervals(model, noise, arrivals, self.request.latency_target, size, seed=self.request.seed)

    def _look(
        self, plan: SweepPlan, predictions: tuple[Prediction, ...]
    ) -> tuple[Findings, Recommendation | NoRecommendation]:
        """Replay the predicted best and a shorter interval, and then what the corrected prediction calls the best."""
        target = self.request.latency_target
        place = predictions.index(choose(predictions, target))
        intervals = {predictions[at].flush_interval for at in (place, max(0, place - FIRST_STEP))}
        while True:
            findings = self._sweep(replace(plan, replay_flush_intervals=tuple(sorted(intervals))))
            measured = {point.flush_interval_seconds: point.p99 if point.stable else None for point in findings.points}
            best = choose(corrected(predictions, measured, target), target).flush_interval
            has_time = self._left >= (1 + CONFIRMED) * plan.blocks * self._visit_seconds
            if best in intervals or len(intervals) == MOST_INTERVALS or not has_time:
                return findings, findings.recommend(target)
            intervals.add(best)

    def _confirm(self, recommendation: Recommendation, findings: Findings, pace: _Pace) -> Confirmation:
        """Measure it again; where it misses the target, a shorter interval that was measured, if there is time."""
        for attempt in range(ATTEMPTS):
            block, single = CONFIRMED * self._visit_seconds, self._single_seconds(findings.plan, pace)
            unbatched = self._left >= FEWEST_BLOCKS * (block + single)
            blocks = math.floor(self._left / (block + unbatched * single))
            plan = replace(
                findings.plan,
                seed=findings.plan.seed + attempt,
                blocks=min(findings.plan.blocks, max(FEWEST_BLOCKS, blocks)),
            )
            confirmation = confirm(recommendation, plan, unbatched=unbatched, **self._how)
            self.visits += plan.blocks * (CONFIRMED + unbatched)
            shorter = self._shorter(recommendation, findings)
            if confirmation.meets_target or shorter is None or self._left < FEWEST_BLOCKS * block:
                break
            recommendation = shorter
        return confirmation

    @property
    def _visit_seconds(self) -> float:
        """What a replay has taken on average."""
        return (self.clock() - self._replays_began) / max(1, self.visits - self._visits_before)

    def _single_seconds(self, plan: SweepPlan, pace: _Pace) -> float:
        """What a replay of single items takes: longer than others where the writer does not keep up."""
        return pace.overhead + max(plan.replay_seconds, pace.single * plan.replay_seconds * plan.speed_up)

    def _shorter(self, recommendation: Recommendation, findings: Findings) -> Recommendation | None:
        points = [
            point for point in findings.points if point.flush_interval_seconds < recommendation.flush_interval_seconds
        ]
        rng = np.random.default_rng(self.request.seed)
        found = recommend(points, self.request.latency_target, rng=rng) if points else None
        return found if isinstance(found, Recommendation) else None

    @property
    def _how(self) -> dict[str, Any]:
        return {
            "store": self.store,
            "url": self.place.url,
            "progress": self.progress,
            "measure_cell": self.measure_cell,
        }

    @property
    def _left(self) -> float:
        return self.request.budget - (self.clock() - self._start)

    def _sweep(self, plan: SweepPlan) -> Findings:
        self.visits += run_sweep(plan, **self._how).measured
        return Findings(plan, self.store)
