"""What a stored notebook of ours must be like, so that it runs as a report and reads as one.

The rules look at the file only: nothing is executed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perflab.database.urls import redact
from perflab.errors import InvalidInput
from perflab.lab.report.execution import INJECTED_TAG
from perflab.lab.report.lint_code import lint_code
from perflab.lab.report.notebook import kernel_problem, read_notebook, tags
from perflab.lab.report.parameters import PARAMETERS_TAG, examine_parameters

if TYPE_CHECKING:
    from pathlib import Path

    from nbformat import NotebookNode

_ABSOLUTE_PATH = re.compile(
    r"(?<![\w.:/~<>)\]}])(?:/[\w.-]+){2,}"  # at least two segments: "/s" is a unit
    r"|(?<!\w)~/[\w.-]+|\bsqlite:////[^\s'\"]+|\bfile://[^\s'\"]+|\b[A-Z]:\\\\?[A-Z]\w+"
)
_REMOTE_PICTURE = re.compile(r"!\[[^\]]*\]\(\s*<?https?://|<img\b[^>]*\bsrc\s*=\s*[\"']?https?://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to correct.

    Attributes:
        cell: The cell, counted from 1, markdown included; None for the notebook as a whole.
        message: What is wrong, with the value, and what to do.
    """

    cell: int | None
    message: str

    def __str__(self) -> str:
        return f"cell {self.cell}: {self.message}" if self.cell else self.message


def lint_notebook(path: Path) -> list[Finding]:
    """Everything that is wrong with a stored notebook; empty when it is good."""
    try:
        notebook = read_notebook(path)
    except InvalidInput as error:
        return [Finding(None, str(error))]
    findings = [Finding(None, message) for message in _notebook_messages(path, notebook)]
    for number, cell in enumerate(notebook.cells, start=1):
        findings += [Finding(number, message) for message in _cell_messages(cell)]
    findings += [Finding(number, message) for number, message in lint_code(notebook)]
    return findings


def _notebook_messages(path: Path, notebook: NotebookNode) -> list[str]:
    messages: list[str] = []
    first = notebook.cells[0] if notebook.cells else None
    if first is None or first.cell_type != "markdown" or not re.match(r"# +\S", first.source):
        messages.append("the first cell is not a Markdown cell that begins with a title: start it with `# Title`")
    if "papermill" in notebook.metadata:
        messages.append("the metadata is of a papermill run: store the notebook as it was before, without it")
    parameters, problems = examine_parameters(path, notebook)
    messages += dict.fromkeys([*kernel_problem(notebook), *problems])
    messages += [
        f"the parameter {parameter.name!r} has no help: add a comment at the end of its line"
        for parameter in parameters
        if not parameter.help
    ]
    if not problems and ("profile", "str") not in [(parameter.name, parameter.type) for parameter in parameters]:
        messages.append(f'the cell tagged {PARAMETERS_TAG!r} has no profile: add `profile: str = "quick"  # …`')
    return messages


def _cell_messages(cell: NotebookNode) -> list[str]:
    messages: list[str] = []
    if cell.cell_type == "raw":
        messages.append("a raw cell is not shown in a report: make it Markdown")
    if cell.get("outputs") or cell.get("execution_count") is not None or "execution" in cell.metadata:
        messages.append("it stores what a run left (outputs, a count, times): clear it before saving")
    if "papermill" in cell.metadata or INJECTED_TAG in tags(cell):
        messages.append("it comes from a papermill run: store the notebook as it was before")
    if found := _ABSOLUTE_PATH.search(cell.source):
        messages.append(f"{found[0]!r} is an absolute path: name files relative to the folder of the notebook")
    if redact(cell.source) != cell.source:
        messages.append("it holds a password: take the URL from the environment variable PERFLAB_LAB_URL")
    if cell.cell_type == "markdown" and _REMOTE_PICTURE.search(cell.source):
        messages.append("a picture comes from the network, and a report must not: store it beside the notebook")
    return messages
