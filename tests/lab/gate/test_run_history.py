from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from perflab.errors import LabError, StoreError
from perflab.lab.gate.history_page import write_history_page
from perflab.lab.gate.history_text import history_text
from perflab.lab.gate.run_history import RunHistory, read_history
from perflab.lab.plots.run_history import cost_over_runs
from perflab.lab.sweep.plan import SweepPlan
from tests.lab.gate.written_runs import drop_samples, write_bench_folder, write_store

FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def written(folder: Path, factors: list[float], **of_run: list[Any]) -> Path:
    for number, factor in enumerate(factors):
        write_bench_folder(
            folder / f"{number:02}",
            factor=factor,
            seed=number,
            measured_at=FIRST + timedelta(days=number),
            commit=f"c{number}",
            **{name: values[number] for name, values in of_run.items()},
        )
    return folder


def history(folder: Path, factors: list[float], **of_run: list[Any]) -> RunHistory:
    return read_history([written(folder, factors, **of_run)])


def test_a_rise_is_found_at_its_run_and_told_with_its_commit(tmp_path: Path) -> None:
    found = history(tmp_path, [1.0] * 12 + [1.25] * 6)
    (cell,) = found.cells
    (change,) = cell.changes
    assert change.run == 12
    assert change.point.ratio == pytest.approx(1.25, abs=0.03)
    assert found.rises() == [(cell, change)]
    assert "since 2026-01-13 00:00, commit c12: " in history_text(found)


def test_a_rise_that_came_with_another_python_is_told_and_not_blamed_on_the_code(tmp_path: Path) -> None:
    found = history(tmp_path, [1.0] * 10 + [1.3] * 6, python=["3.12"] * 10 + ["3.13"] * 6)
    (change,) = found.cells[0].changes
    assert change.mark is not None
    assert str(change.mark) == "python: 3.12 → 3.13"
    assert found.rises() == []
    assert "; at the same time python: 3.12 → 3.13" in history_text(found)


def test_what_was_taken_back_is_no_rise(tmp_path: Path) -> None:
    found = history(tmp_path, [1.0] * 8 + [1.4] * 6 + [1.0] * 6)
    assert [change.run for change in found.cells[0].changes] == [8, 14]
    assert found.rises() == []


def test_rises_before_a_day_are_known(tmp_path: Path) -> None:
    found = history(tmp_path, [1.0] * 8 + [1.4] * 6)
    assert found.rises(FIRST + timedelta(days=8))
    assert not found.rises(FIRST + timedelta(days=9))


def test_a_slow_machine_is_no_change(tmp_path: Path) -> None:
    found = history(tmp_path, [1.0] * 14, machine=[0.0] * 7 + [4.0] * 7)
    assert found.cells[0].changes == []
    assert found.cells[0].relative


def test_runs_are_in_the_order_of_time_and_not_of_names(tmp_path: Path) -> None:
    for number in range(6):
        moment = FIRST - timedelta(days=number)
        write_bench_folder(tmp_path / f"{number}", measured_at=moment, commit=f"c{number}")
    found = read_history([tmp_path])
    assert [run.environment["commit"] for run in found.runs] == ["c5", "c4", "c3", "c2", "c1", "c0"]


def test_a_cell_that_came_later_or_was_cut_off_has_the_runs_that_measured_it(tmp_path: Path) -> None:
    operations = [("enqueue",)] * 4 + [("enqueue", "claim")] * 12
    written(tmp_path, [1.0] * 10 + [1.5] * 6, operations=operations)
    drop_samples(tmp_path / "05", operation="claim", block=3)
    found = read_history([tmp_path])
    claim = found.cells[1]
    assert list(claim.runs) == [4, *range(6, 16)]
    assert [change.run for change in claim.changes] == [10]


def test_what_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    written(tmp_path, [1.0] * 4)
    (tmp_path / "02" / "bench.json").write_text("{")
    found = read_history([tmp_path])
    assert len(found.runs) == 3
    assert "left out: the bench in" in history_text(found)


def test_two_runs_are_the_least(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="a history needs two runs, and there are none at"):
        read_history([tmp_path])
    write_bench_folder(tmp_path / "one")
    with pytest.raises(StoreError, match="and there is one at"):
        read_history([tmp_path])


def test_sweeps_have_a_history_too(tmp_path: Path) -> None:
    plan = SweepPlan(closed_loop_batch_sizes=(10,), blocks=1, closed_loop_items=50, warm_up_items=10)
    for first, factor in ((0, 1.0), (3, 1.5)):
        made = write_store(tmp_path / f"{first}.duckdb", plan, factor=factor)
        for number in (first + 1, first + 2):
            again = Path(shutil.copy(made, tmp_path / f"{number}.duckdb"))
            with duckdb.connect(str(again)) as connection:
                connection.execute("UPDATE visits SET measured_at = measured_at + to_milliseconds(?)", [number - first])
    found = read_history([tmp_path])
    time, trips = found.cells
    assert [change.run for change in time.changes] == [3]
    assert trips.changes == []


def test_a_figure_has_its_levels_in_its_data(tmp_path: Path) -> None:
    found = history(tmp_path, [1.0] * 8 + [1.4] * 6, python=["3.12"] * 4 + ["3.13"] * 10)
    plot = cost_over_runs(found, found.cells[0])
    assert plot.title.startswith("enqueue, sqlite went from 1.2")
    data = plot.data
    assert data["changed"].tolist() == [number == 8 for number in range(14)]
    assert data["level"].iloc[:8].nunique() == data["level"].iloc[8:].nunique() == 1
    assert data["environment"].iloc[4] == "python: 3.12 → 3.13"
    assert "Since 2026-01-09 00:00, commit c8" in plot.reading


def test_a_page_holds_all_it_shows(tmp_path: Path) -> None:
    found = history(tmp_path / "runs", [1.0] * 8 + [1.4] * 6, engine=["<b>SQLite</b>"] * 14)
    write_history_page(found, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "What has become slower" in page
    assert "data:image/png;base64," in page
    assert "http" not in page.replace("http-equiv", "")
    with pytest.raises(LabError, match="cannot be written"):
        write_history_page(found, tmp_path / "missing" / "page.html")
