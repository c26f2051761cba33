"""How quiet the machine was: a fixed piece of pure computing, timed again and again between the measurements.

It takes the same time whenever nothing else wants the processor. Where its time varies, so does everything else, and
figures say less than their number of blocks promises.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from perflab.errors import InvalidInput
from perflab.lab.quantities import format_percent, format_seconds

STEPS = 30_000
"""Of the loop: one to three milliseconds on machines of today."""
LARGEST_VARIATION = 0.05
"""Of the time of the loop, standard deviation over mean, on a machine that is quiet enough."""
LARGEST_LOAD = 0.5
"""Processes that want to run, for each core, on a machine that is quiet enough."""


@dataclass(frozen=True, slots=True)
class NoiseReading:
    """The machine at one moment.

    Attributes:
        calibration_seconds: Time of the loop.
        load_average: Of the last minute; None where the system does not say.
    """

    calibration_seconds: float
    load_average: float | None


def read_noise(clock: Callable[[], float] = time.perf_counter) -> NoiseReading:
    """Time the loop once, and ask for the load."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    start = clock()
    state = 1
    for step in range(STEPS):
        state = (state * 31 + step) & 0xFFFF
    return NoiseReading(clock() - start, load)


@dataclass(frozen=True, slots=True)
class Noise:
    """How quiet the machine was over a measurement.

    Attributes:
        readings: How many there are.
        typical_seconds: Median time of the loop.
        variation: Standard deviation over mean of these times; 0 for a single reading.
        load_per_core: The highest load average, per core; None where the system does not say.
    """

    readings: int
    typical_seconds: float
    variation: float
    load_per_core: float | None

    @property
    def quiet(self) -> bool:
        """Whether both are within their bounds."""
        return self.variation < LARGEST_VARIATION and (self.load_per_core or 0.0) < LARGEST_LOAD

    def describe(self) -> str:
        """One sentence: what was read, and what it means."""
        load = "" if self.load_per_core is None else f", load up to {self.load_per_core:.2f} per core"
        figures = (
            f"a loop of {format_seconds(self.typical_seconds)} varied by {format_percent(self.variation)} over "
            f"{self.readings} readings{load}"
        )
        if self.quiet:
            return f"The machine was quiet: {figures}."
        return (
            f"The machine was busy: {figures} (quiet is below {LARGEST_VARIATION:.0%} and {LARGEST_LOAD:g}); "
            "intervals are wider than they need be."
        )


def summarise_noise(readings: Sequence[NoiseReading], *, cores: int | None = None) -> Noise:
    """Put the readings of a measurement together.

    Args:
        readings: At least one.
        cores: For the load; None asks the system.

    Raises:
        InvalidInput: There is no reading.
    """
    if not readings:
        raise InvalidInput("There is no reading of the noise: read it at least once in each block.")
    seconds = np.array([reading.calibration_seconds for reading in readings])
    loads = [reading.load_average for reading in readings if reading.load_average is not None]
    return Noise(
        readings=len(readings),
        typical_seconds=float(np.median(seconds)),
        variation=float(seconds.std(ddof=1) / seconds.mean()) if seconds.size > 1 else 0.0,
        load_per_core=max(loads) / (cores or os.cpu_count() or 1) if loads else None,
    )
