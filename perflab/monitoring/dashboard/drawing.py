"""A view as HTML, panel by panel."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files

from perflab.errors import MissingExtra
from perflab.monitoring.dashboard import bars, formats
from perflab.monitoring.dashboard.charts import Chart, chart
from perflab.monitoring.dashboard.live import View, watches
from perflab.monitoring.dashboard.rings import SPANS
from perflab.monitoring.dashboard.tiles import tiles

try:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup
except ImportError as missing:
    raise MissingExtra("the dashboard needs the package jinja2: pip install 'perflab[dashboard]'") from missing

MOST_ROWS = 50
"""Of a table; how many more there are stands below it."""
HEAD_PANELS = ("status", "notice", "alerts", "tiles")
BODY_PANELS = (
    "throughput",
    "round_trips",
    "times",
    "batch_sizes",
    "causes",
    "depth",
    "watches",
    "queues",
    "sweep",
    "processes",
)


class Charts:
    """The lines over time."""

    @staticmethod
    def throughput(view: View) -> Chart:
        return chart(
            view,
            "Throughput",
            ("items written", "c1", lambda point: point.items),
            ("jobs done", "c3", lambda point: point.done),
            ("jobs enqueued", "c2", lambda point: point.enqueued),
            ("jobs failed", "c4", lambda point: point.failed),
            unit="per second",
        )

    @staticmethod
    def round_trips(view: View) -> Chart:
        return chart(
            view,
            "Round trips of batches",
            ("one by one", "c5", lambda point: point.unbatched),
            ("as batches", "c1", lambda point: point.round_trips),
            unit="per second",
        )

    @staticmethod
    def times(view: View) -> Chart:
        return chart(
            view,
            "Flush and wait",
            ("flush p99", "c1", lambda point: point.flush_p99),
            ("flush p50", "c3", lambda point: point.flush_p50),
            ("wait p99", "c2", lambda point: point.wait_p99),
            unit="over 10 seconds",
            write=formats.seconds,
        )

    @staticmethod
    def depth(view: View) -> Chart:
        return chart(
            view,
            "Queue depth",
            ("ready", "c1", lambda point: point.ready),
            ("running", "c3", lambda point: point.running),
            ("scheduled", "c5", lambda point: point.scheduled),
            ("dead", "c4", lambda point: point.dead),
            unit="jobs",
        )

    @staticmethod
    def ticks(view: View) -> Chart:
        return chart(
            view,
            "Ticks",
            ("lag p99", "c1", lambda point: point.tick_lag),
            unit="how overdue the oldest slot was",
            write=formats.seconds,
        )


def clock_time(moment: float) -> str:
    """`18:10:04 UTC`."""
    return f"{datetime.fromtimestamp(moment, UTC):%H:%M:%S} UTC"


def last_tick(view: View) -> str:
    """How long ago some process ended a tick."""
    moments = [process.last_tick for process in view.processes if process.last_tick is not None]
    return f"{formats.seconds(max(0.0, view.moment - max(moments)))} ago" if moments else formats.NOTHING


_environment = Environment(
    loader=PackageLoader("perflab.monitoring.dashboard"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals.update(
    batch_sizes_of=bars.batch_sizes,
    causes_of=bars.causes,
    charts=Charts,
    clock_time=clock_time,
    last_tick=last_tick,
    most_rows=MOST_ROWS,
    number=formats.number,
    seconds=formats.seconds,
    share=formats.share,
    spans=SPANS,
    tiles_of=tiles,
    watches_of=watches,
)


def draw_panels(view: View) -> Mapping[str, Markup]:
    """The HTML of each panel, by its id in the page."""
    module = _environment.get_template("panels.html.j2").module
    return {name: Markup(getattr(module, name)(view)) for name in (*HEAD_PANELS, *BODY_PANELS)}  # noqa: S704  # escaped


def draw_body(panels: Mapping[str, Markup]) -> Markup:
    """All panels but the status, as one piece of HTML."""
    drawn = _environment.get_template("body.html.j2").render(panels=panels, names=BODY_PANELS)
    return Markup(drawn)  # noqa: S704  # escaped


def draw_page(view: View) -> str:
    """A whole page, complete without a script."""
    panels = draw_panels(view)
    return _environment.get_template("page.html.j2").render(view=view, panels=panels, body=draw_body(panels))


def draw_output(view: View) -> str:
    """The same panels as one piece of HTML with its style, for the output of a notebook's cell."""
    panels = draw_panels(view)
    style = files("perflab.monitoring.dashboard").joinpath("static/dashboard.css").read_text(encoding="utf-8")
    return _environment.get_template("output.html.j2").render(
        view=view,
        panels=panels,
        body=draw_body(panels),
        style=Markup(style),  # noqa: S704  # ours
    )
