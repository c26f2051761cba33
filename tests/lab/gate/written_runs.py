"""Bench folders and stores with costs that are known, as the commands would have written them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd

from perflab.lab.sweep.measure import Measurement, Slice
from perflab.lab.sweep.plan import Cell, SweepPlan
from perflab.lab.sweep.run import run_sweep
from perflab.lab.sweep.store import ResultsStore
from perflab.lab.sweep.target import Target
from tests.lab.sweep.known_cost import KnownCost

ENVIRONMENT = {"commit": "abc", "cpu": "one", "cores": 2, "python": "3.12.1", "load_average": 0.1}
OURS, RAW = "ours", "by hand"


def write_bench_folder(
    folder: Path,
    *,
    factor: float = 1.0,
    noise: float = 0.02,
    machine: float = 0.0,
    blocks: int = 12,
    seed: int = 1,
    operations: Sequence[str] = ("enqueue",),
    raw: bool = True,
    measured_at: datetime = datetime(2026, 1, 1, tzinfo=UTC),
    engine: str = "SQLite 3.45 (WAL, synchronous=NORMAL)",
    **environment: Any,
) -> Path:
    """A bench in which ours takes 5 µs times `factor`; `machine` is how much the machine slows all arms of a block."""
    rng = Random(seed)
    rows = []
    for operation in operations:
        for block in range(blocks):
            slowness = 1 + machine * rng.random()
            for arm, cost in ((OURS, 5e-6 * factor), (RAW, 4e-6)):
                seconds = cost * slowness * rng.lognormvariate(0, noise)
                rows.append((operation, "sqlite", arm, block, seconds))
    kept = [row for row in rows if raw or row[2] == OURS]
    folder.mkdir(parents=True, exist_ok=True)
    columns = ["operation", "engine", "arm", "block", "seconds_per_item"]
    pd.DataFrame(kept, columns=columns).to_csv(folder / "bench.csv", index=False)
    summary = {
        "blocks": blocks,
        "measured_at": measured_at.isoformat(),
        "engines": [engine],
        "environment": {**ENVIRONMENT, **environment},
        "comparisons": [{"operation": operation, "engine": "sqlite", "ours": OURS} for operation in operations],
    }
    (folder / "bench.json").write_text(json.dumps(summary))
    return folder


class _Slower(KnownCost):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self._factor = factor

    def __call__(self, cell: Cell, part: Slice, watches: Sequence[str], target: Target) -> Measurement:
        found = super().__call__(cell, part, watches, target)
        return replace(
            found,
            items_per_writer_second=found.items_per_writer_second / self._factor,
            p99=None if found.p99 is None else found.p99 * self._factor,
        )


def write_store(path: Path, plan: SweepPlan, *, factor: float = 1.0) -> Path:
    """A sweep in which writer time and p99 are `factor` times those of `KnownCost`."""
    with ResultsStore(path) as store:
        run_sweep(plan, store, progress=False, measure_cell=_Slower(factor))
    return path


def drop_samples(folder: Path, **where: object) -> None:
    """Remove samples of a bench folder, as a run that was cut off would lack them."""
    samples = pd.read_csv(folder / "bench.csv", keep_default_na=False)
    matching = pd.Series(data=True, index=samples.index)
    for column, value in where.items():
        matching &= samples[column] == value
    samples[~matching].to_csv(folder / "bench.csv", index=False)


def outcomes(judged: Mapping[str, Any]) -> dict[str, str]:
    """Of the JSON form of a comparison."""
    return {cell["name"]: cell["outcome"] for cell in judged["cells"]}
