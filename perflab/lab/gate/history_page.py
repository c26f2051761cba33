"""A history as one self-contained HTML page."""

from __future__ import annotations

import base64
from pathlib import Path

from jinja2 import Environment, PackageLoader, select_autoescape

from perflab.errors import LabError
from perflab.lab.gate.history_text import change_in_words, run_in_words
from perflab.lab.gate.run_history import RunHistory
from perflab.lab.plots.run_history import cost_over_runs
from perflab.version import __version__


def write_history_page(history: RunHistory, page: Path) -> None:
    """Write the page: each cell with its figure, those whose last change is an unexplained rise first.

    Raises:
        LabError: the file cannot be written.
    """
    rising = [cell.name for cell, _ in history.rises()]
    cells = sorted(history.cells, key=lambda cell: cell.name not in rising)
    plots = [(cell, cost_over_runs(history, cell)) for cell in cells]
    templates = Environment(
        loader=PackageLoader("perflab.lab", "."), autoescape=select_autoescape(default=True), trim_blocks=True
    )
    text = templates.get_template("gate/history.html.j2").render(
        first=run_in_words(history, 0),
        last=run_in_words(history, len(history.runs) - 1),
        runs=len(history.runs),
        rises=[(cell.name, change_in_words(history, cell, change)) for cell, change in history.rises()],
        cells=[(cell.name, plot, base64.b64encode(plot.png()).decode()) for cell, plot in plots],
        marks=[(run_in_words(history, mark.run), str(mark)) for mark in history.marks],
        unreadable=history.unreadable,
        version=__version__,
    )
    try:
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LabError(f"the page {str(page)!r} cannot be written: {error.strerror}") from error
