"""Notebooks that really run; each takes about a second, so their runs are shared."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nbformat import NotebookNode

from perflab.errors import InvalidInput
from perflab.lab.report.notebook import read_notebook
from perflab.lab.report.run import ReportResult, run_report

PARAMETERS = """profile: str = "quick"  # smoke, quick or full
batch_size: int = 500  # rows in a flush
label: str = "plain"  # any text
sizes: list = [1]  # to visit
untouched: bool = False  # keeps its default"""
INJECTION = 'x"\nimport os\nos.abort()\n#\\'
OUTPUT = """
import json, os, sys
from perflab.lab.report.headline import publish_headline
print("SEEN " + json.dumps([profile, batch_size, label, sizes, untouched, sys.executable, os.getcwd()]))
print("connecting to postgresql://app:s3" + "cret@db/lab", file=sys.stderr)
publish_headline(batch_size=batch_size, flush_interval_seconds=0.01)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("note{books}")


@pytest.fixture(scope="module")
def good(folder: Path, write_notebook: Callable[..., Path]) -> ReportResult:
    notebook = write_notebook(folder, ("code", OUTPUT), parameters=PARAMETERS)
    parameters = {"batch_size": "20", "label": INJECTION, "sizes": "[1, 2.5]"}
    return run_report(notebook, parameters=parameters, profile="smoke", output_directory=folder / "a" / "reports")


@pytest.fixture(scope="module")
def failing(folder: Path, write_notebook: Callable[..., Path]) -> ReportResult:
    notebook = write_notebook(
        folder,
        ("code", "print('before')"),
        ("code", "raise ValueError('no way to postgresql://app:s3' + 'cret@db/lab')"),
        ("code", "print('after')"),
        name="fails.ipynb",
    )
    return run_report(notebook, parameters={}, profile=None, output_directory=folder)


def cells(result: ReportResult) -> list[NotebookNode]:
    return list(read_notebook(result.notebook).cells)


def test_the_report_and_the_executed_notebook_are_written(good: ReportResult, folder: Path) -> None:
    directory = folder / "a" / "reports"
    assert (good.html, good.notebook) == (
        directory / "02_batch_size-smoke.html",
        directory / "02_batch_size-smoke.ipynb",
    )
    assert sorted(path.name for path in directory.iterdir()) == [good.html.name, good.notebook.name]
    assert (good.failed_cell, good.error) == (None, None)
    assert good.seconds > 0


@pytest.mark.case("F44")
def test_values_arrive_typed_and_text_is_never_code(good: ReportResult, folder: Path) -> None:
    printed = next(output.text for output in cells(good)[-1].outputs if output.get("name") == "stdout")
    seen = json.loads(printed.removeprefix("SEEN "))
    assert seen[:5] == ["smoke", 20, INJECTION, [1, 2.5], False]


def test_it_runs_in_this_interpreter_and_in_the_folder_of_the_notebook(good: ReportResult, folder: Path) -> None:
    printed = next(output.text for output in cells(good)[-1].outputs if output.get("name") == "stdout")
    assert json.loads(printed.removeprefix("SEEN "))[5:] == [sys.executable, str(folder.resolve())]


def test_the_headline_is_read_back(good: ReportResult) -> None:
    assert good.headline == "batch size 20 · flush interval 10.0 ms"
    assert "10.0 ms" in good.html.read_text()


@pytest.mark.case("F44")
def test_metadata_names_no_place_on_this_machine(good: ReportResult, folder: Path) -> None:
    notebook = read_notebook(good.notebook)
    metadata = json.dumps([notebook.metadata, *(cell.metadata for cell in notebook.cells)])
    assert str(folder) not in metadata
    assert "input_path" not in metadata
    assert "output_path" not in metadata
    assert notebook.metadata.papermill.parameters["batch_size"] == 20


@pytest.mark.case("F43")
def test_a_password_on_stderr_is_hidden(good: ReportResult) -> None:
    for path in (good.html, good.notebook):
        assert "s3cret" not in path.read_text()
        assert "postgresql://app:***@db/lab" in path.read_text()


def test_the_stored_notebook_is_not_changed(good: ReportResult, folder: Path) -> None:
    stored = read_notebook(folder / "02_batch_size.ipynb")
    assert [cell.outputs for cell in stored.cells if cell.cell_type == "code"] == [[], []]
    assert "papermill" not in stored.metadata


def test_a_failing_cell_leaves_a_partial_report(failing: ReportResult, folder: Path) -> None:
    assert failing.failed_cell == 4
    assert failing.error == "ValueError: no way to postgresql://app:***@db/lab"
    assert failing.headline is None
    assert failing.html == folder / "fails-quick.html"
    page = failing.html.read_text()
    assert "This report is incomplete." in page
    assert "1 more cell did not run" in page
    executed = cells(failing)
    assert executed[2].outputs[0].text == "before\n"
    assert [output.ename for output in executed[3].outputs] == ["ValueError"]
    assert executed[4].outputs == []


@pytest.mark.case("F43")
def test_a_password_in_a_traceback_is_hidden(failing: ReportResult) -> None:
    for path in (failing.html, failing.notebook):
        assert "s3cret" not in path.read_text()
        assert "no way to postgresql://app:***@db/lab" in path.read_text()


@pytest.mark.parametrize(
    ("source", "timeout_seconds", "error"),
    [
        ("import time\ntime.sleep(60)", 1, "TimeoutError: the cell ran longer than 1 s and was stopped"),
        ("import os\nos._exit(9)", None, "DeadKernelError: the Python process of the notebook died"),
    ],
)
def test_a_run_that_ends_without_an_error_of_its_own_fails(
    tmp_path: Path, write_notebook: Callable[..., Path], source: str, timeout_seconds: int | None, error: str
) -> None:
    notebook = write_notebook(tmp_path, ("code", source), ("code", "print('after')"))
    result = run_report(
        notebook,
        parameters={},
        profile="full",
        output_directory=tmp_path / "reports",
        cell_timeout_seconds=timeout_seconds,
    )
    assert result.failed_cell == 3
    assert result.error is not None
    assert result.error.startswith(error)
    assert error in result.html.read_text()
    assert error in [output for output in cells(result)[3].outputs if output.output_type == "error"][-1].traceback[-1]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"parameters": {"batchsize": "5"}}, r"02_batch_size\.ipynb has no parameter 'batchsize'"),
        ({"parameters": {"batch_size": "x"}}, "takes a whole number"),
        ({"parameters": {"label": "postgresql://app:s3cret@db/lab"}}, "PERFLAB_LAB_URL"),
        ({"profile": "fast"}, "the profile 'fast' is none of"),
        ({"cell_timeout_seconds": 0}, "timeout of a cell is 0 s"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    tmp_path: Path, write_notebook: Callable[..., Path], changes: dict[str, Any], reason: str
) -> None:
    notebook = write_notebook(tmp_path, ("code", "raise SystemError('it ran')"), parameters=PARAMETERS)
    arguments = {"parameters": {}, "profile": None, "output_directory": tmp_path / "reports", **changes}
    with pytest.raises(InvalidInput, match=reason):
        run_report(notebook, **arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["02_batch_size.ipynb"]


def test_a_report_never_replaces_its_notebook(tmp_path: Path, write_notebook: Callable[..., Path]) -> None:
    notebook = write_notebook(tmp_path, parameters="rows: int = 5  # rows")
    with pytest.raises(InvalidInput, match="would replace the notebook"):
        run_report(notebook, parameters={}, profile=None, output_directory=tmp_path)
