from __future__ import annotations

import pytest

from tests.simulation.history import Delivered, Done, Enqueued, Findings, History, Outcome


def history(*events: Enqueued | Delivered | Done) -> History:
    made = History()
    for event in events:
        lists: dict[type, list[object]] = {
            Enqueued: made.enqueued,  # type: ignore[dict-item]
            Delivered: made.delivered,  # type: ignore[dict-item]
            Done: made.done,  # type: ignore[dict-item]
        }
        lists[type(event)].append(event)
    return made


IN = Enqueued("x", "ok")
FIRST, SECOND = Delivered("x", 1, 1, at=10), Delivered("x", 1, 2, at=30)


def done(attempt: int = 1, begun: int = 15, outcome: Outcome = "ok") -> Done:
    return Done("x", 1, attempt, begun, begun + 1, outcome)


@pytest.mark.parametrize(
    ("events", "remaining"),
    [
        ([IN], ["x"]),
        ([IN, FIRST, done()], []),
        ([IN, FIRST, done(outcome="unknown")], []),
        ([IN, FIRST, done(outcome="unknown")], ["x"]),
        ([IN, FIRST, SECOND, done(2, 40), done(1, 50, "fail")], []),
        ([Enqueued("x", "unknown")], []),
        ([Enqueued("x", "unknown"), FIRST], ["x"]),
        ([Enqueued("x", "fail")], []),
    ],
)
def test_sound_histories(events: list[Enqueued | Delivered | Done], remaining: list[str]) -> None:
    assert not history(*events).check(remaining)


@pytest.mark.parametrize(
    ("events", "remaining", "found"),
    [
        ([IN], [], Findings(lost={"x"})),
        ([IN, FIRST, done(outcome="fail")], [], Findings(lost={"x"})),
        ([IN], ["x", "x"], Findings(duplicated={"x"})),
        ([IN, FIRST, done()], ["x"], Findings(duplicated={"x"})),
        ([IN, FIRST, done(), SECOND], [], Findings(duplicated={"x"})),
        ([IN, FIRST, Delivered("x", 2, 1, at=11)], ["x"], Findings(duplicated={"x"})),
        ([IN, FIRST, FIRST], ["x"], Findings(duplicated={"x"})),
        ([IN, FIRST, SECOND, done(2, 40), done(2, 50)], [], Findings(duplicated={"x"})),
        ([IN, FIRST, SECOND, done(1, 40)], [], Findings(stale={"x"})),
        ([FIRST], [], Findings(unexpected={"x"})),
        ([Enqueued("x", "fail")], ["x"], Findings(unexpected={"x"})),
    ],
)
def test_what_cannot_be_true(events: list[Enqueued | Delivered | Done], remaining: list[str], found: Findings) -> None:
    assert history(*events).check(remaining) == found
