"""Traffic at four fifths of what this machine takes, for long: memory, files and p99 stay flat, and nothing is lost.

python -m tests.faults.soak ENGINE [SECONDS]
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perflab.database.database import Database
from tests.faults.many_jobs import fresh_url
from tests.faults.traffic import Traffic

CAPACITY_SECONDS = 10.0
LOAD = 0.8
SPANS = 12
MOST_GROWTH = 1.10
"""Of memory, from the second third to the last."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Span:
    """A twelfth of the time.

    Attributes:
        resident_bytes: at its end.
        files: open at its end.
        p99_seconds: from a job handed in to its enqueue committed.
        jobs: acknowledged in it.
    """

    resident_bytes: int
    files: int
    p99_seconds: float
    jobs: int


def capacity(url: str) -> float:
    """Jobs a second that pass when as many come as are taken."""
    with Traffic(url, rate=None) as traffic:
        started = time.monotonic()
        time.sleep(CAPACITY_SECONDS)
        assert traffic.finish().lost == 0
        return len(traffic.handled) / (time.monotonic() - started)


def watch(traffic: Traffic, seconds: float) -> list[Span]:
    """Look at traffic at the end of each span."""
    spans = []
    start = time.monotonic()
    seen = 0
    for number in range(SPANS):
        time.sleep(max(start + (number + 1) * seconds / SPANS - time.monotonic(), 0.0))
        ended = np.array(traffic.acknowledged[seen:]).reshape(-1, 2)
        seen += ended.size
        resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES
        p99 = float(np.percentile(ended[:, 1] - ended[:, 0], 99))
        spans.append(Span(resident, len(os.listdir("/proc/self/fd")), p99, len(ended)))  # noqa: PTH208
        print(
            f"{number + 1}/{SPANS}: {len(ended):,} jobs, p99 {p99 * 1_000:.1f} ms, {resident / 1e6:.1f} MB, "
            f"{spans[-1].files} files",
            flush=True,
        )
    return spans


def complaints(spans: Sequence[Span]) -> list[str]:
    """What did not stay as it was. The first third is warm-up."""
    third = len(spans) // 3
    middle, last = spans[third : 2 * third], spans[2 * third :]
    found = []
    memory = [statistics.median(each.resident_bytes for each in part) for part in (middle, last)]
    if memory[1] > memory[0] * MOST_GROWTH:
        found.append(f"memory grew from {memory[0]:,.0f} to {memory[1]:,.0f} bytes")
    if max(each.files for each in last) > max(each.files for each in middle):
        found.append("files were opened, and stay open")
    p99 = [statistics.median(each.p99_seconds for each in part) for part in (middle, last)]
    if p99[1] > 2 * p99[0] + 0.005:
        found.append(f"the p99 went from {p99[0] * 1_000:.1f} to {p99[1] * 1_000:.1f} ms")
    return found


def main(arguments: Sequence[str]) -> int:
    engine, seconds = arguments[0], float(arguments[1]) if len(arguments) > 1 else 1_800.0
    with fresh_url(engine) as url:
        with Database.open(url) as database:
            database.create_schema()
        rate = LOAD * capacity(url)
        print(f"{engine}: {rate:,.0f} jobs a second for {seconds:,.0f} s", flush=True)
        with Traffic(url, rate=rate) as traffic:
            spans = watch(traffic, seconds)
            kept = traffic.finish()
    found = complaints(spans)
    found += [f"{kept.lost} jobs were lost"] * bool(kept.lost)
    print(f"{engine}: {kept}; {'; '.join(found) or 'flat, and nothing lost'}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
