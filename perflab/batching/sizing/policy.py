"""The seam between a batcher and what sizes its batches.

Before each batch the accumulator asks a `SizingPolicy` for a `Target`, and after each flush it hands it an
`Observation`. A policy reads no clock and draws no random number of its own: both are passed in, so that the same
observations always give the same targets. It is called under the batcher's lock, once per flush and never per item.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from perflab.batching.limits import Limits
from perflab.events import FlushCompleted, Outcome


@dataclass(frozen=True, slots=True)
class Target:
    """What the next batch should look like. The bounds of `Limits` hold besides: the target never loosens them."""

    items: int
    """The most that a batch takes."""
    enough: int
    """Items at which it leaves without further waiting; at most `items`."""
    wait_seconds: float
    """Age of the oldest item at which it leaves when the writer is idle."""
    summed_age_seconds: float | None = None
    """Sum of the ages of all that wait at which it leaves; None where the sum does not matter."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a policy may know of the arrivals when it is asked for a target."""

    now: float
    """Monotonic seconds."""
    arrived: int
    """Items accepted since the batcher was made."""
    waiting: int
    """Items that wait now."""


class Lesson(StrEnum):
    """What one flush says about the cost of a batch of its size."""

    COST = "cost"
    """Everything was written at the first attempt: the time is what such a batch costs."""
    TOO_MUCH = "too much"
    """It was refused for its size, or ran into a timeout: a smaller one may get through."""
    NOTHING = "nothing"
    """A connection was lost, a lock was busy, a row was refused, or it was a retry: its time says nothing."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One flush as a policy sees it."""

    items: int
    bytes: int
    """0 where the batcher does not measure them."""
    seconds: float
    """From the moment the batch left to the moment the writer was free again."""
    lesson: Lesson

    @classmethod
    def of(cls, flush: FlushCompleted, seconds: float) -> Observation:
        """What a flush teaches, with the writer's whole time for it."""
        if flush.too_much:
            lesson = Lesson.TOO_MUCH
        elif flush.outcome is Outcome.COMMITTED and flush.attempt == 1:
            lesson = Lesson.COST
        else:
            lesson = Lesson.NOTHING
        return cls(flush.items, flush.bytes, seconds, lesson)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why the present target is what it is, in words and numbers. `str()` gives the words."""

    sizing: str
    """Name of the policy."""
    target: Target
    size_reason: str
    """Why batches take that many items."""
    wait_reason: str
    """Why they wait that long."""
    flushes_learned: int = 0
    """Flushes whose time taught the policy something, since it was started or the cost last changed."""
    alpha_seconds: float | None = None
    """Fixed cost of a flush, as fitted; None while it is not known. The same holds for the figures below."""
    beta_seconds: float | None = None
    """Cost of each item."""
    bend_seconds: float | None = None
    """Cost of each item squared."""
    noise: float | None = None
    """Standard deviation of the logarithm of the time of flushes of one size."""
    arrivals_per_second: float | None = None
    cost_changes: int = 0
    """How often the cost was found to have changed, and was learned anew."""

    def __str__(self) -> str:
        return f"{self.sizing}: {self.size_reason} {self.wait_reason}"


class SizingPolicy(Protocol):
    """Chooses the size of one batcher's batches. Stateful, and started by a `Sizing`."""

    def target(self, demand: Demand) -> Target:
        """The target for the next batch; first asked before anything has arrived."""

    def observe(self, observation: Observation) -> None:
        """Learn from one flush."""

    def explain(self) -> Explanation:
        """Why the last target is what it is."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a policy is started in."""

    limits: Limits
    random: Callable[[], float]
    """A random number from 0 to 1, such as `random.Random(seed).random`."""
    writes_while_filling: bool = True
    """Whether the next batch fills while one is being written. Not so in inline mode, where whoever submits writes."""


class Sizing(Protocol):
    """The settings of a policy: a frozen value that may be shared, and starts one policy for each batcher."""

    def start(self, surroundings: Surroundings) -> SizingPolicy:
        """A policy that knows nothing yet.

        Raises:
            InvalidInput: the settings and the limits do not go together.
        """
