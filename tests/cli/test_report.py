from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode, v4

from perflab.cli import main
from perflab.cli.report import find_notebook, parse_parameters
from perflab.errors import InvalidInput
from perflab.lab.report.run import ReportResult


@pytest.fixture
def laboratory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two notebooks; `02` fails in its third cell."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks").mkdir()
    new_notebook: Callable[..., NotebookNode] = v4.new_notebook
    new_code: Callable[..., NotebookNode] = v4.new_code_cell
    new_markdown: Callable[..., NotebookNode] = v4.new_markdown_cell
    save: Callable[..., None] = nbformat.write
    for name in ("01_first_steps", "02_batch_size"):
        cells = [
            new_markdown("# T"),
            new_code('profile: str = "quick"  # p\nrows: int = 5  # rows', metadata={"tags": ["parameters"]}),
            new_code("from perflab.lab.report.headline import publish_headline\npublish_headline(rows=rows)\nrows / 0"),
        ]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        save(new_notebook(cells=cells, metadata={"kernelspec": kernel}), tmp_path / "notebooks" / f"{name}.ipynb")
    return tmp_path


@pytest.mark.parametrize("name", ["02", "02_batch", "02_batch_size", "02_batch_size.ipynb"])
def test_a_notebook_is_found_by_number_or_name(laboratory: Path, name: str) -> None:
    assert find_notebook(name, folder=Path("notebooks")) == Path("notebooks/02_batch_size.ipynb")


def test_a_path_comes_first(laboratory: Path) -> None:
    (laboratory / "02_batch_size.ipynb").write_text("")
    assert find_notebook("02_batch_size.ipynb", folder=Path("notebooks")) == Path("02_batch_size.ipynb")
    path = str(laboratory / "notebooks" / "01_first_steps.ipynb")
    assert find_notebook(path, folder=Path("notebooks")) == Path(path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("0", "notebooks/ has 01_first_steps, 02_batch_size"),
        ("03", "notebooks/ has 01_first_steps, 02_batch_size"),
        ("02_bach_size", "did you mean 02_batch_size?"),
        ("elsewhere/02", "give the path of an .ipynb file"),
        ("elsewhere/02_batch_size.ipynb", "give the path of an .ipynb file"),
    ],
)
def test_a_name_that_means_no_notebook_is_refused(laboratory: Path, name: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match="there is no notebook") as caught:
        find_notebook(name, folder=Path("notebooks"))
    assert reason in str(caught.value)


def test_a_name_that_means_two_is_refused(laboratory: Path) -> None:
    (laboratory / "notebooks" / "02_other.ipynb").write_text("")
    with pytest.raises(InvalidInput, match="'02' is the beginning of 02_batch_size, 02_other"):
        find_notebook("02", folder=Path("notebooks"))


def test_without_notebooks_the_message_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=f"there are none in {tmp_path}"):
        find_notebook("02", folder=tmp_path)


def test_parameters_are_split_at_the_first_equals_sign() -> None:
    assert parse_parameters(["a=1", "b=x=y\nz", "c="]) == {"a": "1", "b": "x=y\nz", "c": ""}


@pytest.mark.parametrize(
    ("assignments", "reason"),
    [
        (["a"], "give a parameter as key=value"),
        (["=5"], "give a parameter as key=value"),
        (["a b=5"], "give a parameter as key=value"),
        (["a=1", "a=2"], "'a' is given twice"),
        (["postgresql://app:s3cret@db/lab"], "give a parameter as key=value"),
    ],
)
def test_another_form_of_parameter_is_refused(assignments: list[str], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as caught:
        parse_parameters(assignments)
    assert "s3cret" not in str(caught.value)


def test_a_failed_cell_exits_with_1_and_leaves_the_report(laboratory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "02", "-p", "rows=7", "--profile", "smoke", "--output", "out"]) == 1
    captured = capfd.readouterr()
    assert captured.out.splitlines() == ["out/02_batch_size-smoke.html", "rows 7"]
    assert captured.err == "perflab: cell 3 of 02_batch_size.ipynb failed: ZeroDivisionError: division by zero\n"
    assert "This report is incomplete." in (laboratory / "out" / "02_batch_size-smoke.html").read_text()


def test_the_options_reach_the_run(
    laboratory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[object, ...]] = []

    def run_report(
        notebook: Path,
        *,
        parameters: Mapping[str, object],
        profile: str | None,
        output_directory: Path,
        cell_timeout_seconds: int | None,
        progress: bool,
    ) -> ReportResult:
        seen.append((notebook, parameters, profile, output_directory, cell_timeout_seconds, progress))
        return ReportResult(Path("r.html"), Path("r.ipynb"), 1.0, None, None, None)

    monkeypatch.setattr("perflab.lab.report.run.run_report", run_report)
    assert main(["report", "01"]) == 0
    assert main(["report", "01", "-p", "a=1", "-p", "b=2", "--profile", "full", "--output", "o", "--timeout", "9"]) == 0
    first = Path("notebooks/01_first_steps.ipynb")
    assert seen == [
        (first, {}, None, Path("reports"), None, False),
        (first, {"a": "1", "b": "2"}, "full", Path("o"), 9, False),
    ]
    assert capsys.readouterr().out == "r.html\nr.html\n"


def test_a_wrong_parameter_exits_with_2_and_runs_nothing(laboratory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "02", "-p", "row=7"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "no parameter 'row' (given '7'), did you mean 'rows'?" in captured.err
    assert not (laboratory / "reports").exists()
