"""From a notebook and parameters to a report: check, run, write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perflab.errors import InvalidInput
from perflab.lab.notebook import run_name
from perflab.lab.report.execution import execute
from perflab.lab.report.files import prepare_files, write_whole
from perflab.lab.report.headline import headline_text, read_headline
from perflab.lab.report.html import render_html
from perflab.lab.report.notebook import notebook_text, read_notebook
from perflab.lab.report.parameters import bind_parameters, declared_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ReportResult:
    """A written report.

    Attributes:
        html: The page.
        notebook: The executed notebook, beside it.
        seconds: How long the notebook ran.
        failed_cell: The cell that failed, counted from 1 in the stored notebook, markdown included; None when all ran.
        error: What it failed with, such as `"ZeroDivisionError: division by zero"`.
        headline: The published headline numbers in one line; None when there are none.
    """

    html: Path
    notebook: Path
    seconds: float
    failed_cell: int | None
    error: str | None
    headline: str | None


def run_report(
    notebook: Path,
    *,
    parameters: Mapping[str, object],
    profile: str | None,
    output_directory: Path,
    cell_timeout_seconds: int | None = None,
    progress: bool = False,
) -> ReportResult:
    """Run a notebook and write `<stem>-<profile>.html`, with the executed notebook beside it.

    Where its parameter `engine` is another than SQLite, that stands in the name too.

    When a cell fails the report is written as far as it came, with the error in it; look at `failed_cell`.

    Args:
        notebook: A stored notebook with one cell tagged `parameters`.
        parameters: Values by name; text is converted to the declared type and never evaluated.
        profile: `smoke`, `quick` or `full` for a notebook with such a parameter; None takes its default.
        output_directory: Made if it is missing.
        cell_timeout_seconds: A cell that runs longer fails; None allows any time.
        progress: Whether to draw a progress bar on stderr.

    Raises:
        InvalidInput: The notebook, a parameter, the profile or the directory was refused; nothing ran.
        LabError: The kernel did not start, or the report could not be written.
    """
    if cell_timeout_seconds is not None and cell_timeout_seconds < 1:
        raise InvalidInput(f"the timeout of a cell is {cell_timeout_seconds} s: give at least 1 s, or none")
    node = read_notebook(notebook)
    stored = notebook.resolve()
    declared = declared_parameters(stored, node)
    values = bind_parameters(declared, parameters, profile=profile, notebook=notebook.name)
    in_force = {parameter.name: str(values.get(parameter.name, parameter.default)) for parameter in declared}
    in_profile = in_force.get("profile")
    name = run_name(notebook.stem, in_profile, in_force.get("engine", "sqlite")) if in_profile else notebook.stem
    files = prepare_files(output_directory, name)
    if files.notebook.resolve() == stored:
        raise InvalidInput(f"the report would replace the notebook {notebook}: choose another output directory")

    execution = execute(
        stored,
        values,
        output_directory=output_directory,
        cell_timeout_seconds=cell_timeout_seconds,
        progress=progress,
    )
    page = render_html(
        execution,
        notebook=stored,
        executed=files.notebook.name,
        parameters=declared,
        values=values,
        profile=in_profile,
    )
    write_whole(files.notebook, notebook_text(execution.notebook))
    write_whole(files.html, page)
    failure = execution.failure
    return ReportResult(
        html=files.html,
        notebook=files.notebook,
        seconds=execution.notebook.metadata.papermill.duration,
        failed_cell=failure.cell if failure else None,
        error=failure.error if failure else None,
        headline=headline_text(read_headline(execution.notebook)) or None,
    )
