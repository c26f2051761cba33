"""What a dashboard knows of processes that come, work, publish at other times, and go."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from perflab.database.database import Database
from perflab.monitoring.change import Change
from perflab.monitoring.dashboard.drawing import draw_panels
from perflab.monitoring.dashboard.live import Live, QueueLine
from perflab.monitoring.dashboard.rings import SPANS
from perflab.monitoring.monitored import monitored
from perflab.monitoring.registry import MetricsRegistry
from perflab.monitoring.source import of_database, of_process
from perflab.monitoring.sweep_progress import SweepProgress, progress_file
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue
from tests.monitoring.dashboard.sources import START, Process, Scripted, busy
from tests.monitoring.flushes import FLUSH

NOW = SPANS[0]


def test_rates_are_by_the_second_and_shares_of_the_last_minute() -> None:
    _, live = busy()
    view = live.view(NOW)
    assert view.now is not None
    assert view.now.items == 10 * FLUSH.delivered
    assert view.now.round_trips == 10 * FLUSH.round_trips
    assert view.now.unbatched == 10 * FLUSH.round_trips_unbatched
    assert view.now.ready == 1_234
    assert view.now.flush_p99 == pytest.approx(FLUSH.seconds, rel=0.01)
    assert view.now.tick_lag == pytest.approx(0.4, rel=0.01)
    assert view.overview.utilisation == FLUSH.items / FLUSH.capacity
    assert view.overview.items == 20 * 10 * FLUSH.delivered
    (process,) = view.processes
    assert (process.items, process.in_use, process.limit) == (10 * FLUSH.delivered, 2, 5)
    assert process.last_tick == START + 20
    assert view.queues[0] == QueueLine("ingest", 0, 1_234, 0, 0, 12.5, 2, is_paused=False)


def test_the_last_minute_forgets_what_was_before() -> None:
    source, live = busy()
    source.now += 61.0
    live.look()
    view = live.view(NOW)
    assert view.overview.items == 0
    assert view.now is not None
    assert math.isnan(view.now.flush_p99)


def test_what_was_counted_before_it_looked_is_not_shown() -> None:
    source, process = Scripted(), Process("early")
    process.flush(1_000)
    source.processes = [process]
    live = source.live()
    live.look()
    assert live.view(NOW).overview.items == 0


def test_one_that_comes_later_began_with_zero() -> None:
    source = Scripted()
    live = source.live()
    live.look()
    late = Process("late")
    late.flush(6)
    source.processes.append(late)
    source.now += 2.0
    live.look()
    view = live.view(NOW)
    assert view.now is not None
    assert view.now.items == 6 * FLUSH.delivered / 2.0
    assert view.overview.flushes == 6


def test_between_two_publications_the_last_rate_holds_and_nothing_counts_twice() -> None:
    source, process = Scripted(), Process("slow")
    published = process.published(source.now)
    source.processes = [process]
    live = source.live()
    live.look()
    process.flush(10)
    published = process.published(source.now + 5.0)
    process.published = lambda _now: published  # type: ignore[method-assign,assignment]  # nothing new
    for _ in range(5):
        source.now += 1.0
        live.look()
        view = live.view(NOW)
        assert view.now is not None
        assert view.now.items == 10 * FLUSH.delivered / 5.0
    assert live.view(NOW).overview.flushes == 10


def test_one_that_ended_stands_still_and_is_not_listed() -> None:
    source, live = busy()
    source.processes[0].is_alive = False
    source.now += 1.0
    live.look()
    view = live.view(NOW)
    assert view.now is not None
    assert view.now.items == 0
    assert view.processes == []
    assert view.overview.items > 0, "what it did in the last minute is still there"


def test_a_restarted_count_is_taken_whole() -> None:
    source, live = busy(1)
    before = live.view(NOW).overview.items
    source.processes = [Process("host:1:aaaaaa")]
    source.processes[0].flush(2)
    source.now += 1.0
    live.look()
    assert live.view(NOW).overview.items == before + 2 * FLUSH.delivered


def test_a_failure_is_told_beside_what_was_known() -> None:
    source, live = busy()
    source.error = "the disk is gone"
    source.now += 3.0
    live.look()
    view = live.view(NOW)
    assert view.error == "the disk is gone"
    assert view.queues, "what was known stays"
    assert view.read_at == source.now - 3.0
    assert view.moment == source.now
    source.error = None
    live.look()
    assert live.view(NOW).error is None


def test_a_clock_that_is_set_back_begins_anew() -> None:
    source, live = busy()
    source.now -= 3_600.0
    live.look()
    view = live.view(NOW)
    assert [point.moment for point in view.points] == [source.now]
    assert view.overview.items == 0


def test_nothing_is_empty_and_anything_is_not() -> None:
    source = Scripted()
    live = source.live()
    assert live.view(NOW).is_empty
    live.look()
    assert live.view(NOW).is_empty
    source.watches = 1
    live.look()
    assert not live.view(NOW).is_empty


def test_ten_hours_leave_a_bounded_amount() -> None:
    source, live = busy(1)
    for _ in range(10 * 120):
        source.now += 30.0
        source.processes[0].flush()
        live.look()
    for _ in range(400):
        source.now += 1.0
        live.look()
    for span in SPANS:
        assert len(live.view(span).points) <= span.points
    assert len(live.view(NOW).points) == NOW.points
    assert len(live._totals._totals) <= 62, "one for each second of the last minute"
    assert len(live._processes) == 1


def test_what_this_process_counts_needs_no_table(database: Database) -> None:
    registry = MetricsRegistry()
    with registry.observing(database):
        live = Live(of_process(registry), "here")
        live.look()
        database.events.emit(FLUSH)
        live.look()
    view = live.view(NOW)
    assert [process.name for process in view.processes] == ["this process"]
    assert view.overview.items == FLUSH.delivered
    assert (view.tables, view.queues, view.alerts) == (None, (), None)


def test_a_database_is_read_with_its_queues_and_processes(database: Database) -> None:
    live = Live(of_database(database), "there")
    live.look()
    assert live.view(NOW).is_empty
    with monitored(database, interval=600.0):
        PriorityQueue(database, "mail").bulk_enqueue(NewJob(number) for number in range(7))
        live.look()
    view = live.view(NOW)
    assert [(queue.name, queue.ready) for queue in view.queues] == [("mail", 7)]
    assert len(view.processes) == 1


def test_it_begins_with_what_history_has_kept() -> None:
    source, live = busy(0)
    counted = source.processes[0].published(START).snapshot
    source.processes[0].flush(30)
    change = Change(START - 120.0, START - 60.0, source.processes[0].published(START).snapshot.since(counted))
    live = source.live()
    live.recall([change])
    live.look()
    (kept, now) = live.view(SPANS[-1]).points
    assert (kept.moment, kept.items) == (START - 60.0, 30 * FLUSH.delivered / 60.0)
    assert kept.flush_p99 == pytest.approx(FLUSH.seconds, rel=0.01)
    assert now.moment == START
    assert len(live.view(NOW).points) == 1, "a minute is not one of its seconds"


def test_how_far_a_sweep_is_is_shown_and_a_broken_note_is_said(tmp_path: Path) -> None:
    store = tmp_path / "sweep.duckdb"
    live = Live(Scripted(), "x", sweep=lambda: SweepProgress.read(store), clock=lambda: START)
    live.look()
    assert live.view(NOW).sweep is None
    assert draw_panels(live.view(NOW))["sweep"].strip() == ""
    for has_ended, says in ((False, "about 1.5 min left"), (True, "ended 5 s ago")):
        SweepProgress("<grid>", 4, 12, 90.0, START - 5.0, has_ended).write(store)
        live.look()
        said = draw_panels(live.view(NOW))["sweep"].replace("\N{NARROW NO-BREAK SPACE}", " ")
        assert "&lt;grid&gt;" in said
        assert "4 of 12 visits" in said
        assert says in said
    progress_file(store).write_text("[]")
    live.look()
    assert "not the progress of a sweep" in str(live.view(NOW).error)


def test_processes_that_come_and_go_leave_nothing() -> None:
    source, live = busy(1)
    for number in range(100):
        source.processes = [Process(f"short lived {number}")]
        source.processes[0].flush()
        source.now += 1.0
        live.look()
    assert set(live._processes) == {"short lived 99"}
    assert live.view(NOW).overview.flushes == 60
