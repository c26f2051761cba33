"""What a report shows of the outputs of a cell: for each, one picture, table, text or error."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perflab.lab.report.fragments import self_contained

if TYPE_CHECKING:
    from nbformat import NotebookNode

_WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
_PICTURES = ("image/png", "image/jpeg", "image/svg+xml")


@dataclass(frozen=True, slots=True)
class Shown:
    """One output as the template takes it.

    Attributes:
        kind: `picture` (content is a data URI), `html`, `markdown`, `text`, `messages` (from stderr) or `error`.
        content: Text, with ANSI colours in the last three kinds.
        width: Of a picture in CSS pixels; None when it is as wide as its own pixels.
    """

    kind: str
    content: str
    width: int | None = None


def shown_outputs(cell: NotebookNode) -> list[Shown]:
    """The outputs of a code cell in order; live controls, which need a kernel, are left out."""
    shown = (_shown(output) for output in cell.get("outputs", []))
    return [output for output in shown if output is not None]


def _shown(output: NotebookNode) -> Shown | None:
    if output.output_type == "stream":
        return Shown("text" if output.name == "stdout" else "messages", _settled(output.text))
    if output.output_type == "error":
        return Shown("error", "\n".join(output.traceback) or f"{output.ename}: {output.evalue}")
    data = output.data
    if _WIDGET_MIME in data:
        return None
    for mime in _PICTURES:
        if mime in data:
            return Shown("picture", _data_uri(mime, data[mime]), output.metadata.get(mime, {}).get("width"))
    if "text/html" in data:
        return Shown("html", self_contained(data["text/html"]))
    if "text/markdown" in data:
        return Shown("markdown", data["text/markdown"])
    return Shown("text", data.get("text/plain", ""))


def _data_uri(mime: str, content: str) -> str:
    """An image as a data URI: a file stores SVG as text, the others in base64. Inside an `img`, SVG runs no script."""
    encoded = (
        base64.b64encode(content.encode()).decode("ascii") if mime == "image/svg+xml" else "".join(content.split())
    )
    return f"data:{mime};base64,{encoded}"


def _settled(text: str) -> str:
    """What a terminal shows in the end, after progress bars have written over their own lines."""
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
