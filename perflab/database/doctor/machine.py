"""Checks that do not depend on the engine: the schema's revision, the round trip, the disk, and sizes for people."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import median

from perflab.database.doctor.diagnosis import Check, Verdict
from perflab.database.schema import SCHEMA_REVISION, known_revisions

ROUND_TRIPS = 30
LOW_DISK_SHARE = 0.10
LOW_DISK_BYTES = 1 << 30
FULL_DISK_BYTES = 64 << 20


def check_revision(revision: str | None) -> Check:
    """Whether perflab's tables are those of this version."""
    values = {"revision": revision, "needed": SCHEMA_REVISION}
    if revision == SCHEMA_REVISION:
        return Check("schema", Verdict.OK, f"perflab's tables are in revision {revision}", values=values)
    how = "run perflab db upgrade, or call create_schema()"
    if revision is None:
        return Check("schema", Verdict.NOTE, "perflab's tables are not there yet", how, values)
    if revision in known_revisions():
        found = f"perflab's tables are in revision {revision}, and this version needs {SCHEMA_REVISION}"
        return Check("schema", Verdict.FAILURE, found, how, values)
    found = f"perflab's tables are in revision {revision}, which this version does not know"
    return Check("schema", Verdict.FAILURE, found, "upgrade perflab, or use another database", values)


def check_round_trip(exchange: Callable[[], object], clock: Callable[[], float]) -> Check:
    """The time of an exchange with the engine that has next to nothing to do."""
    seconds = []
    for _ in range(ROUND_TRIPS):
        start = clock()
        exchange()
        seconds.append(clock() - start)
    values = {
        "median_seconds": median(seconds),
        "least_seconds": min(seconds),
        "most_seconds": max(seconds),
        "samples": len(seconds),
    }
    finding = (
        f"a round trip takes {duration(median(seconds))} (median of {len(seconds)}, "
        f"{duration(min(seconds))} to {duration(max(seconds))})"
    )
    return Check("round trip", Verdict.OK, finding, values=values)


def check_disk(folder: Path, database_bytes: int) -> Check:
    """The space left where the database lies."""
    usage = shutil.disk_usage(folder)
    values = {"free_bytes": usage.free, "total_bytes": usage.total, "database_bytes": database_bytes}
    finding = f"{size(usage.free)} of {size(usage.total)} are free, the database has {size(database_bytes)}"
    advice = "make room: a full disk stops every write"
    if usage.free < FULL_DISK_BYTES:
        return Check("disk", Verdict.FAILURE, finding, advice, values)
    if usage.free < LOW_DISK_BYTES or usage.free < LOW_DISK_SHARE * usage.total:
        return Check("disk", Verdict.WARNING, finding, advice, values)
    return Check("disk", Verdict.OK, finding, values=values)


def duration(seconds: float) -> str:
    """Seconds for people."""
    for unit, factor in (("µs", 1e6), ("ms", 1e3)):
        if seconds * factor < 999.5:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:,.1f} s"


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1_024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1_024
    return f"{count:.1f} TiB"
