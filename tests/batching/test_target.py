"""The accumulator follows the target of its sizing policy, and never beyond its limits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perflab.batching.accumulator import Accumulator, Batch
from perflab.batching.limits import Limits
from perflab.batching.sizing.policy import Demand, Explanation, Lesson, Observation, Target
from perflab.batching.waiting_lines import Entry
from perflab.events import Cause, FlushCompleted, Outcome

LIMITS = Limits(batch_size=100, flush_interval=10.0, max_pending=1_000)


class Script:
    """Gives the targets that it was given, one after the other, and notes what it is told."""

    def __init__(self, *targets: Target) -> None:
        self._targets = list(targets)
        self.demands: list[Demand] = []
        self.observations: list[Observation] = []

    def target(self, demand: Demand) -> Target:
        self.demands.append(demand)
        return self._targets.pop(0) if len(self._targets) > 1 else self._targets[0]

    def observe(self, observation: Observation) -> None:
        self.observations.append(observation)

    def explain(self) -> Explanation:
        return Explanation("script", self._targets[0], "Because.", "So.")


def make(*targets: Target) -> tuple[Accumulator[Entry], Script]:
    script = Script(*targets)
    return Accumulator(LIMITS, script), script


def fill(accumulator: Accumulator[Entry], *times: float) -> None:
    for time in times:
        accumulator.add(Entry(0), time)


def left(batch: Batch[Entry] | None) -> tuple[int, Cause] | None:
    return None if batch is None else (len(batch.entries), batch.cause)


FLUSH = FlushCompleted(
    items=3,
    delivered=3,
    capacity=100,
    bytes=30,
    seconds=0.5,
    waited=0.0,
    round_trips=1,
    round_trips_unbatched=3,
    cause=Cause.COUNT,
    outcome=Outcome.COMMITTED,
    attempt=1,
)


def test_a_batch_leaves_when_there_is_enough_and_takes_what_else_there_is() -> None:
    accumulator, _ = make(Target(items=5, enough=3, wait_seconds=10.0))
    fill(accumulator, 0.0, 0.0)
    assert accumulator.take(0.0) is None
    fill(accumulator, 0.0, 0.0, 0.0, 0.0)
    batch = accumulator.take(0.0)
    assert left(batch) == (5, Cause.COUNT)
    assert batch is not None
    assert batch.capacity == 5
    assert accumulator.waiting == 1


def test_an_idle_writer_takes_what_has_waited_as_long_as_the_target_says() -> None:
    accumulator, _ = make(Target(items=5, enough=5, wait_seconds=2.0))
    fill(accumulator, 1.0, 2.5)
    assert accumulator.next_due() == 3.0
    assert accumulator.take(2.999) is None
    assert left(accumulator.take(3.0)) == (2, Cause.IDLE)


def test_a_target_without_a_wait_lets_an_item_leave_at_once() -> None:
    accumulator, _ = make(Target(items=5, enough=1, wait_seconds=0.0))
    fill(accumulator, 7.0)
    assert accumulator.next_due() == 7.0
    assert left(accumulator.take(7.0)) == (1, Cause.COUNT)


def test_a_target_never_makes_an_item_wait_longer_than_the_flush_interval() -> None:
    accumulator, _ = make(Target(items=5, enough=5, wait_seconds=1e9, summed_age_seconds=1e12))
    fill(accumulator, 1.0)
    assert accumulator.next_due() == 11.0
    assert left(accumulator.take(11.0)) == (1, Cause.AGE)


def test_ages_add_up_to_the_sum_at_which_a_batch_leaves() -> None:
    accumulator, _ = make(Target(items=50, enough=50, wait_seconds=9.0, summed_age_seconds=6.0))
    fill(accumulator, 1_000_000.0)
    assert accumulator.next_due() == 1_000_006.0
    fill(accumulator, 1_000_001.0, 1_000_002.0)
    # (t - 0) + (t - 1) + (t - 2) = 6 at t = 3
    assert accumulator.next_due() == 1_000_003.0
    assert accumulator.take(1_000_002.9) is None
    assert left(accumulator.take(1_000_003.0)) == (3, Cause.IDLE)


@pytest.mark.parametrize(
    ("target", "looked_at"),
    [
        (Target(items=9, enough=6, wait_seconds=1.0), [1, 6]),
        (Target(items=9, enough=6, wait_seconds=1.0, summed_age_seconds=1.0), [1, 2, 4, 6, 8]),
    ],
)
def test_shells_look_again_when_an_item_may_have_changed_what_is_due(target: Target, looked_at: list[int]) -> None:
    accumulator, _ = make(target)
    found = []
    for count in range(1, 10):
        if accumulator.quiet_adds:
            accumulator.add_quietly(Entry(count), 0.0)
        else:
            found.append(count)
            fill(accumulator, 0.0)
            accumulator.allow_quiet_adds()
    assert found == looked_at


def test_the_policy_learns_from_each_flush_and_is_asked_once_for_each() -> None:
    first, second = Target(3, 3, 1.0), Target(2, 2, 1.0)
    accumulator, script = make(first, second)
    assert script.demands == [Demand(0.0, 0, 0)]
    fill(accumulator, 1.0, 1.0, 1.0, 1.0)
    batch = accumulator.take(2.0)
    assert batch is not None
    assert len(script.demands) == 1
    accumulator.settle(batch)
    accumulator.learn(batch, FLUSH, 5.0)
    assert script.observations == [Observation(items=3, bytes=30, seconds=3.0, lesson=Lesson.COST)]
    assert script.demands[1:] == [Demand(now=5.0, arrived=4, waiting=1)]
    assert accumulator.target == second
    fill(accumulator, 5.0)
    assert left(accumulator.take(5.0)) == (2, Cause.COUNT)
    assert str(accumulator.explain().sizing) == "script: Because. So."


def test_where_nothing_was_sent_nothing_is_learned() -> None:
    accumulator, script = make(Target(1, 1, 1.0))
    fill(accumulator, 1.0)
    batch = accumulator.take(2.0)
    assert batch is not None
    accumulator.settle(batch)
    accumulator.learn(batch, None, 3.0)
    assert script.observations == []
    assert len(script.demands) == 2


@pytest.mark.parametrize(
    ("flush", "lesson"),
    [
        (FLUSH, Lesson.COST),
        (replace(FLUSH, attempt=2), Lesson.NOTHING),
        (replace(FLUSH, outcome=Outcome.RETRIED), Lesson.NOTHING),
        (replace(FLUSH, outcome=Outcome.PARTIAL), Lesson.NOTHING),
        (replace(FLUSH, outcome=Outcome.FAILED), Lesson.NOTHING),
        (replace(FLUSH, outcome=Outcome.RETRIED, too_much=True), Lesson.TOO_MUCH),
        (replace(FLUSH, outcome=Outcome.PARTIAL, too_much=True), Lesson.TOO_MUCH),
    ],
)
def test_what_a_flush_teaches(flush: FlushCompleted, lesson: Lesson) -> None:
    assert Observation.of(flush, 1.5) == Observation(3, 30, 1.5, lesson)


def test_without_a_policy_the_limits_are_the_target() -> None:
    accumulator: Accumulator[Entry] = Accumulator(LIMITS)
    assert accumulator.target == Target(100, 100, 10.0)
    assert accumulator.explain().sizing.sizing == "fixed"


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        (Target(1_000, 500, 1.0), Target(100, 100, 1.0)),
        (Target(0, 0, 1.0), Target(1, 1, 1.0)),
        (Target(-5, 7, 1.0), Target(1, 1, 1.0)),
        (Target(10, 20, 1.0, 0.5), Target(10, 10, 1.0, 0.5)),
    ],
)
def test_a_target_beyond_the_limits_is_cut(wanted: Target, given: Target) -> None:
    accumulator, _ = make(wanted)
    assert accumulator.target == given


def test_a_policy_that_fails_is_replaced_by_the_limits(caplog: pytest.LogCaptureFixture) -> None:
    class Faulty(Script):
        def observe(self, observation: Observation) -> None:
            raise ZeroDivisionError

    script = Faulty(Target(2, 2, 1.0))
    accumulator: Accumulator[Entry] = Accumulator(LIMITS, script)
    fill(accumulator, 0.0, 0.0)
    batch = accumulator.take(0.0)
    assert batch is not None
    accumulator.settle(batch)
    accumulator.learn(batch, FLUSH, 1.0)
    assert accumulator.target == Target(100, 100, 10.0)
    assert "the sizing policy failed" in caplog.text
    assert accumulator.explain().sizing.sizing == "fixed"
