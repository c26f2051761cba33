from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import psycopg
import pytest

from perflab.cli import main
from perflab.cli.sweep import parse_numbers, parse_sizes
from perflab.database.embedded import EmbeddedServer
from perflab.errors import InvalidInput
from perflab.lab.sweep.profiles import standard_plan
from perflab.lab.sweep.run import run_sweep
from perflab.lab.sweep.store import ResultsStore
from tests.lab.sweep.known_cost import KnownCost


def test_ctrl_c_leaves_a_store_from_which_the_same_command_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "results.duckdb"
    command = [sys.executable, "-c", "import sys; from perflab.cli import main; sys.exit(main())"]
    arguments = ["sweep", "--profile", "smoke", "--latency-target-ms", "60000", "--store", str(store)]
    sweep = subprocess.Popen(
        [*command, *arguments, "--blocks", "100"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    # Each stored visit makes the files grow: after some steps the sweep is well under way, and far from its end.
    sizes: set[int] = set()
    deadline = time.monotonic() + 120
    while sweep.poll() is None and len(sizes) < 6 and time.monotonic() < deadline:
        sizes.add(sum(file.stat().st_size for file in tmp_path.glob("results.duckdb*")))
        time.sleep(0.02)
    sweep.send_signal(signal.SIGINT)
    try:
        sweep.communicate(timeout=60)
    finally:
        sweep.kill()
    assert sweep.returncode == 130

    plan = standard_plan("smoke")
    planned = sum(1 for _ in plan.visits())
    with ResultsStore(store) as results:
        kept = len(results.visits(plan))
    assert kept > 0

    # The rest is not measured: on a busy machine there might be nothing to recommend.
    monkeypatch.setattr("perflab.lab.sweep.run.run_sweep", partial(run_sweep, measure_cell=KnownCost()))
    assert main(arguments) in {0, 1}
    assert f"{planned - kept} visits measured, {kept} found in" in capsys.readouterr().out


def test_a_killed_sweep_leaves_whole_visits_and_none_is_measured_twice(tmp_path: Path) -> None:
    store = tmp_path / "results.duckdb"
    command = [sys.executable, "-c", "import sys; from perflab.cli import main; sys.exit(main())"]
    arguments = ["sweep", "--profile", "smoke", "--store", str(store), "--set", "replay_batch_sizes="]
    sweep = subprocess.Popen([*command, *arguments, "--blocks", "200"], stderr=subprocess.PIPE, text=True)
    sizes: set[int] = set()
    deadline = time.monotonic() + 120
    while sweep.poll() is None and len(sizes) < 6 and time.monotonic() < deadline:
        sizes.add(sum(file.stat().st_size for file in tmp_path.glob("results.duckdb*")))
        time.sleep(0.02)
    sweep.kill()
    sweep.communicate(timeout=60)
    assert sweep.returncode == -signal.SIGKILL

    plan = replace(standard_plan("smoke"), replay_batch_sizes=(), blocks=200)
    with ResultsStore(store) as results:
        kept = results.visits(plan)
        flushes = results.flushes(plan).groupby("visit_key")["items"].sum()
        assert results.runs()["ended_at"].isna().all()
    assert 0 < len(kept) < 200 * len(plan.cells)
    assert kept["visit_key"].is_unique
    assert (kept.set_index("visit_key")["items"].sort_index() == flushes.sort_index()).all()

    more = replace(plan, blocks=-(-len(kept) // len(plan.cells)))
    with ResultsStore(store) as results:
        report = run_sweep(more, results, progress=False)
        assert (report.reused, report.measured) == (len(kept), more.blocks * len(plan.cells) - len(kept))
        again = results.visits(more).set_index("visit_key")
        assert (again.loc[kept["visit_key"], "seconds"] == kept.set_index("visit_key")["seconds"]).all()


def test_blocks_are_added_until_each_throughput_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perflab.lab.sweep.run.run_sweep", partial(run_sweep, measure_cell=KnownCost()))
    store = tmp_path / "results.duckdb"
    arguments = ["sweep", "--profile", "smoke", "--latency-target-ms", "60000", "--store", str(store)]
    assert main([*arguments, "--blocks", "2", "--most-blocks", "3", "--precision-percent", "0.0001"]) == 0
    printed = capsys.readouterr().out
    assert "3 blocks, the last look: every throughput is known to" in printed
    assert re.search(r"Send at \d+ items?", printed)
    with ResultsStore(store) as results:
        assert len(results.visits(replace(standard_plan("smoke"), blocks=3))) == 3 * len(standard_plan("smoke").cells)


def test_sigterm_leaves_nothing_on_the_server(tmp_path: Path, postgres_server: EmbeddedServer) -> None:
    sweep = subprocess.Popen(
        [
            *(sys.executable, "-c", "import sys; from perflab.cli import main; sys.exit(main())"),
            *("sweep", "--engine", "postgresql", "--profile", "smoke", "--blocks", "100"),
            *("--store", str(tmp_path / "results.duckdb")),
        ],
        env={**os.environ, "PERFLAB_LAB_URL": postgres_server.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:

        def schemas() -> int:
            found = connection.execute(
                "SELECT count(*) FROM pg_namespace WHERE nspname ~ '^perflab_scratch_'"
            ).fetchone()
            return int(found[0]) if found else 0

        deadline = time.monotonic() + 120
        while not (seen := schemas()) and sweep.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert seen == 1
        sweep.send_signal(signal.SIGTERM)
        try:
            sweep.communicate(timeout=60)
        finally:
            sweep.kill()
        assert sweep.returncode == 143
        assert schemas() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch-sizes", "0"], "a batch size is 0"),
        (["--batch-sizes", "1.5"], "--batch-sizes has 1.5: give whole numbers"),
        (["--batch-sizes", "ten"], "--batch-sizes is 'ten'"),
        (["--flush-intervals-ms", "-1"], "a flush interval is -0.001"),
        (["--flush-intervals-ms", "nan"], "a flush interval is nan"),
        (["--blocks", "0"], "blocks is 0"),
        (["--set", "batch_sizes=1"], "a sweep has no axis 'batch_sizes': did you mean"),
        (["--set", "closed_loop_clients=few"], "closed_loop_clients is 'few': give a whole number"),
        (["--blocks", "6", "--most-blocks", "5"], "got 3 from 6 to 5 blocks"),
        (["--latency-target-ms", "0"], "--latency-target-ms is 0.0: it must be greater than 0"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    store = tmp_path / "results.duckdb"
    assert main(["sweep", "--profile", "smoke", "--store", str(store), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not store.exists()


def test_an_unknown_profile_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--profile", "slow"]) == 2
    assert "slow" in capsys.readouterr().err


def test_a_store_in_a_missing_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--profile", "smoke", "--store", str(tmp_path / "missing" / "x.duckdb")]) == 2
    assert "does not exist: create it" in capsys.readouterr().err


def test_sizes_of_a_list() -> None:
    assert parse_sizes("1,10, 100") == [1, 10, 100]
    with pytest.raises(InvalidInput):
        parse_sizes("1,2.5")


def test_numbers_of_a_list() -> None:
    assert parse_numbers("1, 2.5,10", "x") == [1.0, 2.5, 10.0]
    with pytest.raises(InvalidInput, match="--sizes is '1,ten'"):
        parse_numbers("1,ten", "--sizes")
