"""Views as HTML: what stands in it, and that no name becomes part of the page."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from perflab.events import Cause
from perflab.monitoring.alerts.evaluation import Alert, AlertState
from perflab.monitoring.alerts.rule import AlertRule, Severity
from perflab.monitoring.dashboard.bars import batch_sizes, causes
from perflab.monitoring.dashboard.charts import chart, nice_top
from perflab.monitoring.dashboard.drawing import BODY_PANELS, HEAD_PANELS, MOST_ROWS, draw_page, draw_panels
from perflab.monitoring.dashboard.rings import SPANS
from perflab.monitoring.instruments.flushes import FlushInstrument
from perflab.monitoring.snapshot import Snapshot, SnapshotBuilder
from tests.monitoring.dashboard.sources import Process, Scripted, busy
from tests.monitoring.flushes import FLUSH

NOW = SPANS[0]
HOSTILE = "<img src=x onerror=alert(1)>\"'&</script>"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, _attributes: object) -> None:
        self.seen.append(tag)
        if tag not in {"meta", "link", "path", "rect", "br", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"path", "rect"}:
            assert self.open.pop() == tag


def tags(html: str) -> list[str]:
    """All tags of a page, which are closed in their order."""
    parser = Tags()
    parser.feed(html)
    assert parser.open == []
    return parser.seen


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).replace("\N{NARROW NO-BREAK SPACE}", " ").split())


def test_a_busy_page_says_what_is_going_on() -> None:
    _, live = busy()
    page = draw_page(live.view(NOW))
    tags(page)
    said = text_of(page)
    for words in ("Items per second 800", "98.8 %", "51\N{EN DASH}100", "age", "ingest 1,234", "2 of 5", "watches 40"):
        assert words in said
    assert "live 00:00:20 UTC" in said
    assert set(draw_panels(live.view(NOW))) == {*HEAD_PANELS, *BODY_PANELS}


def test_names_are_text() -> None:
    source = Scripted(HOSTILE)
    source.processes, source.ready = [Process(HOSTILE)], {HOSTILE: 3}
    source.paused = [HOSTILE]
    live = source.live()
    live.look()
    source.error = HOSTILE
    live.look()
    page = draw_page(live.view(NOW))
    assert "img" not in tags(page)
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") == 6, "title, label and its tip, error, queue, process"
    assert "<img" not in page


def test_an_empty_one_says_what_to_do() -> None:
    live = Scripted().live()
    assert "Nothing to be seen yet" in draw_page(live.view(NOW))
    live.look()
    page = draw_page(live.view(NOW))
    tags(page)
    assert "with monitored(db)" in text_of(page)
    assert "nothing in this time" in page


def test_a_failure_is_the_first_thing_to_be_seen() -> None:
    source, live = busy()
    source.error = "the server is gone"
    live.look()
    said = text_of(draw_page(live.view(NOW)))
    assert said.index("The figures cannot be read now. the server is gone") < said.index("Items per second")
    assert "known at 00:00:20 UTC" in said


def test_alerts_stand_above_with_what_to_do() -> None:
    source, live = busy()
    rule = AlertRule("queue_old", "queue_age_seconds", above=300.0, severity=Severity.CRITICAL, summary="Add workers.")
    source.alerts = [Alert(rule, (("queue", HOSTILE),), AlertState.FIRING, 412.0, source.now - 90.0, source.now)]
    page = draw_page(live.view(NOW))
    assert "img" not in tags(page)
    said = text_of(draw_panels(live.view(NOW))["alerts"])
    assert said.startswith("queue old critical, firing for 1.5 min queue age seconds, queue &lt;img")
    assert said.endswith("412 s, more than 300. Add workers.")


def test_long_lists_end_and_say_so() -> None:
    source = Scripted()
    source.ready = {f"queue_{number:03}": number for number in range(MOST_ROWS + 7)}
    live = source.live()
    live.look()
    queues = draw_panels(live.view(NOW))["queues"]
    assert queues.count("<tr>") == MOST_ROWS + 1
    assert "and 7 more" in queues


def test_a_line_breaks_where_nothing_was_read() -> None:
    source, live = busy(5)
    source.now += 30.0
    live.look()
    drawn = chart(live.view(NOW), "x", ("ready", "c1", lambda point: point.ready), unit="jobs")
    assert drawn.lines[0].path.count("M") == 2
    assert drawn.lines[0].area.count("Z") == 2


def test_a_chart_ends_now_and_what_is_older_is_left_out() -> None:
    source, live = busy(5)
    view = live.view(NOW)
    assert view.now is not None

    def place(**changes: float) -> str:
        moved = replace(view, points=[view.now._replace(**changes)] if view.now else [])
        return chart(moved, "x", ("a", "c1", lambda point: point.items), unit="").lines[0].path

    assert place(moment=source.now, items=1.0) == "M1000.0 0.0L1000.0 0.0"
    assert place(moment=source.now - 150.0, items=1.0).startswith("M500.0 ")
    assert place(moment=source.now - 301.0, items=1.0) == ""


@pytest.mark.parametrize(
    ("highest", "top"), [(0.0, 1.0), (0.3, 0.5), (1.0, 1.0), (1.1, 2.0), (98_800, 100_000), (5_001, 10_000)]
)
def test_axes_end_at_round_numbers(highest: float, top: float) -> None:
    assert nice_top(highest) == pytest.approx(top)


def window(*sizes: int, capacity: int = 100, cause: Cause = Cause.AGE) -> Snapshot:
    instrument, builder = FlushInstrument(), SnapshotBuilder()
    for size in sizes:
        instrument.add(replace(FLUSH, items=size, capacity=capacity, cause=cause))
    instrument.collect(builder, "sqlite")
    return builder.build(0.0)


def test_batch_sizes_stand_against_what_batches_could_have_held() -> None:
    bars, capacity = batch_sizes(window(1, 2, 2, 4, capacity=10))
    assert capacity == 10
    assert [(bar.label, bar.count, bar.share, bar.width, bar.is_capacity) for bar in bars] == [
        ("1", 1, 0.25, 0.5, False),
        ("2", 2, 0.5, 1.0, False),
        ("3\N{EN DASH}5", 1, 0.25, 0.5, False),
        ("6\N{EN DASH}10", 0, 0.0, 0.0, True),
    ]


def test_batches_beyond_the_last_step_are_counted() -> None:
    bars, _ = batch_sizes(window(60_000, capacity=70_000))
    assert [(bar.label, bar.count, bar.is_capacity) for bar in bars] == [("> 50,000", 1, True)]


def test_without_batches_there_are_no_bars() -> None:
    assert batch_sizes(window()) == ((), None)
    assert causes(window()) == []


def test_causes_stand_by_their_frequency() -> None:
    instrument, builder = FlushInstrument(), SnapshotBuilder()
    for cause in (Cause.AGE, Cause.COUNT, Cause.COUNT, Cause.COUNT):
        instrument.add(replace(FLUSH, cause=cause))
    instrument.collect(builder, "sqlite")
    assert [(bar.label, bar.share) for bar in causes(builder.build(0.0))] == [("count", 0.75), ("age", 0.25)]
