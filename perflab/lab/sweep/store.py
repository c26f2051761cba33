"""Results in one DuckDB file: runs, visits and flushes. A visit is there whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import duckdb
import numpy as np
import pandas as pd

from perflab.batching.interrupts import interrupts_deferred
from perflab.errors import StoreError
from perflab.lab.noise import NoiseReading
from perflab.lab.sweep.environment import Environment
from perflab.lab.sweep.measure import Flush, Measurement
from perflab.lab.sweep.plan import SweepPlan, Visit

STORE_VERSION = 4

_SCHEMA = """
CREATE TABLE perflab_store (version INTEGER NOT NULL);
CREATE TABLE runs (
    run_id VARCHAR PRIMARY KEY,
    name VARCHAR NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ,
    plan JSON NOT NULL,
    environment JSON NOT NULL
);
CREATE TABLE visits (
    visit_key VARCHAR PRIMARY KEY,
    run_id VARCHAR NOT NULL,
    block INTEGER NOT NULL,
    position INTEGER NOT NULL,
    mode VARCHAR NOT NULL,
    batch_size INTEGER NOT NULL,
    flush_interval DOUBLE NOT NULL,
    added_latency DOUBLE,
    sizing VARCHAR NOT NULL,
    latency_target DOUBLE NOT NULL,
    items INTEGER NOT NULL,
    seconds DOUBLE NOT NULL,
    writer_seconds DOUBLE NOT NULL,
    items_per_second DOUBLE NOT NULL,
    items_per_writer_second DOUBLE NOT NULL,
    mean_batch DOUBLE NOT NULL,
    round_trips BIGINT NOT NULL,
    round_trips_unbatched BIGINT NOT NULL,
    stable BOOLEAN NOT NULL,
    p50 DOUBLE,
    p99 DOUBLE,
    lag_p99 DOUBLE,
    steady BOOLEAN NOT NULL,
    checksum BIGINT NOT NULL,
    tick_seconds DOUBLE NOT NULL,
    added_round_trip DOUBLE,
    steady_confirmed BOOLEAN,
    calibration_seconds DOUBLE NOT NULL,
    load_average DOUBLE,
    measured_at TIMESTAMPTZ NOT NULL
);
CREATE TABLE flushes (
    visit_key VARCHAR NOT NULL,
    sequence INTEGER NOT NULL,
    items INTEGER NOT NULL,
    seconds DOUBLE NOT NULL,
    waited DOUBLE NOT NULL,
    cause VARCHAR NOT NULL,
    round_trips INTEGER NOT NULL,
    round_trips_unbatched INTEGER NOT NULL,
    warm BOOLEAN NOT NULL
);
"""

_FIGURES = tuple(field.name for field in fields(Measurement) if field.name != "flushes")
_FLUSH_COLUMNS = tuple(field.name for field in fields(Flush))


class ResultsStore:
    """The results of sweeps, in one file that one process writes at a time.

    Args:
        path: Of the DuckDB file; made if it is not there.

    Raises:
        StoreError: the file is in use by another process, is not a results store, or is one of another version.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.parent.is_dir():
            raise StoreError(f"the folder of the results store {str(path)!r} does not exist: create it")
        try:
            self._connection = duckdb.connect(str(self.path))
        except (duckdb.IOException, duckdb.SerializationException) as error:
            if "lock" in str(error).lower():
                raise StoreError(
                    f"the results store {str(path)!r} is in use by another process: wait for it, or use another store"
                ) from error
            raise StoreError(f"{str(path)!r} is not a results store: name another file") from error
        except duckdb.Error as error:
            raise StoreError(f"the results store {str(path)!r} cannot be opened: {error}") from error
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        tables = {name for (name,) in self._execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        if not tables:
            self._execute("BEGIN")
            self._execute(_SCHEMA)
            self._execute("INSERT INTO perflab_store VALUES (?)", [STORE_VERSION])
            self._execute("COMMIT")
            return
        if "perflab_store" not in tables:
            raise StoreError(f"{str(self.path)!r} is a DuckDB file of something else: name another file")
        version = self._scalar("SELECT version FROM perflab_store")
        if version != STORE_VERSION:
            raise StoreError(
                f"the results store {str(self.path)!r} has version {version}, and this perflab reads version "
                f"{STORE_VERSION}: start a new store"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    # -- writing -------------------------------------------------------------------------------------------------------

    def begin_run(self, plan: SweepPlan, environment: Environment) -> str:
        """Note that a run begins, and return its id."""
        run_id = uuid4().hex[:12]
        self._execute(
            "INSERT INTO runs VALUES (?, ?, ?, NULL, ?, ?)",
            [run_id, plan.name, datetime.now(UTC), json.dumps(asdict(plan)), json.dumps(dict(environment))],
        )
        return run_id

    def end_run(self, run_id: str) -> None:
        self._execute("UPDATE runs SET ended_at = ? WHERE run_id = ?", [datetime.now(UTC), run_id])

    def add(self, run_id: str, key: str, visit: Visit, measurement: Measurement, noise: NoiseReading) -> None:
        """Store one visit and its flushes in one transaction.

        Raises:
            StoreError: it is there already.
        """
        flushes = pd.DataFrame([asdict(flush) for flush in measurement.flushes], columns=list(_FLUSH_COLUMNS))
        flushes.insert(0, "sequence", range(len(flushes)))
        flushes.insert(0, "visit_key", key)
        row: Mapping[str, Any] = {
            "visit_key": key,
            "run_id": run_id,
            "block": visit.block,
            "position": visit.position,
            "mode": str(visit.cell.mode),
            "batch_size": visit.cell.batch_size,
            "flush_interval": visit.cell.flush_interval,
            "added_latency": visit.cell.added_latency,
            "sizing": visit.cell.sizing,
            "latency_target": visit.cell.latency_target,
            **{name: getattr(measurement, name) for name in _FIGURES},
            "calibration_seconds": noise.calibration_seconds,
            "load_average": noise.load_average,
            "measured_at": datetime.now(UTC),
        }
        if self.has(key):
            raise StoreError(
                f"the store {str(self.path)!r} has the visit {visit.cell}, block {visit.block}, already: another sweep "
                "writes to it; let that one end, or use another store"
            )
        self._execute("BEGIN")
        try:
            placeholders = ", ".join("?" * len(row))
            self._execute(
                f"INSERT INTO visits ({', '.join(row)}) VALUES ({placeholders})",  # noqa: S608  # our own column names
                list(row.values()),
            )
            self._connection.register("new_flushes", flushes)
            self._execute("INSERT INTO flushes BY NAME SELECT * FROM new_flushes")
            self._connection.unregister("new_flushes")
            self._execute("COMMIT")
        except BaseException:
            self._execute("ROLLBACK")
            raise

    # -- reading -------------------------------------------------------------------------------------------------------

    def has(self, key: str) -> bool:
        """Whether a visit is measured."""
        return self._scalar("SELECT 1 FROM visits WHERE visit_key = ?", key) is not None

    def known(self, plan: SweepPlan) -> dict[str, Visit]:
        """The visits of a plan that are measured already, by key."""
        stored = {key for (key,) in self._execute("SELECT visit_key FROM visits").fetchall()}
        return {key: visit for visit in plan.visits() if (key := plan.visit_key(visit)) in stored}

    def visits(self, plan: SweepPlan) -> pd.DataFrame:
        """One row for each measured visit of a plan, with the columns of the table `visits`, in their order."""
        return self._of_plan("visits", plan).sort_values(["block", "position"], ignore_index=True)

    def flushes(self, plan: SweepPlan) -> pd.DataFrame:
        """One row for each flush of the measured visits of a plan, with `block`, `mode`, `batch_size` of its visit."""
        settings = self.visits(plan)[["visit_key", "block", "mode", "batch_size", "flush_interval"]]
        return self._of_plan("flushes", plan).merge(settings, on="visit_key")

    def runs(self) -> pd.DataFrame:
        """One row for each run, the newest first."""
        return self._frame("SELECT * FROM runs ORDER BY started_at DESC")

    def environment(self, plan: SweepPlan) -> Environment:
        """The environment of the newest run that measured a visit of the plan.

        Raises:
            StoreError: nothing of the plan is measured.
        """
        run_ids = self.visits(plan)["run_id"].unique().tolist()
        found = self._execute(
            "SELECT environment FROM runs WHERE list_contains(?, run_id) ORDER BY started_at DESC LIMIT 1", [run_ids]
        ).fetchone()
        if found is None:
            raise StoreError(f"the store {str(self.path)!r} has no visit of the sweep {plan.name!r}: run it first")
        environment: Environment = json.loads(found[0])
        return environment

    def _of_plan(self, table: str, plan: SweepPlan) -> pd.DataFrame:
        keys = [plan.visit_key(visit) for visit in plan.visits()]
        return self._frame(
            f"SELECT * FROM {table} WHERE list_contains(?, visit_key)",  # noqa: S608  # one of our own two tables
            keys,
        )

    def _frame(self, sql: str, *parameters: Any) -> pd.DataFrame:
        """A result as a frame; NULL becomes NaN in a column of numbers, and None in others.

        Not DuckDB's own `df()`, which calls pandas in a way that pandas 3 warns of.
        """
        columns = self._execute(sql, parameters).fetchnumpy()
        for name, values in columns.items():
            if isinstance(values, np.ma.MaskedArray) and values.dtype.kind == "f":
                columns[name] = values.filled(np.nan)
        return pd.DataFrame(columns)

    def _execute(self, sql: str, parameters: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        """Run one statement. Signals wait: DuckDB makes of what a handler raises an error of its own.

        Raises:
            StoreError: the file is damaged, its disk is full, or another sweep of this process writes the same.
        """
        try:
            with interrupts_deferred():
                return self._connection.execute(sql, list(parameters))
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise StoreError(
                f"the results store {str(self.path)!r} cannot be used ({reason}): if it is damaged, take a "
                "copy or another file"
            ) from error

    def _scalar(self, sql: str, *parameters: Any) -> Any:
        row = self._execute(sql, parameters).fetchone()
        return None if row is None else row[0]
