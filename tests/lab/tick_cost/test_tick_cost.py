from __future__ import annotations

import pytest

from perflab.database.database import Database
from perflab.errors import InvalidInput, WrongAnswer
from perflab.lab.tick_cost.measure import measure_ticks
from perflab.lab.tick_cost.plan import TickPlan, Way, tick_plan
from perflab.scheduler.scheduler import Scheduler


def test_profiles() -> None:
    assert tick_plan("smoke", engine="sqlite", largest=100_000).due == (1, 10, 100, 1_000)
    assert tick_plan("quick", engine="sqlite", largest=30_000).due == (1, 10, 100, 1_000, 10_000, 30_000)
    assert tick_plan("full", engine="postgresql", largest=7).due == (1, 7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"engine": "oracle"}, "engine is 'oracle'"),
        ({"blocks": 0}, "blocks"),
        ({"due": ()}, "at least one"),
        ({"due": (10, 1)}, "rising"),
        ({"due": (1, 1)}, "each once"),
        ({"due": (0, 1)}, "a number of due watches"),
        ({"due": (5_000,)}, "begin with 1,000"),
    ],
)
def test_a_bad_plan_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        TickPlan(**{"engine": "sqlite", "blocks": 1, "due": (1,), **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("largest", [0, 1_000_001, "many"])
def test_a_bad_largest_number_is_refused(largest: int) -> None:
    with pytest.raises(InvalidInput, match="largest number of due watches"):
        tick_plan("quick", engine="sqlite", largest=largest)


def test_every_cell_is_measured_in_every_block() -> None:
    plan = TickPlan("sqlite", 2, (1, 20), seed=7)
    findings = measure_ticks(plan)
    visits = findings.visits
    assert len(plan.cells) == 6
    assert set(map(tuple, visits[["block", "way", "due"]].to_numpy())) == {
        (block, str(way), due) for block in range(2) for way, due in plan.cells
    }
    trips = findings.costs.set_index(["way", "due"])["round_trips"]
    assert [trips[str(way), 20] for way in Way] == [5, 7, 100]
    assert [trips[str(way), 1] for way in Way] == [5, 7, 5]
    assert (visits["seconds"] > 0).all()
    assert findings.environment["engine"].startswith("SQLite")  # type: ignore[union-attr]
    assert findings.headline()["due_watches"] == 20


def test_a_wrong_answer_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    tick = Scheduler.tick

    def lose_one(scheduler: Scheduler, *arguments: object, **options: object) -> object:
        report = tick(scheduler, *arguments, **options)  # type: ignore[arg-type]
        database: Database = scheduler.db
        with database.driver_transaction() as connection:
            connection.execute("DELETE FROM perflab_jobs WHERE id = (SELECT min(id) FROM perflab_jobs)")
        return report

    monkeypatch.setattr(Scheduler, "tick", lose_one)
    with pytest.raises(WrongAnswer, match=r"are \(9, 9, "):
        measure_ticks(TickPlan("sqlite", 1, (10,)))
