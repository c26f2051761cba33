from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from perflab.errors import StoreError
from perflab.lab.noise import NoiseReading
from perflab.lab.sweep.measure import Slice
from perflab.lab.sweep.plan import SweepPlan
from perflab.lab.sweep.run import run_sweep
from perflab.lab.sweep.sqlite_target import SQLiteTarget
from perflab.lab.sweep.store import ResultsStore
from perflab.lab.sweep.subject import ingest_events
from perflab.lab.workloads.flights import load_flights
from tests.lab.sweep.known_cost import KnownCost


def test_what_is_stored_comes_back(plan: SweepPlan, store: ResultsStore) -> None:
    run_sweep(plan, store, progress=False, measure_cell=KnownCost())
    visits, flushes = store.visits(plan), store.flushes(plan)
    assert len(visits) == len(plan.cells) * plan.blocks
    sums = flushes.groupby("visit_key")["items"].sum()
    assert (visits.set_index("visit_key")["items"].sort_index() == sums.sort_index()).all()
    replayed = visits[visits["mode"] == "replay"]
    assert replayed["p99"].notna().all()
    assert visits[visits["mode"] == "closed loop"]["p99"].isna().all()
    assert str(store.environment(plan)["engine"]).startswith("SQLite ")
    assert isinstance(store.runs(), pd.DataFrame)


def test_a_store_survives_being_opened_again(plan: SweepPlan, tmp_path: Path) -> None:
    path = tmp_path / "again.duckdb"
    with ResultsStore(path) as store:
        run_sweep(plan, store, progress=False, measure_cell=KnownCost())
    with ResultsStore(path) as store:
        assert len(store.known(plan)) == len(plan.cells) * plan.blocks


def test_a_visit_is_there_whole_or_not_at_all(plan: SweepPlan, store: ResultsStore) -> None:
    run_sweep(plan, store, progress=False, measure_cell=KnownCost())
    visit = next(plan.visits())
    key = plan.visit_key(visit)
    before = len(store.flushes(plan))
    events = ingest_events(load_flights("week"))[:100]
    measurement = KnownCost()(visit.cell, Slice((), events), ["x"], SQLiteTarget("normal"))
    with pytest.raises(StoreError, match="already: another sweep writes to it"):
        store.add("run", key, visit, measurement, NoiseReading(1e-3, None))
    assert len(store.flushes(plan)) == before


def test_ctrl_c_in_the_middle_of_a_statement_is_ctrl_c(store: ResultsStore) -> None:
    """DuckDB asks for signals in a long statement, and would raise `RuntimeError: Query interrupted`."""
    sent = threading.Timer(0.05, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT])
    with pytest.raises(KeyboardInterrupt):
        sent.start()
        store._execute("SELECT sum(sin(range)) FROM range(20_000_000)")
        sent.join()


def test_an_empty_store_says_so(plan: SweepPlan, store: ResultsStore) -> None:
    with pytest.raises(StoreError, match="has no visit of the sweep"):
        store.environment(plan)


def test_another_duckdb_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE theirs (x INTEGER)")
    with pytest.raises(StoreError, match="DuckDB file of something else"):
        ResultsStore(path)
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("theirs",)]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.duckdb"
    path.write_text("not a database, but long enough to be read as one " * 400)
    with pytest.raises(StoreError, match="results store"):
        ResultsStore(path)
    assert path.read_text().startswith("not a database")


@pytest.mark.parametrize("kept", [0.25, 0.5, 0.999])
def test_a_file_that_was_cut_off_is_refused_and_left_alone(plan: SweepPlan, tmp_path: Path, kept: float) -> None:
    path = tmp_path / "results.duckdb"
    with ResultsStore(path) as store:
        run_sweep(plan, store, progress=False, measure_cell=KnownCost())
    whole = path.read_bytes()
    path.write_bytes(part := whole[: int(kept * len(whole))])
    with pytest.raises(StoreError, match="take a copy or another file"), ResultsStore(path) as store:
        store.flushes(plan)
    assert path.read_bytes() == part


def test_damage_inside_is_told(plan: SweepPlan, tmp_path: Path) -> None:
    path = tmp_path / "results.duckdb"
    with ResultsStore(path) as store:
        run_sweep(plan, store, progress=False, measure_cell=KnownCost())
    whole = bytearray(path.read_bytes())
    for block in range(12_288 + 4_096, len(whole), 262_144):  # a byte of each block
        whole[block] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(StoreError, match="results store"), ResultsStore(path) as store:
        store.flushes(plan)


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.duckdb"
    ResultsStore(path).close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE perflab_store SET version = 0")
    with pytest.raises(StoreError, match="has version 0, and this perflab reads version 4: start a new store"):
        ResultsStore(path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist: create it"):
        ResultsStore(tmp_path / "missing" / "results.duckdb")


def test_two_processes_cannot_write_one_store(store: ResultsStore) -> None:
    code = (
        "import sys\n"
        "from perflab.errors import StoreError\n"
        "from perflab.lab.sweep.store import ResultsStore\n"
        "try:\n"
        "    ResultsStore(sys.argv[1])\n"
        "except StoreError as error:\n"
        "    print(error)\n"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, str(store.path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert "is in use by another process: wait for it" in other.stdout
