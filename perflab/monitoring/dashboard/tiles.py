"""The figures that people look at first."""

from __future__ import annotations

from dataclasses import dataclass

from perflab.monitoring.dashboard.formats import number, seconds, share
from perflab.monitoring.dashboard.live import View


@dataclass(frozen=True, slots=True)
class Tile:
    label: str
    value: str
    note: str
    tone: str = ""
    """`good`, `bad`, or neither."""


def tiles(view: View) -> list[Tile]:
    """Of the last second and the last minute."""
    return [*_batching(view), *_jobs(view), _failures(view), *_cache(view)]


def _batching(view: View) -> list[Tile]:
    now, minute = view.now, view.overview
    flushed = minute.flushes > 0
    unbatched = minute.round_trips + minute.round_trips_saved
    saved = minute.round_trips_saved / unbatched if unbatched else None
    return [
        Tile("Items per second", number(now and now.items), "written by batchers"),
        Tile(
            "Round trips saved",
            share(saved),
            f"{number(minute.round_trips_saved)} in the last minute",
            "" if saved is None else "good" if saved > 0 else "bad",
        ),
        Tile(
            "Batch utilisation",
            share(minute.utilisation if flushed else None),
            f"{number(minute.mean_batch if flushed else None)} items a batch",
        ),
        Tile(
            "Flush p99",
            seconds(minute.flush_p99_seconds if flushed else None),
            f"p50 {seconds(minute.flush_p50_seconds if flushed else None)}",
        ),
    ]


def _jobs(view: View) -> list[Tile]:
    now = view.now
    oldest = max((queue.oldest_seconds for queue in view.queues), default=None)
    workers = sum(queue.workers for queue in view.queues)
    return [
        Tile("Jobs per second", number(now and now.done), f"done; {number(now and now.enqueued)} enqueued"),
        Tile(
            "Jobs ready",
            number(now and now.ready),
            f"the oldest due for {seconds(oldest)}" if oldest else "none is due",
        ),
        Tile(
            "Workers",
            number(workers),
            f"{number(len(view.processes))} {'process publishes' if len(view.processes) == 1 else 'processes publish'}",
        ),
    ]


def _failures(view: View) -> Tile:
    minute = view.overview
    return Tile(
        "Failed in a minute",
        number(minute.failed + minute.jobs_dead),
        f"{number(minute.retries + minute.jobs_retried)} retried, {number(minute.leases_rescued)} leases rescued",
        "bad" if minute.failed or minute.jobs_dead else "",
    )


def _cache(view: View) -> list[Tile]:
    rate = view.overview.cache_hit_rate
    return [] if rate is None else [Tile("Cache hits", share(rate), "of keys asked for in the last minute")]
