"""How far the clock of another machine is from this one's, and how well that is known."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from perflab.errors import LabError
from perflab.lab.quantities import format_seconds

QUESTIONS = 15
MOST_OFFSET_SECONDS = 1.0
"""A clock that is further off is not kept in time by anybody: figures of its machine would be dated wrongly."""
MOST_UNCERTAINTY_SECONDS = 0.005
"""Generators that begin further apart than that do not send one schedule."""


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """What is known of a clock.

    Attributes:
        seconds: By which it is ahead of this machine's; below 0: behind.
        uncertainty: The true offset is within so many seconds of it.
    """

    seconds: float
    uncertainty: float

    def __str__(self) -> str:
        if self == SAME_CLOCK:
            return "the same clock"
        side = "ahead" if self.seconds >= 0 else "behind"
        return f"clock {format_seconds(abs(self.seconds))} {side}, known to {format_seconds(self.uncertainty)}"


SAME_CLOCK = ClockOffset(0.0, 0.0)


def estimate_offset(
    ask: Callable[[], float], *, questions: int = QUESTIONS, now: Callable[[], float] = time.time
) -> ClockOffset:
    """Ask a clock several times, and believe the quickest answer.

    The clock was read between the question and its answer; the middle is wrong by half of that time at most
    (F. Cristian, "Probabilistic clock synchronization", *Distributed Computing* 3, 1989).

    Args:
        ask: Returns what the other clock says, seconds.
        questions: One or more.
        now: This machine's clock, of the same kind.
    """
    best = ClockOffset(0.0, float("inf"))
    for _ in range(questions):
        asked = now()
        theirs = ask()
        answered = now()
        found = ClockOffset(theirs - (asked + answered) / 2, (answered - asked) / 2)
        best = min(best, found, key=lambda offset: offset.uncertainty)
    return best


def check_clock(offset: ClockOffset, machine: str) -> None:
    """Refuse a clock by which nothing can be timed.

    Raises:
        LabError: it is too far off, or not known well enough.
    """
    if offset.uncertainty > MOST_UNCERTAINTY_SECONDS:
        raise LabError(
            f"{machine}: {offset}, and {format_seconds(MOST_UNCERTAINTY_SECONDS)} are allowed: "
            "use machines that are nearer to each other, or less busy"
        )
    if abs(offset.seconds) > MOST_OFFSET_SECONDS:
        raise LabError(
            f"{machine}: {offset}, and {format_seconds(MOST_OFFSET_SECONDS)} is allowed: have its time kept (NTP)"
        )


def check_drift(before: ClockOffset, after: ClockOffset, machine: str) -> None:
    """Refuse what was timed by a clock that was set meanwhile.

    Raises:
        LabError: the two offsets differ by more than is allowed and than could be a matter of their uncertainty.
    """
    moved = abs(after.seconds - before.seconds)
    if moved > MOST_UNCERTAINTY_SECONDS + before.uncertainty + after.uncertainty:
        raise LabError(
            f"{machine}: its clock moved by {format_seconds(moved)} while the load ran, so there are no figures: "
            "run it again"
        )
