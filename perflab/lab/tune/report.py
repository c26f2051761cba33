"""What tuning found as one self-contained HTML page, with its figures and their data beside it."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, select_autoescape

from perflab.errors import LabError
from perflab.lab.plots.confirmation import confirmation_ratios
from perflab.lab.plots.plot import PIXELS_PER_INCH, Plot, export
from perflab.lab.plots.throughput import throughput_by_batch_size
from perflab.lab.plots.tuned import tuned_interval
from perflab.lab.quantities import format_rate, format_seconds
from perflab.lab.recommendation import NoRecommendation, in_words
from perflab.lab.sweep.findings import Confirmation
from perflab.lab.tune.result import Tuning
from perflab.version import __version__


def figures(tuning: Tuning) -> dict[str, Plot]:
    """The figures of the page, by the name of their files."""
    return {
        "cost_of_a_flush": throughput_by_batch_size(tuning.cost),
        "flush_interval": tuned_interval(tuning),
        "confirmation": confirmation_ratios(tuning.confirmation),
    }


def write_report(tuning: Tuning, page: Path, *, now: datetime | None = None) -> list[Path]:
    """Write the page, and beside it a folder of its name with each figure and its data.

    Args:
        tuning: what was found.
        page: the file of the page.
        now: when; None for this moment.

    Returns:
        The page, then the files of the figures.

    Raises:
        LabError: a file cannot be written.
    """
    plots = figures(tuning)
    templates = Environment(
        loader=PackageLoader("perflab.lab", "."), autoescape=select_autoescape(default=True), trim_blocks=True
    )
    rendered = templates.get_template("tune/report.html.j2").render(
        tuning=tuning,
        headline=_headline(tuning),
        plots=[(name, plot, _picture(plot), _width(plot)) for name, plot in plots.items()],
        facts=_facts(tuning),
        environment=tuning.findings.environment,
        now=now or datetime.now(UTC),
        version=__version__,
    )
    try:
        page.write_text(rendered, encoding="utf-8")
    except OSError as error:
        raise LabError(f"the report cannot be written to {str(page)!r}: {error.strerror}") from error
    return [page, *export(plots, page.with_suffix(""))]


def _headline(tuning: Tuning) -> list[tuple[str, str]]:
    chosen = tuning.recommendation
    if isinstance(chosen, NoRecommendation):
        return [("recommendation", "none")]
    values = [
        ("recommendation", f"send at {in_words(chosen.batch_size, chosen.flush_interval_seconds)}"),
        ("second measurement", "confirmed" if tuning.confirmed else "not confirmed"),
    ]
    if isinstance(tuning.confirmation, Confirmation) and tuning.confirmation.p99 is not None:
        values.append(("p99", format_seconds(tuning.confirmation.p99.value)))
        values.append(("of writer time", format_rate(tuning.confirmation.throughput.value)))
    if tuning.predicted_gain is not None:
        values.append(("predicted gain", f"{tuning.predicted_gain.value:.3g}\N{MULTIPLICATION SIGN}"))
    return values


def _facts(tuning: Tuning) -> list[tuple[str, str]]:
    request = tuning.request
    return [
        ("Database", request.shown_url),
        ("Engine", tuning.engine),
        ("p99 wanted", format_seconds(request.latency_target)),
        ("Arrivals", format_rate(tuning.arrivals)),
        ("Budget", format_seconds(request.budget)),
        ("Took", f"{tuning.seconds:.0f} s, {tuning.visits} measurements"),
        ("Durability", request.durability),
        ("Seed", str(request.seed)),
    ]


def _picture(plot: Plot) -> str:
    return f"data:image/png;base64,{base64.b64encode(plot.png()).decode('ascii')}"


def _width(plot: Plot) -> int:
    return round(plot.figure.get_figwidth() * PIXELS_PER_INCH)
