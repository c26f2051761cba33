"""The gallery of notebooks: a card for each, and a thumbnail of the first figure of one that has run.

`make gallery` runs all notebooks at `smoke` and makes the thumbnails; the page is made from the notebooks themselves.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docs.pictures import write_small

PROJECT = Path(__file__).parents[1]
NOTEBOOKS = PROJECT / "notebooks"
PAGE = PROJECT / "docs" / "gallery.md"
THUMBNAILS = PROJECT / "docs" / "thumbnails"
WIDTH_PIXELS = 640
HEAD = """# Notebooks

Each runs from top to bottom, reads as an article, and is a report with parameters: `perflab report 02 --profile quick`
writes an HTML page, `make notebook` opens them in JupyterLab. The profiles are `smoke` (under a minute), `quick` and
`full`. The pictures are of a `smoke` run: they show what there is to see, and are no results.
"""


def gallery_page() -> str:
    """The page, in the order of the notebooks."""
    return "\n".join([HEAD, *map(_card, sorted(NOTEBOOKS.glob("*.ipynb")))])


def _card(notebook: Path) -> str:
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    first = "".join(next(cell["source"] for cell in cells if cell["cell_type"] == "markdown"))
    title, question = re.search(r"# (.+)", first), re.search(r"\*\*(.+?)\*\*", first, re.DOTALL)
    if title is None or question is None:
        raise ValueError(f"{notebook.name} does not begin with a title and a question in bold")
    number = notebook.stem.partition("_")[0]
    picture = f"![{title[1]}](thumbnails/{notebook.stem}.png){{ width=480 }}\n\n"
    if not (THUMBNAILS / f"{notebook.stem}.png").exists():
        picture = ""
    return f"## {number} {title[1]}\n\n{' '.join(question[1].split())}\n\n{picture}`perflab report {number}`\n"


def write_thumbnails(reports: Path) -> list[Path]:
    """Make a thumbnail for each notebook that has run into a folder and has a figure; where they are."""
    THUMBNAILS.mkdir(exist_ok=True)
    written = []
    for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
        pictures = (
            picture for report in sorted(reports.glob(f"{notebook.stem}-*.ipynb")) for picture in _pictures(report)
        )
        if (first := next(pictures, None)) is not None:
            written.append(THUMBNAILS / f"{notebook.stem}.png")
            write_small(first, written[-1], width=WIDTH_PIXELS)
    return written


def _pictures(report: Path) -> Iterator[bytes]:
    """The figures of a notebook that has run."""
    notebook: dict[str, Any] = json.loads(report.read_text("utf-8"))
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                yield base64.b64decode("".join(output["data"]["image/png"]))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        write_thumbnails(Path(sys.argv[1]))
    PAGE.write_text(gallery_page(), "utf-8")
