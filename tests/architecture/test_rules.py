"""Rules of the house that a program can check."""

from __future__ import annotations

import ast
import re
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
LONG_FUNCTIONS: set[str] = set()
"""Beyond the bound, with the reason."""
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "joblib"}
FORBIDDEN_CALLS = {"eval", "exec", "builtins.eval", "builtins.exec", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
FORBIDDEN_METHODS = {"read_pickle", "to_pickle"}
FORBIDDEN_ARGUMENTS = {"allow_pickle"}


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


def long_functions(path: Path) -> set[str]:
    """Functions of more lines than the bound, their docstrings not counted."""
    return {
        f"{named(path)}: {node.name}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 - len((ast.get_docstring(node) or "").splitlines()) > LONGEST_FUNCTION
    }


@pytest.mark.parametrize("path", CALLED_MODULES, ids=named)
def test_no_function_is_too_long_to_be_seen_at_once(path: Path) -> None:
    assert long_functions(path) - LONG_FUNCTIONS == set()


def test_no_exception_outlives_its_reason() -> None:
    assert set().union(*map(long_functions, CALLED_MODULES)) >= LONG_FUNCTIONS


def evaluations(code: str) -> list[str]:
    """What would run text or bytes as a program, with its line."""
    found = []
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Import():
                names = {alias.name.partition(".")[0] for alias in node.names} & FORBIDDEN_MODULES
            case ast.ImportFrom():
                names = {(node.module or "").partition(".")[0]} & FORBIDDEN_MODULES
            case ast.Call():
                called = ast.unparse(node.func)
                names = {called} & FORBIDDEN_CALLS | {called.rpartition(".")[2]} & FORBIDDEN_METHODS
                names |= {keyword.arg for keyword in node.keywords if keyword.arg} & FORBIDDEN_ARGUMENTS
            case _:
                continue
        found += [f"line {node.lineno}: {name}" for name in sorted(names)]
    return found


@pytest.mark.case("F42")
@pytest.mark.parametrize("path", MODULES, ids=named)
def test_nothing_is_unpickled_or_evaluated(path: Path) -> None:
    assert evaluations(path.read_text(encoding="utf-8")) == []


@pytest.mark.case("F42")
@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("eval('1')", "eval"),
        ("exec('1')", "exec"),
        ("import builtins; builtins.exec('1')", "builtins.exec"),
        ("import pickle", "pickle"),
        ("from marshal import loads", "marshal"),
        ("import shelve as harmless", "shelve"),
        ("yaml.load(text)", "yaml.load"),
        ("pandas.read_pickle(path)", "read_pickle"),
        ("numpy.load(path, allow_pickle=True)", "allow_pickle"),
    ],
)
def test_an_evaluation_would_be_found(code: str, name: str) -> None:
    assert evaluations(f"x = 1\n{code}\n") == [f"line 2: {name}"]


def test_what_is_no_evaluation_is_let_pass() -> None:
    assert (
        evaluations("yaml.safe_load(text); connection.exec_driver_sql('SELECT 1'); model.eval(); json.loads(t)") == []
    )


SQLITE_FILES = [path for path in sorted((PROJECT / "perflab").rglob("*sqlite*")) if path.suffix in {".py", ".sql"}]


@pytest.mark.case("F19")
@pytest.mark.parametrize("path", SQLITE_FILES, ids=named)
def test_no_transaction_on_sqlite_begins_deferred(path: Path) -> None:
    """It would fail at once when it turns into a writer, whatever the busy timeout."""
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"\bBEGIN\b(?! IMMEDIATE)[ \w]*[\";]", text) == []


def lint_imports(configuration: Path) -> subprocess.CompletedProcess[str]:
    lint = Path(sys.executable).with_name("lint-imports")
    return run(str(lint), "--no-cache", "--no-logo", "--config", str(configuration))


def test_layers_import_only_from_below() -> None:
    lint = lint_imports(PROJECT / "pyproject.toml")
    assert lint.returncode == 0, lint.stdout
    assert "0 broken" in lint.stdout


def test_a_layer_that_imports_from_above_would_be_found(tmp_path: Path) -> None:
    upside_down = (PROJECT / "pyproject.toml").read_text(encoding="utf-8").replace('"cli",', "", 1)
    upside_down = upside_down.replace('    "events | errors",\n', '    "events | errors",\n    "cli",\n', 1)
    (tmp_path / "pyproject.toml").write_text(upside_down, encoding="utf-8")
    lint = lint_imports(tmp_path / "pyproject.toml")
    assert lint.returncode == 1, lint.stdout
    assert "perflab.cli is not allowed to import perflab.lab" in lint.stdout


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
