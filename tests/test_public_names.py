"""The public names are a promise: this list changes together with the changelog."""

from __future__ import annotations

import re
from pathlib import Path

import perflab

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"

NAMES = [
    "AimdSizing",
    "Alert",
    "AlertRule",
    "AlertWatch",
    "AskedOften",
    "AsyncRequestBatcher",
    "Backoff",
    "BatcherExplanation",
    "BatchingMetrics",
    "BulkInserter",
    "CacheLifetimes",
    "CacheMetrics",
    "CacheWarmer",
    "Compression",
    "CostModelSizing",
    "Database",
    "DatabaseAdvisor",
    "DeadJob",
    "DeadLetter",
    "DeadLetterTable",
    "DepthLimit",
    "Discard",
    "DoneJob",
    "DrainReport",
    "DueSoon",
    "EngineWarmReport",
    "FailureLog",
    "FinishedIngest",
    "FixedSizing",
    "Fleet",
    "FleetMember",
    "FleetMetrics",
    "FleetSettings",
    "IngestState",
    "InsertReport",
    "Job",
    "JobProgress",
    "Lane",
    "LiveView",
    "MetricsPublisher",
    "MetricsRegistry",
    "NewJob",
    "Operation",
    "Overview",
    "PerflabError",
    "PriorityQueue",
    "Progress",
    "QueueCounts",
    "QueuePressure",
    "RequestBatcher",
    "Retry",
    "RetryPolicy",
    "RowCache",
    "Scheduler",
    "Snapshot",
    "TickReport",
    "WarmReport",
    "Watch",
    "Webhook",
    "Worker",
    "WorkerLease",
    "WorkerReport",
    "__version__",
    "exit_on_sigterm",
    "export_to_opentelemetry",
    "load",
    "load_all",
    "monitored",
    "warm_engine",
]


def test_the_names_are_these() -> None:
    assert sorted(perflab.__all__) == NAMES
    assert dir(perflab) == NAMES


def test_every_name_can_be_used() -> None:
    for name in perflab.__all__:
        assert getattr(perflab, name) is not None


def test_another_name_is_an_attribute_error() -> None:
    assert not hasattr(perflab, "Databases")


def test_every_name_stands_once_in_the_reference() -> None:
    """`::: perflab.NAME` on the page of its part puts its docstring there; `errors.md` has the whole module."""
    listed = [
        name
        for page in REFERENCE.glob("*.md")
        for name in re.findall(r"^::: perflab\.(\w+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        if name != "errors"
    ]
    assert sorted(listed) == [name for name in NAMES if name not in {"__version__", "PerflabError"}]
