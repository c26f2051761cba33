"""Notebook files: reading one, and refusing what is not one before anything else looks at it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import nbformat
from nbformat import reader
from nbformat.warnings import DuplicateCellId, MissingIDFieldWarning

from perflab.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from nbformat import NotebookNode

KERNEL = "python3"


def read_notebook(path: Path) -> NotebookNode:
    """The notebook in `path`, valid by the schema of notebook format 4.

    Raises:
        InvalidInput: There is no such file, it is not a notebook, or not a valid one.
    """
    if path.suffix != ".ipynb":
        raise InvalidInput(f"{str(path)!r} is not a notebook: give a file whose name ends in .ipynb")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a NUL in the name
        raise InvalidInput(f"the notebook {str(path)!r} cannot be read: {error}") from error
    try:
        node = parse_notebook(text)
        _validate(node)
    except (LookupError, TypeError, AttributeError, ValueError, nbformat.ValidationError, FutureWarning) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InvalidInput(f"{path} is not a valid notebook ({reason}): open it in JupyterLab and save it") from error
    return node


def parse_notebook(text: str) -> NotebookNode:
    """The notebook that JSON text holds, not validated."""
    node: NotebookNode = reader.reads(text)  # type: ignore[no-untyped-call]
    return node


def notebook_text(notebook: NotebookNode) -> str:
    """The notebook as the text of a file."""
    return f"{nbformat.writes(notebook)}\n"  # type: ignore[no-untyped-call]


def kernel_problem(notebook: NotebookNode) -> list[str]:
    """What is wrong with the kernel that the notebook asks for, in a list of at most one message."""
    kernel = notebook.metadata.get("kernelspec", {})
    name, language = kernel.get("name"), kernel.get("language")
    if (name, language) == (KERNEL, "python"):
        return []
    return [f"its kernel is {name!r} for the language {language!r}: choose {KERNEL!r} for 'python' in JupyterLab"]


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell; none when it has no such metadata."""
    return list(cell.metadata.get("tags", []))


def is_run(cell: NotebookNode) -> bool:
    """Whether the kernel runs this cell: it is code, and not blank."""
    return bool(cell.cell_type == "code" and cell.source.strip())


def _validate(node: NotebookNode) -> None:
    if node.nbformat != nbformat.current_nbformat:
        raise ValueError(f"format {node.nbformat}, not {nbformat.current_nbformat}")
    with warnings.catch_warnings():
        # nbformat only warns where cells lack an id or share one, and repairs its own copy
        warnings.simplefilter("error", MissingIDFieldWarning)
        warnings.simplefilter("error", DuplicateCellId)
        nbformat.validate(node)
