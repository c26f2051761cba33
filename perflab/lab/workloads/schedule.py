"""A schedule: every arrival of a run, made before it begins, so that several processes can share it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from perflab.errors import InvalidInput
from perflab.lab.workloads.arrivals import Offsets, constant, on_off, poisson
from perflab.lab.workloads.distributions import Constant, Distribution, Empirical
from perflab.lab.workloads.operation_mix import OperationMix
from perflab.lab.workloads.trace_file import read_trace

ArrivalProcess: TypeAlias = Literal["poisson", "constant", "on-off", "trace"]
FloatArray: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """What arrives, and when. All arrays have one entry for each arrival.

    Attributes:
        offsets_seconds: Intended arrivals from the start, sorted.
        operations: Positions in the names of the mix.
        payload_bytes: Size of each payload.
        service_seconds: How long the handler of each is to take.
        first: Number of the first arrival in the whole schedule.
        step: The numbers of the others follow in steps: a share of n has every n-th.
    """

    offsets_seconds: Offsets
    operations: NDArray[np.int64]
    payload_bytes: NDArray[np.int64]
    service_seconds: FloatArray
    first: int = 0
    step: int = 1

    def __len__(self) -> int:
        """Return the number of arrivals."""
        return len(self.offsets_seconds)

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The number of each arrival in the whole schedule."""
        return self.first + self.step * np.arange(len(self))

    def share(self, position: int, of: int) -> Schedule:
        """Every `of`-th arrival, from `position` on: all shares together are the whole, each arrival once."""
        return Schedule(
            self.offsets_seconds[position::of],
            self.operations[position::of],
            self.payload_bytes[position::of],
            self.service_seconds[position::of],
            first=self.first + position * self.step,
            step=self.step * of,
        )


@dataclass(frozen=True, slots=True)
class ScheduleRecipe:
    """From what a schedule is made. Equal recipes make equal schedules, on any machine.

    Arrivals, operations, sizes and service times are drawn from streams of their own: to change one leaves the others.

    Attributes:
        duration_seconds: Arrivals come in [0, duration).
        rate_per_second: Arrivals a second; of "on-off", while on. Not for a trace.
        arrivals: "poisson": independent of each other. "constant": a steady beat. "on-off": bursts of Poisson arrivals
            and silences, whose lengths are exponential. "trace": as in a file.
        on_seconds: Mean length of a burst.
        off_seconds: Mean length of a silence.
        trace: The file, as `read_trace` takes it.
        time_column: Its column of times.
        size_column: Its column of payload sizes, if it has one: each arrival keeps its own.
        service_column: Its column of service times in seconds, likewise.
        speed_up: Seconds of the trace per second of the run.
        mix: Operations and their weights.
        payload: Bytes of a payload.
        service: Seconds that a handler takes.
        seed: Of everything that is drawn.
    """

    duration_seconds: float
    rate_per_second: float = 0.0
    arrivals: ArrivalProcess = "poisson"
    on_seconds: float = 1.0
    off_seconds: float = 1.0
    trace: str = ""
    time_column: str = ""
    size_column: str = ""
    service_column: str = ""
    speed_up: float = 1.0
    mix: OperationMix = field(default_factory=lambda: OperationMix({"enqueue": 1.0}))
    payload: Distribution = field(default_factory=lambda: Constant(100))
    service: Distribution = field(default_factory=lambda: Constant(0))
    seed: int = 20130705

    def make(self) -> Schedule:
        """Draw the schedule.

        Raises:
            InvalidInput: A number is out of its range, the trace cannot be read, or nothing arrives.
        """
        streams = np.random.SeedSequence(self.seed).spawn(4)
        arrivals, operations, payload, service = (np.random.default_rng(stream) for stream in streams)
        offsets, sizes, services = self._arrivals(arrivals)
        count = len(offsets)
        if not count:
            raise InvalidInput(
                f"nothing arrives within {self.duration_seconds:g} s: raise the duration, the rate or the speed-up"
            )
        return Schedule(
            offsets,
            self.mix.draw(count, operations),
            np.rint(self.payload.draw(count, payload) if sizes is None else sizes).astype(np.int64),
            self.service.draw(count, service) if services is None else services,
        )

    def describe(self) -> str:
        """The arrivals in a few words."""
        match self.arrivals:
            case "trace":
                return f"the trace {self.trace}, {self.speed_up:,g} times as fast as it happened"
            case "on-off":
                return (
                    f"bursts of {self.on_seconds:g} s with {self.rate_per_second:,g} a second, silences of "
                    f"{self.off_seconds:g} s, seed {self.seed}"
                )
            case "constant":
                return f"a steady {self.rate_per_second:,g} a second"
            case "poisson":
                return f"Poisson arrivals, {self.rate_per_second:,g} a second, seed {self.seed}"

    def _arrivals(self, rng: np.random.Generator) -> tuple[Offsets, FloatArray | None, FloatArray | None]:
        """Offsets, and the sizes and service times that a trace may bring along."""
        match self.arrivals:
            case "trace":
                return self._trace()
            case "constant":
                return constant(self.rate_per_second, self.duration_seconds), None, None
            case "on-off":
                bursts = on_off(
                    self.rate_per_second,
                    self.duration_seconds,
                    on_seconds=self.on_seconds,
                    off_seconds=self.off_seconds,
                    seed=rng,
                )
                return bursts, None, None
            case "poisson":
                return poisson(self.rate_per_second, self.duration_seconds, seed=rng), None, None

    def _trace(self) -> tuple[Offsets, FloatArray | None, FloatArray | None]:
        if not self.speed_up > 0:
            raise InvalidInput(f"the speed-up must be above 0, got {self.speed_up!r}")
        wanted = [column for column in (self.size_column, self.service_column) if column]
        found = read_trace(self.trace, self.time_column, wanted)
        offsets = found.offsets_seconds / self.speed_up
        count = int(np.searchsorted(offsets, self.duration_seconds))

        def column(name: str) -> FloatArray | None:
            # checked as what it is: numbers that are not negative
            return Empirical(found.columns[name], f"values of {name!r}").values[:count] if name else None

        return offsets[:count], column(self.size_column), column(self.service_column)
