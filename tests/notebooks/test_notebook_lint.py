"""Every notebook that we ship keeps the rules of `perflab.lab.report.lint`."""

from __future__ import annotations

from pathlib import Path

import pytest

from perflab.lab.report.lint import lint_notebook

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_the_notebook_keeps_the_rules(path: Path) -> None:
    assert [str(finding) for finding in lint_notebook(path)] == []
