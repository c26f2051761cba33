"""The signals by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from perflab.events import Cause, Outcome
from perflab.monitoring import table_state
from perflab.monitoring.instruments import caches, databases, flushes, queues, ticks
from perflab.monitoring.signals.readings import (
    Age,
    Growth,
    Increase,
    Level,
    Quantile,
    Reading,
    Saving,
    Share,
    Total,
)


@dataclass(frozen=True, slots=True)
class Signal:
    """A quantity that is worth an alert or a trend."""

    name: str
    unit: str
    """As it is written behind a value: "s", "items"; "" for a share of 1."""
    help: str
    reading: Reading
    by: tuple[str, ...] = ()
    """The labels that tell its series apart."""
    evidence: Increase | None = None
    """What it is a share or a quantile of: with few of them it says little."""


def _signals() -> tuple[Signal, ...]:
    return (*_of_flushes(), *_of_queues(), *_of_ticks(), *_of_caches_and_pools())


def _of_flushes() -> tuple[Signal, ...]:
    by, flushed, attempts = ("engine",), Increase(flushes.FLUSHES), Increase(flushes.ATTEMPTS)
    return (
        Signal(
            "batch_utilisation",
            "",
            "Items of batches ÷ what they could have held.",
            Share(Increase(flushes.BATCH_ITEMS, part="_sum"), Increase(flushes.CAPACITY)),
            by,
            flushed,
        ),
        Signal(
            "timer_flush_share",
            "",
            "The share of batches that left because their oldest item had waited long enough.",
            Share(Increase(flushes.FLUSHES, {"cause": Cause.AGE}), flushed),
            by,
            flushed,
        ),
        Signal(
            "round_trips_saved_share",
            "",
            "Of the round trips that items cost one by one, the share that batching saves.",
            Saving(Share(Increase(flushes.ROUND_TRIPS), Increase(flushes.UNBATCHED))),
            by,
            flushed,
        ),
        Signal(
            "flush_p99_seconds",
            "s",
            "How long an attempt to write a batch takes: 99 % are quicker.",
            Quantile(flushes.DURATION, 0.99),
            by,
            attempts,
        ),
        Signal(
            "flush_wait_p99_seconds",
            "s",
            "How long the oldest item of a batch waits for it to leave: 99 % wait less.",
            Quantile(flushes.WAIT, 0.99),
            by,
            flushed,
        ),
        Signal(
            "flush_retry_share",
            "",
            "The share of attempts to write a batch that ended in a passing failure.",
            Share(Increase(flushes.ATTEMPTS, {"outcome": Outcome.RETRIED}), attempts),
            by,
            attempts,
        ),
        Signal("flushes", "batches", "Batches that left in the window.", flushed, by),
        Signal("items_delivered", "items", "Items that batchers wrote in the window.", Increase(flushes.DELIVERED), by),
        Signal("items_failed", "items", "Items that ended in an error in the window.", Increase(flushes.FAILED), by),
    )


def _of_queues() -> tuple[Signal, ...]:
    by = ("queue",)
    return (
        Signal("jobs_done", "jobs", "Jobs done in the window.", Increase(queues.FINISHED, {"outcome": "done"}), by),
        Signal(
            "jobs_died",
            "jobs",
            "Jobs that failed, or were rescued, for the last time in the window.",
            Total((Increase(queues.FINISHED, {"outcome": "dead"}), Increase(queues.RESCUED, {"outcome": "dead"}))),
            by,
        ),
        Signal(
            "leases_rescued",
            "jobs",
            "Jobs that were taken from lost workers in the window.",
            Increase(queues.RESCUED),
            by,
        ),
        Signal(
            "queue_age_seconds",
            "s",
            "How long that job is due which is due the longest.",
            Level(table_state.OLDEST),
            by,
        ),
        Signal("backlog", "jobs", "Jobs that are due.", Level(table_state.JOBS, {"state": "ready"}), by),
        Signal(
            "backlog_growth",
            "jobs/s",
            "By how many jobs a second the backlog grew in the window; jobs are counted up to 100,000.",
            Growth(table_state.JOBS, {"state": "ready"}),
            by,
        ),
    )


def _of_ticks() -> tuple[Signal, ...]:
    return (
        Signal(
            "watch_overdue_seconds",
            "s",
            "How long that slot of a watch is due which is due the longest: no tick takes it.",
            Level(table_state.OVERDUE),
        ),
        Signal(
            "tick_age_seconds",
            "s",
            "Time since the last tick of a scheduler that lives.",
            Age(ticks.LAST),
            ("engine",),
        ),
        Signal(
            "tick_lag_p99_seconds",
            "s",
            "How overdue the oldest slot of a tick is: 99 % are less.",
            Quantile(ticks.LAG, 0.99),
            ("engine",),
            Increase(ticks.TICKS),
        ),
        Signal(
            "tick_failures",
            "ticks",
            "Ticks that the database refused or failed in the window.",
            Increase(ticks.FAILURES),
            ("engine",),
        ),
    )


def _of_caches_and_pools() -> tuple[Signal, ...]:
    asked = Increase(caches.ASKED)
    return (
        Signal(
            "cache_hit_share",
            "",
            "The share of keys that a cache had, and was allowed to show.",
            Share(Increase(caches.ASKED, {"result": "hits"}), asked),
            ("cache",),
            asked,
        ),
        Signal(
            "pool_waiting_threads",
            "threads",
            "Threads of one process or several that want a connection.",
            Level(databases.POOL_WAITING),
            ("engine",),
        ),
    )


SIGNALS: Mapping[str, Signal] = MappingProxyType({signal.name: signal for signal in _signals()})
