"""perflab: measure how many operations to send to a SQL database at once, and how long to wait for them.

The public names are imported when they are first used, so that `import perflab` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from perflab.version import __version__

if TYPE_CHECKING:
    from perflab.batching.async_batcher import AsyncRequestBatcher
    from perflab.batching.batcher import RequestBatcher
    from perflab.batching.dead_letters import DeadLetter, DeadLetterTable
    from perflab.batching.departures import BatcherExplanation
    from perflab.batching.drain_report import DrainReport
    from perflab.batching.fleet.fleet import Fleet
    from perflab.batching.fleet.member import FleetMember
    from perflab.batching.fleet.metrics import FleetMetrics
    from perflab.batching.fleet.settings import FleetSettings
    from perflab.batching.inserter import BulkInserter, InsertReport
    from perflab.batching.interrupts import exit_on_sigterm
    from perflab.batching.lanes import Lane
    from perflab.batching.metrics import BatchingMetrics
    from perflab.batching.retry import RetryPolicy
    from perflab.batching.sizing.aimd import AimdSizing
    from perflab.batching.sizing.cost_model import CostModelSizing
    from perflab.batching.sizing.fixed import FixedSizing
    from perflab.cache.engine_warming import EngineWarmReport, warm_engine
    from perflab.cache.lifetimes import CacheLifetimes
    from perflab.cache.metrics import CacheMetrics
    from perflab.cache.predictors import AskedOften, DueSoon
    from perflab.cache.row_cache import RowCache
    from perflab.cache.warm_report import WarmReport
    from perflab.cache.warmer import CacheWarmer
    from perflab.database.compression import Compression
    from perflab.database.database import Database
    from perflab.database.load import load, load_all
    from perflab.database.operation import Operation
    from perflab.errors import PerflabError
    from perflab.lab.advice.advisor import DatabaseAdvisor
    from perflab.monitoring.alerts.evaluation import Alert
    from perflab.monitoring.alerts.rule import AlertRule
    from perflab.monitoring.alerts.watch import AlertWatch
    from perflab.monitoring.alerts.webhook import Webhook
    from perflab.monitoring.dashboard.notebook import LiveView
    from perflab.monitoring.failure_log import FailureLog
    from perflab.monitoring.monitored import monitored
    from perflab.monitoring.opentelemetry import export_to_opentelemetry
    from perflab.monitoring.overview import Overview
    from perflab.monitoring.publishing import MetricsPublisher
    from perflab.monitoring.registry import MetricsRegistry
    from perflab.monitoring.snapshot import Snapshot
    from perflab.queue.backoff import Backoff
    from perflab.queue.depth import DepthLimit, QueuePressure
    from perflab.queue.hints import Discard, Retry
    from perflab.queue.job import DeadJob, DoneJob, Job, JobProgress, NewJob, QueueCounts
    from perflab.queue.leases import WorkerLease
    from perflab.queue.progress_reports import Progress
    from perflab.queue.queue import PriorityQueue
    from perflab.queue.worker import Worker, WorkerReport
    from perflab.scheduler.scheduler import Scheduler
    from perflab.scheduler.watch import FinishedIngest, IngestState, TickReport, Watch

_HOME = {
    "AimdSizing": "perflab.batching.sizing.aimd",
    "Alert": "perflab.monitoring.alerts.evaluation",
    "AlertRule": "perflab.monitoring.alerts.rule",
    "AlertWatch": "perflab.monitoring.alerts.watch",
    "AskedOften": "perflab.cache.predictors",
    "AsyncRequestBatcher": "perflab.batching.async_batcher",
    "Backoff": "perflab.queue.backoff",
    "BatcherExplanation": "perflab.batching.departures",
    "BatchingMetrics": "perflab.batching.metrics",
    "BulkInserter": "perflab.batching.inserter",
    "CacheLifetimes": "perflab.cache.lifetimes",
    "CacheMetrics": "perflab.cache.metrics",
    "CacheWarmer": "perflab.cache.warmer",
    "Compression": "perflab.database.compression",
    "CostModelSizing": "perflab.batching.sizing.cost_model",
    "Database": "perflab.database.database",
    "DatabaseAdvisor": "perflab.lab.advice.advisor",
    "DeadJob": "perflab.queue.job",
    "DeadLetter": "perflab.batching.dead_letters",
    "DeadLetterTable": "perflab.batching.dead_letters",
    "DepthLimit": "perflab.queue.depth",
    "Discard": "perflab.queue.hints",
    "DoneJob": "perflab.queue.job",
    "DrainReport": "perflab.batching.drain_report",
    "DueSoon": "perflab.cache.predictors",
    "EngineWarmReport": "perflab.cache.engine_warming",
    "FailureLog": "perflab.monitoring.failure_log",
    "FinishedIngest": "perflab.scheduler.watch",
    "FixedSizing": "perflab.batching.sizing.fixed",
    "Fleet": "perflab.batching.fleet.fleet",
    "FleetMember": "perflab.batching.fleet.member",
    "FleetMetrics": "perflab.batching.fleet.metrics",
    "FleetSettings": "perflab.batching.fleet.settings",
    "IngestState": "perflab.scheduler.watch",
    "InsertReport": "perflab.batching.inserter",
    "Job": "perflab.queue.job",
    "JobProgress": "perflab.queue.job",
    "Lane": "perflab.batching.lanes",
    "LiveView": "perflab.monitoring.dashboard.notebook",
    "MetricsPublisher": "perflab.monitoring.publishing",
    "MetricsRegistry": "perflab.monitoring.registry",
    "NewJob": "perflab.queue.job",
    "Operation": "perflab.database.operation",
    "Overview": "perflab.monitoring.overview",
    "PerflabError": "perflab.errors",
    "PriorityQueue": "perflab.queue.queue",
    "Progress": "perflab.queue.progress_reports",
    "QueueCounts": "perflab.queue.job",
    "QueuePressure": "perflab.queue.depth",
    "RequestBatcher": "perflab.batching.batcher",
    "Retry": "perflab.queue.hints",
    "RetryPolicy": "perflab.batching.retry",
    "RowCache": "perflab.cache.row_cache",
    "Scheduler": "perflab.scheduler.scheduler",
    "Snapshot": "perflab.monitoring.snapshot",
    "TickReport": "perflab.scheduler.watch",
    "WarmReport": "perflab.cache.warm_report",
    "Watch": "perflab.scheduler.watch",
    "Webhook": "perflab.monitoring.alerts.webhook",
    "Worker": "perflab.queue.worker",
    "WorkerLease": "perflab.queue.leases",
    "WorkerReport": "perflab.queue.worker",
    "exit_on_sigterm": "perflab.batching.interrupts",
    "export_to_opentelemetry": "perflab.monitoring.opentelemetry",
    "load": "perflab.database.load",
    "load_all": "perflab.database.load",
    "monitored": "perflab.monitoring.monitored",
    "warm_engine": "perflab.cache.engine_warming",
}

__all__ = [
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


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'perflab' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
