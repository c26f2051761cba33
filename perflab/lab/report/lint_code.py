"""The rules for the code in a notebook: short, no classes, every figure announced by text."""

from __future__ import annotations

import ast
import re
import warnings
from typing import TYPE_CHECKING

from IPython.core.inputtransformer2 import TransformerManager

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nbformat import NotebookNode

LONGEST_CELL_LINES = 15
LONGEST_FUNCTION_LINES = 10
PLOTS_MODULE = "plots"

# methods of Matplotlib and pandas
_DRAWING_METHOD = re.compile(
    r"\.(bar|barh|boxplot|contourf?|errorbar|figure|fill_between|heatmap|hexbin|hist|hist2d|imshow|loglog|"
    r"pcolormesh|pie|plot|scatter|semilog[xy]|show|stackplot|stairs|step|subplot_mosaic|subplots|violinplot)$"
)


def lint_code(notebook: NotebookNode) -> Iterator[tuple[int, str]]:
    """What is wrong with the code cells: pairs of cell number, from 1, and message."""
    modules: list[tuple[int, ast.Module]] = []
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type != "code":
            continue
        lines = len(cell.source.splitlines())
        if lines > LONGEST_CELL_LINES:
            yield number, f"it has {lines} lines, more than {LONGEST_CELL_LINES}: move code into the package"
        try:
            modules.append((number, _parse(cell.source)))
        except SyntaxError as error:
            yield number, f"it is not Python: {error.msg}, line {error.lineno}"
    plots = _names_from_plots([module for _, module in modules])
    for number, module in modules:
        yield from ((number, message) for message in _definition_messages(module))
        announced = number > 1 and notebook.cells[number - 2].cell_type == "markdown"
        if not announced and (drawing := next(_drawing_calls(module, plots), None)):
            yield number, f"it draws a figure ({drawing}): put a Markdown cell before it that says what to see"


def _parse(source: str) -> ast.Module:
    """The cell as IPython runs it: magics become calls, and `await` may stand at the top.

    Raises:
        SyntaxError: It does not parse, or Python warns of it (an invalid escape).
    """
    python = TransformerManager().transform_cell(source)  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module = compile(
            python, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
        )
    assert isinstance(module, ast.Module)
    return module


def _definition_messages(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef):
            yield f"it defines the class {node.name!r}: move it into the package"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > LONGEST_FUNCTION_LINES:
                yield (
                    f"the function {node.name!r} has {lines} lines, more than {LONGEST_FUNCTION_LINES}: "
                    "move it into the package"
                )


def _names_from_plots(modules: Sequence[ast.Module]) -> frozenset[str]:
    """The names under which a notebook knows our plots: the module itself, and what it imports from it."""
    names: set[str] = set()
    for node in (node for module in modules for node in ast.walk(module)):
        if isinstance(node, ast.ImportFrom):
            inside = PLOTS_MODULE in (node.module or "").split(".")
            names |= {alias.asname or alias.name for alias in node.names if inside or alias.name == PLOTS_MODULE}
        elif isinstance(node, ast.Import):
            names |= {alias.asname for alias in node.names if alias.asname and PLOTS_MODULE in alias.name.split(".")}
    return frozenset(names)


def _drawing_calls(module: ast.Module, plots: frozenset[str]) -> Iterator[str]:
    for node in ast.walk(module):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        ours = called.partition(".")[0] in plots and "style" not in called
        if ours or _DRAWING_METHOD.search(called):
            yield called
