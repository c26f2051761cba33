"""Write the files into a project, all or none, and nothing over what is there."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from perflab.errors import InvalidInput
from perflab.version import __version__

NOTEBOOK = Path("notebooks/performance.ipynb")
WORKFLOW = Path(".github/workflows/perflab.yml")
VERSION = "PERFLAB_VERSION"
"""Stands in the files for the version that wrote them: what measures is not to change by itself."""


def starter_files() -> Mapping[Path, str]:
    """What is written, by where it goes in a project."""
    here = files("perflab.lab.starter")
    return {
        path: (here / path.name).read_text(encoding="utf-8").replace(VERSION, __version__)
        for path in (NOTEBOOK, WORKFLOW)
    }


def write_starter(project: Path) -> list[Path]:
    """Write them, and return where they are.

    Args:
        project: The folder of the project, which is there.

    Raises:
        InvalidInput: it is not there, one of the files is, or a folder cannot be made. Nothing is written then.
    """
    if not project.is_dir():
        raise InvalidInput(f"{str(project)!r} is no folder: name that of your project, or make it first")
    contents = {project / path: text for path, text in starter_files().items()}
    if there := [str(path) for path in contents if path.exists() or path.is_symlink()]:
        raise InvalidInput(f"{' and '.join(there)} would be overwritten: move it away, or name another folder")
    written: list[Path] = []
    try:
        for path, text in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                written.append(path)
                file.write(text)
    except OSError as error:
        for path in written:
            path.unlink()
        reason = error.strerror or error
        raise InvalidInput(
            f"{error.filename} cannot be written ({reason}): make room for it, or name another folder"
        ) from error
    return written
