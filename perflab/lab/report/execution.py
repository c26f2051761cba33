"""Running a notebook with papermill in this interpreter's environment, and what is left when a cell fails."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import papermill
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError
from papermill.execute import ERROR_MARKER_TAG
from traitlets import default

from perflab.database.urls import redact
from perflab.errors import LabError
from perflab.lab.notebook import OUTPUT_VARIABLE, PROFILE_VARIABLE
from perflab.lab.report.notebook import KERNEL, parse_notebook, tags
from perflab.lab.report.parameters import as_papermill_path
from perflab.lab.report.passwords import hide_passwords
from perflab.lab.sweep.progress import PROGRESS_TERMINAL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

INJECTED_TAG = "injected-parameters"
_KEPT_OF_NOTEBOOK = ("kernelspec", "language_info", "papermill")
_KEPT_OF_CELL = ("tags", "papermill")
_KEPT_OF_PAPERMILL = ("parameters", "start_time", "end_time", "duration", "exception", "status", "version")
_SLOWEST_MESSAGE_SECONDS = 120  # with the default of 4 s a busy machine fails cells that print much


@dataclass(frozen=True, slots=True)
class Failure:
    """Where and why a run stopped.

    Attributes:
        index: Position among the cells of the executed notebook, from 0.
        cell: Position among the cells of the notebook as it is stored, from 1, markdown included.
        error: Such as `"ZeroDivisionError: division by zero"`.
    """

    index: int
    cell: int
    error: str


@dataclass(frozen=True, slots=True)
class Execution:
    """A notebook after its run: with outputs, without machine paths in its metadata."""

    notebook: NotebookNode
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class _Stop:
    error: str
    index: int | None  # None: the cell that was started last


class InterpreterKernelManager(AsyncKernelManager):
    """Starts `python3` with the running interpreter, whatever a kernel of that name in the user's home says."""

    @default("kernel_spec_manager")
    def _kernel_spec_manager_default(self) -> KernelSpecManager:
        return KernelSpecManager(parent=self, kernel_dirs=[])


def execute(
    notebook: Path,
    parameters: Mapping[str, object],
    *,
    output_directory: Path,
    cell_timeout_seconds: int | None,
    progress: bool,
) -> Execution:
    """Run the cells in order, in the folder of the notebook, up to the first that fails.

    Args:
        notebook: The absolute path of the stored notebook; the file is not changed.
        parameters: Values for its parameters, already checked.
        output_directory: Where the notebook writes its results and data files, unless a parameter of its own says so.
        cell_timeout_seconds: A cell that runs longer fails; None allows any time.
        progress: Whether to draw a progress bar on stderr.

    Raises:
        LabError: The kernel did not start, or the run could not be saved.
    """
    with tempfile.TemporaryDirectory(prefix="perflab-") as folder:
        saved = Path(folder) / "executed.ipynb"
        with _kernel_environment(parameters, output_directory, progress=progress):
            stop = _run(notebook, saved, parameters, cell_timeout_seconds, progress=progress)
        executed = parse_notebook(saved.read_text(encoding="utf-8"))
    executed.cells = [cell for cell in executed.cells if ERROR_MARKER_TAG not in tags(cell)]
    _strip_metadata(executed)
    hide_passwords(executed)
    failure = _failure(executed, stop)
    if failure is not None:
        _show_error(executed.cells[failure.index], failure.error)
    return Execution(notebook=executed, failure=failure)


@contextmanager
def _kernel_environment(parameters: Mapping[str, object], output_directory: Path, *, progress: bool) -> Iterator[None]:
    """What the kernel finds in its environment, which it inherits from this process.

    A profile that is a parameter must not be overruled by the variable for runners that cannot set parameters.
    """
    changes: dict[str, str | None] = {OUTPUT_VARIABLE: str(output_directory.resolve())}
    if "profile" in parameters:
        changes[PROFILE_VARIABLE] = None
    if progress and sys.stderr.isatty():
        changes[PROGRESS_TERMINAL] = os.ttyname(sys.stderr.fileno())
    before = {name: os.environ.get(name) for name in changes}
    _change_environment(changes)
    try:
        yield
    finally:
        _change_environment(before)


def _change_environment(changes: Mapping[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _run(
    notebook: Path, saved: Path, parameters: Mapping[str, object], cell_timeout_seconds: int | None, *, progress: bool
) -> _Stop | None:
    try:
        papermill.execute_notebook(
            as_papermill_path(notebook),
            as_papermill_path(saved),
            parameters=dict(parameters),
            kernel_name=KERNEL,
            language="python",
            progress_bar=progress,
            cwd=notebook.parent,
            execution_timeout=cell_timeout_seconds,
            iopub_timeout=_SLOWEST_MESSAGE_SECONDS,
            kernel_manager_class=InterpreterKernelManager,
            extra_arguments=["--IPKernelApp.log_level=50"],  # the kernel's own log; what cells print is not part of it
        )
    except PapermillExecutionError as error:
        return _Stop(f"{error.ename}: {error.evalue}", error.cell_index)
    except CellTimeoutError:
        return _Stop(f"TimeoutError: the cell ran longer than {cell_timeout_seconds} s and was stopped", None)
    except DeadKernelError:
        return _Stop("DeadKernelError: the Python process of the notebook died, perhaps for lack of memory", None)
    except (RuntimeError, OSError) as error:
        raise LabError(f"{notebook.name} could not be run: {error}") from error
    return None


def _failure(executed: NotebookNode, stop: _Stop | None) -> Failure | None:
    started = [
        index for index, cell in enumerate(executed.cells) if cell.metadata.get("papermill", {}).get("start_time")
    ]
    if stop is None and started and started[-1] < len(executed.cells) - 1:
        # papermill takes sys.exit() for a success, also in the middle of a notebook
        stop = _Stop("SystemExit: the cell ended the run before the end of the notebook", None)
    if stop is None:
        return None
    if stop.index is None and not started:
        raise LabError(f"the run stopped before its first cell: {stop.error}")
    index = started[-1] if stop.index is None else stop.index
    injected = sum(INJECTED_TAG in tags(cell) for cell in executed.cells[: index + 1])
    return Failure(index=index, cell=index + 1 - injected, error=redact(stop.error))


def _show_error(cell: NotebookNode, error: str) -> None:
    """Add the error to the outputs of a cell, unless Python has put it there."""
    shown = [f"{output.ename}: {output.evalue}" for output in cell.outputs if output.output_type == "error"]
    if error not in shown:
        name, _, value = error.partition(": ")
        output = NotebookNode(output_type="error", ename=name, evalue=value, traceback=[error])  # type: ignore[no-untyped-call]
        cell.outputs.append(output)


def _strip_metadata(notebook: NotebookNode) -> None:
    """Keep only metadata that says nothing of the machine: papermill notes absolute paths, editors do too."""
    _keep_only(notebook.metadata, _KEPT_OF_NOTEBOOK)
    _keep_only(notebook.metadata.papermill, _KEPT_OF_PAPERMILL)
    for cell in notebook.cells:
        _keep_only(cell.metadata, _KEPT_OF_CELL)


def _keep_only(metadata: NotebookNode, names: tuple[str, ...]) -> None:
    for name in set(metadata) - set(names):
        del metadata[name]
