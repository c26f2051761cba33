"""What the site has beside the pages in this folder: the help of all commands and the list of all metrics, as they are
now, and the files of the project that pages refer to, which stay where they are.
"""

from __future__ import annotations

import re
from pathlib import Path

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.cli import get_docs_for_click

from perflab.cli.app import app
from perflab.lab.markdown_table import markdown_table
from perflab.monitoring.catalogue import CATALOGUE

PROJECT = Path(__file__).parents[1]
PICTURES = PROJECT / "reports" / "reference"
PICTURES_HERE = "reference-report"
OUTSIDE = re.compile(r"(?:\.\./)+reports/reference/(?P<path>\S+\.png)")
"""How a page refers to a picture of the reference report, so that it is shown in the repository too."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made, and the pictures of the reference report."""
    files.append(File.generated(config, "reference/commands.md", content=commands_page()))
    files.append(File.generated(config, "reference/metrics.md", content=metrics_page()))
    for picture in sorted(PICTURES.rglob("*.png")):
        here = f"{PICTURES_HERE}/{picture.relative_to(PICTURES).as_posix()}"
        files.append(File.generated(config, here, abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, page: Page, **_others: object) -> str:
    """Have pictures of the reference report where the site has them."""
    up = "../" * page.file.src_uri.count("/")
    return OUTSIDE.sub(rf"{up}{PICTURES_HERE}/\g<path>", markdown)


def commands_page() -> str:
    """The help of all commands."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="perflab")
    return get_docs_for_click(obj=command, ctx=context, name="perflab", title="Commands")


def metrics_page() -> str:
    """All metrics, with what they say."""
    rows = [
        [
            f"`{metric.name}`",
            metric.kind,
            f"`{metric.unit}`" if metric.unit else "",
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.help,
        ]
        for metric in CATALOGUE.values()
    ]
    return (
        "# Metrics\n\nAs `perflab metrics` shows them; those that processes publish have the label `process` too. "
        "OpenTelemetry has `perflab.…` with the unit beside it, and neither it nor `_total` in the name.\n\n"
        + (markdown_table(["metric", "kind", "unit", "labels", "what it says"], rows))
    )
