"""Whether `tune` finds in a tenth of the time what the full grid finds: `python -m perflab.lab.tune.proof`.

The grid is that of the profile "full": each of its batch sizes is replayed with each of its flush intervals, at the
same arrivals. Tuning then gets a tenth of the seconds that the grid took. The best of so many settings looks
better than it is, so both settings are measured once more, side by side on other arrivals, and judged by that.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from perflab.database.database import Database
from perflab.lab.grid_points import GridPoint
from perflab.lab.markdown_table import markdown_table
from perflab.lab.plots.wording import times_interval
from perflab.lab.quantities import (
    format_percent,
    format_rate_interval,
    format_seconds,
    format_seconds_interval,
    parse_seconds,
)
from perflab.lab.recommendation import NoRecommendation, in_words
from perflab.lab.statistics.ratio import Ratio, paired_ratio
from perflab.lab.sweep.added_latency import through_proxy
from perflab.lab.sweep.findings import Findings
from perflab.lab.sweep.plan import Engine, SweepPlan
from perflab.lab.sweep.profiles import standard_plan
from perflab.lab.sweep.run import run_sweep
from perflab.lab.sweep.server import server_label
from perflab.lab.sweep.store import ResultsStore
from perflab.lab.temporary_server import temporary_server
from perflab.lab.tune.place import open_place
from perflab.lab.tune.request import TuneRequest
from perflab.lab.tune.result import Tuning
from perflab.lab.tune.tune import ITEMS_OF_A_REPLAY, tune

PLACES = ("SQLite", "PostgreSQL", "PostgreSQL, 2 ms added")
ADDED_SECONDS = 0.002
SHARE_OF_TIME = 0.10
NEAR_THE_BEST = 0.95


@dataclass(frozen=True, slots=True)
class Proof:
    """The grid and the tuning of one place.

    Attributes:
        place: What was measured.
        grid_seconds: The full grid took.
        grid_best: Its best setting under the target; None if none met it.
        tuning: What tuning found.
        against_best: Throughput of the tuned setting over that of the grid's best, measured side by side afterwards.
        tuned_p99, best_p99: Of that, seconds, in words.
    """

    place: str
    grid_seconds: float
    grid_best: GridPoint | None
    tuning: Tuning
    against_best: Ratio | None
    tuned_p99: str
    best_p99: str

    @property
    def holds(self) -> bool:
        """Whether tuning took a tenth of the time at the most, and its setting has 95 % of the best throughput."""
        return (
            self.tuning.seconds <= SHARE_OF_TIME * self.grid_seconds
            and self.against_best is not None
            and self.against_best.value >= NEAR_THE_BEST
        )


def prove(
    place: str,
    *,
    arrivals: float,
    latency_target: float,
    blocks: int = 8,
    clock: Callable[[], float] = time.perf_counter,
) -> Proof:
    """Measure the grid, tune in a tenth of its time, and measure both settings again.

    Args:
        place: one of `PLACES`; a server is started for it.
        arrivals: items per second.
        latency_target: seconds.
        blocks: of the grid.
        clock: seconds.
    """
    with (
        _open(place) as url,
        tempfile.TemporaryDirectory(prefix="perflab-proof-") as folder,
        ResultsStore(Path(folder) / "proof.duckdb") as store,
        open_place(url) as scratch,
    ):
        plan = _grid(scratch.engine, scratch.url, arrivals, blocks)
        began = clock()
        run_sweep(plan, store, url=scratch.url)
        grid_seconds = clock() - began
        best = _best(Findings(plan, store), latency_target)
        request = TuneRequest(url, latency_target, arrivals, budget=SHARE_OF_TIME * grid_seconds)
        tuning = tune(request)
        tuned = tuning.recommendation
        if best is None or isinstance(tuned, NoRecommendation):
            return Proof(place, grid_seconds, best, tuning, None, "", "")
        settings = [(one.batch_size, one.flush_interval_seconds) for one in (best, tuned)]
        again = replace(
            plan,
            replay_batch_sizes=tuple({size for size, _ in settings}),
            replay_flush_intervals=tuple({interval for _, interval in settings}),
            seed=plan.seed + 100,
            blocks=12,
        )
        run_sweep(again, store, url=scratch.url)
        points = {(point.batch_size, point.flush_interval_seconds): point for point in Findings(again, store).points}
        there, here = (points[setting] for setting in settings)
        ratio = paired_ratio(here.throughput_by_block, there.throughput_by_block, rng=np.random.default_rng(plan.seed))
        return Proof(place, grid_seconds, best, tuning, ratio, _p99(here), _p99(there))


def proof_table(proofs: Mapping[str, Proof], latency_target: float) -> str:
    """The proofs side by side, as Markdown."""
    return markdown_table(
        ["", "full grid", "tune", "share of the time", "grid's best", "tuned", "tuned ÷ best", "p99 of both again"],
        [
            [
                name,
                f"{proof.grid_seconds:.0f} s",
                f"{proof.tuning.seconds:.0f} s",
                format_percent(proof.tuning.seconds / proof.grid_seconds),
                _setting(proof.grid_best, latency_target),
                _tuned(proof.tuning),
                "" if (ratio := proof.against_best) is None else times_interval(ratio.value, ratio.low, ratio.high),
                f"{proof.best_p99}; {proof.tuned_p99}",
            ]
            for name, proof in proofs.items()
        ],
    )


def write_proof(
    path: Path, places: Sequence[str] = PLACES, *, arrivals: float, latency_target: float, blocks: int
) -> dict[str, Proof]:
    """Prove one place after the other, and write the table after each."""
    proofs: dict[str, Proof] = {}
    for place in places:
        proofs[place] = prove(place, arrivals=arrivals, latency_target=latency_target, blocks=blocks)
        text = (
            "# `perflab tune` against the full grid\n\n"
            f"{arrivals:,.0f} independent arrivals per second, p99 of at most {format_seconds(latency_target)}; the "
            f"grid in {blocks} blocks. The ratio of throughputs is from 12 paired blocks measured afterwards on other "
            "arrivals, with 95 % intervals; throughput is per second of writer time.\n\n"
            f"{proof_table(proofs, latency_target)}\n"
        )
        path.write_text(text, encoding="utf-8")
    return proofs


def _grid(engine: Engine, url: str, arrivals: float, blocks: int) -> SweepPlan:
    full = standard_plan("full")
    return SweepPlan(
        name="full grid",
        engine=engine,
        server=server_label(engine, url),
        replay_batch_sizes=full.replay_batch_sizes,
        replay_flush_intervals=full.replay_flush_intervals,
        blocks=blocks,
        arrivals="independent",
        speed_up=arrivals,
        replay_seconds=ITEMS_OF_A_REPLAY / arrivals,
    )


def _best(findings: Findings, latency_target: float) -> GridPoint | None:
    within = [point for point in findings.points if point.stable and point.p99.high <= latency_target]
    return max(within, key=lambda point: point.throughput.value, default=None)


@contextmanager
def _open(place: str) -> Iterator[str]:
    if place == "SQLite":
        with tempfile.TemporaryDirectory(prefix="perflab-proof-") as folder:
            url = f"sqlite:///{Path(folder) / 'users.db'}"
            Database.open(url).close()
            yield url
        return
    with temporary_server() as server:
        if place == "PostgreSQL":
            yield server.url
            return
        with through_proxy(server.url, ADDED_SECONDS) as (proxied, _added):
            yield proxied


def _p99(point: GridPoint) -> str:
    if not point.stable:
        return "not stable"
    return format_seconds_interval(point.p99.value, point.p99.low, point.p99.high)


def _setting(best: GridPoint | None, latency_target: float) -> str:
    if best is None:
        return f"none within {format_seconds(latency_target)}"
    rate = best.throughput
    return (
        f"{in_words(best.batch_size, best.flush_interval_seconds)}: "
        f"{format_rate_interval(rate.value, rate.low, rate.high)}"
    )


def _tuned(tuning: Tuning) -> str:
    chosen = tuning.recommendation
    if isinstance(chosen, NoRecommendation):
        return chosen.describe()
    rate = chosen.throughput
    return (
        f"{in_words(chosen.batch_size, chosen.flush_interval_seconds)}: "
        f"{format_rate_interval(rate.value, rate.low, rate.high)}"
    )


def main() -> None:
    """Prove what the arguments name, into `reports/tune_proof.md`."""
    parser = argparse.ArgumentParser(prog="python -m perflab.lab.tune.proof", description=__doc__)
    parser.add_argument("--place", action="append", choices=PLACES, help="may be repeated; all without it")
    parser.add_argument("--arrivals", type=float, default=3_000.0, help="items per second")
    parser.add_argument("--slo", default="20ms", help="the p99 that is wanted")
    parser.add_argument("--blocks", type=int, default=8, help="of the grid")
    given = parser.parse_args()
    Path("reports").mkdir(exist_ok=True)
    write_proof(
        Path("reports/tune_proof.md"),
        given.place or PLACES,
        arrivals=given.arrivals,
        latency_target=parse_seconds(given.slo, "--slo"),
        blocks=given.blocks,
    )


if __name__ == "__main__":
    main()
