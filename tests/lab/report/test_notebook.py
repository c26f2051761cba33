from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from perflab.errors import InvalidInput
from perflab.lab.report.notebook import notebook_text, read_notebook


def test_a_notebook_is_read_and_written_unchanged(tmp_path: Path, write_notebook: Callable[..., Path]) -> None:
    path = write_notebook(tmp_path, ("code", "1 + 1\n2 + 2"))
    assert json.loads(notebook_text(read_notebook(path))) == json.loads(path.read_text())
    assert read_notebook(path).cells[-1].source == "1 + 1\n2 + 2"


@pytest.mark.parametrize(
    "text",
    ["", "no json", "[]", "{}", '{"nbformat": 4}', '{"nbformat": 3, "worksheets": []}', '{"nbformat": 4, "cells": 5}'],
)
def test_a_file_that_is_no_notebook_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "n.ipynb"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=r"n\.ipynb is not a valid notebook"):
        read_notebook(path)


def test_cells_need_ids_of_their_own(tmp_path: Path, write_notebook: Callable[..., Path]) -> None:
    path = write_notebook(tmp_path)
    content = json.loads(path.read_text())
    content["cells"][1]["id"] = content["cells"][0]["id"]
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidInput, match="not a valid notebook"):
        read_notebook(path)
    del content["cells"][1]["id"]
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidInput, match="not a valid notebook"):
        read_notebook(path)


@pytest.mark.parametrize("name", ["missing.ipynb", "nul\0.ipynb", "n" * 300 + ".ipynb"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_notebook(tmp_path / name)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"whose name ends in \.ipynb"):
        read_notebook(tmp_path / "script.py")
