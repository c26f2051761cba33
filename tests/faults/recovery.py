"""How soon work goes on after a server was disturbed, and whether anything was lost: into reports/recovery.md.

python -m tests.faults.recovery [VISITS]
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from perflab.database.embedded import EmbeddedServer
from perflab.lab.markdown_table import markdown_table
from tests.faults.disturbances import DISTURBANCES, Scene
from tests.faults.traffic import PATIENCE_SECONDS, Conservation, Traffic, longest_gap

REPORT = Path(__file__).parents[2] / "reports" / "recovery.md"
BEFORE_SECONDS = AFTER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Recovery:
    """One visit of a disturbance; seconds.

    Attributes:
        lasted: from its beginning until everything could work again.
        enqueued: from then until the first job that was handed in after it was acknowledged.
        handled: from then until the first job was handled.
        longest_gap: without any acknowledgement, from just before it to the end.
        retries: of batches.
        conservation: of all jobs.
    """

    lasted: float
    enqueued: float
    handled: float
    longest_gap: float
    retries: int
    conservation: Conservation


def recover(scene: Scene) -> Recovery:
    """Disturb a database under traffic."""
    with Traffic(scene.url) as traffic:
        _wait(lambda: len(traffic.handled) > 100)
        time.sleep(BEFORE_SECONDS)
        begun = time.monotonic()
        scene.disturb()
        over = time.monotonic()
        _wait(lambda: _first_acknowledged(traffic, over) and traffic.handled[-1] > over)
        time.sleep(AFTER_SECONDS)
        end = time.monotonic()
        conservation = traffic.finish()
        first = _first_acknowledged(traffic, over)
        assert first is not None
        return Recovery(
            lasted=over - begun,
            enqueued=first - over,
            handled=min(moment for moment in traffic.handled if moment > over) - over,
            longest_gap=longest_gap(traffic.acknowledged[1::2], begun, end),
            retries=traffic.retries,
            conservation=conservation,
        )


def visit(name: str, server: EmbeddedServer) -> tuple[Scene, Recovery]:
    """Set a scene, and see how it recovers."""
    with DISTURBANCES[name](server) as scene:
        return scene, recover(scene)


def _first_acknowledged(traffic: Traffic, over: float) -> float | None:
    noted = traffic.acknowledged[:]
    return min((end for start, end in zip(noted[0::2], noted[1::2], strict=False) if start >= over), default=None)


def _wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not go on"
        time.sleep(0.002)


def _row(name: str, visits: Sequence[Recovery]) -> list[str]:
    def spread(field: str) -> str:
        values = sorted(getattr(visit, field) for visit in visits)
        return f"{statistics.median(values):.3f} [{values[0]:.3f}, {values[-1]:.3f}]"

    lost = sum(visit.conservation.lost for visit in visits)
    jobs = sum(visit.conservation.acknowledged for visit in visits)
    failed = sum(visit.conservation.submitted - visit.conservation.acknowledged for visit in visits)
    repeated = sum(visit.conservation.repeated for visit in visits)
    measured = [spread(field) for field in ("lasted", "enqueued", "handled", "longest_gap")]
    return [name, *measured, f"{jobs:,}", str(lost), str(failed), str(repeated)]


HEADER = [
    *("disturbance", "lasted, s", "until enqueued, s", "until handled, s", "longest gap, s"),
    *("jobs", "lost", "refused", "repeated"),
]
PREFACE = """# Recovery

Under 300 jobs a second, enqueued through a batcher and handled by a worker of one process, with full durability.
Medians of {visits} visits, with the least and the most. "Until" counts from when everything could work again, to the
first enqueue that was handed in later and is committed, and to the first job handled. The gap is the longest time
without an acknowledgement from the beginning of the disturbance on. Lost: acknowledged and never handled. Refused: told
as an error to the caller. Repeated: handled more than once, which at-least-once allows.

Made by `make recovery` on {machine}.

"""


def main(arguments: Sequence[str]) -> int:
    visits = int(arguments[0]) if arguments else 5
    rows = []
    lost = 0
    with (
        tempfile.TemporaryDirectory(prefix="perflab-postgres-") as directory,
        EmbeddedServer.start(directory) as server,
    ):
        for name in DISTURBANCES:
            seen = [visit(name, server)[1] for _ in range(visits)]
            lost += sum(each.conservation.lost for each in seen)
            rows.append(_row(name, seen))
            print(" | ".join(rows[-1]), flush=True)
    machine = f"a machine with {os.cpu_count()} cores"
    REPORT.parent.mkdir(exist_ok=True)
    text = PREFACE.format(visits=visits, machine=machine) + markdown_table(HEADER, rows) + "\n"
    REPORT.write_text(text, encoding="utf-8")
    print(f"written to {REPORT.name}")
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
