"""The figures of the concept pages by the name of their file. None of them depends on the machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from docs.figures.cost_model import throughput_by_distance
from docs.figures.lease import jobs_of_a_killed_worker
from docs.figures.open_loop import latency_of_a_standstill
from perflab.lab.plots.plot import Plot

FIGURES: Mapping[str, Callable[[], Plot]] = {
    "throughput_by_distance": throughput_by_distance,
    "jobs_of_a_killed_worker": jobs_of_a_killed_worker,
    "latency_of_a_standstill": latency_of_a_standstill,
}
