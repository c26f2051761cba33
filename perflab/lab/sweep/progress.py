"""How far a sweep is, and how long it will still take, from what each cell has cost so far."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from perflab.lab.sweep.plan import Cell, Visit

PROGRESS_TERMINAL = "PERFLAB_PROGRESS"
"""Environment variable with the terminal to draw on: a kernel has none, and its report is run from one."""


class Progress:
    """A bar over the visits of a sweep. Draws nothing where nobody looks."""

    def __init__(self, visits: Sequence[Visit], done: int, *, stream: TextIO | None) -> None:
        self._left = list(visits)
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

    def visited(self, visit: Visit, seconds: float) -> None:
        self._left.remove(visit)
        self._costs[visit.cell].append(seconds)
        left = self.seconds_left()
        self._bar.set_postfix_str(f"about {int(left // 60)}:{int(left % 60):02} left", refresh=False)
        self._bar.update()

    def seconds_left(self) -> float:
        """Mean cost of each remaining visit's own cell; of all cells where that one was not visited yet."""
        costs = [cost for cell_costs in self._costs.values() for cost in cell_costs]
        if not costs:
            return 0.0
        overall = sum(costs) / len(costs)
        means = {cell: sum(values) / len(values) for cell, values in self._costs.items()}
        return sum(means.get(visit.cell, overall) for visit in self._left)

    def close(self) -> None:
        self._bar.close()
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
