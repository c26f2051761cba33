"""Snapshots and distributions as values: differences, quantiles, and the text form."""

from __future__ import annotations

import json
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.batching.histogram import RELATIVE_ERROR
from perflab.database.database import Database
from perflab.errors import InvalidInput
from perflab.events import JobsEnqueued
from perflab.monitoring.distribution import Distribution, DistributionRecorder
from perflab.monitoring.instruments import databases, flushes, queues
from perflab.monitoring.metric import Series
from perflab.monitoring.registry import MetricsRegistry
from perflab.monitoring.snapshot import Snapshot
from tests.monitoring.flushes import FLUSH

VALUES = st.lists(st.floats(1e-6, 1e6), max_size=30)


def recorded(values: list[float]) -> Distribution:
    recorder = DistributionRecorder()
    for value in values:
        recorder.add(value)
    return recorder.distribution()


@given(VALUES, st.floats(0.0, 1.0))
def test_a_quantile_is_within_the_error_of_a_value_of_its_rank(values: list[float], share: float) -> None:
    seen = recorded(values)
    assert seen.count == len(values)
    if not values:
        assert seen.quantile(share) == 0.0
        return
    rank = max(1, -int(-share * len(values) // 1))
    assert seen.quantile(share) == pytest.approx(sorted(values)[rank - 1], rel=RELATIVE_ERROR)


@given(VALUES, VALUES)
def test_distributions_add_up_and_come_apart(before: list[float], after: list[float]) -> None:
    earlier, both = recorded(before), recorded(before + after)
    assert (earlier + recorded(after)).counts == both.counts
    left = both.since(earlier)
    assert left.counts == recorded(after).counts
    assert left.total == pytest.approx(sum(after), abs=1e-3)


@given(st.lists(st.integers(1, 128), max_size=50), st.integers(1, 128))
def test_small_whole_numbers_are_counted_exactly(values: list[int], bound: int) -> None:
    assert recorded([float(value) for value in values]).at_most(bound) == sum(value <= bound for value in values)


def test_a_distribution_of_another_life_is_taken_whole() -> None:
    now = recorded([1.0])
    assert now.since(recorded([1.0, 1.0])) == now


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(InvalidInput, match="share"):
        recorded([1.0]).quantile(share)


def test_what_happened_between_two_snapshots() -> None:
    registry = MetricsRegistry()
    with Database.open("sqlite://") as database, registry.observing(database):
        database.events.emit(FLUSH)
        earlier = registry.snapshot()
        database.events.emit(FLUSH)
        database.events.emit(JobsEnqueued("new", 3))
        between = registry.snapshot().since(earlier)
    assert between.counted(flushes.DELIVERED) == FLUSH.delivered
    assert between.distributed(flushes.DURATION).count == 1
    assert between.counted(queues.ENQUEUED) == 3
    assert between.gauged(databases.POOL_SIZE) == [database.most_connections]


def test_a_counter_of_another_life_is_taken_whole() -> None:
    series = Series("perflab_ticks_total", (("engine", "sqlite"),))

    def counted(value: float) -> Snapshot:
        return Snapshot(0.0, MappingProxyType({series: value}), MappingProxyType({}), MappingProxyType({}))

    assert counted(3).since(counted(5)).counters[series] == 3
    assert counted(5).since(counted(3)).counters[series] == 2


def test_the_text_form_is_read_back_as_an_equal_value() -> None:
    registry = MetricsRegistry(clock=lambda: 12.5)
    with Database.open("sqlite://") as database, registry.observing(database):
        database.events.emit(FLUSH)
        database.events.emit(JobsEnqueued('odd "name" \n', 1))
        snapshot = registry.snapshot()
    text = snapshot.to_json()
    assert Snapshot.from_json(text) == snapshot
    assert Snapshot.from_json(text).to_json() == text
    assert json.loads(text)["taken_at"] == 12.5


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "3", '{"form": 2}', '{"form": 1, "taken_at": 1, "counters": [1]}', '{"form": 1}']
)
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="snapshot"):
        Snapshot.from_json(text)
