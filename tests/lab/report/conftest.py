"""Tiny notebooks, built where a test needs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode, v4

TITLE = ("markdown", "# Batch size\n\nHow large should it be?")
PROFILE = 'profile: str = "quick"  # smoke, quick or full'


def _cell(kind: str, source: str, *tags: str) -> NotebookNode:
    new_cell: Callable[..., NotebookNode] = {
        "markdown": v4.new_markdown_cell,
        "code": v4.new_code_cell,
        "raw": v4.new_raw_cell,
    }[kind]
    return new_cell(source, metadata={"tags": list(tags)} if tags else {})


def build_notebook(*cells: tuple[str, ...], kernel: str = "python3") -> NotebookNode:
    """A notebook of the given cells; each is kind, source and any tags."""
    new_notebook: Callable[..., NotebookNode] = v4.new_notebook
    kernelspec = {"name": kernel, "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=[_cell(*cell) for cell in cells], metadata={"kernelspec": kernelspec})


@pytest.fixture(scope="session")
def new_notebook() -> Callable[..., NotebookNode]:
    return build_notebook


@pytest.fixture(scope="session")
def write_notebook() -> Callable[..., Path]:
    """Writes a notebook with a title, the given parameters cell, and the given cells after it."""

    def write(
        folder: Path, *cells: tuple[str, ...], parameters: str = PROFILE, name: str = "02_batch_size.ipynb"
    ) -> Path:
        path = folder / name
        save: Callable[..., None] = nbformat.write
        save(build_notebook(TITLE, ("code", parameters, "parameters"), *cells), path)
        return path

    return write
