"""All visits of a plan, in randomised complete blocks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pandas as pd

from perflab.lab.garbage import old_objects_set_aside
from perflab.lab.queue_cost.calls import visit_calls
from perflab.lab.queue_cost.depth import visit_depth
from perflab.lab.queue_cost.drain import visit_drain
from perflab.lab.queue_cost.findings import QueueFindings
from perflab.lab.queue_cost.plan import QueuePlan
from perflab.lab.queue_cost.snapshot import visit_snapshot
from perflab.lab.sweep.environment import read_environment
from perflab.lab.sweep.fresh import FreshDatabase
from perflab.lab.sweep.target import Target, open_engine

Cell = TypeVar("Cell")
Visit = Callable[[Cell, FreshDatabase], list[dict[str, Any]]]


def measure_queue(plan: QueuePlan, url: str | None = None) -> QueueFindings:
    """Measure the calls, the drain, the claims by depth, and the held snapshot, each visit in a fresh database.

    Args:
        plan: what to measure.
        url: of the user's own PostgreSQL server, where everything happens in a scratch schema; None: SQLite, or an
            embedded server.

    Raises:
        WrongAnswer: jobs were lost, came twice, or came in another order.
        LabError: a worker process could not go on.
        MissingExtra, DatabaseUnusable: the engine is not there.
    """
    with open_engine(plan.engine, plan.durability, url) as target, old_objects_set_aside():
        environment = {**read_environment(Path(tempfile.gettempdir())), **target.environment()}
        blocks = _Blocks(target, plan.seed)
        return QueueFindings(
            plan,
            environment,
            calls=blocks.visit("calls", plan.blocks, plan.batch_sizes, partial(visit_calls, plan)),
            drains=blocks.visit("drain", plan.blocks, plan.drains, partial(visit_drain, plan)),
            depths=blocks.visit("depth", plan.deep_blocks, plan.depths, partial(visit_depth, plan)),
            snapshots=blocks.visit("snapshot", plan.deep_blocks, [plan], visit_snapshot),
        )


@dataclass(frozen=True, slots=True)
class _Blocks:
    target: Target
    seed: int

    def visit(self, part: str, blocks: int, cells: Sequence[Cell], visit: Visit[Cell]) -> pd.DataFrame:
        """The rows of all visits, with block, position and measured_at."""
        rows: list[dict[str, Any]] = []
        for block in range(blocks):
            order = Random(f"{self.seed}/{part}/{block}").sample(cells, len(cells))
            for position, cell in enumerate(order):
                with self.target.fresh(None) as fresh:
                    fresh.direct.create_schema()
                    found = visit(cell, fresh)
                where = {"block": block, "position": position, "measured_at": datetime.now(UTC)}
                rows += [{**where, **row} for row in found]
        return pd.DataFrame(rows)
