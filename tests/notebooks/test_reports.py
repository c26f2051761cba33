"""The shipped notebooks run as reports at the smallest profile, and what they store and say is right.

Their sources hold no outputs, so nbval has nothing to compare the cells tagged `nbval-check-output` with. What those
cells print stands in `expected/`, and is compared here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy.engine import make_url

from perflab.database.embedded import EmbeddedServer
from perflab.lab.gate.run_history import read_history
from perflab.lab.notebook import OUTPUT_VARIABLE, PROFILE_VARIABLE, URL_VARIABLE
from perflab.lab.report.notebook import read_notebook, tags
from perflab.lab.report.run import ReportResult, run_report
from perflab.lab.sweep.findings import Findings
from perflab.lab.sweep.profiles import standard_plan
from perflab.lab.sweep.store import ResultsStore
from perflab.lab.workloads.request_traces import TRACES_VARIABLE
from tests.lab.gate.written_runs import write_bench_folder

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
EXPECTED = Path(__file__).parent / "expected"
CHECKED = "nbval-check-output"
TOUR, SWEEP, LATENCY = "01_first_look", "02_batch_size_and_flush_interval", "03_round_trips_and_latency"
ADAPTIVE, QUEUE, WARMING, SCHEDULER, MONITORING = (
    "04_adaptive_batching",
    "05_queue_and_workers",
    "06_cache_warming",
    "07_scheduler",
    "11_monitoring",
)
FIXTURES = {TOUR: "tour", SWEEP: "sweep", LATENCY: "latency", ADAPTIVE: "adaptive", WARMING: "warming"}
TUNE, HISTORY, PEERS = "09_tune_your_database", "10_history_and_trends", "08_peers"
FIXTURES |= {SCHEDULER: "scheduler", QUEUE: "queue", MONITORING: "monitoring", TUNE: "tune", HISTORY: "history"}
FIXTURES[PEERS] = "peers"
SLOW = {LATENCY, ADAPTIVE, QUEUE, PEERS, TUNE, MONITORING}
"""Those that take longest are for `make slow`: `make notebooks` runs all their cells, too."""
PLAN = standard_plan("smoke")
FIGURES = ("throughput", "latency", "round_trips_saved", "flush_causes", "frontier", "confirmation")

pytestmark = pytest.mark.report


@dataclass(frozen=True, slots=True)
class Run:
    result: ReportResult
    folder: Path

    @property
    def html(self) -> str:
        return self.result.html.read_text(encoding="utf-8")

    @property
    def data(self) -> Path:
        return self.folder / f"{SWEEP}-smoke"


def run_smoke(stem: str, folder: Path, **parameters: object) -> Run:
    with pytest.MonkeyPatch.context() as environment:
        # The report's own folder and the profile that was asked for win over both.
        environment.setenv(OUTPUT_VARIABLE, str(folder / "elsewhere"))
        environment.setenv(PROFILE_VARIABLE, "full")
        notebook = NOTEBOOKS / f"{stem}.ipynb"
        return Run(run_report(notebook, parameters=parameters, profile="smoke", output_directory=folder), folder)


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_smoke(TOUR, tmp_path_factory.mktemp("tour"))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """With a target that every setting which keeps up meets, however busy the machine is."""
    return run_smoke(SWEEP, tmp_path_factory.mktemp("sweep"), latency_target_ms=60_000.0)


@pytest.fixture(scope="module")
def latency(tmp_path_factory: pytest.TempPathFactory, postgres_server: EmbeddedServer) -> Run:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(URL_VARIABLE, postgres_server.url)
        return run_smoke(LATENCY, tmp_path_factory.mktemp("latency"))


@pytest.fixture(scope="module")
def adaptive(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv(TRACES_VARIABLE, raising=False)
        return run_smoke(ADAPTIVE, tmp_path_factory.mktemp("adaptive"))


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory, postgres_server: EmbeddedServer) -> Run:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(URL_VARIABLE, postgres_server.url)
        return run_smoke(QUEUE, tmp_path_factory.mktemp("queue"))


@pytest.fixture(scope="module")
def warming(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_smoke(WARMING, tmp_path_factory.mktemp("warming"))


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_smoke(SCHEDULER, tmp_path_factory.mktemp("scheduler"))


@pytest.fixture(scope="module")
def monitoring(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_smoke(MONITORING, tmp_path_factory.mktemp("monitoring"))


@pytest.fixture(scope="module")
def tune(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """On a busy machine nothing may meet the target, and the report then says so."""
    return run_smoke(TUNE, tmp_path_factory.mktemp("tune"))


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_smoke(HISTORY, tmp_path_factory.mktemp("history"))


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_smoke(PEERS, tmp_path_factory.mktemp("peers"))


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in FIXTURES])
def run(request: pytest.FixtureRequest) -> Run:
    found: Run = request.getfixturevalue(FIXTURES[request.param])
    return found


def test_every_cell_runs(run: Run) -> None:
    assert (run.result.failed_cell, run.result.error) == (None, None)


def test_the_checked_cells_print_what_is_expected(run: Run) -> None:
    stem = run.result.notebook.stem.removesuffix("-smoke")
    printed = checked_outputs(run.result.notebook)
    assert printed.count("# ") >= 2
    assert printed == (EXPECTED / f"{stem}.txt").read_text(encoding="utf-8")


def test_the_page_needs_nothing_but_itself(run: Run) -> None:
    assert "<script" not in run.html
    assert re.findall(r"""(?:src|srcset)\s*=\s*["'](?!data:)[^"']*""", run.html) == []
    assert str(run.folder) not in run.html
    assert str(NOTEBOOKS.parent) not in run.html


def test_nothing_is_said_on_stderr(run: Run) -> None:
    outputs = [output for cell in read_notebook(run.result.notebook).cells for output in cell.get("outputs", [])]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []


def test_the_tour_shows_its_figures_and_headline(tour: Run) -> None:
    assert tour.html.count('src="data:image/png') == 2
    assert re.fullmatch(
        r"one by one [\d.]+ \S+ · through a batcher [\d.]+ \S+ · in bulk [\d.]+ \S+", tour.result.headline or ""
    )


def test_the_sweep_shows_every_figure_with_its_reading(sweep: Run) -> None:
    assert sweep.html.count('src="data:image/png') == len(FIGURES)
    for phrase in ("were written at", "round trips instead of"):
        assert phrase in sweep.html
    # On a machine so busy that nothing keeps up, the report says so.
    assert "on the frontier" in sweep.html or "No setting kept up" in sweep.html
    assert "times that of no batching" in sweep.html or "There is no recommendation to confirm" in sweep.html


def test_every_visit_is_stored_with_a_right_answer(sweep: Run) -> None:
    with ResultsStore(sweep.folder / "batch_size_and_flush_interval.duckdb") as store:
        findings = Findings(PLAN, store)
    assert len(findings.visits) == len(list(PLAN.visits())) == 18
    assert (findings.answers["checksums"] == 1).all()
    assert findings.answers["visits"].sum() == 18


def test_round_trips_fall_with_the_batch_size(sweep: Run) -> None:
    with ResultsStore(sweep.folder / "batch_size_and_flush_interval.duckdb") as store:
        findings = Findings(PLAN, store)
    assert findings.capacity["round_trips_per_item"].is_monotonic_decreasing
    saved = findings.replay.pivot_table(index="batch_size", columns="flush_interval", values="round_trips_saved")
    assert (saved.loc[1] == 0).all()
    assert float(saved.loc[[100], [0.010]].to_numpy()[0, 0]) > 0.5


def test_the_recommendation_is_one_of_the_settings_that_keep_up(sweep: Run) -> None:
    frontier = pd.read_csv(sweep.data / "frontier.csv")
    chosen = frontier[frontier["recommended"].astype(bool)]
    headline = sweep.result.headline or ""
    if frontier.empty:  # nothing kept up
        assert headline.startswith("recommendation none: Nothing meets the target")
        return
    (row,) = chosen.to_dict("records")
    assert row["batch_size"] in PLAN.replay_batch_sizes
    assert row["flush_interval"] in PLAN.replay_flush_intervals
    assert headline.startswith("recommendation send at ")
    assert f"· batch size {row['batch_size']} ·" in headline


def test_the_confirmation_measured_the_neighbours_too(sweep: Run) -> None:
    with ResultsStore(sweep.folder / "batch_size_and_flush_interval.duckdb") as store:
        runs = store.runs()
    names = runs["name"].to_list()
    assert names.count(PLAN.name) == 1
    against = pd.read_csv(sweep.data / "confirmation.csv")
    assert len(against) == 0 or f"confirmation of {PLAN.name}" in names
    assert (against["ratio"] > 0).all()


def test_the_data_of_every_figure_lies_beside_the_report(sweep: Run) -> None:
    for name in FIGURES:
        assert (sweep.data / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert len(pd.read_csv(sweep.data / f"{name}.csv").columns) > 2
    latency = pd.read_csv(sweep.data / "latency.csv")
    assert len(latency) == 2 * len(PLAN.replay_batch_sizes) * len(PLAN.replay_flush_intervals)


def test_the_sweep_of_a_server_is_a_report_of_its_own_without_its_url(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL_VARIABLE, postgres_url)
    run = run_smoke(SWEEP, tmp_path, engine="postgresql", latency_target_ms=60_000.0)
    assert (run.result.failed_cell, run.result.error) == (None, None)
    assert run.result.html.name == f"{SWEEP}-postgresql-smoke.html"
    assert (tmp_path / f"{SWEEP}-postgresql-smoke" / "throughput.csv").exists()
    assert (run.result.headline or "").startswith(("recommendation send at ", "recommendation none: "))
    assert "PostgreSQL 1" in run.html
    assert str(make_url(postgres_url).query["host"]) not in run.html + run.result.notebook.read_text(encoding="utf-8")
    expected = (EXPECTED / f"{SWEEP}.txt").read_text(encoding="utf-8")
    assert checked_outputs(run.result.notebook) == expected.replace(f"{SWEEP}-smoke", f"{SWEEP}-postgresql-smoke")


@pytest.mark.slow
def test_the_latency_notebook_predicts_measures_and_says_whether_it_held(latency: Run) -> None:
    assert latency.html.count('src="data:image/png') == 4
    assert re.match(
        r"prediction held for \d of 9 settings with latency added, failed for \d", latency.result.headline or ""
    )
    data = pd.read_csv(latency.folder / f"{LATENCY}-smoke" / "throughput.csv")
    assert sorted(data["added_latency"].unique()) == [0.0, 0.0005, 0.002, 0.010]
    assert (data[["predicted", "measured"]] > 0).all(axis=None)
    added = data[data["added_latency"] > 0]
    assert ((added["added"] - added["added_latency"]).abs() <= 0.25 * added["added_latency"] + 0.0004).all()
    trips = pd.read_csv(latency.folder / f"{LATENCY}-smoke" / "round_trips.csv")
    assert (trips["round_trips_per_item"] * trips["batch_size"] == 1).all()  # a flush is one round trip
    assert "The prediction held for " in latency.html


@pytest.mark.slow
def test_the_adaptive_notebook_compares_explains_and_says_which_traces_are_missing(adaptive: Run) -> None:
    assert adaptive.html.count('src="data:image/png') == 3
    assert f"The environment variable {TRACES_VARIABLE} does not name a folder" in adaptive.html
    assert "cost model: Batches take up to" in adaptive.html
    assert "The best was chosen after the fact, load by load." in adaptive.html
    loads = pd.read_csv(adaptive.folder / f"{ADAPTIVE}-smoke" / "loads.csv")
    assert loads["arm"].tolist() == ["100 at 10 ms", "adaptive"] * 5
    assert "10% of capacity" in set(loads["load"])
    assert "Adaptive sizing reaches 95.0% of the throughput of the best fixed setting" in adaptive.html
    assert re.search(r"promise met under \d of 6 loads", adaptive.result.headline or "")
    assert (loads["writer_seconds_per_item"] > 0).all()
    assert "throughput over the best fixed" in (adaptive.result.headline or "")


@pytest.mark.slow
def test_the_queue_notebook_shows_what_was_measured(queue: Run) -> None:
    assert queue.html.count('src="data:image/png') == 5
    assert re.match(
        r"one worker jobs [\d,.]+/s · deep queue \S+ times the claim, with 50,000 ready · held snapshot \S+ times",
        queue.result.headline or "",
    )
    folder = queue.folder / f"{QUEUE}-postgresql-smoke"
    calls = pd.read_csv(folder / "calls.csv")
    assert (calls["round_trips_per_job"] * calls["batch_size"] == 1).all()  # a call is one round trip
    assert pd.read_csv(folder / "depth.csv")["ready"].tolist() == [10_000, 50_000, 10_000]
    assert len(pd.read_csv(folder / "snapshot.csv")) == 6


def test_the_warming_notebook_has_all_rows_where_they_are_predicted(warming: Run) -> None:
    assert warming.html.count('src="data:image/png') == 4
    assert re.match(
        r"hit rate cold [\d.]+% · hit rate warmed once [\d.]+% · hit rate predicted 100%", warming.result.headline or ""
    )
    costs = pd.read_csv(warming.folder / f"{WARMING}-smoke" / "costs.csv").set_index("arm")
    assert costs["jobs_round_trips"].to_dict()["predicted"] == 0
    assert 0 < costs["all_round_trips"]["predicted"] < 100 < costs["all_round_trips"]["cold"] == 1_000
    assert costs["outdated"]["cold"] == 0 < costs["outdated"]["predicted"]


def test_the_history_notebook_measures_runs_that_the_command_reads(history: Run) -> None:
    assert history.html.count('src="data:image/png') == 3
    assert (history.result.headline or "").startswith("runs 12 · changes of level ")
    data = pd.read_csv(history.folder / f"{HISTORY}-smoke" / "over_raw_forms.csv", keep_default_na=False)
    assert data["run"].tolist() == list(range(12))
    assert data["environment"].str.contains("FULL").tolist() == [run == 4 for run in range(12)]
    assert data["commit"].str.contains("4 calls").tolist() == [run >= 8 for run in range(12)]
    assert len(read_history([history.folder]).runs) == 12


def test_the_history_notebook_reads_runs_of_ones_own(tmp_path: Path) -> None:
    for day in range(1, 13):
        write_bench_folder(
            tmp_path / "runs" / f"{day}",
            factor=1.0 if day < 7 else 1.3,
            seed=day,
            measured_at=datetime(2026, 1, day, tzinfo=UTC),
            commit=f"c{day}",
            operations=["enqueue", "claim"],
        )
    run = run_smoke(HISTORY, tmp_path / "report", runs=str(tmp_path / "runs"), cell="claim, sqlite")
    assert run.result.error is None
    assert (run.result.headline or "").startswith("runs 12 · changes of level 1 · unexplained rise at run 6 · noise ")
    assert "since 2026-01-07 00:00, commit c7" in run.html
    assert "known:" not in run.html


@pytest.mark.slow
def test_the_peers_notebook_has_each_queue_with_what_it_promises(peers: Run) -> None:
    assert peers.html.count('src="data:image/png') == 3
    assert re.match(
        r"one worker jobs [\d,.]+/s · fastest other queue huey, ours \S+ \[.+\] times as fast",
        peers.result.headline or "",
    )
    for said in (
        "a job is deleted before it runs",
        "perflab, full against huey",
        "through aiodataloader",
    ):
        assert said in peers.html
    rates = pd.read_csv(peers.folder / f"{PEERS}-smoke" / "rates.csv")
    assert set(rates["queue"]) == {"perflab, full", "perflab, normal", "raw driver, full", "huey"}


def test_a_latency_notebook_without_a_baseline_is_refused(tmp_path: Path) -> None:
    result = run_smoke(LATENCY, tmp_path, added_latencies_ms=[2.0]).result
    assert result.error == "InvalidInput: the added latencies are (0.002,): add 0, from which the others are predicted"


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        (
            {"latency_target_ms": 0.0},
            "InvalidInput: latency_target_ms is 0.0: it must be a finite number, greater than 0",
        ),
        ({"engine": "mysql"}, "InvalidInput: engine is 'mysql': use one of 'sqlite', 'postgresql'"),
        ({"durability": "most"}, "InvalidInput: durability is 'most': use one of 'normal', 'full'"),
    ],
)
def test_a_value_that_is_refused_stops_the_run_before_it_measures(
    tmp_path: Path, parameters: dict[str, object], error: str
) -> None:
    result = run_smoke(SWEEP, tmp_path, **parameters).result
    assert result.error == error
    assert list(tmp_path.glob("*.duckdb")) == []


def checked_outputs(notebook: Path) -> str:
    """What the cells tagged for it printed and returned, each under the id of its cell."""
    parts: list[str] = []
    for cell in read_notebook(notebook).cells:
        if CHECKED in tags(cell):
            texts = [output.get("text") or output["data"]["text/plain"] for output in cell.outputs]
            parts.append(f"# {cell.id}\n" + "".join(f"{text.rstrip()}\n" for text in texts))
    return "\n".join(parts)
