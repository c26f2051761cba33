"""How far a sweep is, and how long it will still take, from what each cell has cost so far."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from perflab.lab.sweep.plan import Cell, Visit
from perflab.monitoring.sweep_progress import SweepProgress

logger = logging.getLogger(__name__)

PROGRESS_TERMINAL = "PERFLAB_PROGRESS"
"""Environment variable with the terminal to draw on: a kernel has none, and its report is run from one."""


class Progress:
    """A bar over the visits of a sweep. Draws nothing where nobody looks.

    Args:
        visits: that are to come.
        done: how many are over already.
        stream: where to draw.
        store: beside which file to note how far it is, for the dashboard; None: nowhere.
        name: of the sweep, in that note.
    """

    def __init__(
        self,
        visits: Sequence[Visit],
        done: int,
        *,
        stream: TextIO | None,
        store: Path | None = None,
        name: str = "sweep",
    ) -> None:
        self._left = list(visits)
        self._total = done + len(visits)
        self._store, self._name = store, name
        self._costs: dict[Cell, list[float]] = defaultdict(list)
        self._stream = stream
        self._bar: tqdm[Any] = tqdm(
            total=done + len(visits),
            initial=done,
            unit="visit",
            file=stream or sys.stderr,
            disable=stream is None,
            leave=False,
            bar_format="{desc}: {n_fmt}/{total_fmt} visits |{bar}| {elapsed}, {postfix}",
            desc="sweep",
        )
        self._note(has_ended=False)

    def visited(self, visit: Visit, seconds: float) -> None:
        self._left.remove(visit)
        self._costs[visit.cell].append(seconds)
        left = self.seconds_left()
        self._bar.set_postfix_str(f"about {int(left // 60)}:{int(left % 60):02} left", refresh=False)
        self._bar.update()
        self._note(has_ended=False)

    def seconds_left(self) -> float:
        """Mean cost of each remaining visit's own cell; of all cells where that one was not visited yet."""
        costs = [cost for cell_costs in self._costs.values() for cost in cell_costs]
        if not costs:
            return 0.0
        overall = sum(costs) / len(costs)
        means = {cell: sum(values) / len(values) for cell, values in self._costs.items()}
        return sum(means.get(visit.cell, overall) for visit in self._left)

    def _note(self, *, has_ended: bool) -> None:
        if self._store is None:
            return
        done = self._total - len(self._left)
        progress = SweepProgress(self._name, done, self._total, self.seconds_left(), time.time(), has_ended)
        try:
            progress.write(self._store)
        except OSError as error:  # the results count, and not who looks on
            logger.warning("how far the sweep is cannot be noted beside %s: %s", self._store, error)
            self._store = None

    def close(self) -> None:
        self._bar.close()
        self._note(has_ended=True)
        if self._stream is not None and self._stream is not sys.stderr:
            self._stream.close()


def progress_stream() -> TextIO | None:
    """Where to draw: the terminal named by the environment, else standard error if that is one, else nowhere."""
    terminal = os.environ.get(PROGRESS_TERMINAL)
    if terminal:
        try:
            return Path(terminal).open("w", encoding="utf-8")
        except OSError:
            return None
    return sys.stderr if sys.stderr.isatty() else None
