"""One self-contained HTML page from a notebook that ran: no script, nothing from the network."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nbconvert.exporters import HTMLExporter

from perflab.lab.report.headline import label, read_headline, value_text
from perflab.lab.report.markdown import markdown_to_html
from perflab.lab.report.notebook import is_run
from perflab.lab.report.outputs import Shown, shown_outputs
from perflab.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from perflab.lab.report.execution import Execution, Failure
    from perflab.lab.report.parameters import Parameter

_TITLE = re.compile(r"\A\s*# +(?P<title>[^\n]+)(?P<lead>.*)\Z", re.DOTALL)
_HEADING = re.compile(
    r'<h(?P<level>[1-6])(?: id="(?P<id>[^"]*)")?>(?P<text>.*?)(?:<a class="anchor-link"|</h)', re.DOTALL
)
_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class Block:
    """One cell on the page: Markdown in `html`, or `code` with its outputs.

    Attributes:
        section: The heading it stands under, as text: it describes pictures to those who cannot see them.
        failed: Whether the run stopped in this cell.
    """

    section: str
    html: str = ""
    code: str = ""
    outputs: tuple[Shown, ...] = ()
    failed: bool = False


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """One line of the table of parameters; `given` says that the run did not take the default."""

    name: str
    value: str
    help: str
    given: bool


@dataclass(frozen=True, slots=True)
class Page:
    """What the template shows. The template escapes all but `lead_html`, `Block.html` and the headings in `sections`.

    Attributes:
        executed: Name of the executed notebook, beside the page.
        headline: Pairs of label and value.
        sections: Pairs of anchor and heading.
        cells_not_run: How many code cells stand after the one that failed.
    """

    title: str
    lead_html: str
    notebook: str
    executed: str
    started: datetime
    duration: str
    profile: str | None
    version: str
    headline: tuple[tuple[str, str], ...]
    parameters: tuple[ParameterRow, ...]
    sections: tuple[tuple[str, str], ...]
    blocks: tuple[Block, ...]
    failure: Failure | None
    cells_not_run: int


def render_html(
    execution: Execution,
    *,
    notebook: Path,
    executed: str,
    parameters: Sequence[Parameter],
    values: Mapping[str, object],
    profile: str | None,
) -> str:
    """The page of a report.

    Args:
        execution: The notebook that ran.
        notebook: The stored notebook; pictures in its Markdown are looked for beside it.
        executed: The name of the executed notebook beside the page.
        parameters: What the notebook declares.
        values: What the run gave for them; the others had their defaults.
        profile: The profile it ran in, if the notebook has profiles.
    """
    to_html = partial(markdown_to_html, folder=notebook.parent)
    cells = execution.notebook.cells
    failure = execution.failure
    found = _TITLE.match(cells[0].source) if cells and cells[0].cell_type == "markdown" else None
    blocks = _blocks(execution, first=1 if found else 0, folder=notebook.parent)
    headings = [heading for block in blocks for heading in _HEADING.finditer(block.html)]
    page = Page(
        title=re.sub("[`*]", "", found["title"]).strip(" #") if found else notebook.stem,
        lead_html=to_html(found["lead"]) if found else "",
        notebook=notebook.name,
        executed=executed,
        started=datetime.fromisoformat(execution.notebook.metadata.papermill.start_time).astimezone(UTC),
        duration=duration_text(execution.notebook.metadata.papermill.duration),
        profile=profile,
        version=__version__,
        headline=tuple(
            (label(name), value_text(name, value)) for name, value in read_headline(execution.notebook).items()
        ),
        parameters=tuple(
            ParameterRow(p.name, _literal(values.get(p.name, p.default)), p.help, p.name in values) for p in parameters
        ),
        sections=tuple(
            (heading["id"], heading["text"]) for heading in headings if heading["level"] == "2" and heading["id"]
        ),
        blocks=blocks,
        failure=failure,
        cells_not_run=sum(map(is_run, cells[failure.index + 1 :])) if failure else 0,
    )
    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        extra_template_basedirs=[str(Path(__file__).parent)], template_name="template", filters={"markdown": to_html}
    )
    rendered, _ = exporter.from_notebook_node(execution.notebook, resources={"page": page})
    return rendered


def duration_text(seconds: float) -> str:
    """A duration as people say it: `"3.2 s"`, `"4 min 05 s"`, `"1 h 02 min"`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def _blocks(execution: Execution, *, first: int, folder: Path) -> tuple[Block, ...]:
    section = ""
    blocks: list[Block] = []
    for index, cell in enumerate(execution.notebook.cells[first:], start=first):
        if cell.cell_type == "markdown":
            block = Block(
                section, html=markdown_to_html(cell.source, folder=folder, attachments=cell.get("attachments"))
            )
            section = next((_as_text(h["text"]) for h in reversed([*_HEADING.finditer(block.html)])), section)
            blocks.append(block)
        elif is_run(cell):
            failed = execution.failure is not None and execution.failure.index == index
            blocks.append(Block(section, code=cell.source, outputs=tuple(shown_outputs(cell)), failed=failed))
    return tuple(blocks)


def _as_text(fragment: str) -> str:
    return html.unescape(_TAG.sub("", fragment)).strip()


def _literal(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
