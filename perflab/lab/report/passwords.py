"""Keeping passwords out of what a report stores: its parameters, its tracebacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perflab.database.urls import redact
from perflab.errors import InvalidInput

if TYPE_CHECKING:
    from nbformat import NotebookNode


def refuse_password(text: str, *, where: str) -> None:
    """Refuse text in which a URL or a connection string carries a password: parameters stay in the report.

    Raises:
        InvalidInput: There is one. The message names `where`, never the text.
    """
    if redact(text) != text:
        raise InvalidInput(
            f"{where} holds a password, and parameters are stored in the report: "
            "set the environment variable PERFLAB_LAB_URL to that URL instead"
        )


def hide_passwords(notebook: NotebookNode) -> None:
    """Redact, in place, the tracebacks and the messages on stderr: drivers like to echo the whole URL there."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                output.evalue = redact(output.evalue)
                output.traceback = [redact(line) for line in output.traceback]
            elif output.output_type == "stream" and output.name == "stderr":
                output.text = redact(output.text)
