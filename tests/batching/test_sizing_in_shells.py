"""Every shell starts the policy that it was asked for, follows it, and lets it learn."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from perflab.batching.retry import RetryPolicy
from perflab.batching.sizing.aimd import AimdSizing
from perflab.batching.sizing.cost_model import CostModelSizing
from perflab.batching.sizing.policy import Demand, Explanation, Lesson, Observation, Surroundings, Target
from perflab.database.sqlite import SQLiteConnection
from perflab.errors import InvalidInput, RejectedRow
from perflab.events import Cause, FlushCompleted

MakeShell = Callable[..., Any]
Rows = Callable[[], list[int]]


class Script:
    """A sizing, and its own policy: one target, and notes of all that it is told."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.surroundings: list[Surroundings] = []
        self.demands: list[Demand] = []
        self.observations: list[Observation] = []

    def start(self, surroundings: Surroundings) -> Script:
        self.surroundings.append(surroundings)
        return self

    def target(self, demand: Demand) -> Target:
        self.demands.append(demand)
        return self._target

    def observe(self, observation: Observation) -> None:
        self.observations.append(observation)

    def explain(self) -> Explanation:
        return Explanation("script", self._target, "Because.", "So.")


def test_batches_are_as_large_as_the_policy_says(
    make_shell: MakeShell, append: Any, rows: Rows, flushes: list[FlushCompleted]
) -> None:
    script = Script(Target(items=3, enough=3, wait_seconds=3_600.0))
    shell = make_shell(batch_size=100, sizing=script)
    handles = shell.submit_all(append, range(7))
    shell.flush()
    assert [handle.result() for handle in handles] == [10 * n for n in range(7)]
    assert rows() == list(range(7))
    assert [(flush.items, flush.capacity) for flush in flushes] == [(3, 3), (3, 3), (1, 3)]
    assert [flush.cause for flush in flushes] == [Cause.COUNT, Cause.COUNT, Cause.BARRIER]
    assert [(seen.items, seen.lesson) for seen in script.observations] == [(3, Lesson.COST)] * 2 + [(1, Lesson.COST)]
    assert all(seen.seconds >= flush.seconds > 0 for seen, flush in zip(script.observations, flushes, strict=True))
    assert len(script.demands) == 4
    assert (script.demands[-1].arrived, script.demands[-1].waiting) == (7, 0)
    assert str(shell.batcher.explain().sizing) == "script: Because. So."


def test_an_idle_writer_sends_at_once_where_the_policy_says_so(
    make_shell: MakeShell, append: Any, flushes: list[FlushCompleted]
) -> None:
    shell = make_shell(sizing=Script(Target(items=100, enough=100, wait_seconds=0.0)))
    for n in range(3):
        assert shell.submit(append, n).result() == 10 * n
    assert {flush.cause for flush in flushes} == {Cause.IDLE}
    assert [flush.items for flush in flushes] == [1, 1, 1]


def test_a_sum_of_ages_sends_what_waits(make_shell: MakeShell, append: Any, flushes: list[FlushCompleted]) -> None:
    shell = make_shell(sizing=Script(Target(100, 100, 3_600.0, summed_age_seconds=0.050)))
    handles = shell.submit_all(append, range(5))
    if getattr(shell.batcher, "_inline", False):  # nobody looks until the next item comes
        time.sleep(0.050)
        handles += shell.submit_all(append, [5])
    assert [handle.result() for handle in handles] == [10 * n for n in range(len(handles))]
    assert {flush.cause for flush in flushes} == {Cause.IDLE}


def test_a_policy_learns_what_is_too_much_and_nothing_from_retries(
    make_shell: MakeShell, append: Any, lock: Any
) -> None:
    class TooBig:
        name = "too_big"
        tables = frozenset({"sample"})

        def prepare(self, item: int) -> int:
            return item

        def size_bytes(self, item: int) -> int:
            return item

        def apply(self, connection: Any, rows: Any) -> Any:
            for row in rows:
                large = f"zeroblob({row})" if isinstance(connection, SQLiteConnection) else f"repeat('x', {row})"
                connection.execute(f"INSERT INTO sample (name) VALUES ({large})")
            return rows

    script = Script(Target(100, 100, 3_600.0))
    shell = make_shell(sizing=script, retry=RetryPolicy(base_seconds=0.001, cap_seconds=0.002))
    handle = shell.submit(TooBig(), 2_147_483_000)
    shell.flush()
    assert isinstance(handle.error(), RejectedRow)
    assert [seen.lesson for seen in script.observations] == [Lesson.TOO_MUCH]
    lock.hold()
    handle = shell.submit(append, 1)
    with pytest.raises(TimeoutError):
        shell.flush(0.2)
    lock.release()
    assert handle.result() == 10
    shell.flush()
    assert len(script.observations) > 2
    assert {seen.lesson for seen in script.observations[1:]} == {Lesson.NOTHING}


def test_a_policy_knows_where_it_is_started(make_shell: MakeShell) -> None:
    script = Script(Target(5, 5, 1.0))
    shell = make_shell(batch_size=50, sizing=script)
    (surroundings,) = script.surroundings
    assert surroundings.limits.batch_size == 50
    assert 0 <= surroundings.random() < 1
    inline = getattr(shell.batcher, "_inline", False)
    assert surroundings.writes_while_filling is not inline


@pytest.mark.parametrize(
    "sizing", ["adaptive", CostModelSizing(wait="ski-rental"), CostModelSizing(wait="interval"), AimdSizing()]
)
def test_every_policy_writes_everything_once(
    make_shell: MakeShell, append: Any, rows: Rows, flushes: list[FlushCompleted], sizing: Any
) -> None:
    shell = make_shell(batch_size=64, flush_interval=0.005, sizing=sizing)
    for first in range(0, 1_000, 50):
        handles = shell.submit_all(append, range(first + 100, first + 150))
        assert handles[-1].result() == 10 * (first + 149)
    assert rows() == list(range(100, 1_100))
    assert max(flush.items for flush in flushes) <= 64
    explanation = shell.batcher.explain().sizing
    assert explanation.flushes_learned > 0
    assert 1 <= explanation.target.enough <= explanation.target.items <= 64


@pytest.mark.parametrize("sizing", ["adaptve", None, 5, CostModelSizing])
def test_another_sizing_is_refused(make_shell: MakeShell, sizing: Any) -> None:
    with pytest.raises(InvalidInput, match=r"sizing is .*: use 'fixed', 'adaptive', or a Sizing"):
        make_shell(sizing=sizing)
