"""The pages of our own: the table of cProfile, and the list of profiles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

INDEX = "index.html"


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile that was written.

    Attributes:
        subject: what was visited, such as a cell.
        profiler: its name.
        file: its page.
    """

    subject: str
    profiler: str
    file: Path


def write_index(profiles: Sequence[Profile], folder: Path) -> Path:
    """A page with all profiles of a folder, the first of them open in it; where it is."""
    page = folder / INDEX
    page.write_text(render("index.html.j2", profiles=profiles), encoding="utf-8")
    return page


def file_name(subject: str, profiler: str, suffix: str) -> str:
    """`"bulk_enqueue-sqlite.pyinstrument.html"`."""
    words = re.sub(r"[^\w.]+", "-", subject).strip("-")
    return f"{words}.{profiler}{suffix}"


def render(template: str, **values: object) -> str:
    environment = Environment(
        loader=PackageLoader("perflab.lab.profiling", "."), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template(template).render(**values)
