"""Plans of disturbances, and what looks say that are written down by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from perflab.errors import InvalidInput
from perflab.lab.alert_delay.findings import AlertFindings
from perflab.lab.alert_delay.plan import WATCHED, AlertPlan, alert_plan
from perflab.lab.plots import delays_of_alerts, flush_time_through_disturbances

PLAN = AlertPlan("sqlite", episodes=2, look_seconds=0.5, phase_looks=8)


def findings(fires: str, others: str = "") -> AlertFindings:
    """Each character is a look: "!" where the alert fires."""
    rows = [
        {
            "look": look,
            "measured_at": datetime(2013, 7, 5, tzinfo=UTC) + timedelta(seconds=look),
            "seconds": (look + 1) * PLAN.look_seconds,
            "is_disturbed": PLAN.is_disturbed(look),
            "items_per_second": 500.0,
            "flush_p99_seconds": 0.08 if PLAN.is_disturbed(look) else 0.002,
            "is_firing": sign == "!",
            "others_firing": others if look == 9 else "",
        }
        for look, sign in enumerate(fires)
    ]
    return AlertFindings(PLAN, rows, [], {"engine": "SQLite"})


#        calm       disturbed  calm       disturbed  calm
SOON = "..........!!!!!!!!!........!!!!!!......."
MISSED = "!.......................!!!!!!!!!!!!!!!!"


def test_the_plan_alternates_and_knows_its_items() -> None:
    disturbed = [PLAN.is_disturbed(look) for look in range(PLAN.looks)]
    assert disturbed == [*[False] * 8, *[True] * 8, *[False] * 8, *[True] * 8, *[False] * 8]
    assert PLAN.items == 10_000
    watched = {rule.name: rule for rule in PLAN.rules}[WATCHED]
    assert (watched.limit, watched.window_seconds, watched.for_seconds) == (0.04, 2.0, 1.0)
    assert [alert_plan(profile, engine="sqlite").episodes for profile in ("smoke", "quick", "full")] == [2, 6, 15]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"engine": "mysql"}, "engine is 'mysql'"),
        ({"episodes": 1}, "episodes"),
        ({"phase_looks": 7}, "phase_looks"),
        ({"look_seconds": 0.1}, "look_seconds"),
        ({"items_per_second": 1}, "items_per_second"),
        ({"hold_seconds": 0.0}, "hold_seconds"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(values: dict[str, object], says: str) -> None:
    given: dict[str, object] = {"engine": "sqlite", "episodes": 2, "look_seconds": 0.5, "phase_looks": 8, **values}
    with pytest.raises(InvalidInput, match=says):
        AlertPlan(**given)  # type: ignore[arg-type]  # some are wrong


def test_delays_are_counted_from_each_change() -> None:
    found = findings(SOON)
    assert found.delays["began_after_seconds"].tolist() == [1.5, 2.0]
    assert found.delays["ended_after_seconds"].tolist() == [2.0, 1.0]
    assert (found.told, found.false_looks, found.others) == (2, 0, [])
    assert found.headline()["began_after_seconds"] == pytest.approx(3**0.5)


def test_what_never_came_is_missing() -> None:
    found = findings(MISSED, others="queue_old, no_tick")
    assert found.delays["began_after_seconds"].isna().tolist() == [True, False]
    assert found.delays["ended_after_seconds"].isna().all()
    assert (found.told, found.false_looks, found.others) == (1, 1, ["no_tick", "queue_old"])
    assert found.headline() == {"episodes": 2, "told": 1, "others": 2}


def test_figures_say_what_was_found() -> None:
    course, delays = flush_time_through_disturbances(findings(SOON)), delays_of_alerts(findings(SOON))
    assert course.title == "The alert told of 2 of 2 disturbances"
    assert "it fired not once, and none of the other 12 rules fired" in course.reading
    assert delays.title == "The alert fires 1.73 s later"
    assert course.png()
    assert delays.png()


def test_figures_say_what_was_not_found() -> None:
    found = findings(MISSED, others="no_tick")
    course, delays = flush_time_through_disturbances(found), delays_of_alerts(found)
    assert "fired at 1 of 8 looks, and also fired: no_tick" in course.reading
    assert delays.title == "The alert fired at fewer than two disturbances"
    assert "There are too few episodes in which it fires." in delays.reading
    assert delays.png()
