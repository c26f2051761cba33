"""What becomes of the jobs of a worker that is killed: the real queue, on a clock that is moved by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pandas as pd

from perflab import Database, Job, NewJob, PriorityQueue, WorkerLease
from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import BLUE, GREEN, INK, LINE, ORANGE, new_figure, words

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
JOBS, AHEAD, LEASE_SECONDS, RENEWAL_SECONDS, KILLED_AFTER = 60, 8, 30, 10, 25
LABELLED_AT = 15
"""Where all have jobs."""
COLORS = {"done": GREEN, "held by worker b": BLUE, "held by worker a": ORANGE, "ready": LINE}


class _Worker:
    """Does one job in two seconds, and holds up to eight."""

    def __init__(self, queue: PriorityQueue[int, bool], name: str) -> None:
        self.queue = queue
        self.lease: WorkerLease = queue.open_lease(name, lease=float(LEASE_SECONDS))
        self.jobs: list[Job] = []

    def step(self, second: int) -> int:
        """What it does in this second; how many jobs it finished."""
        if second % RENEWAL_SECONDS == 0 and (renewed := self.queue.renew_lease(self.lease)):
            self.lease = renewed
        finished = second % 2 == 1 and bool(self.jobs) and self.queue.mark_done(self.jobs.pop(0))
        if len(self.jobs) < AHEAD:
            self.jobs += self.queue.claim(AHEAD - len(self.jobs), self.lease)
        return int(finished)


def jobs_of_a_killed_worker() -> Plot:
    """Jobs by who has them, second by second.

    Data columns: second, and the jobs that are done, held by worker b, held by worker a, ready.
    """
    data = _run()
    back = next(second for second in data["second"] if second > KILLED_AFTER and not data["held by worker a"][second])
    lost = int(data["held by worker a"][back - 1])
    title = f"{lost} jobs of a killed worker are with another one {back - KILLED_AFTER} s later"
    figure, (axes,) = new_figure(
        title,
        f"The real queue on SQLite, on a clock moved by hand: leases of {LEASE_SECONDS} s, renewed every "
        f"{RENEWAL_SECONDS} s, a job in 2 s. Worker a is killed after {KILLED_AFTER} s.",
        plot_height_inches=2.8,
    )
    axes.stackplot(data["second"], [data[name] for name in COLORS], colors=list(COLORS.values()), step="post")
    axes.axvline(KILLED_AFTER, color=INK, linewidth=1)
    axes.axvline(back, color=INK, linewidth=1, linestyle=":")
    words(axes, KILLED_AFTER, JOBS * 1.04, "a is killed", dx=0)
    words(axes, back, JOBS * 1.04, "its lease is over", dx=0)
    below = 0.0
    for name in COLORS:
        height = float(data[name][LABELLED_AT])
        words(axes, LABELLED_AT, below + height / 2, name, dx=0)
        below += height
    axes.set_xlim(0, float(data["second"].iloc[-1]))
    axes.set_ylim(0, JOBS)
    axes.set_xlabel("second")
    axes.set_ylabel("jobs")
    reading = (
        f"Worker a last renewed its lease {KILLED_AFTER % RENEWAL_SECONDS} s before it was killed, so its {lost} jobs "
        f"stayed where they were for {back - KILLED_AFTER} s; then worker b got them, and {_done(data)} of {JOBS} jobs "
        f"were done in the end."
    )
    return Plot(figure, title, reading, data)


def _done(data: pd.DataFrame) -> int:
    return int(data["done"].iloc[-1])


def _run() -> pd.DataFrame:
    now = START
    rows = []
    with TemporaryDirectory() as folder, Database.open(f"sqlite:///{Path(folder) / 'lab.db'}") as db:
        db.create_schema()
        queue = PriorityQueue(db, "ingest", now=lambda: now, rng=Random(1))
        queue.bulk_enqueue([NewJob({"number": number}) for number in range(JOBS)])
        a, b = _Worker(queue, "a"), _Worker(queue, "b")
        done = 0
        for second in range(100):
            now = START + timedelta(seconds=second)
            if second < KILLED_AFTER:
                done += a.step(second)
            if queue.rescue_expired():
                a.jobs = []  # they are ready again
            done += b.step(second)
            rows.append((second, done, len(b.jobs), len(a.jobs), queue.counts().ready))
    return pd.DataFrame(rows, columns=["second", *COLORS])
