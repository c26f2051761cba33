"""The benches by name, on each engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from urllib.parse import quote

from perflab.errors import InvalidInput, MissingExtra
from perflab.lab.bench.arms import BenchEngine, bulk_comparison
from perflab.lab.bench.bench_files import BenchRun
from perflab.lab.bench.bulk_calls import (
    BulkCall,
    add_watches_call,
    claim_call,
    enqueue_call,
    mark_done_call,
    update_states_call,
)
from perflab.lab.bench.comparison import Comparison, compare_until
from perflab.lab.bench.compression import compression_comparisons
from perflab.lab.bench.drain import drain_comparisons
from perflab.lab.bench.load import load_comparison
from perflab.lab.bench.monitoring import monitoring_comparison
from perflab.lab.bench.singles import singles_comparisons
from perflab.lab.bench.sqlite_engine import SQLiteBench
from perflab.lab.bench.start_latency import start_comparison
from perflab.lab.bench.submit import submit_comparisons, whole_life_comparisons
from perflab.lab.noise import NoiseReading, read_noise, summarise_noise
from perflab.lab.profiling.profiler import Profiler
from perflab.lab.profiling.visits import profile_visits
from perflab.lab.statistics.looks import Looks
from perflab.lab.sweep.environment import Environment

PROFILES = "profiles"
"""Folder of profiles in that of a bench."""
PRECISION = 0.02
"""Of a ratio: knowing it better changes nothing."""

_CALLS: Mapping[str, Callable[[], BulkCall]] = {
    "enqueue": enqueue_call,
    "claim": claim_call,
    "done": mark_done_call,
    "watches": add_watches_call,
    "states": update_states_call,
}
_WITHOUT_ENGINE: Mapping[str, Callable[[], list[Comparison]]] = {
    "submit": submit_comparisons,
    "life": whole_life_comparisons,
}

BENCH_NAMES = (*_CALLS, "load", *_WITHOUT_ENGINE, "singles", "compression", "drain", "start", "monitoring")


def check_bench_names(names: Sequence[str]) -> None:
    """Refuse names of no bench.

    Raises:
        InvalidInput: there is no bench of a name.
    """
    if unknown := [name for name in names if name not in BENCH_NAMES]:
        raise InvalidInput(f"there is no bench {', '.join(map(repr, unknown))}: use {', '.join(BENCH_NAMES)}")


@contextmanager
def open_engines(*, sqlite: bool, postgresql: bool, url: str | None = None) -> Iterator[list[BenchEngine]]:
    """The engines to measure on.

    Args:
        sqlite: Whether it is one of them.
        postgresql: The same.
        url: Of the PostgreSQL server; None starts an embedded one with its defaults, fsync included.

    Raises:
        DatabaseUnusable: the server cannot be reached, or the embedded one does not start.
        MissingExtra: the driver of PostgreSQL or the embedded server is not installed.
    """
    with ExitStack() as stack:
        engines: list[BenchEngine] = []
        if sqlite:
            engines.append(SQLiteBench())
        if postgresql:
            try:
                from perflab.lab.bench.postgresql_engine import open_postgres  # noqa: PLC0415  # its driver is an extra
            except ModuleNotFoundError as error:
                raise MissingExtra(
                    f"PostgreSQL needs the package {error.name}: pip install 'perflab[postgres]'"
                ) from error
            engines.append(stack.enter_context(open_postgres(url)))
        yield engines


def make_comparisons(names: Sequence[str], engines: Sequence[BenchEngine]) -> list[Comparison]:
    """The comparisons of some benches on all these engines; of all benches where none is named.

    Raises:
        InvalidInput: there is no bench of a name.
    """
    check_bench_names(names)
    chosen = names or BENCH_NAMES
    calls = [_CALLS[name]() for name in chosen if name in _CALLS]
    return [
        *(bulk_comparison(engine, call) for call in calls for engine in engines),
        *(load_comparison(engine) for engine in engines if "load" in chosen),
        *(found for name in chosen if name in _WITHOUT_ENGINE for found in _WITHOUT_ENGINE[name]()),
        *(found for engine in engines if "singles" in chosen for found in singles_comparisons(engine)),
        *(found for engine in engines if "compression" in chosen for found in compression_comparisons(engine)),
        *(found for engine in engines if "drain" in chosen for found in drain_comparisons(engine)),
        *(start_comparison(engine) for engine in engines if "start" in chosen),
        *(monitoring_comparison(engine) for engine in engines if "monitoring" in chosen),
    ]


def run_bench(
    comparisons: Sequence[Comparison],
    looks: Looks,
    *,
    engines: Sequence[str],
    environment: Environment,
    measured_at: datetime,
    seed: int,
    budget_seconds: float,
    visited: Callable[[], object] = lambda: None,
) -> BenchRun:
    """Measure comparisons until their verdicts are clear, and note how quiet the machine was in each block.

    Args:
        comparisons: What to measure.
        looks: When to look; a single one fixes the number of blocks.
        engines: Their titles.
        environment: Of the machine.
        measured_at: When it begins, aware.
        seed: Of the orders.
        budget_seconds: No more blocks than fit into this.
        visited: Called after each visit.
    """
    readings: list[NoiseReading] = []
    found = compare_until(
        comparisons,
        looks,
        precision=PRECISION,
        budget_seconds=budget_seconds,
        seed=seed,
        visited=visited,
        begin_block=lambda _block: readings.append(read_noise()),
    )
    stop = found.stop if len(looks.blocks) > 1 else None
    noise = summarise_noise(readings)
    return BenchRun(found.results, engines, environment, measured_at, found.blocks, seed, noise, stop)


def profile_ours(
    run: BenchRun,
    profiler: Profiler,
    name: str,
    folder: Path,
    visited: Callable[[], object] = lambda: None,
) -> BenchRun:
    """Visit our arm of each comparison once more under a profiler; the run with links to what was seen.

    Args:
        run: What was measured, while its engines are still open. Nothing of it changes.
        profiler: What watches.
        name: Of the profiler.
        folder: Of the bench; profiles go into `profiles` in it.
        visited: Called after each visit.

    Raises:
        LabError: the profiler did not work.
    """
    visits = [(result.comparison.title, partial(result.comparison.ours.visit, run.blocks)) for result in run.results]
    profiles = profile_visits(visits, profiler, name, folder / PROFILES, visited)
    return replace(run, profiles={each.subject: f"{PROFILES}/{quote(each.file.name)}" for each in profiles})
