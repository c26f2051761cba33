"""The table of complaints names tests that exist, and these name the complaint."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

BATCHING = Path(__file__).parents[1] / "batching"
NAMED = re.findall(
    r"\| ([^|]+) \| `([\w./]+\.py)::(test_\w+)` \|$",
    (BATCHING / "README.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


def test_every_line_of_the_table_names_a_test() -> None:
    lines = [
        line for line in (BATCHING / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")
    ]
    assert len(NAMED) == len(lines) - 1, "one line is the heading"


@pytest.mark.parametrize(("source", "file", "name"), NAMED)
def test_a_test_of_the_table_exists_and_says_what_it_is_for(source: str, file: str, name: str) -> None:
    tree = ast.parse((BATCHING / file).read_text(encoding="utf-8"))
    (test,) = [
        node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    ]
    assert source in (ast.get_docstring(test) or "")
