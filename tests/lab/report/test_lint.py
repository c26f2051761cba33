from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode, from_dict

from perflab.lab.report.lint import lint_notebook

GOOD = [
    ("markdown", "# Batch size\n\nSee [the design](../README.md) and <https://example.org/a/b>; costs are in rows/s."),
    ("code", "import matplotlib.pyplot as plt\n\nfrom perflab.lab.plots import set_style, throughput\n\nset_style()"),
    ("code", 'profile: str = "quick"  # smoke, quick or full\nrows: int = 20_000  # in a cell', "parameters"),
    ("code", "%matplotlib inline\ndef double(x):\n    return 2 * x\n\n\nawait something(double(rows))"),
    ("markdown", "## 1 Throughput"),
    ("code", "fig, axes = plt.subplots()\naxes.plot([rows / 2 for _ in range(3)])"),
    ("markdown", "And ours:"),
    ("code", "throughput(rows)"),
]


def findings(folder: Path, notebook: NotebookNode) -> list[str]:
    path = folder / "01.ipynb"
    save: Callable[..., None] = nbformat.write
    save(notebook, path)
    return [str(finding) for finding in lint_notebook(path)]


@pytest.fixture
def lint(tmp_path: Path, new_notebook: Callable[..., NotebookNode]) -> Callable[..., list[str]]:
    """Lints the good notebook with some of its cells replaced, and others added."""

    def lint_changed(
        *added: tuple[str, ...], replaced: dict[int, tuple[str, ...]] | None = None, kernel: str = "python3"
    ) -> list[str]:
        cells = [(replaced or {}).get(number, cell) for number, cell in enumerate(GOOD, start=1)]
        return findings(tmp_path, new_notebook(*cells, *added, kernel=kernel))

    return lint_changed


def test_a_good_notebook_has_no_findings(lint: Callable[..., list[str]]) -> None:
    assert lint() == []


@pytest.mark.parametrize(
    ("replaced", "finding"),
    [
        ({1: ("markdown", "Batch size")}, "the first cell is not a Markdown cell that begins with a title"),
        ({1: ("code", "# Batch size")}, "the first cell is not a Markdown cell that begins with a title"),
        ({3: ("code", "rows = 5")}, "it has 0 cells tagged 'parameters'"),
        ({2: ("code", "rows: int = 5  # n", "parameters")}, "it has 2 cells tagged 'parameters'"),
        ({3: ("code", 'profile: str = "quick"', "parameters")}, "the parameter 'profile' has no help"),
        ({3: ("code", "rows: int = 5  # rows", "parameters")}, "has no profile: add `profile: str"),
        ({3: ("code", 'profile: Optional[str] = "quick"  # p', "parameters")}, "has no profile: add `profile: str"),
        ({3: ("code", 'profile: str = "fast"  # p', "parameters")}, "make it one of smoke, quick, full"),
        ({3: ("code", 'profile: str = "full"  # p\nn: int = 2 * 3  # n', "parameters")}, "is not a literal"),
        (
            {3: ("code", 'profile: str = "full"  # p\nn: int = 2  # a = b', "parameters")},
            "papermill does not recognise",
        ),
    ],
)
def test_title_and_parameters_have_their_form(
    lint: Callable[..., list[str]], replaced: dict[int, tuple[str, ...]], finding: str
) -> None:
    found = lint(replaced=replaced)
    assert len(found) == 1
    assert finding in found[0]


@pytest.mark.parametrize(
    ("cell", "finding"),
    [
        (("code", "x = 1\n" * 16), "it has 16 lines, more than 15"),
        (("code", "def f():\n" + "    x = 1\n" * 10), "the function 'f' has 11 lines, more than 10"),
        (("code", "async def f():\n" + "    x = 1\n" * 10), "the function 'f' has 11 lines, more than 10"),
        (("code", "class Arm:\n    pass"), "it defines the class 'Arm'"),
        (("code", "x = = 1"), "it is not Python: invalid syntax, line 1"),
        (("code", "pattern = '\\d'"), "it is not Python: invalid escape sequence"),
        (("raw", "text"), "a raw cell is not shown"),
        (("code", "rows = open('/home/me/rows.csv')"), "'/home/me/rows.csv' is an absolute path"),
        (("code", "url = 'sqlite:////var/lab.db'"), "'sqlite:////var/lab.db' is an absolute path"),
        (("code", "url = f'file://rows.csv'"), "'file://rows.csv' is an absolute path"),
        (("code", "rows = open(r'C:\\Users\\me')"), "is an absolute path"),
        (("code", "rows = open('~/rows.csv')"), "'~/rows.csv' is an absolute path"),
        (("markdown", "Look in `/tmp/perflab/out`."), "'/tmp/perflab/out' is an absolute path"),
        (("code", "url = 'postgresql://a:s3cret@db/lab'"), "it holds a password"),
        (("markdown", "![plan](https://example.org/plan.png)"), "a picture comes from the network"),
        (("markdown", "<img width=5 src='http://example.org/p.png'>"), "a picture comes from the network"),
        (("code", "rows = 5", "injected-parameters"), "it comes from a papermill run"),
    ],
)
def test_a_cell_that_breaks_a_rule_is_named(
    lint: Callable[..., list[str]], cell: tuple[str, ...], finding: str
) -> None:
    found = lint(cell)
    assert len(found) == 1
    assert found[0].startswith("cell 9: ")
    assert finding in found[0]
    assert "s3cret" not in found[0]


@pytest.mark.parametrize(
    "source",
    [
        "axes[0, 1].plot(rows)",
        "frame.plot(x='rows')",
        "frame.plot.bar()",
        "fig, axes = plt.subplots(\n    ncols=2\n)",
        "throughput(rows)",
        "figures = [throughput(row) for row in rows]",
    ],
)
def test_a_figure_is_announced_by_text(lint: Callable[..., list[str]], source: str) -> None:
    [found] = lint(("code", "rows = [1]"), ("code", source))
    assert found.startswith("cell 10: it draws a figure")
    assert lint(("markdown", "What to see."), ("code", source)) == []


@pytest.mark.parametrize(
    "imported",
    ["from perflab.lab import plots", "import perflab.lab.plots as plots", "from perflab.lab import plots as plots"],
)
def test_our_plots_are_known_by_the_module_they_come_from(lint: Callable[..., list[str]], imported: str) -> None:
    [found] = lint(("code", imported), ("code", "plots.forest(rows)"))
    assert found == ("cell 10: it draws a figure (plots.forest): put a Markdown cell before it that says what to see")


def test_a_shorter_function_and_cell_are_allowed(lint: Callable[..., list[str]]) -> None:
    assert lint(("code", "def f():\n" + "    x = 1\n" * 9), ("code", "x = 1\n" * 15)) == []


def test_another_kernel_is_found(lint: Callable[..., list[str]]) -> None:
    assert lint(kernel="my-venv") == [
        "its kernel is 'my-venv' for the language 'python': choose 'python3' for 'python' in JupyterLab"
    ]


def test_what_a_run_left_is_found(tmp_path: Path, new_notebook: Callable[..., NotebookNode]) -> None:
    notebook = new_notebook(*GOOD)
    notebook.metadata["papermill"] = from_dict({"version": "2"})  # type: ignore[no-untyped-call]
    notebook.cells[1].execution_count = 3
    notebook.cells[3].outputs = [from_dict({"output_type": "stream", "name": "stdout", "text": "x"})]  # type: ignore[no-untyped-call]
    notebook.cells[5].metadata["execution"] = {}
    notebook.cells[7].metadata["papermill"] = {}
    found = findings(tmp_path, notebook)
    assert [line.partition(":")[0] for line in found] == [
        "the metadata is of a papermill run",
        "cell 2",
        "cell 4",
        "cell 6",
        "cell 8",
    ]


def test_a_file_that_is_no_notebook_is_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "01.ipynb"
    path.write_text("{}")
    [finding] = lint_notebook(path)
    assert "is not a valid notebook" in str(finding)
