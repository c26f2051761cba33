"""Where a report is written: inside its directory, whole or not at all."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perflab.errors import InvalidInput, LabError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """The two files of a report: the page, and beside it the notebook that was run."""

    html: Path
    notebook: Path


def prepare_files(directory: Path, stem: str) -> ReportFiles:
    """Make the directory and check that both files can be written there, before a long run depends on it.

    Raises:
        InvalidInput: The directory cannot be made or written, or a file there is a link that leads out of it.
    """
    files = ReportFiles(html=directory / f"{stem}.html", notebook=directory / f"{stem}.ipynb")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        root = directory.resolve(strict=True)
        misleading = [path for path in (files.html, files.notebook) if not path.resolve().is_relative_to(root)]
        directories = [path for path in (files.html, files.notebook) if path.is_dir()]
        probe = _temporary(directory)
        probe.touch(exist_ok=False)
        probe.unlink()
    except (OSError, ValueError, RuntimeError) as error:  # ValueError: a NUL in the name; RuntimeError: a loop of links
        raise InvalidInput(f"no report can be written to {str(directory)!r}: {error}") from error
    for path in misleading:
        raise InvalidInput(f"{path} leads to {path.resolve()}, outside {root}: remove that link")
    for path in directories:
        raise InvalidInput(f"{path} is a directory: move it away, or choose another output directory")
    return files


def write_whole(path: Path, text: str) -> None:
    """Replace the file by `text` in one step: a reader sees the old report or the new one, never a half.

    Raises:
        LabError: The file could not be written; what was there before is untouched.
    """
    temporary = _temporary(path.parent)
    try:
        try:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")  # a cell may print lone surrogates
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise LabError(f"the report {path} could not be written: {error}") from error


def _temporary(directory: Path) -> Path:
    return directory / f".perflab-{secrets.token_hex(8)}.tmp"
