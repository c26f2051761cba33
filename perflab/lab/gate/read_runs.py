"""Runs from the files that benches and sweeps leave: a folder with bench.json, or a results store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from perflab.errors import PerflabError, StoreError
from perflab.lab.gate.measured_run import CellCosts, MeasuredRun, Unit
from perflab.lab.sweep.plan import Mode, SweepPlan
from perflab.lab.sweep.store import ResultsStore

_SUMMARY, _SAMPLES = "bench.json", "bench.csv"


def read_rounds(path: Path) -> list[MeasuredRun]:
    """The runs at a path, in the order of their names; one, where it is not a folder of several.

    Args:
        path: A results store of `perflab sweep`, a folder that `perflab bench` wrote, or a folder of such folders
            or stores, which are rounds of the same.

    Raises:
        StoreError: there is no run, or one cannot be read.
    """
    runs = find_runs(path)
    if not runs:
        raise StoreError(f"there is no run at {str(path)!r}: give a results store, or a folder with {_SUMMARY}")
    return [read_one(run) for run in runs]


def find_runs(path: Path) -> list[Path]:
    """The stores and the bench folders at a path and below it, in the order of their names; none if it is not there."""
    if path.is_file():
        return [path.parent] if path.name == _SUMMARY else [path]
    if (path / _SUMMARY).is_file():
        return [path]
    return sorted({*(found.parent for found in path.rglob(_SUMMARY)), *path.rglob("*.duckdb")})


def read_one(path: Path) -> MeasuredRun:
    """The run in one store or bench folder.

    Raises:
        StoreError: it cannot be read.
    """
    return _read_bench(path) if path.is_dir() else _read_store(path)


def _read_bench(folder: Path) -> MeasuredRun:
    try:
        summary: Mapping[str, Any] = json.loads((folder / _SUMMARY).read_text(encoding="utf-8"))
        samples = pd.read_csv(folder / _SAMPLES, keep_default_na=False)
        cells = {
            _bench_cell(each["operation"], each["engine"]): _bench_costs(
                samples[(samples["operation"] == each["operation"]) & (samples["engine"] == each["engine"])],
                each["ours"],
                int(summary["blocks"]),
            )
            for each in summary["comparisons"]
        }
        return MeasuredRun(
            str(folder),
            _aware(datetime.fromisoformat(summary["measured_at"])),
            summary["environment"],
            tuple(summary["engines"]),
            cells,
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(
            f"the bench in {str(folder)!r} cannot be read ({type(error).__name__}: {error}): measure it again"
        ) from error


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _bench_cell(operation: str, engine: str) -> str:
    return f"{operation}, {engine}" if engine else operation


def _bench_costs(samples: pd.DataFrame, ours: str, blocks: int) -> CellCosts:
    by_block = {
        int(str(block)): dict(zip(group["arm"], group["seconds_per_item"].astype(float), strict=True))
        for block, group in samples.groupby("block")
    }
    return CellCosts(
        Unit.SECONDS_PER_ITEM,
        blocks,
        {block: arms[ours] for block, arms in by_block.items() if arms.get(ours, 0) > 0},
        {
            block: {arm: seconds for arm, seconds in arms.items() if arm != ours and seconds > 0}
            for block, arms in by_block.items()
        },
    )


def _read_store(path: Path) -> MeasuredRun:
    """The newest run of a store, with all its visits, those that it found there among them."""
    if not path.is_file():
        raise StoreError(f"there is no results store {str(path)!r}: measure first")
    with ResultsStore(path) as store:
        runs = store.runs()
        if runs.empty:
            raise StoreError(f"the results store {str(path)!r} has no run: measure first")
        plan = _plan(runs["plan"].iloc[0], path)
        visits = store.visits(plan)
        if visits.empty:
            raise StoreError(f"the newest run of {str(path)!r} has no visit: run it to its end")
        environment = store.environment(plan)
    cells: dict[str, CellCosts] = {}
    for cell in plan.cells:
        of_cell = visits[
            (visits["mode"] == str(cell.mode))
            & (visits["batch_size"] == cell.batch_size)
            & (visits["flush_interval"] == cell.flush_interval)
            & (visits["sizing"] == cell.sizing)
            & (
                visits["added_latency"].isna()
                if cell.added_latency is None
                else visits["added_latency"].eq(cell.added_latency)
            )
        ]
        if cell.mode is Mode.CLOSED_LOOP:
            time = 1 / of_cell["items_per_writer_second"]
            cells[f"{cell}: writer time"] = _of_blocks(of_cell, time, Unit.SECONDS_PER_ITEM, plan)
            trips = of_cell["round_trips"] / of_cell["items"]
            cells[f"{cell}: round trips"] = _of_blocks(of_cell, trips, Unit.ROUND_TRIPS_PER_ITEM, plan)
        else:
            stable = of_cell[of_cell["stable"]]
            cells[f"{cell}: p99"] = _of_blocks(stable, stable["p99"], Unit.LATENCY_SECONDS, plan)
    measured_at = pd.to_datetime(visits["measured_at"], utc=True).max().to_pydatetime()
    engine = " ".join(filter(None, (plan.engine, plan.server, f"durability {plan.durability}")))
    return MeasuredRun(str(path), measured_at, environment, (engine,), cells)


def _plan(text: str, path: Path) -> SweepPlan:
    try:
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(text).items()
        }
        return SweepPlan(**values)
    except (TypeError, ValueError, PerflabError) as error:
        raise StoreError(f"the plan in {str(path)!r} is of another version of perflab: measure again") from error


def _of_blocks(visits: pd.DataFrame, costs: pd.Series[float], unit: Unit, plan: SweepPlan) -> CellCosts:
    by_block = zip(visits["block"].astype(int), costs.astype(float), strict=True)
    return CellCosts(unit, plan.blocks, {block: cost for block, cost in by_block if cost > 0})
