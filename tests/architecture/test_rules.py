"""Rules of the house that a program can check."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
MODULES = sorted((PROJECT / "perflab").rglob("*.py"))
CALLED_MODULES = [path for path in MODULES if "migrations" not in path.parts]  # a migration is a list of statements
CODE = [*MODULES, *sorted((PROJECT / "tests").rglob("*.py"))]

VAGUE_NAMES = {"utils", "util", "common", "helpers", "helper", "misc"}
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
LONG_FUNCTIONS = {
    # Each has the arms of one comparison, which share its rows: apart they would hide that the work is the same.
    "update_states_comparison",
    "add_watches_comparison",
    # Nothing but documented arguments.
    "__init__",
}
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill"}
FORBIDDEN_CALLS = {"eval", "exec"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=120)


def named(path: Path) -> str:
    return str(path.relative_to(PROJECT))


@pytest.mark.parametrize("path", CODE, ids=named)
def test_no_module_has_a_vague_name(path: Path) -> None:
    assert path.stem not in VAGUE_NAMES
    assert path.parent.name not in VAGUE_NAMES


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_no_file_is_too_long_to_be_one_idea(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("path", CALLED_MODULES, ids=named)
def test_no_function_is_too_long_to_be_seen_at_once(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 - len((ast.get_docstring(node) or "").splitlines()) > LONGEST_FUNCTION
    }
    assert not long.keys() - LONG_FUNCTIONS, long


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_nothing_is_unpickled_or_evaluated(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not {alias.name.partition(".")[0] for alias in node.names} & FORBIDDEN_MODULES
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] not in FORBIDDEN_MODULES
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in FORBIDDEN_CALLS, f"line {node.lineno}"


def test_a_forbidden_call_would_be_found(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text("eval('1')\n")
    with pytest.raises(AssertionError, match="line 1"):
        test_nothing_is_unpickled_or_evaluated(path)


def test_layers_import_only_from_below() -> None:
    lint = run(str(Path(sys.executable).with_name("lint-imports")))
    assert lint.returncode == 0, lint.stdout


def imported_by(statement: str) -> set[str]:
    """Top-level packages in a fresh interpreter after a statement."""
    program = f"import sys; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))"
    loaded = run(sys.executable, "-c", program)
    assert loaded.returncode == 0, loaded.stderr
    packages = {name.partition(".")[0] for name in loaded.stdout.split()} - set(sys.stdlib_module_names)
    return {name for name in packages if not name.startswith(("_", "cython"))}  # what extensions bring is no package


def test_importing_perflab_imports_nothing_else() -> None:
    assert imported_by("import perflab") == {"perflab"}


def test_the_core_needs_only_sqlalchemy() -> None:
    used = imported_by("from perflab import Database, RequestBatcher, BulkInserter, PriorityQueue, Worker, Scheduler")
    assert {"perflab", "sqlalchemy"} <= used
    # SQLAlchemy's own dependencies
    assert used <= {"perflab", "sqlalchemy", "typing_extensions", "greenlet"}
