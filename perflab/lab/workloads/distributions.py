"""How large payloads are, and how long handlers take: distributions of positive numbers, drawn with a seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from perflab.errors import InvalidInput

FloatArray = NDArray[np.float64]

P99_OF_NORMAL = 2.3263478740408408
"""The 99th percentile of the standard normal distribution."""


class Distribution(Protocol):
    """Numbers that are not negative, in whatever unit they are meant."""

    def draw(self, count: int, rng: np.random.Generator) -> FloatArray:
        """Draw `count` of them, independent of each other. `str()` gives the words for a report."""


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same."""

    value: float

    def __post_init__(self) -> None:
        _check("constant", value=self.value)

    def __str__(self) -> str:
        return f"{self.value:g}"

    def draw(self, count: int, rng: np.random.Generator) -> FloatArray:  # noqa: ARG002  # nothing is left to chance
        return np.full(count, self.value)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Anything between two bounds, equally often."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check("uniform", low=self.low, high=self.high)
        if self.high < self.low:
            raise InvalidInput(f"uniform:{self.low:g},{self.high:g} has its bounds in the wrong order")

    def __str__(self) -> str:
        return f"uniform {self.low:g} to {self.high:g}"

    def draw(self, count: int, rng: np.random.Generator) -> FloatArray:
        return rng.uniform(self.low, self.high, count)


@dataclass(frozen=True, slots=True)
class Exponential:
    """Of a mean, with a coefficient of variation of 1: service times of the M/M queues of the books."""

    mean: float

    def __post_init__(self) -> None:
        _check("exponential", mean=self.mean)

    def __str__(self) -> str:
        return f"exponential, mean {self.mean:g}"

    def draw(self, count: int, rng: np.random.Generator) -> FloatArray:
        return rng.exponential(self.mean, count)


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Skewed, as sizes of messages and times of handlers mostly are.

    Sizes of files and of requests are near this in their body (A. B. Downey, "Lognormal and Pareto Distributions in the
    Internet", *Computer Communications* 28, 2005).
    """

    median: float
    p99: float

    def __post_init__(self) -> None:
        _check("lognormal", median=self.median, p99=self.p99)
        if not 0 < self.median <= self.p99:
            raise InvalidInput(
                f"lognormal:{self.median:g},{self.p99:g} must have a median above 0 and a p99 that is not below it"
            )

    def __str__(self) -> str:
        return f"log-normal, median {self.median:g}, p99 {self.p99:g}"

    def draw(self, count: int, rng: np.random.Generator) -> FloatArray:
        return rng.lognormal(math.log(self.median), math.log(self.p99 / self.median) / P99_OF_NORMAL, count)


@dataclass(frozen=True, slots=True)
class BoundedPareto:
    """Heavy-tailed between two bounds: a few of the largest carry much of the whole.

    M. Harchol-Balter, *Performance Modeling and Design of Computer Systems*, 2013, chapter 20.

    Attributes:
        shape: Above 0; the smaller, the heavier the tail. Measured systems have 0.9 to 1.3.
        low: Least, above 0.
        high: Greatest.
    """

    shape: float
    low: float
    high: float

    def __post_init__(self) -> None:
        _check("pareto", shape=self.shape, low=self.low, high=self.high)
        if not (self.shape > 0 and 0 < self.low <= self.high):
            raise InvalidInput(
                f"pareto:{self.shape:g},{self.low:g},{self.high:g} needs a shape above 0, and bounds above 0 in order"
            )

    def __str__(self) -> str:
        return f"Pareto, shape {self.shape:g}, {self.low:g} to {self.high:g}"

    def draw(self, count: int, rng: np.random.Generator) -> FloatArray:
        cut = 1 - (self.low / self.high) ** self.shape
        drawn: FloatArray = self.low * (1 - rng.random(count) * cut) ** (-1 / self.shape)
        return np.minimum(drawn, self.high)  # rounding may step over the bound


@dataclass(frozen=True, slots=True, eq=False)
class Empirical:
    """What was measured, drawn again with replacement: a column of a trace, say."""

    values: FloatArray
    name: str = "measured values"

    def __post_init__(self) -> None:
        if not (self.values.size and np.isfinite(self.values).all() and (self.values >= 0).all()):
            raise InvalidInput(f"{self.name} must be one or more numbers that are finite and not negative")

    def __str__(self) -> str:
        return f"drawn from {len(self.values):,} {self.name}"

    def draw(self, count: int, rng: np.random.Generator) -> FloatArray:
        return rng.choice(self.values, count)


_KINDS: Mapping[str, tuple[Callable[..., Distribution], tuple[str, ...]]] = {
    "constant": (Constant, ("VALUE",)),
    "uniform": (Uniform, ("LOW", "HIGH")),
    "exponential": (Exponential, ("MEAN",)),
    "lognormal": (LogNormal, ("MEDIAN", "P99")),
    "pareto": (BoundedPareto, ("SHAPE", "LOW", "HIGH")),
}
FORMS = "a number, " + ", ".join(
    f"{name}:{','.join(fields)}" for name, (_, fields) in _KINDS.items() if name != "constant"
)
"""What `parse_distribution` reads, for people."""


def parse_distribution(text: str, what: str) -> Distribution:
    """Read a distribution from an option: `256`, `uniform:100,2000`, `lognormal:200,4000`.

    Args:
        text: One of `FORMS`.
        what: The option, for messages.

    Raises:
        InvalidInput: It is none of them, or its numbers do not fit.
    """
    kind, separator, rest = text.partition(":")
    name, fields = (kind.strip(), rest) if separator else ("constant", text)
    try:
        make, parameters = _KINDS[name]
        numbers = [float(field) for field in fields.split(",")]
    except (KeyError, ValueError):
        raise InvalidInput(f"{what} is {text!r}: give {FORMS}") from None
    if len(numbers) != len(parameters):
        raise InvalidInput(f"{what} is {text!r}: give {name}:{','.join(parameters)}")
    try:
        return make(*numbers)
    except InvalidInput as error:
        raise InvalidInput(f"{what}: {error}") from error


def _check(name: str, **values: float) -> None:
    for field, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise InvalidInput(f"{name} has {field}={value!r}: give a finite number that is not negative")
