"""The search where the truth is known, its budget, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.errors import DatabaseUnusable, InvalidInput
from perflab.lab.grid_points import GridPoint
from perflab.lab.recommendation import NoRecommendation, Recommendation
from perflab.lab.statistics.ratio import Ratio
from perflab.lab.sweep.findings import Confirmation
from perflab.lab.sweep.measure import Measurement, Slice
from perflab.lab.sweep.plan import Cell, Mode
from perflab.lab.sweep.target import Target
from perflab.lab.tune.prediction import SHARES_OF_TARGET
from perflab.lab.tune.proof import Proof, proof_table
from perflab.lab.tune.report import write_report
from perflab.lab.tune.request import TuneRequest
from perflab.lab.tune.result import Tuning
from perflab.lab.tune.tune import tune
from tests.lab.sweep.known_cost import ALPHA, BETA, KnownCost

TARGET = 0.020
VISIT_SECONDS = 0.5


class World(KnownCost):
    """A database of known cost, whose clock goes on by half a second a visit.

    Args:
        later: what the p99 is above that of the formula, by flush interval.
    """

    def __init__(self, later: Callable[[float], float] = lambda _interval: 0.0) -> None:
        super().__init__()
        self.now = 0.0
        self._later = later

    def __call__(self, cell: Cell, part: Slice, watches: Sequence[str], target: Target) -> Measurement:
        found = super().__call__(cell, part, watches, target)
        self.now += VISIT_SECONDS
        if cell.mode is Mode.CLOSED_LOOP or found.p99 is None:
            return found
        # batches of what comes within the interval, not of the largest size
        mean_batch = min(cell.batch_size, 1 + 3_000.0 * cell.flush_interval)
        rate = mean_batch / (ALPHA + BETA * mean_batch)
        return replace(
            found,
            p99=found.p99 + self._later(cell.flush_interval),
            mean_batch=mean_batch,
            items_per_writer_second=rate,
        )

    @property
    def replays(self) -> list[Cell]:
        return [cell for cell in self.visited if cell.mode is Mode.REPLAY]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Of a user's file, in a folder of its own."""
    (tmp_path / "users").mkdir()
    url = f"sqlite:///{tmp_path / 'users' / 'lab.db'}"
    Database.open(url).close()
    return url


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Tuning]:
    """One run, and what it visited."""
    url = f"sqlite:///{tmp_path_factory.mktemp('users') / 'lab.db'}"
    Database.open(url).close()
    world = World()
    return world, run(world, url)


def run(world: World, url: str, **changes: Any) -> Tuning:
    request = TuneRequest(url, TARGET, **{"arrivals": 3_000.0, "budget": 60.0, **changes})
    return tune(request, progress=False, clock=lambda: world.now, measure_cell=world)


def test_it_finds_and_confirms_the_best_interval_within_the_target(tuned: tuple[World, Tuning]) -> None:
    world, found = tuned
    assert isinstance(found.recommendation, Recommendation)
    assert isinstance(found.confirmation, Confirmation)
    assert found.confirmed
    # the p99 is the interval and a flush of 200, so 16 of the ladder's 14, 16 and 18 ms is the longest within 20 ms
    assert 0.010 <= found.recommendation.flush_interval_seconds <= 0.016
    best = 1 + 3_000.0 * 0.016
    assert found.recommendation.throughput.value >= 0.95 * best / (ALPHA + BETA * best)
    assert found.cost.cost_model.alpha.value == pytest.approx(ALPHA, rel=0.01)
    assert found.predicted_gain is not None
    assert found.predicted_gain.value == pytest.approx(found.recommendation.throughput.value * (ALPHA + BETA), rel=0.01)
    assert found.visits == len(world.visited)
    assert found.seconds == pytest.approx(VISIT_SECONDS * len(world.visited))


def test_it_measures_a_fraction_of_the_ladder_within_its_budget(tuned: tuple[World, Tuning]) -> None:
    world, found = tuned
    assert 30.0 < found.seconds <= found.request.budget == 60.0
    assert len({cell.flush_interval for cell in world.replays}) <= 4 < len(SHARES_OF_TARGET)


def test_a_prediction_that_is_too_low_is_corrected(url: str) -> None:
    """Here everything takes 8 ms longer than a simulation can know."""
    found = run(World(lambda _interval: 0.008), url)
    assert found.confirmed
    assert isinstance(found.recommendation, Recommendation)
    assert 0.003 <= found.recommendation.flush_interval_seconds <= 0.010


def test_a_second_measurement_that_misses_the_target_leads_to_a_shorter_interval(url: str) -> None:
    world = World()
    longest = 0.0

    def later(interval: float) -> float:
        nonlocal longest
        is_confirmation = len({cell.batch_size for cell in world.replays}) > 1
        longest = max(longest, interval)
        return 0.010 if is_confirmation and interval == longest else 0.0

    world._later = later
    found = run(world, url, budget=90.0)
    assert found.confirmed
    assert isinstance(found.recommendation, Recommendation)
    assert found.recommendation.flush_interval_seconds < longest


def test_where_nothing_meets_the_target_there_is_no_setting(url: str, tmp_path: Path) -> None:
    found = run(World(lambda _interval: 0.050), url)
    assert isinstance(found.recommendation, NoRecommendation)
    assert not found.confirmed
    assert found.predicted_gain is None
    assert "Nothing meets the target of 20.0 ms" in found.describe()[0]
    assert "nothing to paste" in found.paste
    write_report(found, tmp_path / "tune.html")
    assert "No flush interval keeps the p99 within 20.0 ms" in (tmp_path / "tune.html").read_text(encoding="utf-8")


def test_without_arrivals_a_share_of_the_capacity_is_replayed(url: str) -> None:
    found = run(World(), url, arrivals=None)
    assert found.arrivals == 5_000.0  # a third of 1/BETA would be more


def test_nothing_stays_beside_the_file_and_the_file_is_as_it_was(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "users"
    before = (folder / "lab.db").read_bytes()
    seen: list[list[str]] = []

    class Looking(World):
        def __call__(self, cell: Cell, part: Slice, watches: Sequence[str], target: Target) -> Measurement:
            seen.append(sorted(path.name for path in folder.iterdir()))
            return super().__call__(cell, part, watches, target)

    run(Looking(), url)
    assert all(len(names) == 2 and names[1].startswith("perflab-scratch-") for names in seen)
    assert [path.name for path in folder.iterdir()] == ["lab.db"]
    assert (folder / "lab.db").read_bytes() == before


def test_a_budget_too_short_for_the_load_is_refused_with_what_it_takes(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"a budget of 20 s is too short: with 100 items per second .* takes 13\.\d"):
        run(World(), url, arrivals=100.0, budget=20.0)


def test_a_report_has_the_figures_their_data_and_the_lines(tuned: tuple[World, Tuning], tmp_path: Path) -> None:
    _, found = tuned
    files = write_report(found, tmp_path / "tune.html", now=datetime(2026, 11, 24, tzinfo=UTC))
    page = files[0].read_text(encoding="utf-8")
    assert page.count("<img ") == 3
    assert 'src="http' not in page
    assert "<script" not in page
    assert "batch_size=200" in page
    assert {path.suffix for path in files[1:]} == {".png", ".csv"}
    assert all(path.is_file() for path in files)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latency_target": 0.0}, "latency_target is 0.0"),
        ({"latency_target": float("nan")}, "latency_target is nan"),
        ({"arrivals": 0.0}, "arrivals is 0.0"),
        ({"arrivals": 1e9}, "arrivals is 1000000000.0"),
        ({"budget": 1.0}, "budget is 1.0"),
        ({"durability": "none"}, "durability is 'none'"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_values_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        TuneRequest(**{"url": "sqlite:///lab.db", "latency_target": TARGET, **changes})


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("sqlite://", InvalidInput, "names no SQLite file"),
        ("sqlite:///file:lab.db?mode=rw&uri=true", InvalidInput, "names no SQLite file"),
        ("sqlite:///nowhere.db", DatabaseUnusable, "there is no database file 'nowhere.db'"),
        ("mysql://me:Canary@db/lab", InvalidInput, "unknown URL scheme"),
        ("postgresql://me:Canary@127.0.0.1:1/lab", DatabaseUnusable, "cannot connect"),
    ],
)
def test_a_bad_url_is_refused_before_anything_is_made(
    url: str, error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message) as caught:
        tune(TuneRequest(url, TARGET), progress=False)
    assert "Canary" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_proof_holds_only_within_the_time_and_near_the_best(tuned: tuple[World, Tuning]) -> None:
    _, found = tuned
    best = GridPoint(100, 0.010, (10_000.0, 10_100.0), (0.015, 0.016), 30.0, stable=True)
    near, far = (Ratio(value, value - 0.01, value + 0.01, value, 0.9, 1.1, 0.01, 0.02, 12) for value in (0.96, 0.94))
    proof = Proof("SQLite", 11 * found.seconds, best, found, near, "15 ms", "16 ms")
    assert proof.holds
    assert not replace(proof, grid_seconds=9 * found.seconds).holds
    assert not replace(proof, against_best=far).holds
    assert not replace(proof, against_best=None).holds
    table = proof_table({"SQLite": proof, "elsewhere": replace(proof, grid_best=None)}, TARGET)
    assert "100 items or after 10.0 ms: 10,000/s" in table
    assert "9.1%" in table
    assert "none within 20.0 ms" in table
