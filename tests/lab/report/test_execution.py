from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from nbformat import NotebookNode

from perflab.lab.report.execution import INJECTED_TAG, Failure, InterpreterKernelManager, _failure, _Stop


def executed(new_notebook: Callable[..., NotebookNode], *, started: int) -> NotebookNode:
    """A notebook of five cells, the third injected, of which the first few were started."""
    notebook = new_notebook(
        ("markdown", "# T"),
        ("code", "rows: int = 5", "parameters"),
        ("code", "rows = 6", INJECTED_TAG),
        ("code", "a()"),
        ("code", "b()"),
    )
    for number, cell in enumerate(notebook.cells):
        cell.metadata["papermill"] = {"start_time": "2026-03-01T00:00:00" if number < started else None}
    return notebook


@pytest.mark.parametrize(
    ("stop", "started", "failure"),
    [
        (None, 5, None),
        (_Stop("KeyError: 1", 3), 4, Failure(index=3, cell=3, error="KeyError: 1")),
        (_Stop("KeyError: 1", 1), 2, Failure(index=1, cell=2, error="KeyError: 1")),
        (_Stop("KeyError: 1", 2), 3, Failure(index=2, cell=2, error="KeyError: 1")),
        (_Stop("TimeoutError: long", None), 4, Failure(index=3, cell=3, error="TimeoutError: long")),
    ],
)
def test_the_cell_is_counted_in_the_stored_notebook(
    new_notebook: Callable[..., NotebookNode], stop: _Stop | None, started: int, failure: Failure | None
) -> None:
    assert _failure(executed(new_notebook, started=started), stop) == failure


def test_a_notebook_that_ends_itself_early_has_failed(new_notebook: Callable[..., NotebookNode]) -> None:
    failure = _failure(executed(new_notebook, started=4), None)
    assert failure is not None
    assert failure.cell == 3
    assert failure.error.startswith("SystemExit")


def test_the_kernel_is_this_interpreter_whatever_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    impostor = tmp_path / "kernels" / "python3"
    impostor.mkdir(parents=True)
    (impostor / "kernel.json").write_text(
        json.dumps({"argv": ["false", "{connection_file}"], "display_name": "Python 3", "language": "python"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    spec = InterpreterKernelManager(kernel_name="python3").kernel_spec
    assert spec is not None
    assert spec.argv[0] == sys.executable
